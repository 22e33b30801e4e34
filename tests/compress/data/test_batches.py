"""The input pipeline: the same batches by any number of workers, in any number of shares."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from compress.data import imagefolder
from compress.data.batches import Batches, in_order
from compress.data.datasets import ArraySplit, Split, SyntheticSplit
from cosign import CosignError

RANDOM = (7, 0)  # key


def photographs(root: Path) -> Split:
    rng = np.random.default_rng(0)
    sizes = ((240, 300), (230, 256), (400, 260))
    paths = [root / f"{number}.png" for number in range(9)]
    for number, path in enumerate(paths):
        Image.fromarray(rng.integers(0, 256, (*sizes[number % 3], 3), np.uint8)).save(path)
    return imagefolder.FolderSplit(paths, np.arange(9))


def digits(root: Path) -> Split:
    pixels = np.random.default_rng(1).integers(0, 256, (9, 1, 28, 28), np.uint8)
    return ArraySplit(pixels, np.arange(9), shift=2)


def generated(root: Path) -> Split:
    return SyntheticSplit(0, 0, 9)


@pytest.mark.parametrize("make", [photographs, digits, generated])
def test_shares_put_together_are_the_whole_batch(
    make: Callable[[Path], Split], tmp_path: Path
) -> None:
    split = make(tmp_path)
    whole = Batches(split, 4, RANDOM)
    halves = [Batches(split, 4, RANDOM, (number, 2)) for number in range(2)]
    for step in (0, 1, 5):
        parts = [half(step) for half in halves]
        assert torch.equal(whole(step).pixels, torch.cat([part.pixels for part in parts]))
        assert torch.equal(whole(step).labels, torch.cat([part.labels for part in parts]))
        assert {whole(step).seed} == {part.seed for part in parts}


def test_workers_make_the_same_batches_in_order(tmp_path: Path) -> None:
    split = photographs(tmp_path)
    found = [list(in_order(Batches(split, 2, RANDOM), range(3, 9), n)) for n in (0, 1, 2)]
    for alone, *others in zip(*found, strict=True):
        for other in others:
            assert torch.equal(alone.pixels, other.pixels)
            assert torch.equal(alone.labels, other.labels)
            assert alone.seed == other.seed
    assert len({batch.pixels.numpy().tobytes() for batch in found[0]}) == 6


def test_an_epoch_shows_every_image_once(tmp_path: Path) -> None:
    batches = Batches(digits(tmp_path), 3, RANDOM)
    epochs = [torch.cat([batches(step).labels for step in range(e, e + 3)]) for e in (0, 3)]
    for labels in epochs:
        assert sorted(labels.tolist()) == list(range(9))
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("workers", [0, 2])
def test_what_a_worker_cannot_read_is_one_sentence(tmp_path: Path, workers: int) -> None:
    split = photographs(tmp_path)
    (tmp_path / "4.png").write_bytes(b"hello")
    with pytest.raises(CosignError, match=r"^cannot read the image .*4\.png .*remove it\.$"):
        list(in_order(Batches(split, 9, RANDOM), range(2), workers))


def test_a_batch_is_shared_evenly_or_not_at_all(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match="a batch of 8 images cannot be shared by 3 processes"):
        Batches(digits(tmp_path), 8, RANDOM, (0, 3))
