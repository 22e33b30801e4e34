"""Energy of layers on cores.

A slice of every layer (some of its filters, the run's own weights, a test image) is executed on the
RTL; the mapped netlist is replayed with the recorded ports and must give the same outputs in every
cycle. The toggles of a mean cycle, priced by OpenSTA, times the layer's cycles make the logic's
energy; SRAM accesses times OpenRAM's energy of an access the memories'.
"""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from msgspec import structs

from compress.model.activations import bounds
from compress.model.graph import Layer
from cosign import CosignError
from flows.measure import dram
from rtl.config import CoreConfig
from rtl.program.encode import work
from rtl.program.fit import fit
from rtl.program.pack import LayerProgram, pack_layer
from sim.cycles import layer_cycles
from sim.golden import layer_output
from sim.record import Recording, record
from sim.run import simulators_dir
from sim.simulate import Job
from synth import energy, replay, sram
from synth.pdk import Pdk, find_pdk
from synth.place.options import NOTE, Placement
from synth.replay import Activity
from synth.report import PLACED, CoreReport, synthesize
from synth.steps import Report

SCHEMA = 1
SLICE_CYCLES = 10_000
METHOD = (
    "RTL ports of a slice recorded (Verilator), mapped netlist replayed cycle by cycle, zero "
    "delay (no glitches) and compared, cells priced by OpenSTA report_power (ideal clock, wire "
    "loads); SRAM accesses counted in the replay, energy per access from the OpenRAM table"
)


PLACED_WIRES = f"wire loads of the placed netlist: {NOTE}"


@dataclass(frozen=True)
class MemoryUse:
    """The SRAMs of one purpose while an image goes through a layer.

    Parameters
    ----------
    reads, writes : accesses of all of them, which need not be whole: a mean cycle times the cycles
    read_pj, write_pj : energy of one access
    leakage_nj : of all of them for the layer's time
    """

    reads: float
    writes: float
    read_pj: float
    write_pj: float
    leakage_nj: float

    @property
    def access_nj(self) -> float:
        """Energy of all accesses."""
        return (self.reads * self.read_pj + self.writes * self.write_pj) / 1000

    def to_json(self) -> dict[str, float]:
        return {
            "reads": round(self.reads),
            "writes": round(self.writes),
            "read_pj": round(self.read_pj, 3),
            "write_pj": round(self.write_pj, 3),
            "access_nj": self.access_nj,
            "leakage_nj": self.leakage_nj,
        }


@dataclass(frozen=True)
class Slice:
    """What was replayed: so many filters for so many clock cycles.

    Parameters
    ----------
    toggles_per_pin_and_cycle : the mean over all driven pins
    annotated : share of the cells whose toggles were counted
    output_bits_compared : of the netlist with those of the RTL
    """

    filters: int
    cycles: int
    toggles_per_pin_and_cycle: float
    annotated: float
    output_bits_compared: int


@dataclass(frozen=True)
class LayerEnergy:
    """Energy of one image through a layer on a core.

    Parameters
    ----------
    macs : multiplications of the layer, pruned weights included
    cycles, fmax_hz : of the layer, and of the netlist
    area_um2 : of the core with its memories, by SRAM model
    logic_nj : toggling, clock pins and leakage of the logic, by these names
    memories : by purpose
    slice : what the logic's mean cycle was measured on
    dram : what moves to and from the memory outside; not a part of the core's own energy
    synthesis : provenance of the netlist
    """

    layer: str
    core: str
    macs: int
    cycles: int
    fmax_hz: float
    area_um2: dict[str, float]
    logic_nj: dict[str, float]
    memories: dict[str, MemoryUse]
    slice: Slice
    dram: dram.DramUse
    synthesis: dict[str, Any]

    @property
    def energy_nj(self) -> dict[str, float]:
        """All parts by name; those of the logic begin with logic, those of memories with sram."""
        leakage = sum(memory.leakage_nj for memory in self.memories.values())
        return {
            **{f"logic_{name}_nj": value for name, value in self.logic_nj.items()},
            **{f"sram_{name}_nj": memory.access_nj for name, memory in self.memories.items()},
            "sram_leakage_nj": leakage,
        }

    @property
    def total_nj(self) -> float:
        return sum(self.energy_nj.values())

    def to_json(self) -> dict[str, Any]:
        """A row of energy.json."""
        parts, total = self.energy_nj, self.total_nj
        return {
            "layer": self.layer,
            "core": self.core,
            "cycles": self.cycles,
            "fmax_hz": self.fmax_hz,
            "seconds": self.cycles / self.fmax_hz,
            "area_um2": self.area_um2,
            "energy_nj": parts,
            "logic_nj": sum(value for name, value in parts.items() if name.startswith("logic")),
            "sram_nj": sum(value for name, value in parts.items() if name.startswith("sram")),
            "total_nj": total,
            "pj_per_dense_mac": total * 1000 / self.macs,
            "memories": {name: memory.to_json() for name, memory in self.memories.items()},
            "slice": dataclasses.asdict(self.slice),
            "dram": structs.asdict(self.dram),
            "synthesis": self.synthesis,
        }


@dataclass(frozen=True, eq=False)
class PricedCore:
    """A core whose energy can be told.

    Parameters
    ----------
    report : of its synthesis, or placement
    folder : has the netlist
    pdk : the cells' library
    powers : of each cell
    """

    report: CoreReport
    folder: Path
    pdk: Pdk
    powers: energy.Powers

    @classmethod
    def of(
        cls,
        config: CoreConfig,
        folder: Path,
        liberty: Sequence[Path] = (),
        place: Placement | None = None,
        *,
        clock_gating: bool = False,
        progress: Report = lambda *_: None,
    ) -> "PricedCore":
        """The core of `config`, synthesised into `folder`.

        place : the core is placed, and its netlist and wires are those that are priced
        clock_gating : registers that share an enable have a gated clock
        progress : gets the steps of `synthesize`, with the core's name

        Raises CosignError when a tool is missing.
        """
        report = synthesize(
            config,
            folder,
            liberty,
            clock_gating=clock_gating,
            place=place,
            progress=lambda stage, *steps: progress(f"{stage} {config.name}", *steps),
        ).quoted
        if place is not None:
            folder = folder / PLACED
        pdk = find_pdk(liberty, clock_gating=clock_gating)
        return cls(report, folder, pdk, energy.cell_powers(folder, pdk))


def layer_energy(
    layer: Layer,
    image: np.ndarray,
    core: PricedCore,
    simulators: Path,
    cycles: int = SLICE_CYCLES,
    dram_pj_per_bit: float = dram.PJ_PER_BIT,
) -> LayerEnergy:
    """Energy of one image through `layer`, a convolution.

    image : int8 [C, H, W]
    cycles : of the slice, about
    dram_pj_per_bit : energy of a bit to or from the memory outside

    Raises CosignError when the layer does not fit, a tool is missing, or the netlist and the RTL
    disagree.
    """
    if layer.geometry.kind != "conv":
        raise CosignError(f"layer {layer.name!r} is no convolution; energy is measured of those.")
    report, config = core.report, core.report.config
    part = slice_of(layer, config, cycles)
    activity = _replayed(_recorded(part, image, config, simulators), part, core)
    logic = energy.combine(core.powers, activity)
    total = layer_cycles(layer, config)
    seconds = total / report.fmax_hz
    return LayerEnergy(
        layer=layer.name,
        core=report.name,
        macs=layer.geometry.macs,
        cycles=total,
        fmax_hz=report.fmax_hz,
        area_um2=report.total_um2,
        logic_nj={
            "toggle": logic.toggle_pj * total / 1000,
            "clock": logic.clock_pj * total / 1000,
            "leakage": logic.leakage_uw * seconds * 1000,
        },
        memories=memory_uses(layer, image, config, activity, total, seconds),
        slice=Slice(
            filters=part.geometry.out_channels,
            cycles=activity.cycles,
            toggles_per_pin_and_cycle=logic.toggles / len(activity.pins),
            annotated=logic.annotated,
            output_bits_compared=activity.checked,
        ),
        dram=dram.of_layer(layer, config, 1, dram_pj_per_bit),
        synthesis=report.provenance,
    )


def slice_of(layer: Layer, config: CoreConfig, cycles: int) -> Layer:
    """The first filters of `layer`'s first group: one pass more than takes about `cycles` clock
    cycles, two passes at least where the group has them."""
    g = layer.geometry
    members = g.out_channels // g.groups
    passes = -(-members // config.filters)
    each = layer_cycles(layer, config) / (g.groups * passes)
    count = min(members, config.filters * (1 + max(1, round(cycles / each))))
    return _first(layer, count)


def _first(layer: Layer, count: int) -> Layer:
    """The first `count` filters of the first group."""
    g = layer.geometry
    geometry = dataclasses.replace(
        g, in_channels=g.in_channels // g.groups, out_channels=count, groups=1
    )
    stop = layer.row_ptr[count]
    return dataclasses.replace(
        layer,
        geometry=geometry,
        row_ptr=layer.row_ptr[: count + 1],
        col_idx=layer.col_idx[:stop],
        levels=layer.levels[:stop],
        **{name: getattr(layer, name)[:count] for name in ("bias", "q", "mul", "shift")},
    )


def _packed(layer: Layer, image: np.ndarray, config: CoreConfig) -> LayerProgram:
    """`layer` for the core; where `image` has nothing below zero, the inputs have not either."""
    ends = bounds(layer.act_bits, relu=image.min() >= 0)
    return pack_layer(layer, config, input_range=ends)


def _recorded(part: Layer, image: np.ndarray, config: CoreConfig, simulators: Path) -> Recording:
    """The core's ports while the RTL executes `part`, whose outputs must be the golden model's."""
    x = image[: part.geometry.in_channels]
    recording = record([Job(_packed(part, image, config), x)], config, simulators)
    if not np.array_equal(recording.results[0].outputs, layer_output(part, x[None])[0]):
        raise CosignError(f"the RTL's outputs of {part.name!r} are not those of the golden model.")
    return recording


def _replayed(recording: Recording, part: Layer, core: PricedCore) -> Activity:
    """What the netlist of `core` does in the typical cycles of `recording`.

    From the first issued weight on, without the last pass: while that computes nothing is loaded
    for the next one.
    """
    config = core.report.config
    issued = np.flatnonzero(recording.outputs["events"][:, 4:].any(axis=1))
    first, last = int(issued[0]), int(issued[-1]) + 1
    if (before := part.geometry.out_channels - config.filters) > 0:
        last -= layer_cycles(part, config) - layer_cycles(_first(part, before), config)
    return replay.replay(
        core.folder / "netlist.v",
        core.pdk.library,
        {port: bits[:last] for port, bits in recording.inputs.items()},
        {port: bits[:last] for port, bits in recording.outputs.items()},
        first,
    )


def memory_uses(
    layer: Layer,
    image: np.ndarray,
    config: CoreConfig,
    activity: Activity,
    cycles: int,
    seconds: float,
) -> dict[str, MemoryUse]:
    """The SRAMs by purpose, over the `cycles` of the whole layer.

    Accesses are those of the replay's mean cycle; but the words that maps and weights write are
    known from the layer's streams.
    """
    whole = _packed(layer, image, config)
    rows = sum(len(rows) for rows in whole.maps(image, config))
    cost = work(layer, whole.layout, config)
    masks, table = int(cost.mask_words.sum()), cost.table_words
    found = energy.memory_energy(config, activity)
    index = {"index": masks, "index+": table} if "index+" in found else {"index": masks + table}
    written = {
        "activation": rows * config.act_banks * config.memories,
        "weight": (len(whole.weights) - masks - table) * whole.runs(config),
        # A mask or a tap's address is written for every stream.
        **{name: words * config.streams * whole.runs(config) for name, words in index.items()},
    }
    return {
        purpose: MemoryUse(
            reads=memory.reads * cycles,
            writes=written.get(purpose, memory.writes * cycles),
            read_pj=memory.read_pj,
            write_pj=memory.write_pj,
            leakage_nj=memory.leakage_uw * seconds * 1000,
        )
        for purpose, memory in found.items()
    }


def measure(
    layers: Sequence[Layer],
    images: dict[str, np.ndarray],
    cores: Sequence[CoreConfig],
    folder: Path,
    liberty: Sequence[Path] = (),
    cycles: int = SLICE_CYCLES,
    report: Callable[[LayerEnergy], None] = lambda row: None,
    dram_pj_per_bit: float = dram.PJ_PER_BIT,
    place: Placement | None = None,
    *,
    clock_gating: bool = False,
    progress: Report = lambda *_: None,
) -> dict[str, Any]:
    """The content of energy.json: each layer on each core, and nJ per image summed over the layers.

    images : {layer name: int8 [C, H, W]}
    cores : each with the smallest memories that hold all of `layers`, whatever its own
    folder : gets `<name>` of each with netlist and reports
    place : cores are placed first
    clock_gating : their registers have gated clocks
    progress : gets the steps of each core's synthesis
    """
    simulators = simulators_dir()
    priced = [
        PricedCore.of(
            fit(config, layers),
            folder / config.name,
            liberty,
            place,
            clock_gating=clock_gating,
            progress=progress,
        )
        for config in cores
    ]
    rows = []
    for layer in layers:
        for core in priced:
            found = layer_energy(
                layer, images[layer.name], core, simulators, cycles, dram_pj_per_bit
            )
            rows.append(found.to_json())
            report(found)
    per_image: dict[str, dict[str, float]] = {}
    for row in rows:
        sums = per_image.setdefault(row["core"], {})
        for name in ("logic_nj", "sram_nj", "total_nj"):
            sums[name] = sums.get(name, 0.0) + row[name]
        sums["dram_nj"] = sums.get("dram_nj", 0.0) + row["dram"]["energy_nj"]
    return {
        "schema": SCHEMA,
        "method": METHOD if place is None else METHOD.replace("wire loads", PLACED_WIRES),
        "sram": sram.provenance("openram"),
        "dram": dram.provenance(dram_pj_per_bit),
        "layers": rows,
        "per_image": per_image,
    }


def table(row: LayerEnergy) -> str:
    """A layer on a core, in a line."""
    parts = "  ".join(
        f"{name.removesuffix('_nj').replace('_', ' ')} {value:,.0f}"
        for name, value in row.energy_nj.items()
    )
    outside = f"DRAM {row.dram.energy_nj:,.0f}"
    return f"{row.layer:8s} {row.core:16s} {row.total_nj:12,.0f} nJ   {parts}   ({outside})"
