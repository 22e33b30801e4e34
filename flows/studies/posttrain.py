"""Compression without training, ImageNet's ResNet-50.

There is one folder of photographs per class, in ImageNet's order of names. Every second
photograph calibrates, the others are scored by the integer model: top-1 and top-5 of the dense
network and of every ratio, number of bits and method. Each row is written when it is known, and a
second call goes on with those that are missing.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compress.data import imagefiles
from compress.data.imagefolder import FolderSplit
from compress.data.pixels import normalised
from compress.exchange import state_dicts
from compress.file import container
from compress.model.graph import CompressedModel
from compress.posttrain import pipeline
from compress.posttrain.samples import spread
from compress.zoo.density import uniform
from compress.zoo.networks import spec_of
from cosign import CosignError, read_json, write_json
from flows.measure import integer

SCHEMA = 1
NETWORK = "resnet50-v1"
CLASSES = 1000
_BATCH = 4


@dataclass(frozen=True)
class Case:
    """One row: `ratio` 1 is the dense network, quantised to the nearest levels."""

    method: pipeline.Method
    ratio: float
    bits: int

    @property
    def title(self) -> str:
        return f"{self.method}, {self.ratio:g}x, {self.bits} bits"


def cases(ratios: Sequence[float], bits: Sequence[int]) -> Iterator[Case]:
    """Dense, then every ratio by both methods; for each number of bits."""
    for n in bits:
        yield Case("magnitude", 1.0, n)
        for ratio in ratios:
            yield Case("oneshot", ratio, n)
            yield Case("magnitude", ratio, n)


def photographs(folder: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 3, size, size], centres of photographs, and their classes, int64 [N].

    Raises CosignError unless there are 1,000 class folders.
    """
    paths = [path for path in imagefiles.listed(folder) if path.parent.parent == folder]
    names = sorted({path.parent.name for path in paths})
    if len(names) != CLASSES:
        raise CosignError(
            f"{folder} holds photographs of {len(names)} classes, {CLASSES:,} are needed; give a "
            "folder with one folder of photographs for each of ImageNet's classes."
        )
    labels = np.array([names.index(path.parent.name) for path in paths])
    pixels = FolderSplit(paths, labels).images(np.arange(len(paths)))
    margin = (pixels.shape[-1] - size) // 2
    return pixels[:, :, margin : margin + size, margin : margin + size], labels


def ranks(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """How many classes come before the right one; of equal scores the lower class does.

    scores : [N, classes]; labels : [N]
    """
    right = scores[np.arange(len(labels)), labels][:, None]
    before = np.arange(scores.shape[1]) < labels[:, None]
    return ((scores > right) | ((scores == right) & before)).sum(axis=1)


def _counts(places: list[np.ndarray]) -> dict[str, int]:
    place = np.concatenate(places)
    return {"top1": int((place < 1).sum()), "top5": int((place < 5).sum())}


def score(model: CompressedModel, pixels: np.ndarray, labels: np.ndarray) -> Any:
    """{"top1", "top5"}: photographs whose class is the integer model's first, or among five."""
    places = []
    for start in range(0, len(labels), _BATCH):
        part = slice(start, start + _BATCH)
        out = integer.run(model, model.input.quantize(pixels[part]))
        places.append(ranks(out.reshape(len(out), -1), labels[part]))
    return _counts(places)


def score_float(weights: Path, pixels: np.ndarray, labels: np.ndarray) -> Any:
    """The same of the network as it was published."""
    network, source = pipeline.load(NETWORK, weights)
    places = []
    with torch.no_grad():
        for start in range(0, len(labels), _BATCH):
            part = slice(start, start + _BATCH)
            out = network(normalised(source, pixels[part])).numpy()
            places.append(ranks(out, labels[part]))
    return _counts(places)


def compress(case: Case, weights: Path, pixels: np.ndarray, out: Path) -> dict[str, Any]:
    """Write the file of a row; returns what it took."""
    network, source = pipeline.load(NETWORK, weights)
    wall, processor = time.perf_counter(), time.process_time()
    densities, bits = uniform(network.spec, case.ratio), dict.fromkeys(network.weights, case.bits)
    model = pipeline.compress(network, source, densities, bits, pixels, case.method, _say)
    took = {
        "wall_s": round(time.perf_counter() - wall, 1),
        "processor_s": round(time.process_time() - processor, 1),
    }
    container.save(model, out)
    nonzeros = sum(layer.nnz for layer in model.layers)
    return {**took, "nonzeros": nonzeros, "file_bytes": out.stat().st_size}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def run(photos: Path, out: Path, count: int, wanted: Iterable[Case]) -> dict[str, Any]:
    """Measure what `out`/oneshot.json does not have yet; returns its content."""
    record = out / "oneshot.json"
    pixels, labels = photographs(photos, spec_of(NETWORK).shape[1])
    weights = state_dicts.fetch(NETWORK, _say)
    calibration = pixels[::2][spread(len(pixels[::2]), count)]
    scored, right = pixels[1::2], labels[1::2]
    about = {
        "schema": SCHEMA,
        "network": NETWORK,
        "scored_images": len(scored),
        "calibration_images": len(calibration),
    }
    found: dict[str, Any] = read_json(record) if record.exists() else {**about, "rows": []}
    if any(found.get(key) != value for key, value in about.items()):
        raise CosignError(f"{record} is of another measurement; choose another --out.")
    if "float" not in found:
        found["float"] = score_float(weights, scored, right)
        write_json(record, found)
    for case in wanted:
        if any(
            all(row[key] == value for key, value in asdict(case).items()) for row in found["rows"]
        ):
            continue
        _say(case.title)
        file = out / f"{case.method}-{case.ratio:g}x-{case.bits}bit.cosign"
        row = {**asdict(case), **compress(case, weights, calibration, file)}
        row.update(score(container.load(file), scored, right))
        found["rows"].append(row)
        write_json(record, found)
    return found


def table(found: dict[str, Any]) -> str:
    """The rows as Markdown."""
    images = found["scored_images"]
    lines = [
        "| method | ratio | bits | top-1 | top-5 | non-zeros | file, bytes | minutes |",
        "| --- | --: | --: | --: | --: | --: | --: | --: |",
        f"| float, dense | 1× | 32 | {_share(found['float'], images)} | | | |",
    ]
    lines += [
        f"| {'dense' if row['ratio'] == 1 else row['method']} | {row['ratio']:g}× | {row['bits']} "
        f"| {_share(row, images)} | {row['nonzeros']:,} | {row['file_bytes']:,} "
        f"| {row['processor_s'] / 60:.1f} |"
        for row in sorted(
            found["rows"], key=lambda row: (-row["bits"], row["ratio"], row["method"])
        )
    ]
    return "\n".join(lines)


def _share(row: dict[str, Any], images: int) -> str:
    return f"{row['top1'] / images:.1%} | {row['top5'] / images:.1%}"
