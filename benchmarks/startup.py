"""Time until --help of `cosign` and `cosign run` answers, and to import what needs no torch.

Each is the least of several runs of a fresh Python, in seconds: what the program costs, not what
else the machine does. Prints JSON.

    python benchmarks/startup.py
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent
_DOORS = ("compress.file.container", "rtl.core", "sim.golden", "sim.cycles", "synth.report")


def seconds(command: list[str], runs: int) -> float:
    """The least of `runs`."""
    least = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=_ROOT)
        least = min(least, time.perf_counter() - start)
    return round(least, 3)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=10, help="of each, the best counts (10)")
    runs = parser.parse_args().runs
    found = {}
    for words in (["--help"], ["run", "--help"]):
        found[" ".join(words)] = seconds([sys.executable, "-m", "flows", *words], runs)
    for door in _DOORS:
        code = f"import sys, {door}; sys.exit('torch' in sys.modules)"
        found[door] = seconds([sys.executable, "-c", code], runs)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
