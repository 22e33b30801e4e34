"""Runs a Yosys script inside a process of its own; started by path, imports nothing of cosign."""

import os
import sys
from pathlib import Path


def main(script: Path) -> None:
    from pyosys import libyosys

    # Yosys keeps what ABC made of a library in TMPDIR, by the name of the file and its time alone:
    # there another library of the same name would be taken for this one.
    os.environ["TMPDIR"] = "."  # a path may have spaces, which the command line of ABC has not
    design = libyosys.Design()
    for line in filter(None, script.read_text().splitlines()):
        libyosys.run_pass(line, design)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
