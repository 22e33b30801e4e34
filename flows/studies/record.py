"""LeNet-5 with as few weights and bytes as possible.

Every schedule of compress.tiny is run or resumed for every seed, and each target's network
is written as integers, `<out>/<schedule>/seed<N>/lenet5-<non-zeros>.cosign`. The file of the seed
whose integers do best on the validation split is copied to `<out>/<schedule>`; all figures are in
`record.json`. Nothing is chosen by the test images.
"""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from compress.data.datasets import Dataset, Split, load_dataset
from compress.file import container
from compress.model.graph import CompressedModel
from compress.model.tidy import tidy
from compress.tiny.expand import compressed
from compress.tiny.run import Run
from compress.tiny.schedule import SCHEDULES
from cosign import atomic_write, write_json
from sim import golden


def accuracy(model: CompressedModel, split: Split) -> float:
    """Of the integers, on a split, 0..1."""
    return golden.correct(model, split.images, split.labels) / len(split.labels)


def run_seed(name: str, dataset: Dataset, seed: int, out: Path) -> list[dict[str, Any]]:
    """One seed's files; returns a record for each target."""
    folder = out / name
    log = folder / f"seed{seed}" / "log.txt"

    def report(step: str, facts: dict[str, Any]) -> None:
        told = " ".join(
            f"{key} {value:.4f}" if isinstance(value, float) else f"{key} {value}"
            for key, value in facts.items()
        )
        line = f"{name} seed {seed} {step:7} {told}"
        print(line, flush=True)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(line + "\n")

    records = []
    run = Run(SCHEDULES[name], dataset, seed, folder, out / "teacher", report)
    for reached in run.targets():
        model = tidy(compressed(reached, dataset))
        path = folder / f"seed{seed}" / f"lenet5-{reached.target}.cosign"
        container.save(model, path)
        record = {
            "schedule": name,
            "target": reached.target,
            "seed": seed,
            "file": str(path.relative_to(out)),
            "nonzeros": sum(layer.nnz for layer in model.layers),
            "file_bytes": path.stat().st_size,
            "validation": accuracy(model, dataset.val),
            "test": accuracy(model, dataset.test),
        }
        report("file", record)
        records.append(record)
    return records


def run(schedules: Iterable[str], seeds: Iterable[int], data: str, out: Path) -> None:
    """All schedules and seeds, the best file of each target, and `out`/record.json."""
    started = time.monotonic()
    dataset = load_dataset("lenet5", data, 0)
    records = [
        record
        for name in schedules
        for seed in seeds
        for record in run_seed(name, dataset, seed, out)
    ]
    for name, target in {(record["schedule"], record["target"]): None for record in records}:
        found = [r for r in records if (r["schedule"], r["target"]) == (name, target)]
        best = max(found, key=lambda record: record["validation"])
        with atomic_write(out / name / f"lenet5-{target}.cosign") as file:
            file.write((out / best["file"]).read_bytes())
    content = {"records": records, "wall_s": time.monotonic() - started}
    write_json(out / "record.json", content)
