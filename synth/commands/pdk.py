"""Tell what a cell library has, and which cell serves for what.

FILE is a Liberty file, gzipped or not; several files of one kit are one library. The same is read
by --liberty of other commands. --cells writes what tools get of it, which the scripts beside a
report (map.ys, sta.tcl) read.
"""

import argparse
from collections.abc import Sequence
from typing import Any

from cosign import atomic_write
from cosign.options import add_json, publish
from cosign.paths import new_file, old_file
from synth.liberty import LibCell, Library
from synth.pdk import LIBERTY, Pdk, find_pdk


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", type=old_file, nargs="*", metavar="FILE", help="(NanGate 45 nm)")
    parser.add_argument(
        "--cells", type=new_file, help=f"write the library for tools here, {LIBERTY}"
    )
    add_json(parser, "the same")


def run(options: argparse.Namespace) -> int:
    """Read and show; raises CosignError on what is no usable library."""
    pdk = find_pdk(options.files)
    if options.cells is not None:
        with atomic_write(options.cells) as file:
            file.write(pdk.library.text.encode())
    content = describe(pdk)
    publish(content, options.json, table(pdk.library, content))
    return 0


def describe(pdk: Pdk) -> dict[str, Any]:
    """The library as JSON; areas in um2, loads in fF, delays without load in ns."""
    library = pdk.library
    refused: dict[str, list[str]] = {}
    for cell in library.cells.values():
        if cell.refused and cell.name not in library.ties:
            refused.setdefault(cell.refused, []).append(cell.name)
    kind = library.flip_flop
    return {
        **pdk.provenance(),
        "time_unit_ns": library.header.time_ns,
        "capacitance_unit_ff": library.header.capacitance_ff,
        "cells": len(library.cells),
        "usable": sum(cell.usable for cell in library.cells.values()),
        "flip_flop": {
            "cells": _ladder(library.flip_flops),
            "data": kind.data,
            "clock": kind.clock,
            "edge": "falling" if kind.falling else "rising",
            "outputs": {pin: "same" if same else "inverse" for pin, same in kind.outputs},
            "tied": dict(kind.ties),
        },
        "buffers": _ladder(library.buffers),
        "inverters": _ladder(library.inverters),
        "tie_high": library.tie_high and ".".join(library.tie_high),
        "tie_low": library.tie_low and ".".join(library.tie_low),
        "wire_load": library.wire_load or None,
        "wire_ff": {str(n): round(library.wire_load_ff(n), 4) for n in (1, 2, 4, 8, 12)},
        "refused": refused,
        "notes": list(library.notes),
    }


def _ladder(cells: Sequence[LibCell]) -> list[dict[str, Any]]:
    return [
        {
            "name": cell.name,
            "area_um2": cell.area_um2,
            "max_load_ff": cell.max_load_ff if cell.max_load_ff < float("inf") else None,
            "delay_ns": cell.delay_ns,
        }
        for cell in cells
    ]


def table(library: Library, content: dict[str, Any]) -> str:
    """The same for a terminal."""
    flip_flop = content["flip_flop"]
    tied = "".join(f", {pin} tied to {level}" for pin, level in flip_flop["tied"].items())
    wires = ", ".join(f"{load:g} fF at {n}" for n, load in content["wire_ff"].items())
    lines = [
        f"{content['name']}  ({content['liberty']}, SHA-256 {content['sha256'][:12]})",
        f"  units        {content['time_unit_ns']:g} ns, {content['capacitance_unit_ff']:g} fF",
        f"  cells        {content['cells']}, of which {content['usable']} may be picked",
        f"  flip-flop    {flip_flop['edge']} edge of {flip_flop['clock']}{tied}",
        *_steps(library.flip_flops),
        "  buffers",
        *_steps(library.buffers),
        "  inverters",
        *_steps(library.inverters),
    ]
    for value, tie in (("1", content["tie_high"]), ("0", content["tie_low"])):
        lines.append(f"  constant {value}   {tie or f'{library.inverters[0].name} on a rail'}")
    model = content["wire_load"]
    lines.append(f"  wires        {f'{model}: {wires} sinks' if model else 'no default model'}")
    for reason, names in sorted(content["refused"].items()):
        lines.append(f"  not picked   {reason}: {_some([library.short_name(n) for n in names])}")
    lines += [f"  note         {note}" for note in content["notes"]]
    if "licence" in content:
        lines.append(f"  licence      {content['licence']}")
    return "\n".join(lines)


def _steps(cells: Sequence[LibCell]) -> list[str]:
    return [
        f"    {cell.name:36s} {cell.area_um2:10.3f} um2   up to {cell.max_load_ff:9.1f} fF"
        for cell in cells
    ]


def _some(names: Sequence[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
