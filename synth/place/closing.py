"""Sizing on placed loads: `synth.sizing`'s rules, with wires as they lie instead of by fan-out."""

from collections.abc import Mapping
from dataclasses import dataclass

from synth.liberty import Library
from synth.netlist import Netlist
from synth.place.timing import PlacedTimer
from synth.sizing import ENOUGH_NS, OUTPUT_LOAD_FF, WINDOW_NS, Loads, Sizer

ROUNDS, ROUGH_ROUNDS = 24, 8
"""At most: for what stands, and for slacks that only weight nets."""


@dataclass
class PlacedLoads(Loads):
    """`Loads` with the capacitance of each net's wires, fF."""

    wires_ff: Mapping[int, float]

    def load_ff(self, net: int) -> float:
        pins = sum(self.pin_ff(instance, pin) for instance, pin, _ in self.sinks.get(net, ()))
        return pins + self.outputs.get(net, 0) * OUTPUT_LOAD_FF + self.wires_ff.get(net, 0.0)


def sizer(netlist: Netlist, library: Library, wires_ff: Mapping[int, float]) -> Sizer:
    """Chooses drives for wires of `wires_ff` (by net)."""
    found = Sizer(netlist, library)
    found.loads = PlacedLoads(netlist, library, wires_ff)
    return found


def close(
    own: Sizer, timer: PlacedTimer, slack: dict[str, float], rounds: int = ROUNDS
) -> dict[str, float]:
    """Exchange cells until the clock target is met or nothing helps; every slack then, ns.

    slack : of now, by instance

    As `synth.sizing.close_timing`, which knows fan-outs alone.
    """
    window = WINDOW_NS
    for _ in range(rounds):
        worst = min(slack.values())
        if worst >= 0 or window < ENOUGH_NS:
            break
        before = own.strengthen(slack, min(worst + window, 0.0))
        timer.exchange({name: own.netlist.cells[name].kind for name in before})
        now = timer.slacks()
        better = min(now.values()) > worst
        if better:
            slack = now
        else:
            own.assign(before)
            timer.exchange(before)
        if min(now.values()) < worst + ENOUGH_NS:
            window /= 2
    return slack
