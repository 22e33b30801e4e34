"""Measure every core on every layer and set of densities, once, and show the Pareto front of each.

Ctrl-C, and the same command goes on.
"""

import argparse
import contextlib
import sys
from pathlib import Path
from typing import Any

from cosign import CosignError, consoles, locked, read_toml
from cosign.kinds import MOST_PROCESSES, filled, positive
from cosign.options import add_json, add_liberty, publish
from cosign.paths import name_or_path, new_folder, old_file
from cosign.progress import Reporter
from flows.sweep import parse
from flows.sweep.measure import Outcome
from flows.sweep.results import objectives_of, results, table
from flows.sweep.spec import AXES, Point, Spec
from flows.sweep.store import Row, opened, spec_in
from rtl.options import add_cores, cores_of
from synth.pdk import find_pdk
from synth.report import toolchain
from synth.sram import MODELS

DATABASE = "sweep.sqlite"
PLOT = "pareto.png"
_JOB = ("network", "layers", "alpha", "portion", "batch", "seed", "energy", "optuna")


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=new_folder, required=True, help=f"folder for {DATABASE}, {PLOT}"
    )
    parser.add_argument("--spec", type=old_file, metavar="FILE.toml", help="the sweep, all of it")
    parser.add_argument("--network", type=name_or_path, help="a built-in network (alexnet)")
    parser.add_argument("--layers", type=filled, metavar="A,B", help="of the network (conv4)")
    parser.add_argument(
        "--alpha", type=filled, metavar="A,B", help="presets of densities, or JSON files"
    )
    parser.add_argument(
        "--portion", type=filled, metavar="P,Q", help="shares of the weights pruned, 0..1"
    )
    parser.add_argument("--batch", type=filled, help="images of a linear layer (1)")
    parser.add_argument("--seed", type=filled, help="of masks, levels and the study (0)")
    parser.add_argument(
        "--energy", action="store_const", const=True, help="replay each netlist: minutes a point"
    )
    parser.add_argument(
        "--optuna",
        type=filled,
        metavar="N",
        help="a study of N points for each layer and recipe, no grid",
    )
    fields = parser.add_argument_group(
        "the cores, one value or several: 8,16 or 8..64:8 (default: the loop's core)"
    )
    for name in AXES:
        fields.add_argument(
            f"--{name.replace('_', '-')}", dest=f"core_{name}", type=filled, metavar="A,B"
        )
    add_cores(fields, "those of the fields")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--scheduler", type=filled, metavar="ADDRESS", help="an existing Dask cluster"
    )
    where.add_argument(
        "--jobs", type=positive(int, MOST_PROCESSES), help="local processes (one for each CPU)"
    )
    parser.add_argument(
        "--sram", choices=MODELS, default=MODELS[0], help="of the area in the table"
    )
    add_liberty(parser)
    add_json(parser, "all points")


def run(options: argparse.Namespace) -> int:
    """Measure what is left, and show the fronts; raises CosignError."""
    from flows.sweep import coordinator, search  # take distributed and optuna, which take a second

    path = options.out / DATABASE
    spec = _asked(options, path)
    jobs = spec.jobs()
    tools = toolchain(find_pdk(options.liberty))
    liberty = tuple(path.resolve() for path in options.liberty)
    failures: list[str] = []
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(options.out))
        store = stack.enter_context(opened(path, spec, tools))
        points = {h: point for job in jobs for h, point in spec.points(job).items()}
        known = {h: row for h, row in store.rows().items() if h in points}

        def objectives(found: Outcome | Row) -> tuple[float, ...] | None:
            figures = found.figures
            return None if figures is None else objectives_of(figures, options.sram)

        chosen: search.Search
        if spec.optuna:
            chosen = search.Studies(spec, jobs, {h: objectives(row) for h, row in known.items()})
        else:
            chosen = search.Grid(points.values(), set(known))
        reporter = Reporter(consoles.standard_error())
        through = len(known)

        def report(point: Point, outcome: Outcome | None, reason: str) -> None:
            nonlocal through
            through += 1
            reporter.show("points", through, chosen.total)
            if outcome is None:
                failures.append(reason)

        if through < chosen.total:
            with (
                coordinator.connected(options.scheduler, options.jobs) as client,
                reporter.running(),
            ):
                reporter.show("points", through, chosen.total)
                coordinator.run(chosen, store, client, tools, liberty, objectives, report)
        rows = store.rows()
    content = results(spec, jobs, rows, tools, options.sram)
    _publish(content, options)
    if failures:
        raise CosignError(
            f"{len(failures)} points failed and are not kept, the first: {failures[0]} The same "
            "command tries them again."
        )
    return 0


def _asked(options: argparse.Namespace, path: Path) -> Spec:
    """The sweep of the options, of --spec, or, without either, the one that --out holds."""
    given = {name: getattr(options, name) for name in _JOB if getattr(options, name) is not None}
    core = {name: value for name in AXES if (value := getattr(options, f"core_{name}")) is not None}
    if options.spec is not None:
        if extra := [*given, *core, *(["cores"] if options.cores else [])]:
            raise CosignError(
                f"--spec says all of the sweep; leave out --{extra[0].replace('_', '-')} or write "
                f"it into {options.spec}."
            )
        return parse.make(read_toml(options.spec))
    if options.cores is not None:
        if core:
            name = next(iter(core)).replace("_", "-")
            raise CosignError(f"--cores says all of the cores; leave out --{name}.")
        return parse.make({**given, "cores": parse.tables_of(cores_of(options))})
    if not given and not core:
        return spec_in(path)
    return parse.make({**given, "cores": [core]})


def _publish(content: dict[str, Any], options: argparse.Namespace) -> None:
    from flows.report.plots import write_png
    from flows.sweep.plot import pareto

    write_png(pareto(content["jobs"], content["sram_model"]), options.out / PLOT)
    publish(content, options.json, table(content))
    refused = [row for job in content["jobs"] for row in job["refused"]]
    for reason in dict.fromkeys(row["reason"] for row in refused):
        count = sum(row["reason"] == reason for row in refused)
        print(f"refused {count}: {reason}", file=sys.stderr)
