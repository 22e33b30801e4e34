"""The machine as Verilog."""

from cosign.command import Command

COMMANDS = {
    "generate": Command(
        "rtl.commands.generate", "write a core and its SoC top as Verilog, with its register map"
    )
}
