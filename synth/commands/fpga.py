"""Place and route one core on a Lattice ECP5."""

import argparse

from cosign.kinds import count, within
from cosign.options import add_json, publish
from cosign.paths import new_folder
from rtl import options as core_options
from synth.fpga import PARTS, SPEEDS, FpgaReport, Target, route


def add_options(parser: argparse.ArgumentParser) -> None:
    core_options.add_options(parser)
    parser.add_argument("--part", choices=PARTS, default=Target.part, help=f"default {Target.part}")
    parser.add_argument(
        "--speed",
        type=int,
        choices=SPEEDS,
        default=Target.speed,
        help=f"speed grade, default {Target.speed}",
    )
    parser.add_argument(
        "--mhz",
        type=within(float, 1.0, 1000.0),
        default=Target.mhz,
        help=f"clock aimed at, default {Target.mhz:g}",
    )
    parser.add_argument("--seed", type=count, default=Target.seed, help="of the placer")
    parser.add_argument("--out", type=new_folder, required=True, help="folder for the tools' files")
    add_json(parser, "the report")


def run(options: argparse.Namespace) -> int:
    """Route, and show the report; raises CosignError on bad input or a missing tool."""
    target = Target(options.part, options.speed, options.mhz, options.seed)
    report = route(core_options.config_of(options), options.out, target)
    publish(report.to_json(), options.json, table(report))
    return 0


def table(report: FpgaReport) -> str:
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
