"""What a sweep asks for: layers, recipes, tables of cores, and the points that they make."""

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from msgspec import Meta

from compress.zoo.networks import densities
from cosign import json_text, values
from rtl.config import CoreConfig
from synth.report import DEPTHS

SCHEMA = 1
AXES = tuple(
    field.name
    for field in dataclasses.fields(CoreConfig)
    if field.name not in (*DEPTHS, "act_banks", "act_bits")
)
"""Fields of a core that a sweep may vary; the layer decides its memories, the lanes its banks."""

Setting = str | int | float
"""A value of an axis."""
Table = dict[str, tuple[Setting, ...]]


@dataclass(frozen=True)
class Job:
    """What a core has to execute: a layer with that portion of its weights pruned at random."""

    network: str
    layer: str
    recipe: str
    portion: float
    batch: int
    seed: int


@dataclass(frozen=True)
class Point:
    """A core that executes a job; `energy` if that is measured as well.

    core : values of the AXES that mean something to it; the others are those of `rtl.coreset.base`
    """

    job: Job
    core: dict[str, Setting]
    energy: bool

    @property
    def hash(self) -> str:
        """24 hex digits of all that is asked."""
        text = json.dumps({"schema": SCHEMA, **self.to_json()}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:24]

    @property
    def core_key(self) -> str:
        """Equal for points whose cores share a synthesis."""
        return json.dumps(self.core, sort_keys=True)

    def to_json(self) -> dict[str, Any]:
        return dataclasses.asdict(self)


class Spec(values.Value, frozen=True, kw_only=True):
    """A sweep.

    Parameters
    ----------
    network : a built-in one
    layers : names; each with each of the recipes is a job
    alpha : presets of densities or JSON files of them
    portion : shares of the weights that are pruned, 0 or more and below 1
    batch : images of a linear layer
    seed : of masks, levels, and the study
    energy : whether energy is measured too, an objective more
    optuna : points of a study for each job; 0 for all of the grid
    cores : tables of values by axis, each a grid of its own
    """

    network: str = "alexnet"
    layers: tuple[str, ...] = ("conv4",)
    alpha: tuple[str, ...] = ()
    portion: tuple[Annotated[float, Meta(ge=0, lt=1)], ...] = ()
    batch: Annotated[int, Meta(ge=1)] = 1
    seed: values.Count = 0
    energy: bool = False
    optuna: values.Count = 0
    cores: tuple[Table, ...]

    def to_json(self) -> dict[str, Any]:
        return json.loads(json_text(self))  # type: ignore[no-any-return]  # an object

    def jobs(self) -> list[Job]:
        """Layers by recipes. Raises CosignError on a name that is not known."""
        recipes = [(name, densities(self.network, name)) for name in self.alpha]
        portions = [
            (layer, name, 1 - shares[layer]) for layer in self.layers for name, shares in recipes
        ]
        portions += [(layer, f"{p:g}", p) for layer in self.layers for p in self.portion]
        return [
            Job(self.network, layer, recipe, portion, self.batch, self.seed)
            for layer, recipe, portion in sorted(portions, key=lambda p: self.layers.index(p[0]))
        ]

    def points(self, job: Job) -> dict[str, Point]:
        """{hash: point} of the grid of `job`, in order."""
        return {
            point.hash: point
            for table in self.cores
            for point in (self.point(job, core) for core in _product(table))
        }

    def point(self, job: Job, core: Mapping[str, Setting]) -> Point:
        return Point(job, _meaningful(core), self.energy)


def _product(table: Table) -> Iterator[dict[str, Setting]]:
    for chosen in itertools.product(*table.values()):
        yield dict(zip(table, chosen, strict=True))


def _meaningful(core: Mapping[str, Setting]) -> dict[str, Setting]:
    """Without what this kind of core ignores, so that equal machines are equal points."""
    kind, coding = core["core"], core.get("coding", CoreConfig.coding)
    windowed = kind == "sparse" and (coding == "window" or core.get("windows"))
    ignored = {
        "coding": kind != "sparse",
        "index_bits": kind != "sparse" or coding != "relative",
        "mask_bits": kind != "dense-packed" and (kind != "sparse" or coding != "bitmask"),
        "run_bits": not core.get("run_bits"),
        "window_reads": kind != "sparse-rows",
        "windows": not core.get("windows"),
        "window_span": kind != "sparse-rows" and not windowed,
        "beats": not windowed or core.get("beats", 1) == 1,
        "step_bits": kind != "sparse" or coding != "window",
        "listed": not core.get("listed"),
        "nm_keep": kind != "sparse-nm",
        "nm_group": kind != "sparse-nm",
        "gate_zeros": not core.get("gate_zeros"),  # later ones
        "rest_sums": not core.get("rest_sums"),
        "streams": core.get("streams", 1) == 1,
    }
    return {name: value for name, value in core.items() if not ignored.get(name, False)}
