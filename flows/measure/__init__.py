"""What cores cost and gain on a network: break-even, speedup, energy."""
