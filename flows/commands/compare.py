"""Finished runs side by side; runs of different networks compare, too."""

import argparse

from cosign import CosignError, atomic_write, consoles
from cosign.options import add_json, publish
from cosign.paths import new_file, old
from flows.report import compare, tables


def add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", type=old, help="run directories or results.json files")
    add_json(parser)
    parser.add_argument("--html", type=new_file, metavar="FILE", help="write a page here")


def run(options: argparse.Namespace) -> int:
    """Show the comparison; raises CosignError on what is no finished run."""
    names = list(map(str, options.runs))
    if len(set(names)) < 2:
        raise CosignError("compare needs two different runs; give their folders.")
    runs = {name: compare.read(path) for name, path in zip(names, options.runs, strict=True)}
    found = compare.compare(runs)
    publish(found, options.json)
    if options.html:
        from flows.report import html  # takes matplotlib, which takes a second

        page = html.page(
            "compare.html.j2",
            tables=[html.plain(table) for table in compare.tables_of(found)],
            runs=runs,
            verdicts={name: tables.verdict(results) for name, results in runs.items()},
        )
        with atomic_write(options.html) as file:
            file.write(page.encode())
    if options.json != "-":
        console = consoles.standard_output()
        for table in compare.tables_of(found):
            consoles.show(console, table)
    return 0
