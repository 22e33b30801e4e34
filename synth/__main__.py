"""`python -m synth report`: area, Fmax and critical path of one core."""

import argparse
import dataclasses
import sys
from pathlib import Path

from cosign import CosignError, write_json
from rtl.config import CORES, CoreConfig
from synth.report import CoreReport, synthesize
from synth.sram import MODELS


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(prog="python -m synth", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True)
    report = commands.add_parser("report", help="synthesise and time one core")
    report.add_argument("--core", choices=CORES, default="sparse")
    for field in dataclasses.fields(CoreConfig):
        if field.name in ("core", "act_banks"):
            continue
        kind = float if field.name == "clock_ns" else int
        option = f"--{field.name.replace('_', '-')}"
        report.add_argument(
            option, type=kind, default=field.default, help=f"default {field.default}"
        )
    report.add_argument("--act-banks", type=int, help="default: the fewest that feed the lanes")
    report.add_argument("--liberty", type=Path, help="cell library instead of NanGate 45")
    report.add_argument("--out", type=Path, required=True, help="folder for netlist and reports")
    report.add_argument("--json", type=Path, help="write the report as JSON")
    return top


def config_of(arguments: argparse.Namespace) -> CoreConfig:
    """The CoreConfig that the options describe. Raises CosignError."""
    values = {
        field.name: getattr(arguments, field.name) for field in dataclasses.fields(CoreConfig)
    }
    if values["act_banks"] is None:
        span = values["lanes"] + values["bank_bytes"] - 1
        words = -(-span // max(1, values["bank_bytes"]))
        values["act_banks"] = 1 << max(0, (words - 1).bit_length())
    return CoreConfig(**values)


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
        report = synthesize(config_of(arguments), arguments.out, arguments.liberty, MODELS)
        if arguments.json is not None:
            write_json(arguments.json, report.to_json())
    except CosignError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped.", file=sys.stderr)
        return 130
    print(table(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
