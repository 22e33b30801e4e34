"""The loop, stage by stage, from weights to silicon numbers.

Each stage reads what the ones before it left in the run directory, does its work through one
room's door and returns a small JSON value; `flows.loop.assemble` puts the values together. What
the stages are is in `trained` and `oneshot`; those of hardware, which both have, in `hardware`.
"""

import dataclasses
import functools
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from compress.data import classes
from compress.model.graph import Layer
from compress.model.nodes import NetworkSpec
from compress.model.pretrained import Pretrained
from compress.posttrain.rehearsal import rehearse
from compress.zoo.networks import entry_of
from cosign import CosignError, write_json
from cosign.progress import Reporter
from flows.loop import assemble, findings, hardware, logs, oneshot, trained
from flows.loop.rundir import RunConfig, RunDir
from flows.measure import area
from flows.measure.machines import CoreReports
from flows.report import html, plots
from flows.report.results import Results
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.program.fit import batch_of, fit
from rtl.program.pack import pack_layer
from sim import build
from synth import pdk
from synth.place import core as placement
from synth.prices import PriceList, Prices
from synth.report import CoreReport, synthesize_many

_BYTES_PER_WEIGHT = 64
"""Of checkpoints: weights, Z, U, optimiser state, twice while one replaces another."""


def preflight(
    config: RunConfig,
    path: Path,
    network: Pretrained | None,
    note: Callable[[str], None] | None = None,
) -> None:
    """Refuse in seconds what would fail after an hour: tools, library, preset, file, cores, disk,
    images.

    network : with the weights that it comes with, if it does
    note : receives what is to be said of an image folder
    """
    build.tools()
    library = pdk.find_pdk(config.liberty_files)
    if config.place is not None:
        placement.check(library, config.place)
    if shutil.which("sta") is None:
        raise CosignError("OpenSTA (`sta`) is not installed; run `apt install opensta`.")
    if config.method == "oneshot":
        spec, widest = oneshot.preflight(config, network, note)
    else:
        spec, widest = trained.preflight(config, network, note)
    for core in (config.cores.sparse, config.cores.dense):  # which execute the network
        if core.weight_bits < widest:
            raise CosignError(
                f"the core {core.name} takes levels of {core.weight_bits} bits, the run may make "
                f"them of {widest}; raise its weight_bits or give --bits."
            )
    _rehearse(config, spec)
    weights = sum(geometry.weights for geometry in spec.geometries.values())
    needed = weights * _BYTES_PER_WEIGHT + (500 << 20)
    folders = (path.absolute(), *path.absolute().parents)
    place = next(folder for folder in folders if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise CosignError(
            f"the run needs about {needed / 1e9:.1f} GB in {place}, where {free / 1e9:.1f} GB are "
            "free; choose another --out."
        )


def within(
    config: RunConfig, network: Pretrained | None, area_um2: float, note: Callable[[str], None]
) -> RunConfig:
    """The run on a chip of at most that area, with the fastest cores that fit.

    Of the run's own cores, where it has some or another cell library, else of all that there are.
    Synthesises them: what follows finds them in the cache. Raises CosignError where none fits.
    """

    def synthesize(wanted: Sequence[CoreConfig], place: bool = True) -> list[CoreReport]:
        names = ", ".join(core.name for core in wanted)
        placing = config.place if place else None
        work = "synthesising" if placing is None else "synthesising and placing"
        note(f"--area: {work} {names}, as far as they are not in the cache")
        return synthesize_many(wanted, None, config.liberty_files, place=placing)

    spec = entry_of(config.network).spec if network is None else network.spec
    if config.cores == CoreSet().for_activations(config.act_bits) and not config.liberty:
        if config.act_bits != CoreConfig.act_bits:
            raise CosignError(
                f"--area searches a price list of cores with activations of "
                f"{CoreConfig.act_bits} bits, and --act-bits is {config.act_bits}; give the cores "
                "to choose from by --cores."
            )
        prices = Prices(PriceList.read().cores, placed=config.place is not None)
        cores = area.searched(
            spec.geometries, config.batch, area_um2, config.seed, prices, synthesize
        )
    else:
        made = synthesize(CoreReports.needed(config.cores))
        reports = CoreReports.of(config.cores, [report.quoted for report in made])
        cores = area.within(
            config.cores, reports, _blank_layers(config, spec), config.batch, area_um2
        )
    return dataclasses.replace(config, cores=cores, area_um2=area_um2)


def _blank_layers(config: RunConfig, spec: NetworkSpec) -> tuple[Layer, ...]:
    """Those of the network with next to no weights."""
    return rehearse(spec, config.act_bits).layers


def _rehearse(config: RunConfig, spec: NetworkSpec) -> None:
    """Write the network with next to no weights, read it, and pack its layers for the cores."""
    layers = _blank_layers(config, spec)
    cores = config.cores
    fitted = {core: fit(core, layers, config.batch) for core in CoreReports.needed(cores)}
    for core in (cores.sparse, cores.dense):  # which execute the network
        for layer in layers:
            pack_layer(layer, fitted[core], batch_of(layer.geometry, config.batch))


def restart(run: RunDir, first: str) -> None:
    """Forget stage `first` and all after it, with the files that they would find and reuse.

    Raises CosignError as `stages_from` does.
    """
    # The last one first: whenever this is interrupted, what is left is a run that can go on.
    for name in reversed(stages_from(run, first)):
        run.forget(name, _REUSED.get(name, f"checkpoints/{name}.*"))


def stages_from(run: RunDir, first: str) -> list[str]:
    """Names of the stages from `first` on, a stage's name or the beginning of one.

    Raises CosignError when it is neither.
    """
    names = list(_KINDS[run.config.method].stages)
    found = [name for name in names if name == first] or [n for n in names if n.startswith(first)]
    if len(found) != 1:
        raise CosignError(f"--from {first} is no stage; choose one of: {', '.join(names)}.")
    return names[names.index(found[0]) :]


def run(run: RunDir, reporter: Reporter, log: logs.Log, network: Pretrained | None) -> Results:
    """Go through all stages, skipping those that are done; returns the results.

    network : with the weights that it comes with, if it does
    """
    findings.check(run)
    kind = _KINDS[run.config.method]
    loop = kind.loop(run, reporter, log, network)
    found: dict[str, Any] = {}
    for name, stage in kind.stages.items():
        found[name] = run.result(name)
        if found[name] is None:
            with reporter.stage(name):
                found[name] = run.run(name, functools.partial(stage, loop))
    measured = loop.results(found)
    write_json(run.path / "results.json", measured.to_json())
    run.config.cores.write(run.path / assemble.CORES)
    if loop.names:
        classes.write(loop.names, run.path / classes.FILE)
    html.write(measured, loop.model.layers, loop.placed, run.path / "report.html")
    plots.write_png(plots.break_even(measured), run.path / "break-even.png")
    return measured


class _Kind(NamedTuple):
    """A method: what its stages share, and they in order."""

    loop: type[hardware.Loop]
    stages: Mapping[str, Callable[[Any], Any]]


_KINDS = {
    "admm": _Kind(trained.Trained, trained.STAGES),
    "oneshot": _Kind(oneshot.OneShot, oneshot.STAGES),
}

_REUSED = {
    "simulate": "sim/*.json",
    "synthesize": "synth/*",
    "compress": "checkpoints/????????????????.*",
    "allocate": "checkpoints/????????????????.*",
    "tradeoff": "checkpoints/????????????????.json",
}
"""What a stage would not make again where it lies; of a training stage, its checkpoints."""
