"""`python -m synth`: area, Fmax and critical path of one core, and commands of other rooms.

Commands that need more than this room knows (break-even needs cycles) are entry points of the group
`cosign.synth`: modules with HELP, add_options(parser) and run(options).
"""

import argparse
import sys
from importlib.metadata import entry_points
from pathlib import Path

from cosign import CosignError, write_json
from rtl.options import add_options, config_of
from synth.report import CoreReport, synthesize
from synth.sram import MODELS


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m synth", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="synthesise and time one core")
    add_options(report)
    report.add_argument("--liberty", type=Path, help="cell library instead of NanGate 45")
    report.add_argument("--out", type=Path, required=True, help="folder for netlist and reports")
    report.add_argument("--json", type=Path, help="write the report as JSON")
    report.set_defaults(run=_report)
    for command in entry_points(group="cosign.synth"):
        module = command.load()
        extra = commands.add_parser(command.name, help=module.HELP)
        module.add_options(extra)
        extra.set_defaults(run=module.run)
    return top


def _report(arguments: argparse.Namespace) -> int:
    report = synthesize(config_of(arguments), arguments.out, arguments.liberty, MODELS)
    if arguments.json is not None:
        write_json(arguments.json, report.to_json())
    print(table(report))
    return 0


def table(report: CoreReport) -> str:
    """The report for a terminal."""
    lines = [
        f"{report.name}  (config {report.config.hash}, recipe {report.provenance['recipe']}, "
        f"{report.provenance['pdk']['name']})",
        f"  logic          {report.logic_um2:14,.0f} um2   "
        f"{sum(report.cells.values()):,} cells, {report.flip_flops:,} flip-flops",
    ]
    for model, parts in report.sram_um2.items():
        for purpose, area in parts.items():
            lines.append(f"  {purpose + ' SRAM':15s}{area:14,.0f} um2   {model}")
        lines.append(f"  {'total':15s}{report.area_um2(model):14,.0f} um2   {model}")
    lines.append(
        f"  Fmax           {report.fmax_hz / 1e6:14,.0f} MHz   "
        f"slack {report.slack_ns:+.3f} ns at {report.config.clock_ns:g} ns"
    )
    lines.append(f"  critical path  {report.critical_path}")
    return "\n".join(lines)


def main(argv: list[str] | None = None) -> int:
    arguments = parser().parse_args(argv)
    try:
        status: int = arguments.run(arguments)
    except CosignError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
