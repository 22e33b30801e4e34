"""What a run without training reads: images to calibrate on, to choose by and to be judged by.

A folder of images without order; a folder of classes; ImageNet's layout with train/ and val/; a
named set; a NumPy file. Labels are looked at where the network gives one number for each class.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from compress.data import classes, datasets, imagecheck, imagefiles
from compress.data.datasets import ArraySplit, Dataset, Normalisation, Progress
from compress.data.imagefolder import FolderSplit
from compress.model.pretrained import Pretrained
from compress.posttrain import samples
from compress.posttrain.pipeline import CALIBRATION_IMAGES
from cosign import CosignError
from flows.loop import inputs
from flows.loop.rundir import RunConfig
from flows.report import results

LEAST = 16
"""Images that show something, without which nothing is calibrated."""
HELD = 32  # images without labels that outputs are compared on: half to choose by, half to report
_COUNT = CALIBRATION_IMAGES["oneshot"]


class Split(Protocol):
    """Images with classes, or zeros where they have none: a part of `compress.data.datasets`."""

    labels: np.ndarray

    def images(self, indices: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class Images:
    """Three disjoint sets of images.

    Parameters
    ----------
    data : how results.json tells of them; `train` are those that are calibrated on
    calibration : uint8 [N, C, H, W]
    pool : those and, where there are more, others to learn from without labels
    val, test : to choose by, and to report
    labelled : whether those have classes
    pixels : mean and deviation by channel where the data say it
    names : classes in the order of outputs, of a folder
    """

    data: results.Data
    calibration: np.ndarray
    pool: samples.Pool
    val: Split
    test: Split
    labelled: bool
    pixels: Normalisation | None
    names: tuple[str, ...] = ()


def read(config: RunConfig, network: Pretrained, note: Progress | None = None) -> Images:
    """The images of a run. Raises CosignError when they are too few, show nothing or do not fit."""
    data, spec = config.data, network.spec
    told = network.pixels
    if config.mean is not None and config.std is not None:
        told = (tuple(config.mean), tuple(config.std))
    order = (config.classes or "text") if datasets.is_folder(data) else None
    if data is None and spec.shape not in ((1, 28, 28), (3, 32, 32)):
        raise CosignError("--method oneshot needs images to calibrate on; give a folder by --data.")
    if not datasets.is_folder(data) or layout(str(data)) == "splits":
        known = datasets.load_for(spec.shape, data, config.seed, told, note, order)
        found = _of_dataset(known, spec.classifies)
    elif layout(str(data)) == "classes" and spec.classifies:
        found = _of_classes(Path(str(data)), spec.shape, config.seed, order, note)
    else:
        found = _unlabelled(Path(str(data)), network, config.seed, told)
    if found.labelled and found.data.classes != spec.classes:
        raise CosignError(
            f"{config.network} has {spec.classes} outputs, but {found.data.name} has "
            f"{found.data.classes} classes; give one class for each output, or, where they are no "
            "classes, the images in one folder without subfolders."
        )
    _check_shown(found.calibration, str(data or found.data.name))
    return found


def reported(config: RunConfig, network: Pretrained | None) -> tuple[str, Split]:
    """What a run's data are called, and the images that it reports on, whatever its method."""
    if config.method == "oneshot" and network is not None:
        found = read(config, network)
        return found.data.name, found.test
    dataset = inputs.dataset(config, network)
    return dataset.name, dataset.test


def layout(data: str) -> str:
    """What `data` is: "splits", "classes", "flat" images or a NumPy "file".

    Raises CosignError when it is not there, or holds no image.
    """
    root = Path(data)
    if root.is_file() and root.suffix.lower() in (".npy", ".npz"):
        return "file"
    if not root.is_dir():
        raise CosignError(f"--data {data} is no folder; give a folder of images.")
    if (root / "train").is_dir() and (root / "val").is_dir():
        return "splits"
    paths = imagefiles.listed(root)
    if not paths:
        raise CosignError(
            f"{root} holds no image{imagefiles.other_suffixes(root)}; --data needs a folder of "
            "images."
        )
    folders = {path.parent for path in paths}
    alone = len(folders) > 1 and all(folder.parent == root for folder in folders)
    return "classes" if alone else "flat"


def unusual_order(data: str, order: classes.Order, network: Pretrained | None) -> list[str] | None:
    """Of a folder's classes, as `classes.unusual` says, where a network looks at them.

    Raises CosignError when an order is given for images that have no classes.
    """
    kind = layout(data)
    if kind in ("splits", "classes") and (network is None or network.spec.classifies):
        return classes.unusual(Path(data), order, "train" if kind == "splits" else "")
    if order is not None:
        raise CosignError(f"{data} has no classes for this network; leave --classes out.")
    return None


def _of_dataset(known: Dataset, labelled: bool) -> Images:
    total = len(known.train.labels)
    chosen = np.random.default_rng(0).permutation(total)[:_COUNT]
    sizes = {"train": len(chosen), "val": known.sizes["val"], "test": known.sizes["test"]}
    return Images(
        data=results.Data(
            name=known.name, note=known.note, classes=len(known.classes) if labelled else 0, **sizes
        ),
        calibration=known.train.images(np.sort(chosen)),
        pool=samples.Pool(total, known.train.images),
        val=known.val,
        test=known.test,
        labelled=labelled,
        pixels=(known.mean, known.std),
        names=known.classes if labelled else (),
    )


def _of_classes(
    root: Path,
    shape: tuple[int, int, int],
    seed: int,
    order: classes.Order,
    note: Progress | None,
) -> Images:
    """Half of the images to calibrate on, a quarter to choose by, the others to report."""
    if shape[0] not in (1, 3):
        raise CosignError(
            f"the network reads {shape[0]} channels, photographs have 1 or 3; give a .npy file."
        )
    names = classes.ordered(root, order, split="")
    groups = {name: imagefiles.listed(root / name) for name in names}
    empty = next((name for name, paths in groups.items() if not paths), None)
    if empty is not None:
        raise CosignError(f"the class folder {root / empty} holds no image; fill or remove it.")
    imagecheck.check(root, groups, note)
    every = [(path, label) for label, name in enumerate(names) for path in groups[name]]
    mixed = np.random.default_rng([seed, 2]).permutation(len(every))
    half, quarter = len(every) // 2, len(every) // 4

    def part(indices: np.ndarray) -> FolderSplit:
        some = [every[index] for index in np.sort(indices)]
        paths, labels = zip(*some, strict=True) if some else ((), ())
        return FolderSplit(list(paths), np.array(labels, np.int64), shape)

    calibration = part(mixed[:half][:_COUNT])
    val, test = part(mixed[half : half + quarter]), part(mixed[half + quarter :])
    count = len(calibration.labels)
    _check_count(count, str(root), len(every))
    if note is not None:
        note(classes.outputs(names))
    return Images(
        data=results.Data(
            name=root.resolve().name,
            note=f"{len(names):,} classes of photographs, split by seed",
            classes=len(names),
            train=count,
            val=len(val.labels),
            test=len(test.labels),
        ),
        calibration=calibration.images(np.arange(count)),
        pool=samples.Pool(half, part(mixed[:half]).images),
        val=val,
        test=test,
        labelled=True,
        pixels=None,
        names=names,
    )


def _unlabelled(source: Path, network: Pretrained, seed: int, told: Normalisation | None) -> Images:
    found = samples.collect(
        network.spec.shape, source, seed, _COUNT, HELD, told, network.layout, "--data"
    )
    held = found.held
    own = 0 if found.held_words.endswith("(generated)") else len(held)  # of a single image
    _check_count(len(found.calibration), str(source), len(found.calibration) + own)

    def part(pixels: np.ndarray) -> ArraySplit:
        return ArraySplit(pixels, np.zeros(len(pixels)))

    val, test = part(held[::2]), part(held[1::2])
    return Images(
        data=results.Data(
            name=source.resolve().name,
            note="images without labels",
            classes=0,
            train=len(found.calibration),
            val=len(val.labels),
            test=len(test.labels),
        ),
        calibration=found.calibration,
        pool=found.pool,
        val=val,
        test=test,
        labelled=False,
        pixels=found.pixels,
    )


def _check_count(calibration: int, where: str, total: int) -> None:
    if calibration < LEAST:
        raise CosignError(
            f"{where} holds {total} image{'s' * (total != 1)}, of which {calibration} are to "
            f"calibrate on; at least {LEAST} of those are needed, a few hundred are better."
        )


def _check_shown(pixels: np.ndarray, where: str) -> None:
    """Raises CosignError unless enough images are of more than one colour."""
    _check_count(len(pixels), where, len(pixels))
    flat = pixels.reshape(*pixels.shape[:2], -1)
    if flat.shape[2] > 1:
        shown = int((flat != flat[:, :, :1]).any(axis=(1, 2)).sum())
    else:  # of networks that read no images
        shown = int((flat != flat[:1]).any(axis=(1, 2)).sum())
    if shown < LEAST:
        raise CosignError(
            f"of {len(pixels)} calibration images of {where}, {len(pixels) - shown} are of one "
            f"colour; at least {LEAST} that show something are needed."
        )
