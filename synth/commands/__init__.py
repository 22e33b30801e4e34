"""What one core costs, in a cell library or on an FPGA."""

from cosign.command import Command

COMMANDS = {
    "report": Command("synth.commands.report", "synthesise and time one core"),
    "pdk": Command("synth.commands.pdk", "tell what a cell library has, and what serves for what"),
    "fpga": Command("synth.commands.fpga", "place and route one core on a Lattice ECP5"),
}
MOVED = {"breakeven": "cosign breakeven", "sweep": "cosign sweep"}
