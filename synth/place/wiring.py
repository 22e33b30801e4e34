"""The pins of every net as arrays, and the names that OpenSTA knows them by."""

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from synth.netlist import Bit, Netlist
from synth.place.geometry import Floorplan, Pin, Spots
from synth.place.lef import Lef


@dataclass(frozen=True, eq=False)
class Wiring:
    """Nets that have wires, their pins one after the other, the driver first.

    Parameters
    ----------
    nets : number of each in the netlist
    starts : int64 [nets + 1]; pins starts[n] to starts[n + 1] are those of nets[n]
    pins : (instance or "", port, bit) of each
    cells : instances that stand in rows, in the order of the netlist
    owners : int64 [pins]; the place of a pin's instance in `cells`, -1 for memories and ports
    dx, dy : float64 [pins]; of cells that are not turned, from their lower left corner
    heights : float64 [pins] of the owners
    """

    nets: tuple[int, ...]
    starts: np.ndarray
    pins: tuple[Pin, ...]
    cells: tuple[str, ...]
    owners: np.ndarray
    dx: np.ndarray
    dy: np.ndarray
    heights: np.ndarray

    def coordinates(self, plan: Floorplan, spots: Spots) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of every pin, float64 [pins], micrometres."""
        x, y = self.fixed(plan)
        here = [spots[name] for name in self.cells]
        left = np.array([spot.x for spot in here])
        low = np.array([spot.y for spot in here])
        turned = np.array([spot.orient == "FS" for spot in here])
        own = self.owners >= 0
        who = self.owners[own]
        x[own] = left[who] + self.dx[own]
        dy = np.where(turned[who], self.heights[own] - self.dy[own], self.dy[own])
        y[own] = low[who] + dy
        return x, y

    def fixed(self, plan: Floorplan) -> tuple[np.ndarray, np.ndarray]:
        """(x, y) of the pins of memories and ports; those of cells, and of ports that have no place
        yet, are 0."""
        x, y = np.zeros(len(self.pins)), np.zeros(len(self.pins))
        blocks = {block.instance: block for block in plan.blocks}
        for index in np.flatnonzero(self.owners < 0):
            instance, pin, bit = self.pins[index]
            if instance:
                block = blocks[instance]
                name = pin if pin in block.outline.pins else f"{pin}[{bit}]"
                x[index], y[index] = block.pin(name)
            elif plan.ports:
                x[index], y[index] = plan.ports[pin, bit]
        return x, y


def wire(netlist: Netlist, lef: Lef, ideal: Collection[Bit]) -> Wiring:
    """The nets of `netlist` with a driver and a sink, but for `ideal` ones.

    Raises CosignError on a cell or a pin that the LEF lacks.
    """
    ends: dict[int, list[Pin]] = {}
    drivers: dict[int, Pin] = {}
    for port, (direction, bits) in netlist.ports.items():
        for bit, net in enumerate(bits):
            if isinstance(net, int):
                if direction == "input":
                    drivers[net] = ("", port, bit)
                else:
                    ends.setdefault(net, []).append(("", port, bit))
    for name, cell in netlist.cells.items():
        reads = netlist.inputs[cell.kind]
        for pin, bits in cell.pins.items():
            for bit, net in enumerate(bits):
                if isinstance(net, int):
                    if pin in reads:
                        ends.setdefault(net, []).append((name, pin, bit))
                    else:
                        drivers[net] = (name, pin, bit)
    nets = [net for net in drivers if net in ends and net not in ideal]
    outlines = {name: lef.outline(cell.kind) for name, cell in netlist.cells.items()}
    cells = tuple(name for name, outline in outlines.items() if outline.core)
    place = {name: index for index, name in enumerate(cells)}
    pins = [pin for net in nets for pin in (drivers[net], *ends[net])]
    owners = np.array([place.get(instance, -1) for instance, _, _ in pins], np.int64)
    offsets = np.array(
        [
            (*outlines[instance].pin(pin), outlines[instance].height_um)
            if owner >= 0
            else (0, 0, 0)
            for owner, (instance, pin, _) in zip(owners, pins, strict=True)
        ],
        np.float64,
    ).reshape(-1, 3)
    counts = [0, *(1 + len(ends[net]) for net in nets)]
    return Wiring(
        tuple(nets),
        np.cumsum(counts, dtype=np.int64),
        tuple(pins),
        cells,
        owners,
        offsets[:, 0],
        offsets[:, 1],
        offsets[:, 2],
    )


def net_names(netlist: Netlist) -> dict[int, str]:
    """The name that each net has in the Verilog that `Netlist.write` makes: that of the first port
    that it reaches, inputs before outputs."""
    names: dict[int, str] = {}
    for direction in ("input", "output"):
        for port, (way, bits) in netlist.ports.items():
            if way == direction:
                for index, net in enumerate(bits):
                    if isinstance(net, int):
                        text = f"{port}[{index}]" if len(bits) > 1 else port
                        names.setdefault(net, text)
    for cell in netlist.cells.values():
        for nets in cell.pins.values():
            for net in nets:
                if isinstance(net, int):
                    names.setdefault(net, f"n{net}")
    return names


def pin_name(netlist: Netlist, pin: Pin, between: str = "/") -> str:
    """`instance/port`, with the bit where the port has several; of a port of the core its name."""
    instance, port, bit = pin
    nets = netlist.cells[instance].pins[port] if instance else netlist.ports[port][1]
    text = f"{port}[{bit}]" if len(nets) > 1 else port
    return f"{instance}{between}{text}" if instance else text
