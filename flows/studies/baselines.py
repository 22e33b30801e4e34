"""Ways of pruning compared.

Every method starts from the same dense network, trained once, and has the same steps after it:
same batches in the same order, optimiser, learning rates. A ratio gives every layer the same number
of weights whatever the method, but for torch's, which chooses among all layers together. Methods
differ in what happens during the recipe's prune stage (compress.train.pruners); then follows the
same retraining. Accuracy is that of the float network on the whole test split, of every point once:
nothing is chosen by it.

`baselines.json` has the points, each kept when it is finished: the same call goes on where it was
stopped, and further ratios or methods add to what is there.
"""

import dataclasses
import json
import shutil
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

from matplotlib.figure import Figure

import cosign
from compress.data.datasets import Dataset
from compress.train import evaluation, stages
from compress.train.results import StageResult
from compress.zoo.density import at_ratio
from compress.zoo.recipe import Pruner, Recipe
from cosign import CosignError, atomic_write, read_json, values, write_json
from cosign.progress import Reporter
from cosign.values import Count, Ratio, Share, Value
from flows.report import plots

SCHEMA = 1
METHODS: dict[str, Pruner] = {"admm-cut": "admm", **{name: name for name in get_args(Pruner)}}
STAGES = ("prune", "retrain")
PENALTIES = (1e-5, 1e-4)  # lambdas of l1, as rhos of a phase


def recipe_of(base: Recipe, method: str, ratio: float) -> Recipe:
    """`base` with another way to prune, and its densities brought to the ratio.

    Only `admm-cut` has the recipe's cut with calibration images; the others cut by magnitude.

    Raises CosignError on a ratio that the network cannot have.
    """
    densities: float | dict[str, float] = 1 / ratio
    if isinstance(base.densities, dict):
        densities = at_ratio(base.spec, base.densities, ratio)
    rhos = PENALTIES if method == "l1" else base.prune.rhos
    return dataclasses.replace(
        base,
        pruner=METHODS[method],
        calibration=base.calibration if method == "admm-cut" else 0,
        densities=densities,
        prune=dataclasses.replace(base.prune, rhos=rhos),
    )


def with_budget(base: Recipe, budget: float) -> Recipe:
    """`base` with that many times its steps after the dense stage, which stays as it is."""
    scaled = dataclasses.replace(base, budget=budget)
    phases = {stage: getattr(base, stage) for stage in STAGES}
    return dataclasses.replace(
        base,
        **{
            stage: dataclasses.replace(phase, steps=scaled.steps(phase))
            for stage, phase in phases.items()
        },
    )


def run(
    base: Recipe,
    dataset: Dataset,
    seed: int,
    out: Path,
    wanted: Sequence[tuple[str, float]],
    reporter: Reporter,
) -> dict[str, Any]:
    """Train the points that `out`/baselines.json does not have yet; returns its content."""
    record, checkpoints = out / "baselines.json", out / "checkpoints"
    found = _opened(record, base, dataset, seed)
    recipes = {point: recipe_of(base, *point) for point in wanted}
    with reporter.stage("dense"):
        dense = stages.run_stage("dense", base, dataset, checkpoints, seed, reporter.show)
    if "dense" not in found:
        found["dense"] = _accuracies(dense, dataset)
        write_json(record, found)
    for (method, ratio), asked in recipes.items():
        if any((row["method"], row["ratio"]) == (method, ratio) for row in found["rows"]):
            continue
        name = f"{method} {ratio:g}x"
        folder = checkpoints / name.replace(" ", "-")
        with atomic_write(folder / "dense.pt") as file:
            file.write((checkpoints / "dense.pt").read_bytes())
        with reporter.stage(name):
            result = _trained(name, asked, dataset, seed, folder, reporter)
        nonzeros = {layer: int(mask.sum()) for layer, mask in result.masks.items()}
        row = {
            "method": method,
            "ratio": ratio,
            "rhos": list(asked.prune.rhos) if METHODS[method] in ("admm", "l1") else None,
            "nonzeros": sum(nonzeros.values()),
            "nonzeros_by_layer": nonzeros,
            **_accuracies(result, dataset),
        }
        found["rows"].append(row)
        write_json(record, found)
        shutil.rmtree(folder)
    return found


def _trained(
    name: str, asked: Recipe, dataset: Dataset, seed: int, folder: Path, reporter: Reporter
) -> StageResult:
    """One point, through both stages."""
    steps = [asked.steps(getattr(asked, stage)) for stage in STAGES]
    for stage, before in zip(STAGES, (0, steps[0]), strict=True):

        def show(_: str, step: int, __: int, numbers: dict[str, Any], before: int = before) -> None:
            reporter.show(name, before + step, sum(steps), numbers)

        result = stages.run_stage(stage, asked, dataset, folder, seed, show)
    return result


def _accuracies(result: StageResult, dataset: Dataset) -> dict[str, float]:
    return {
        "validation": result.accuracy,
        "test": evaluation.evaluate(result.network, dataset, dataset.test),
    }


class _Accuracies(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    validation: Share
    test: Share


class _Row(_Accuracies, frozen=True, kw_only=True, forbid_unknown_fields=False):
    method: str
    ratio: Ratio
    nonzeros: Count


class _Record(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What is read again of a comparison that goes on."""

    rows: tuple[_Row, ...]
    dense: _Accuracies | None = None


def _opened(record: Path, base: Recipe, dataset: Dataset, seed: int) -> dict[str, Any]:
    """What the file has so far. Raises CosignError when it is of another comparison."""
    about = {
        "schema": SCHEMA,
        "seed": seed,
        "dataset": {"name": dataset.name, "note": dataset.note, **dataset.sizes},
        "recipe": base.to_json(),
    }
    about = json.loads(json.dumps(about))
    if not record.exists():
        versions = {"cosign": cosign.__version__, "torch": version("torch")}
        return {**about, "versions": versions, "rows": []}
    found: dict[str, Any] = read_json(record)
    values.parse(found, _Record, str(record), "choose another --out")
    if any(found.get(key) != value for key, value in about.items()):
        raise CosignError(f"{record} is of another comparison; choose another --out.")
    return found


def table(found: dict[str, Any]) -> str:
    """Test accuracy by ratio and method, as Markdown."""
    rows = found["rows"]
    methods = [method for method in METHODS if any(row["method"] == method for row in rows)]
    dense = f" {found['dense']['test']:.2%} |"
    lines = [
        f"| ratio | non-zeros | {' | '.join(methods)} |",
        "| --: | --: |" + " --: |" * len(methods),
        "| dense | |" + dense * len(methods),
    ]
    for ratio in sorted({row["ratio"] for row in rows}):
        here = {row["method"]: row for row in rows if row["ratio"] == ratio}
        nonzeros = next(iter(here.values()))["nonzeros"]  # the same for all
        cells = [f"{here[method]['test']:.2%}" if method in here else "–" for method in methods]
        lines.append(f"| {ratio:g}× | {nonzeros:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(found: dict[str, Any]) -> Figure:
    """The same as a plot."""
    rows = found["rows"]
    curves = {
        method: [(row["ratio"], row["test"]) for row in rows if row["method"] == method]
        for method in METHODS
    }
    drawn = {method: points for method, points in curves.items() if points}
    return plots.accuracy_by_ratio(drawn, found["dense"]["test"])
