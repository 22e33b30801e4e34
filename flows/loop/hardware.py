"""The stages that every loop shares, whatever made its network: cores, RTL, simulation, speedup."""

import abc
import functools
import os
from pathlib import Path
from typing import Any

import numpy as np

from compress.file import container
from compress.model.graph import CompressedModel
from compress.model.nodes import NetworkSpec
from compress.model.pretrained import Pretrained
from cosign.progress import Reporter
from flows.loop import logs
from flows.loop.rundir import RunDir
from flows.measure import breakeven
from flows.measure.machines import CoreReports, Machines, machines_for
from flows.report.results import Results
from rtl import verilog
from sim import verify
from sim.run import simulators_dir
from synth.profile import HardwareProfile
from synth.report import PLACED, CoreReport, synthesize_many


class Loop(abc.ABC):
    """One run's values, each made when a stage first asks for it."""

    def __init__(
        self, run: RunDir, reporter: Reporter, log: logs.Log, pretrained: Pretrained | None
    ) -> None:
        self.run = run
        self.config = run.config
        self.reporter = reporter
        self.log = log
        self.path = run.path
        self.pretrained = pretrained

    @property
    @abc.abstractmethod
    def spec(self) -> NetworkSpec:
        """The network's layers."""

    @abc.abstractmethod
    def pixels(self, count: int) -> np.ndarray:
        """The first `count` images of what the run is judged by, uint8 [count, C, H, W].

        From the first again where there are fewer.
        """

    @abc.abstractmethod
    def results(self, found: dict[str, Any]) -> Results:
        """Of what the stages found."""

    @property
    @abc.abstractmethod
    def names(self) -> tuple[str, ...]:
        """The classes of an image folder in the order of outputs; of other data ()."""

    @functools.cached_property
    def profile(self) -> HardwareProfile:
        return HardwareProfile.read(self.path / "profile.json")

    @functools.cached_property
    def reports(self) -> CoreReports:
        found = self.found("synthesize")["reports"]
        return CoreReports.of(
            self.config.cores, map(CoreReport.from_json, found), self.config.area_um2
        )

    @property
    def placed(self) -> dict[str, Path]:
        """What placements left of the cores that execute the network, folders by name."""
        cores = (self.config.cores.sparse, self.config.cores.dense)
        folders = {core.name: self.path / "synth" / core.hash / PLACED for core in cores}
        return {name: folder for name, folder in folders.items() if folder.is_dir()}

    def found(self, stage: str) -> Any:
        """What an earlier stage returned."""
        result = self.run.result(stage)
        assert result is not None  # stages run in order
        return result

    @functools.cached_property
    def model(self) -> CompressedModel:
        return container.load(self.path / "model.cosign")

    @functools.cached_property
    def machines(self) -> Machines:
        return machines_for(self.config.cores, self.model.layers, self.config.batch)

    @functools.cached_property
    def simulators(self) -> Path:
        """Compiled simulators outlive the run, where the cache can be written."""
        shared = simulators_dir()
        try:
            shared.mkdir(parents=True, exist_ok=True)
        except OSError:
            return self.path / "sim" / "simulators"
        return shared if os.access(shared, os.W_OK) else self.path / "sim" / "simulators"


def rtl(loop: Loop) -> dict[str, Any]:
    written: dict[str, Any] = {}
    for name, config in loop.machines._asdict().items():
        paths = verilog.write(config, loop.path / "rtl" / name.replace("_", "-"))
        written[name] = [path.name for path in paths]
        loop.reporter.show("rtl", len(written), len(loop.machines))
    return written


def simulate(loop: Loop) -> dict[str, Any]:
    """Every layer on the sparse and the strongest dense core, bit for bit.

    Linear layers in whole batches, though convolutions are executed for fewer images.
    """
    count, batch = loop.config.images, loop.config.batch
    whole = -(-count // batch) * batch
    linear = any(layer.geometry.kind == "linear" for layer in loop.model.layers)
    images = loop.model.input.quantize(loop.pixels(whole if linear else count))
    how = verify.Execution(batch=batch, maps=count)
    names = [layer.name for layer in loop.model.layers]
    cores = {"sparse": loop.machines.sparse, "dense": loop.machines.dense}
    done: list[str] = []

    def show(layer: verify.LayerVerification) -> None:
        done.append(layer.name)
        loop.reporter.show("simulate", len(done), len(names) * len(cores))

    return {
        name: verify.verify(
            loop.model, images, config, loop.path / "sim", names, show, loop.simulators, how
        ).to_json()
        for name, config in cores.items()
    }


def synthesize(loop: Loop) -> dict[str, Any]:
    """The cores with default memories; the macros of other depths are added afterwards."""
    wanted = CoreReports.needed(loop.config.cores)
    done: list[str] = []

    def show(_: object, what: str) -> None:
        if what == "done":
            done.append(what)
        loop.reporter.show("synthesize", len(done), len(wanted))

    config = loop.config
    reports = synthesize_many(
        wanted, loop.path / "synth", config.liberty_files, progress=show, place=config.place
    )
    return {"reports": [report.quoted.to_json() for report in reports]}


def speedup(loop: Loop) -> dict[str, Any]:
    return breakeven.speedups(loop.profile, loop.model.layers, loop.reports, loop.config.batch)
