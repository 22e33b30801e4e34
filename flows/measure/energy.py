"""Energy of layers on cores.

A slice of every layer (some of its filters, the run's own weights, a test image) is executed on the
RTL; the mapped netlist is replayed with the recorded ports and must give the same outputs in every
cycle. The toggles of a mean cycle, priced by OpenSTA, times the layer's cycles make the logic's
energy; SRAM accesses times OpenRAM's energy of an access the memories'.
"""

import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from compress.file.container import Layer
from cosign import CosignError
from flows.measure import machines
from rtl.config import CoreConfig
from rtl.pack import pack_layer
from sim.cycles import layer_cycles
from sim.golden import layer_output
from sim.record import record
from sim.run import simulators_dir
from sim.simulate import Job
from synth import energy, replay, sram
from synth.pdk import find_pdk
from synth.report import DEPTHS, synthesize

SCHEMA = 1
SLICE_CYCLES = 10_000
CORES = (machines.SPARSE, machines.DENSE_SCALAR, machines.DENSE_2D)
METHOD = (
    "RTL ports of a slice recorded (Verilator), mapped netlist replayed cycle by cycle, zero "
    "delay (no glitches) and compared, cells priced by OpenSTA report_power (ideal clock, wire "
    "loads); SRAM accesses counted in the replay, energy per access from the OpenRAM table"
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
        bias=layer.bias[:count],
    )


def layer_energy(
    layer: Layer,
    image: np.ndarray,
    config: CoreConfig,
    folder: Path,
    simulators: Path,
    liberty: Path | None = None,
    cycles: int = SLICE_CYCLES,
) -> dict[str, Any]:
    """Energy in nJ of one image through `layer`, a convolution, on the core of `config`.

    image : int8 [C, H, W]
    folder : gets the synthesised core
    cycles : of the slice, about

    Raises CosignError when the layer does not fit, a tool is missing, or the netlist and the RTL
    disagree.
    """
    if layer.geometry.kind != "conv":
        raise CosignError(f"layer {layer.name!r} is no convolution; energy is measured of those.")
    report = synthesize(config, folder, liberty)
    pdk = find_pdk(liberty)
    part = slice_of(layer, config, cycles)
    x = image[: part.geometry.in_channels]
    bounds = (0, 127) if image.min() >= 0 else (-128, 127)
    recording = record([Job(pack_layer(part, config, input_range=bounds), x)], config, simulators)
    if not np.array_equal(recording.results[0].outputs, layer_output(part, x[None])[0]):
        raise CosignError(f"the RTL's outputs of {layer.name!r} are not those of the golden model.")
    issued = np.flatnonzero(recording.outputs["events"][:, 4:].any(axis=1))
    # While the last pass computes nothing is loaded for the next one: it is not a typical pass.
    first, last = int(issued[0]), int(issued[-1]) + 1
    if (before := part.geometry.out_channels - config.filters) > 0:
        last -= layer_cycles(part, config) - layer_cycles(_first(layer, before), config)
    activity = replay.replay(
        folder / "netlist.v",
        pdk.library,
        {port: bits[:last] for port, bits in recording.inputs.items()},
        {port: bits[:last] for port, bits in recording.outputs.items()},
        first,
    )
    whole = pack_layer(layer, config, input_range=bounds)
    rows = sum(len(rows) for rows in whole.maps(image, config))
    written = {
        "activation": rows * config.act_banks * config.tiles,
        "weight": len(whole.weights) * whole.runs(config),
    }
    total = layer_cycles(layer, config)
    logic = energy.logic_energy(folder, activity, pdk)
    seconds = total / report.fmax_hz
    memories = {}
    for purpose, memory in energy.memory_energy(config, activity).items():
        reads = memory.reads * total
        writes = written.get(purpose, memory.writes * total)
        memories[purpose] = {
            "reads": round(reads),
            "writes": round(writes),
            "read_pj": round(memory.read_pj, 3),
            "write_pj": round(memory.write_pj, 3),
            "access_nj": (reads * memory.read_pj + writes * memory.write_pj) / 1000,
            "leakage_nj": memory.leakage_uw * seconds * 1000,
        }
    parts = {
        "logic_toggle_nj": logic.toggle_pj * total / 1000,
        "logic_clock_nj": logic.clock_pj * total / 1000,
        "logic_leakage_nj": logic.leakage_uw * seconds * 1000,
        **{f"sram_{name}_nj": memory["access_nj"] for name, memory in memories.items()},
        "sram_leakage_nj": sum(memory["leakage_nj"] for memory in memories.values()),
    }
    return {
        "layer": layer.name,
        "core": report.name,
        "cycles": total,
        "fmax_hz": report.fmax_hz,
        "seconds": seconds,
        "energy_nj": parts,
        "logic_nj": sum(value for name, value in parts.items() if name.startswith("logic")),
        "sram_nj": sum(value for name, value in parts.items() if name.startswith("sram")),
        "total_nj": sum(parts.values()),
        "pj_per_dense_mac": sum(parts.values()) * 1000 / layer.geometry.macs,
        "memories": memories,
        "slice": {
            "filters": part.geometry.out_channels,
            "cycles": activity.cycles,
            "toggles_per_pin_and_cycle": logic.toggles / len(activity.pins),
            "annotated": logic.annotated,
            "output_bits_compared": activity.checked,
        },
        "synthesis": report.provenance,
    }


def cores_for(layers: Sequence[Layer]) -> tuple[CoreConfig, ...]:
    """The cores as they are, with deeper memories where one of `layers` asks for them."""
    found = []
    for config in CORES:
        needed = machines.fit(config, layers, 1)
        depths = {name: max(getattr(config, name), getattr(needed, name)) for name in DEPTHS}
        found.append(dataclasses.replace(config, **depths))
    return tuple(found)


def measure(
    layers: Sequence[Layer],
    images: dict[str, np.ndarray],
    folder: Path,
    liberty: Path | None = None,
    cores: Sequence[CoreConfig] | None = None,
    cycles: int = SLICE_CYCLES,
    report: Callable[[dict[str, Any]], None] = lambda row: None,
) -> dict[str, Any]:
    """`layer_energy` of each layer on each core, and nJ per image summed over the layers.

    images : {layer name: int8 [C, H, W]}; folder : gets `<core>` with netlist and reports
    """
    simulators = simulators_dir()
    rows = []
    for layer in layers:
        for config in cores or cores_for(layers):
            place = folder / config.core
            row = layer_energy(
                layer, images[layer.name], config, place, simulators, liberty, cycles
            )
            rows.append(row)
            report(row)
    per_image: dict[str, dict[str, float]] = {}
    for row in rows:
        sums = per_image.setdefault(row["core"], {})
        for name in ("logic_nj", "sram_nj", "total_nj"):
            sums[name] = sums.get(name, 0.0) + row[name]
    return {
        "schema": SCHEMA,
        "method": METHOD,
        "sram": sram.provenance("openram"),
        "layers": rows,
        "per_image": per_image,
    }


def table(row: dict[str, Any]) -> str:
    """A layer on a core, in a line."""
    parts = "  ".join(
        f"{name.removesuffix('_nj').replace('_', ' ')} {value:,.0f}"
        for name, value in row["energy_nj"].items()
    )
    return f"{row['layer']:8s} {row['core']:16s} {row['total_nj']:12,.0f} nJ   {parts}"
