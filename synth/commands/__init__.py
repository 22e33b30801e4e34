"""What one core costs, in a cell library or on an FPGA."""

from cosign.command import Command

COMMANDS = {
    "report": Command("synth.commands.report", "synthesise and time one core"),
    "fpga": Command("synth.commands.fpga", "place and route one core on a Lattice ECP5"),
}
MOVED = {"breakeven": "cosign breakeven", "sweep": "cosign sweep"}
