"""The networks we know by name: their layers, how far and in how many bits to compress them."""
