"""OpenSTA with the wires of a placement: `synth.sta`'s constraints, and SPEF for every net."""

import re
import threading
from pathlib import Path

from cosign import CosignError, atomic_write
from synth.pdk import Pdk
from synth.process import run_tool
from synth.sta import PACKAGE, SIGN_OFF, Timer, TimingRecord, parse_timing

SPEF = "core.spef"
"""Beside the netlist."""
_READ = f"read_spef {SPEF} > spef.log"


class PlacedTimer(Timer):
    """`Timer` with wires. A net of the SPEF that the netlist lacks is an error: silently, it would
    lose its load. Exchanged cells keep their wires."""

    def __init__(
        self,
        netlist: Path,
        top: str,
        pdk: Pdk,
        macros: Path,
        period_ns: float,
        cancel: threading.Event | None = None,
    ) -> None:
        self._said: list[str] = []
        super().__init__(netlist, top, pdk, macros, period_ns, cancel)
        self._annotate()

    def __enter__(self) -> "PlacedTimer":
        return self

    def _tell(self, commands: str) -> None:
        # A load that is set on a port makes OpenSTA forget the wire to it: the SPEF has that load.
        commands = re.sub(r"^set_load .*\n", "", commands, flags=re.M)
        self._said.append(commands)
        super()._tell(commands)

    def _annotate(self) -> None:
        self._tell(_READ)
        _check(self._folder / "spef.log")

    @property
    def setup(self) -> str:
        """The commands that load and constrain the netlist."""
        return self._said[0]


def sign_off(setup: str, folder: Path, period_ns: float) -> TimingRecord:
    """Time the netlist and the SPEF in `folder` by a fresh OpenSTA; its reports stay there.

    setup : of a `PlacedTimer`

    Raises CosignError when `sta` fails, a wire has no net, or no path was reported.
    """
    with atomic_write(folder / "sta.tcl") as file:
        file.write(f"{setup}\n{_READ}\n{SIGN_OFF}".encode())
    (folder / "timing.rpt").unlink(missing_ok=True)
    run_tool(
        ("sta", "-no_splash", "-no_init", "-exit", "sta.tcl"), folder / "sta.log", folder, PACKAGE
    )
    _check(folder / "spef.log")
    return parse_timing(folder / "timing.rpt", period_ns)


def _check(log: Path) -> None:
    text = log.read_text() if log.is_file() else ""
    if match := re.search(r"(?:Warning|Error)[:,]?\s*(.*)", text):
        raise CosignError(f"OpenSTA did not take the wires as they are: {match[1].rstrip('.')}.")
