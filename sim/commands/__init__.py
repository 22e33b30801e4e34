"""What the machine does: networks on the RTL, cycles without simulating, coverage."""

from cosign.command import Command

COMMANDS = {
    "run": Command(
        "sim.commands.run", "execute a network on the RTL and compare every value and cycle"
    ),
    "cycles": Command(
        "sim.commands.cycles",
        "count cycles without simulating, on four cores of equal size or those of a file",
    ),
    "coverage": Command("sim.commands.coverage", "line and toggle coverage of simulations"),
}
