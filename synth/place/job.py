"""One core on its way to a placement: its netlist, its wires, OpenSTA on both."""

import threading
from dataclasses import dataclass, field
from pathlib import Path

from rtl import sram as rtl_sram
from rtl.config import CoreConfig
from synth import sram
from synth.netlist import Bit, Netlist
from synth.pdk import Pdk
from synth.place.buffers import Buffers, remove_buffers
from synth.place.closing import ROUGH_ROUNDS, ROUNDS, close, sizer
from synth.place.floorplan import floorplan, memory_outline
from synth.place.geometry import Floorplan, Spots
from synth.place.lef import Lef, Outline, merged
from synth.place.options import Placement
from synth.place.timing import PlacedTimer
from synth.place.wires.metal import Metal
from synth.place.wires.spef import wire_ff, write_spef
from synth.place.wires.steiner import Trees, steiner_trees
from synth.place.wiring import Wiring, wire
from synth.sizing import ideal_nets, tie_constants

CLOCK = "clk"


@dataclass
class Job:
    """One core on its way to a placement; files go to `folder`."""

    config: CoreConfig
    netlist: Netlist
    pdk: Pdk
    lef: Lef
    metal: Metal
    asked: Placement
    seed: int
    folder: Path
    cancel: threading.Event | None = None
    ideal: frozenset[Bit] = field(init=False)
    blocks: tuple[Outline, ...] = field(init=False)

    def __post_init__(self) -> None:
        library = self.pdk.library
        kinds = {cell.kind for cell in self.netlist.cells.values()} & set(library.cells)
        picked = {step.name for kind in kinds for step in library.variants.get(kind, ())}
        memories = rtl_sram.macros(self.config)
        sram.write_liberty(memories, self.folder / "cosign_sram.lib")
        for kind in sorted(kinds | picked | {buffer.name for buffer in library.buffers}):
            self.lef.in_a_row(kind)  # what cannot be placed fails before the work, not after
        self.blocks = tuple(map(memory_outline, memories))
        self.lef = merged(self.lef, self.blocks)
        if library.tie_high is None or library.tie_low is None:
            tie_constants(self.netlist, library)
        self.ideal = ideal_nets(self.netlist, library, CLOCK)

    def wiring(self) -> Wiring:
        """The pins of the netlist of the moment."""
        return wire(self.netlist, self.lef, self.ideal)

    def wires(self, plan: Floorplan, spots: Spots) -> tuple[Wiring, Trees, dict[int, float]]:
        """Pins, trees, and the capacitance of each net's wires."""
        wiring = self.wiring()
        trees = steiner_trees(wiring.starts, *wiring.coordinates(plan, spots))
        return (
            wiring,
            trees,
            dict(zip(wiring.nets, wire_ff(trees, self.metal).tolist(), strict=True)),
        )

    def timer(self, wiring: Wiring, trees: Trees) -> PlacedTimer:
        """OpenSTA on the netlist of the moment, with these wires."""
        path = self.folder / "netlist.v"
        self.netlist.write(path)
        write_spef(self.folder / "core.spef", self.netlist, wiring, trees, self.metal)
        return PlacedTimer(
            path, self.netlist.top, self.pdk, self.folder / "cosign_sram.lib",
            self.config.clock_ns, self.cancel,
        )  # fmt: skip

    def plan(self, area: float) -> Floorplan:
        return floorplan(self.netlist, self.lef, self.asked.utilisation, self.asked.aspect, area)

    def buffer(self, plan: Floorplan, spots: Spots) -> int:
        """Trees and repeaters for these positions, in place of those there were."""
        library = self.pdk.library
        remove_buffers(self.netlist, library, spots)
        builder = Buffers(self.netlist, library, self.lef, plan, self.metal, spots)
        return builder.build(self.wiring(), self.ideal)

    def close(self, plan: Floorplan, spots: Spots, rough: bool = False) -> "Closed":
        """Size cells, in place, for the wires of these positions.

        rough : start from the smallest drives that the loads allow, and stop early
        """
        wiring, trees, wires_ff = self.wires(plan, spots)
        own = sizer(self.netlist, self.pdk.library, wires_ff)
        if rough:
            own.fit()
        with self.timer(wiring, trees) as timer:
            before = timer.slacks()
            after = close(own, timer, before, ROUGH_ROUNDS if rough else ROUNDS)
            return Closed(min(before.values()), after, timer.setup)


@dataclass(frozen=True)
class Closed:
    """The worst slack before cells were sized, all slacks after, by instance, ns; the commands that
    load and constrain the netlist."""

    before_ns: float
    slacks_ns: dict[str, float]
    setup: str
