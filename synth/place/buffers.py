"""Buffer trees and repeaters whose sinks are grouped by where they stand.

A net with more than `MAX_FANOUT` sinks (that of `synth.sizing`), or with more load than `GROUP_FF`,
gets buffers: its sinks are halved by position, across the longer side of their box, until a group
is small, and a buffer in the middle of each group drives it; the buffers are sinks in their turn.
A sink farther than `REACH_UM` from its driver gets repeaters on the way, evenly spaced, one chain
for each group of such sinks. None of this can change what the netlist computes.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from synth.liberty import Library
from synth.netlist import Bit, Cell, Netlist
from synth.place.geometry import Floorplan, Pin, Spot, Spots
from synth.place.lef import Lef
from synth.place.wires.metal import Metal
from synth.place.wiring import Wiring
from synth.sizing import MAX_FANOUT, Loads

GROUP_FF = 80.0
"""Pins and wires behind one buffer."""
REACH_UM = 350.0
"""From a driver to a sink without a repeater: near the distance at which a repeater's own delay is
what it saves of NanGate 45's long wires."""
STEM = "wire_buf_"
DRIVE_UM = 40.0
"""A chain's buffer drives about so many micrometres for each step of the ladder."""


class Sink(NamedTuple):
    """An input: pin, place, load; `steps` of buffers lie behind it."""

    pin: Pin
    x: float
    y: float
    ff: float


@dataclass
class Buffers:
    """Adds buffers to `netlist`, in place, and their `spots`."""

    netlist: Netlist
    library: Library
    lef: Lef
    plan: Floorplan
    metal: Metal
    spots: Spots
    added: int = 0

    def build(self, wiring: Wiring, ideal: Collection[Bit]) -> int:
        """Buffer every net of `wiring` that needs it. Returns how many buffers that took."""
        x, y = wiring.coordinates(self.plan, self.spots)
        loads = Loads(self.netlist, self.library)
        starts = wiring.starts.tolist()
        for index, net in enumerate(wiring.nets):
            if net in ideal:
                continue
            first, last = starts[index], starts[index + 1]
            sinks = [
                Sink(wiring.pins[k], x[k], y[k], loads.pin_ff(*wiring.pins[k][:2]))
                for k in range(first + 1, last)
                if wiring.pins[k][0]  # an output port stays on the net that has its name
            ]
            self._net(net, (x[first], y[first]), sinks, last - first - 1 - len(sinks))
        return self.added

    def _net(self, net: int, source: tuple[float, float], sinks: list[Sink], ports: int) -> None:
        while len(sinks) + ports > MAX_FANOUT or self._load(sinks, source) > GROUP_FF:
            groups = self._halved(sinks)
            if len(groups) >= len(sinks):
                break  # nothing is left to gather: what loads the net is far away
            sinks = [self._group(net, group, source) for group in groups]
        far = [sink for sink in sinks if _apart(source, sink) > REACH_UM]
        for group in self._near_each_other(far):
            self._chain(net, group, source)

    def _load(self, sinks: Sequence[Sink], source: tuple[float, float] | None = None) -> float:
        """Pins, and wires by half the perimeter of the box around them, fF."""
        xs = [sink.x for sink in sinks] + ([source[0]] if source else [])
        ys = [sink.y for sink in sinks] + ([source[1]] if source else [])
        if not xs:
            return 0.0
        length = max(xs) - min(xs) + max(ys) - min(ys)
        # A tree is longer than the box around it, as the root of its pins for many.
        length *= max(1.0, (len(xs) / 4) ** 0.5)
        return sum(sink.ff for sink in sinks) + length * self.metal.ff_um(length)

    def _halved(self, sinks: Sequence[Sink]) -> list[list[Sink]]:
        todo, done = [list(sinks)], []
        while todo:
            group = todo.pop()
            small = len(group) <= MAX_FANOUT and self._load(group) <= GROUP_FF
            if small or len(group) == 1:
                done.append(group)
                continue
            xs, ys = [sink.x for sink in group], [sink.y for sink in group]
            across = max(xs) - min(xs) >= max(ys) - min(ys)
            group.sort(key=lambda s: (s.x, s.y, s.pin) if across else (s.y, s.x, s.pin))
            half = len(group) // 2
            todo += [group[half:], group[:half]]
        return done

    def _near_each_other(self, sinks: Sequence[Sink]) -> list[list[Sink]]:
        """Groups that a chain can serve: small in extent and load."""
        todo, done = ([list(sinks)] if sinks else []), []
        while todo:
            group = todo.pop()
            xs, ys = [sink.x for sink in group], [sink.y for sink in group]
            wide, high = max(xs) - min(xs), max(ys) - min(ys)
            if len(group) == 1 or (wide + high <= REACH_UM / 2 and self._load(group) <= GROUP_FF):
                done.append(group)
                continue
            across = wide >= high
            group.sort(key=lambda s: (s.x, s.y, s.pin) if across else (s.y, s.x, s.pin))
            half = len(group) // 2
            todo += [group[half:], group[:half]]
        return done

    def _group(self, net: int, group: Sequence[Sink], source: tuple[float, float]) -> Sink:
        """A buffer for `group`, as the sink that it is; a lone sink stays as it is."""
        if len(group) == 1:
            return group[0]
        x = float(np.median([sink.x for sink in group]))
        y = float(np.median([sink.y for sink in group]))
        return self._buffer(net, group, x, y)

    def _chain(self, net: int, group: Sequence[Sink], source: tuple[float, float]) -> None:
        """Repeaters from `source` to the middle of `group`, from the far end on."""
        x = float(np.median([sink.x for sink in group]))
        y = float(np.median([sink.y for sink in group]))
        length = abs(x - source[0]) + abs(y - source[1])
        count = int(length // REACH_UM)
        sinks = list(group)
        for step in range(count, 0, -1):
            share = step / (count + 1)
            at = (source[0] + share * (x - source[0]), source[1] + share * (y - source[1]))
            sinks = [self._buffer(net, sinks, *at)]

    def _buffer(self, net: int, group: Sequence[Sink], x: float, y: float) -> Sink:
        ladder = self.library.buffers
        load = self._load(group, (x, y))
        kind = next((b for b in ladder if load <= 0.3 * b.max_load_ff), ladder[-1])
        (data,) = kind.capacitance_ff
        (out,) = kind.function
        name = self.netlist.new_name(STEM)
        leaf = self.netlist.new_net()
        self.netlist.cells[name] = Cell(kind.name, {data: [net], out: [leaf]})
        self.netlist.inputs.setdefault(kind.name, frozenset((data,)))
        for (instance, pin, bit), *_ in group:
            self.netlist.cells[instance].pins[pin][bit] = leaf
        outline = self.lef.outline(kind.name)
        width, height = self.plan.core_um
        left = min(max(x - outline.width_um / 2, self.plan.x_um), self.plan.x_um + width)
        low = min(max(y - self.lef.row_um / 2, self.plan.y_um), self.plan.y_um + height)
        self.spots[name] = Spot(left, low)
        self.added += 1
        return Sink((name, data, 0), left, low, kind.capacitance_ff[data])


def _apart(source: tuple[float, float], sink: Sink) -> float:
    return abs(source[0] - sink.x) + abs(source[1] - sink.y)


def remove_buffers(netlist: Netlist, library: Library, spots: Spots) -> int:
    """Take all buffers of `Buffers` out again, in place. Returns how many there were."""
    sources: dict[Bit, Bit] = {}
    for name in [name for name in netlist.cells if name.startswith(STEM)]:
        cell = netlist.cells.pop(name)
        spots.pop(name, None)
        known = library.cells[cell.kind]
        (data,), (out,) = known.capacitance_ff, known.function
        sources[cell.pins[out][0]] = cell.pins[data][0]
    for cell in netlist.cells.values():
        for pin, bits in cell.pins.items():
            if pin in netlist.inputs[cell.kind]:
                for index, bit in enumerate(bits):
                    while bit in sources:
                        bit = sources[bit]
                    bits[index] = bit
    return len(sources)
