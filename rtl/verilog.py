"""Verilog of a core: one file for the logic, one for each SRAM's behaviour."""

from pathlib import Path

from amaranth.back import verilog

from cosign import atomic_write
from rtl import core, fanout, lane, sram
from rtl.config import CoreConfig


def generate(config: CoreConfig) -> dict[str, str]:
    """File names and texts: `cosign_core.v` and one `cosign_sram_<words>x<bits>.v` per macro.

    The top module is `cosign_core`. Synthesis reads `cosign_core.v` alone, with the SRAMs as black
    boxes.
    """
    body = "\n".join(
        (
            fanout.VERILOG,
            _convert(lane.Lane(config), lane.MODULE),
            _convert(core.Core(config), core.MODULE),
        )
    )
    files = {"cosign_core.v": f"// CoreConfig {config.hash}\n\n{body}"}
    for macro in sram.macros(config):
        files[f"{macro.name}.v"] = sram.behavioural(macro.words, macro.bits)
    return files


def write(config: CoreConfig, folder: Path) -> list[Path]:
    """Write the files of `generate` into `folder`; returns their paths, the core's first."""
    paths = []
    for file_name, text in generate(config).items():
        path = Path(folder) / file_name
        with atomic_write(path) as file:
            file.write(text.encode())
        paths.append(path)
    return paths


def _convert(component, name: str) -> str:  # type: ignore[no-untyped-def]
    text: str = verilog.convert(component, name=name, emit_src=False, strip_internal_attrs=True)
    return text
