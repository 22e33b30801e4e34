"""`python -m synth`: what one core costs, in a cell library or on an FPGA.

Commands that need more than this room knows (break-even needs cycles) are entry points of the group
`cosign.synth`: modules with HELP, add_options(parser) and run(options).
"""

import argparse
import sys
from importlib.metadata import entry_points
from pathlib import Path

from cosign import exit_status, write_json
from rtl.options import add_options, config_of
from synth.fpga import PARTS, FpgaReport, Target, route
from synth.report import CoreReport, synthesize
from synth.sram import MODELS


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m synth", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="synthesise and time one core")
    add_options(report)
    report.add_argument("--liberty", type=Path, help="cell library instead of NanGate 45")
    report.add_argument(
        "--fmax", action="store_true", help="also search the highest clock, to 1 %%"
    )
    report.set_defaults(run=_report)
    fpga = commands.add_parser("fpga", help="place and route one core on a Lattice ECP5")
    add_options(fpga)
    fpga.add_argument("--part", choices=PARTS, default=Target.part, help=f"default {Target.part}")
    fpga.add_argument(
        "--speed", type=int, default=Target.speed, help=f"speed grade, default {Target.speed}"
    )
    fpga.add_argument(
        "--mhz", type=float, default=Target.mhz, help=f"clock aimed at, default {Target.mhz:g}"
    )
    fpga.add_argument("--seed", type=int, default=Target.seed, help="of the placer")
    fpga.set_defaults(run=_fpga)
    for command in (report, fpga):
        command.add_argument("--out", type=Path, required=True, help="folder for the tools' files")
        command.add_argument("--json", type=Path, help="write the report as JSON")
    for other in entry_points(group="cosign.synth"):
        module = other.load()
        extra = commands.add_parser(other.name, help=module.HELP)
        module.add_options(extra)
        extra.set_defaults(run=module.run)
    return top


def _report(arguments: argparse.Namespace) -> int:
    config = config_of(arguments)
    report = synthesize(
        config, arguments.out, arguments.liberty, MODELS, search_fmax=arguments.fmax
    )
    return _tell(report, table(report), arguments.json)


def _fpga(arguments: argparse.Namespace) -> int:
    target = Target(arguments.part, arguments.speed, arguments.mhz, arguments.seed)
    report = route(config_of(arguments), arguments.out, target)
    return _tell(report, fpga_table(report), arguments.json)


def _tell(report: CoreReport | FpgaReport, text: str, path: Path | None) -> int:
    if path is not None:
        write_json(path, report.to_json())
    print(text)
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
    if (found := report.fmax_search) is not None:
        lines += [
            f"  fastest        {found.fmax_hz / 1e6:14,.0f} MHz   sized for speed alone "
            f"({len(found.trials)} trials), at {found.logic_um2:,.0f} um2 of logic",
            f"  critical path  {found.critical_path}",
        ]
    return "\n".join(lines)


def fpga_table(report: FpgaReport) -> str:
    """The FPGA report for a terminal."""
    target = report.target
    part = PARTS[target.part]
    return "\n".join(
        [
            f"{report.config.name} on {target.part}-{target.speed} (config {report.config.hash})",
            f"  LUTs           {report.luts:8,} of {part.luts:,}",
            f"  flip-flops     {report.flip_flops:8,}",
            f"  DSP blocks     {report.dsps:8,} of {part.dsps}",
            f"  block RAMs     {report.block_rams:8,} of {part.block_rams}",
            f"  routed Fmax    {report.fmax_hz / 1e6:8,.1f} MHz (aimed at {target.mhz:g})",
            f"  critical path  {report.critical_path}",
        ]
    )


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    return exit_status(lambda: arguments.run(arguments))


if __name__ == "__main__":
    sys.exit(main())
