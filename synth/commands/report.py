"""Synthesise and time one core: area by block, memories, the highest clock."""

import argparse

from cosign import consoles
from cosign.options import add_clock_gating, add_json, add_liberty, publish
from cosign.paths import new_folder
from cosign.progress import Reporter
from rtl import options as core_options
from synth.place import options as place_options
from synth.place.options import Placed
from synth.report import CoreReport, synthesize
from synth.sram import MODELS


def add_options(parser: argparse.ArgumentParser) -> None:
    core_options.add_options(parser)
    add_liberty(parser)
    add_clock_gating(parser)
    parser.add_argument(
        "--fmax", action="store_true", help="also search the highest clock, to 1 %%"
    )
    place_options.add_options(parser)
    parser.add_argument("--out", type=new_folder, required=True, help="folder for the tools' files")
    add_json(parser, "the report")


def run(options: argparse.Namespace) -> int:
    """Synthesise, and show the report; raises CosignError on bad input or a missing tool."""
    config = core_options.config_of(options)
    reporter = Reporter(consoles.standard_error())
    with reporter.running():
        report = synthesize(
            config,
            options.out,
            options.liberty,
            MODELS,
            clock_gating=options.clock_gating,
            search_fmax=options.fmax,
            place=place_options.placement_of(options),
            progress=reporter.show,
        )
    publish(report.to_json(), options.json, table(report))
    return 0


def table(report: CoreReport) -> str:
    """The report for a terminal."""
    lines = [
        f"{report.name}  (config {report.config.hash}, recipe {report.provenance['recipe']}, "
        f"{report.provenance['pdk']['name']})",
        f"  logic          {report.logic_um2:14,.0f} um2   "
        f"{sum(report.cells.values()):,} cells, {report.flip_flops:,} flip-flops",
    ]
    for block, area in report.blocks_um2.items():
        if area:
            share = 100 * area / report.logic_um2
            lines.append(f"    {block:24s}{area:14,.0f} um2   {share:4.1f} %")
    for model, parts in report.sram_um2.items():
        for purpose, area in parts.items():
            lines.append(f"  {purpose + ' SRAM':15s}{area:14,.0f} um2   {model}")
        lines.append(f"  {'total':15s}{report.area_um2(model):14,.0f} um2   {model}")
    lines.append(
        f"  Fmax           {report.fmax_hz / 1e6:14,.0f} MHz   "
        f"slack {report.slack_ns:+.3f} ns at {report.config.clock_ns:g} ns"
    )
    lines.append(f"  critical path  {report.critical_path}")
    if notes := report.provenance["pdk"].get("notes"):
        lines.append(f"  library        {notes}")
    if (found := report.fmax_search) is not None:
        lines += [
            f"  fastest        {found.fmax_hz / 1e6:14,.0f} MHz   sized for speed alone "
            f"({len(found.trials)} trials), at {found.logic_um2:,.0f} um2 of logic",
            f"  critical path  {found.critical_path}",
        ]
    if report.placed is not None:
        lines += placed_lines(report.placed)
    return "\n".join(lines)


def placed_lines(placed: Placed) -> list[str]:
    """What a placement says, for a terminal."""
    width, height = placed.core_um
    ratio = f"{placed.wire_pf / placed.library_wire_pf:.2f}" if placed.library_wire_pf else "–"
    recipe = placed.provenance.get("recipe", "unknown")
    lines = [
        f"  placed         recipe {recipe}, seed {placed.seed}, rows of {width:,.0f} x "
        f"{height:,.0f} um, {100 * placed.utilisation:.0f} % filled; {place_options.NOTE}",
        f"  logic          {placed.logic_um2:14,.0f} um2   {placed.buffers:,} buffers for wires",
        f"  wires          {placed.hpwl_mm:14,.0f} mm    by half perimeters; "
        f"{placed.wire_pf:,.1f} pF, {ratio} of the library's",
        f"  fullest bin    {placed.worst_bin:14.2f}       routing demand over capacity",
        f"  Fmax           {placed.fmax_hz / 1e6:14,.0f} MHz   slack {placed.slack_ns:+.3f} ns",
        f"  critical path  {placed.critical_path}",
    ]
    if (found := placed.spread) is not None:
        mhz = tuple(value / 1e6 for value in found.fmax_hz)
        clocks, spans, areas = (
            "–".join(f"{value:,.0f}" for value in ends)
            for ends in (mhz, found.hpwl_mm, found.logic_um2)
        )
        full = "–".join(f"{value:.2f}" for value in found.worst_bin)
        lines += [
            f"  {found.seeds} seeds        {clocks} MHz, {spans} mm, {areas} um2",
            f"  {'':14} fullest bin {full}",
        ]
    return lines
