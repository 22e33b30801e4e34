"""What one core costs, in a cell library or on an FPGA."""

from cosign.command import Command

COMMANDS = {
    "report": Command("synth.commands.report", "synthesise and time one core"),
    "prices": Command("synth.commands.prices", "synthesise the grid of a price list and write it"),
    "pdk": Command("synth.commands.pdk", "tell what a cell library has, and what serves for what"),
    "fpga": Command("synth.commands.fpga", "place and route one core on a Lattice ECP5"),
}
LENT = {"frontier": "flows.commands.frontier"}
MOVED = {"breakeven": "cosign breakeven", "sweep": "cosign sweep"}
