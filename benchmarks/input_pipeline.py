"""Images per second of the input pipeline with 0, 1, 2 ... worker processes, in one run.

Batches of training crops, decoded anew (no worker keeps an image, and every turn begins with an
empty cache), as `compress.data.batches` makes them for the optimiser; nobody trains
meanwhile. In wall seconds, since the work is in other processes; every turn goes through all
numbers of workers, and the best of the turns counts. The first batches, while workers start, are
not counted. Prints JSON.

    python benchmarks/input_pipeline.py DIR --json build/input-pipeline.json
"""

import argparse
import json
import os
import time
from pathlib import Path
from typing import Any

from compress.data import imagefolder
from compress.data.batches import Batches, in_order
from cosign import write_json


def rate(folder: Path, batch: int, batches: int, workers: int) -> float:
    """Images per second."""
    split = imagefolder.load(folder, seed=0)[1]
    skipped = 2 * workers + 1
    steps = in_order(Batches(split, batch, (0, 0)), range(skipped + batches), workers)
    for _ in range(skipped):
        next(steps)
    start = time.perf_counter()
    images = sum(len(made.pixels) for made in steps)
    return images / (time.perf_counter() - start)


def measure(folder: Path, batch: int, batches: int, most: int, turns: int) -> dict[str, Any]:
    best: dict[int, float] = {}
    for _ in range(turns):
        for workers in range(most + 1):
            best[workers] = max(best.get(workers, 0), rate(folder, batch, batches, workers))
    return {
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "batch": batch,
        "batches": batches,
        "images_per_s": best,
        "ratio_to_no_worker": {workers: found / best[0] for workers, found in best.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="an ImageNet folder: train/CLASS/, val/CLASS/")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--batches", type=int, default=16)
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="up to so many (2)")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    result = measure(options.folder, options.batch, options.batches, options.workers, options.turns)
    if options.json:
        write_json(options.json, result)
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
