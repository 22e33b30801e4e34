"""Runs a Yosys script inside a process of its own; started by path, imports nothing of cosign."""

import sys
from pathlib import Path


def main(script: Path) -> None:
    from pyosys import libyosys

    design = libyosys.Design()
    for line in filter(None, script.read_text().splitlines()):
        libyosys.run_pass(line, design)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
