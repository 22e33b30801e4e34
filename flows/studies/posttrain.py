"""Compression without training of any network that comes with weights.

Images are a folder with one folder of photographs per class, in ImageNet's order of names, of which
every second one calibrates and the others are scored, or CIFAR-10, whose training images calibrate
and whose test images are scored. The integer model's top-1 and top-5 of the dense network, and of
every ratio, number of bits and method. Each row is written when it is known, and a second call goes
on with those that are missing.
"""

import itertools
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch

from compress.data import datasets, imagefiles
from compress.data.datasets import Normalisation
from compress.data.imagefolder import FolderSplit
from compress.data.pixels import normalised
from compress.exchange import state_dicts
from compress.file import container
from compress.model import activations
from compress.model.graph import CompressedModel, InputSpec
from compress.model.nodes import NetworkSpec
from compress.model.pattern import NO_PATTERNS
from compress.model.pretrained import Pretrained
from compress.nn.network import pretrained_network
from compress.posttrain import curves, pipeline
from compress.posttrain.allocation import Table, choose
from compress.posttrain.expected import Curves
from compress.posttrain.finetune import Finetuning
from compress.posttrain.integers import input_spec
from compress.posttrain.samples import Pool, spread
from compress.zoo import patterns
from compress.zoo.density import kept_weights, uniform
from cosign import CosignError, consoles, read_json, values, write_json
from cosign.progress import Reporter
from cosign.values import Amount, Count, Positive, Value
from flows.measure import integer

SCHEMA = 2
CLASSES = 1000
CIFAR10 = "cifar10"
METHODS: tuple[pipeline.Method, ...] = ("oneshot", "magnitude")
_BATCH = 4
_PARTS = 16  # images at once, in a measurement of curves


@dataclass(frozen=True)
class Case:
    """One row: `ratio` 1 is the dense network.

    Magnitude prunes every layer alike, oneshot where it is expected to hurt least; with a `pattern`
    both as it says, and `ratio` is what comes of it. With `finetune`, minutes as
    compress.posttrain.finetune has them, what oneshot keeps learns the dense network's answers.
    """

    method: pipeline.Method
    ratio: float
    bits: int
    pattern: str | None = None
    finetune: float | None = None

    @property
    def title(self) -> str:
        learns = f", {self.finetune:g} minutes" if self.finetune else ""
        return f"{self.method}, {self.pattern or f'{self.ratio:g}x'}, {self.bits} bits{learns}"


def by_pattern(spec: NetworkSpec, given: Sequence[str], bits: Sequence[int]) -> Iterator[Case]:
    """Every pattern by both methods, then as many weights anywhere.

    Raises CosignError as `patterns.asked` does.
    """
    weights = sum(geometry.weights for geometry in spec.geometries.values())
    ratios = {}
    for pattern in given:
        kept = kept_weights(spec, uniform(spec, 1), patterns.asked(spec, pattern))
        ratios[pattern] = weights / sum(kept.values())
    for n, method in itertools.product(bits, METHODS):
        yield from (Case(method, ratio, n, pattern) for pattern, ratio in ratios.items())
        yield from (Case(method, ratio, n) for ratio in ratios.values())


def cases(
    ratios: Sequence[float], bits: Sequence[int], finetune: float | None = None
) -> Iterator[Case]:
    """Dense, then every ratio by both methods, and finetuned if asked; for each number of bits."""
    for n in bits:
        for ratio in (1.0, *ratios):
            for method in METHODS:
                yield Case(method, ratio, n)
            if finetune is not None and ratio > 1:
                yield Case("oneshot", ratio, n, finetune=finetune)


def listed(folder: Path) -> tuple[list[Path], np.ndarray]:
    """Photographs and their classes, int64 [N].

    Raises CosignError unless there are 1,000 class folders.
    """
    paths = [path for path in imagefiles.listed(folder) if path.parent.parent == folder]
    names = sorted({path.parent.name for path in paths})
    if len(names) != CLASSES:
        raise CosignError(
            f"{folder} holds photographs of {len(names)} classes, {CLASSES:,} are needed; give a "
            "folder with one folder of photographs for each of ImageNet's classes."
        )
    return paths, np.array([names.index(path.parent.name) for path in paths])


def photographs(folder: Path, size: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 3, size, size], centres of photographs, and their classes, as `listed` has them."""
    paths, labels = listed(folder)
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


def score(
    model: CompressedModel,
    pixels: np.ndarray,
    labels: np.ndarray,
    report: Callable[[int], None] = lambda done: None,
) -> Any:
    """{"top1", "top5"}: photographs whose class is the integer model's first, or among five;
    `report` gets the photographs done so far."""
    places = []
    for start in range(0, len(labels), _BATCH):
        part = slice(start, start + _BATCH)
        out = integer.run(model, model.input.quantize(pixels[part]))
        places.append(ranks(out.reshape(len(out), -1), labels[part]))
        report(start + len(out))
    return _counts(places)


@dataclass(frozen=True)
class Subject:
    """A network, the pixels that it reads, and uint8 images [N, C, H, W] to calibrate and score on.

    labels : int64 [N], of those that are scored
    pool : all that are not scored, to learn from without labels
    """

    own: Pretrained
    source: InputSpec
    calibration: np.ndarray
    scored: np.ndarray
    labels: np.ndarray
    pool: Pool


def subject(
    own: Pretrained,
    images: str,
    pixels: Normalisation | None,
    count: int,
    act_bits: int = activations.MOST,
) -> Subject:
    """`count` images calibrate. Raises CosignError when images and network do not fit."""
    told = pixels or own.pixels or state_dicts.pixels_of(own.spec)
    source = input_spec(own.spec.shape, *told, act_bits)
    if images == CIFAR10:
        data = datasets.load_for(own.spec.shape, CIFAR10, 0, pixels, None, None)
        chosen = spread(len(data.train.labels), count)
        every = np.arange(len(data.test.labels))
        scored, labels = data.test.images(every), data.test.labels
        pool = Pool(len(data.train.labels), data.train.images)
        return Subject(own, source, data.train.images(chosen), scored, labels, pool)
    photos, labels = photographs(Path(images), own.spec.shape[1])
    calibration = photos[::2][spread(len(photos[::2]), count)]
    pool = Pool.of(photos[::2])
    return Subject(own, source, calibration, photos[1::2], labels[1::2], pool)


def score_float(about: Subject) -> Any:
    """What `score` counts, of the network as it came."""
    network = pretrained_network(about.own)
    places = []
    with torch.no_grad():
        for start in range(0, len(about.labels), _PARTS):
            part = slice(start, start + _PARTS)
            out = network(normalised(about.source, about.scored[part])).numpy()
            places.append(ranks(out, about.labels[part]))
    return _counts(places)


def curves_of(about: Subject, bits: int, file: Path) -> Curves:
    """Of `file`, or measured and written there."""
    if file.exists():
        return values.parse(read_json(file), Curves, str(file), "delete it")
    pixels = about.calibration[spread(len(about.calibration), curves.IMAGES)]
    held = np.arange(len(pixels)) % curves.HELD == 0
    parts = (normalised(about.source, some).split(_PARTS) for some in (pixels[~held], pixels[held]))
    found = curves.measure(
        pretrained_network(about.own), dict.fromkeys(about.own.spec.geometries, bits), *parts
    )
    write_json(file, msgspec.to_builtins(found))
    return found


def shares(found: Curves, ratio: float) -> dict[str, float]:
    """Densities by layer of the least expected loss at which one weight of `ratio` stays."""
    layers = found.layers
    tables = [Table(curve.losses, curve.keep.astype(float)) for curve in layers.values()]
    chosen = choose(tables, sum(curve.weights for curve in layers.values()) / ratio)
    return {
        name: float(curve.keep[option]) / curve.weights
        for (name, curve), option in zip(layers.items(), chosen, strict=True)
    }


def compress(case: Case, about: Subject, out: Path) -> dict[str, Any]:
    """Write the file of a row; returns what it took."""
    network = pretrained_network(about.own)
    densities, chosen = uniform(network.spec, case.ratio), NO_PATTERNS
    if case.pattern is not None:
        densities = uniform(network.spec, 1)
        chosen = patterns.asked(network.spec, case.pattern)
    elif case.method == "oneshot" and case.ratio > 1:
        densities = shares(curves_of(about, case.bits, out.parent / "curves.json"), case.ratio)
    bits = dict.fromkeys(network.weights, case.bits)
    learning = None
    if case.finetune is not None:
        checkpoint = out.with_name(f"{out.name}.finetune.pt")
        learning = Finetuning(case.finetune, about.pool, checkpoint=checkpoint)
    wall, processor = time.perf_counter(), time.process_time()
    model = pipeline.compress(
        network,
        about.source,
        densities,
        bits,
        about.calibration,
        case.method,
        _say,
        finetuning=learning,
        patterns=chosen,
    )
    took = {
        "wall_s": round(time.perf_counter() - wall, 1),
        "processor_s": round(time.process_time() - processor, 1),
    }
    container.save(model, out)
    nonzeros = sum(layer.nnz for layer in model.layers)
    return {**took, "nonzeros": nonzeros, "file_bytes": out.stat().st_size}


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class _Scores(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """Images that are right."""

    top1: Count
    top5: Count


class _Row(_Scores, frozen=True, kw_only=True, forbid_unknown_fields=False):
    method: str
    ratio: Positive
    bits: Count
    nonzeros: Count
    file_bytes: Count
    processor_s: Amount


class _Record(Value, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """What is read again of a measurement that goes on."""

    rows: tuple[_Row, ...]
    float: _Scores | None = None


def run(about: Subject, network: str, out: Path, wanted: Iterable[Case]) -> dict[str, Any]:
    """Measure what `out`/posttrain.json does not have yet; returns its content."""
    record = out / "posttrain.json"
    said = {
        "schema": SCHEMA,
        "network": network,
        "scored_images": len(about.labels),
        "calibration_images": len(about.calibration),
        "act_bits": about.source.act_bits,
    }
    found: dict[str, Any] = read_json(record) if record.exists() else {**said, "rows": []}
    values.parse(found, _Record, str(record), "choose another --out")
    earlier = {"act_bits": activations.MOST}  # of records that do not tell
    if any({**earlier, **found}.get(key) != value for key, value in said.items()):
        raise CosignError(f"{record} is of another measurement; choose another --out.")
    if "float" not in found:
        found["float"] = score_float(about)
        write_json(record, found)
    for case in wanted:
        if any(
            all(row.get(key) == value for key, value in asdict(case).items())
            for row in found["rows"]
        ):
            continue
        _say(case.title)
        how = f"{case.ratio:g}x"
        if case.pattern is not None:
            how = Path(case.pattern).stem.replace(":", "-of-")
        learns = "-finetuned" * (case.finetune is not None)
        file = out / f"{case.method}-{how}-{case.bits}bit{learns}.cosign"
        row = {**asdict(case), **compress(case, about, file)}
        with Reporter(consoles.standard_error()).running() as reporter:
            told = partial(reporter.show, "score", steps=len(about.labels))
            row.update(score(container.load(file), about.scored, about.labels, told))
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
        f"| {_method(row)} | {row['ratio']:.4g}× | {row['bits']} "
        f"| {_share(row, images)} | {row['nonzeros']:,} | {row['file_bytes']:,} "
        f"| {row['processor_s'] / 60:.1f} |"
        for row in sorted(found["rows"], key=lambda row: (-row["bits"], row["ratio"], _method(row)))
    ]
    return "\n".join(lines)


def _method(row: dict[str, Any]) -> str:
    pattern, minutes = row.get("pattern"), row.get("finetune")
    learns = f" and {minutes:g} minutes" if minutes else ""
    kept = f", {Path(pattern).stem}" if pattern else ""
    return f"{row['method']}{kept}{learns}"


def _share(row: dict[str, Any], images: int) -> str:
    return f"{row['top1'] / images:.1%} | {row['top5'] / images:.1%}"
