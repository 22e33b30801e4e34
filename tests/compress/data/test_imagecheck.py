"""Damaged images are found before training, and whole ones are looked at once."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.data import datasets, imagecheck
from cosign import CosignError


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(imagecheck, "_WHOLE", {})
    return tmp_path / "cache"


def folder(root: Path, images: int = 4) -> dict[str, list[Path]]:
    """Images of all formats in two groups."""
    rng = np.random.default_rng(0)
    groups = {}
    for group in ("train/a", "train/b"):
        (root / group).mkdir(parents=True)
        groups[group] = [
            root / group / f"{number}.{('jpg', 'png', 'bmp', 'gif', 'tif', 'webp')[number % 6]}"
            for number in range(images)
        ]
        for path in groups[group]:
            Image.fromarray(rng.integers(0, 256, (40, 40, 3), np.uint8)).save(path)
    return groups


def test_whole_images_are_whole(tmp_path: Path) -> None:
    groups = folder(tmp_path, 6)
    with groups["train/a"][0].open("ab") as file:
        file.write(b"\0" * 512)  # as some cameras do
    imagecheck.check(tmp_path, groups, None)


@pytest.mark.parametrize("number", range(6))
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        ("empty", "(it is empty)"),
        ("cut", ""),
        ("text", "(it is no image)"),
        ("gone", "(No such file or directory)"),
    ],
)
def test_a_damaged_image_of_any_format_is_told(
    tmp_path: Path, number: int, damage: str, sentence: str
) -> None:
    groups = folder(tmp_path, 6)
    path = groups["train/b"][number]
    content = path.read_bytes()
    path.unlink()
    if damage == "gone":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.write_bytes(
            {"empty": b"", "cut": content[: len(content) // 2], "text": b"hello"}[damage]
        )
    with pytest.raises(CosignError) as raised:
        imagecheck.check(tmp_path, groups, None)
    message = str(raised.value)
    assert message.startswith(f"1 of 12 images in {tmp_path} cannot be read: train/b/{number}.")
    assert sentence in message
    assert message.endswith("repair or remove it.")
    assert message.count("\n") == 0


def test_many_damaged_images_are_counted_and_the_first_named(tmp_path: Path) -> None:
    groups = folder(tmp_path, 6)
    for path in groups["train/b"][1:]:
        path.write_bytes(b"")
    with pytest.raises(CosignError, match="5 of 12 images") as raised:
        imagecheck.check(tmp_path, groups, None)
    assert "train/b/3.gif (it is empty), ...; repair or remove them." in str(raised.value)
    assert "4.tif" not in str(raised.value)


def test_floats_without_a_range_are_found_before_training(tmp_path: Path) -> None:
    groups = folder(tmp_path, 1)
    groups["train/a"].append(tmp_path / "train" / "a" / "depth.tif")
    Image.fromarray(np.full((8, 8), 3.5, np.float32)).save(groups["train/a"][-1])
    with pytest.raises(CosignError, match=r"train/a/depth.tif \(it holds numbers of 3.5 to 3.5"):
        imagecheck.check(tmp_path, groups, None)


def test_what_is_known_is_looked_at_again_when_it_changes(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    really = imagecheck._damage

    def counted(path: Path) -> str | None:
        looked.append(f"{path.parent.name}/{path.name}")
        return really(path)

    def check() -> list[str]:
        looked.clear()
        imagecheck.check(tmp_path, groups, None)
        return sorted(looked)

    monkeypatch.setattr(imagecheck, "_damage", counted)
    groups = folder(tmp_path, 2)
    everything = ["a/0.jpg", "a/1.png", "b/0.jpg", "b/1.png"]
    assert check() == everything
    assert check() == []
    assert not cache.exists()  # of few images nothing is left on the disk
    imagecheck._WHOLE.clear()
    monkeypatch.setattr(imagecheck, "_MANY", 4)
    assert check() == everything
    imagecheck._WHOLE.clear()  # as in another process
    assert check() == []
    path = groups["train/b"][1]
    path.write_bytes(path.read_bytes())
    os.utime(path, ns=(0, 0))
    imagecheck._WHOLE.clear()
    assert check() == ["b/0.jpg", "b/1.png"]
    for file in cache.rglob("*.json"):
        file.write_text("[1")
    imagecheck._WHOLE.clear()
    assert check() == everything


def test_progress_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagecheck, "_TELL_S", -1.0)
    lines: list[str] = []
    imagecheck.check(tmp_path, folder(tmp_path, 2), lines.append)
    assert lines[-1] == f"checking images of {tmp_path}: 4 of 4"


def test_an_image_folder_is_checked_when_it_is_opened(tmp_path: Path) -> None:
    groups = folder(tmp_path)
    for name, paths in groups.items():
        (tmp_path / name.replace("train", "val")).mkdir(parents=True)
        held = tmp_path / name.replace("train", "val") / "x.png"
        held.write_bytes(paths[1].read_bytes())
    (tmp_path / "train" / "a" / "._0.jpg").write_bytes(b"finder")
    (tmp_path / "train" / ".cache").mkdir()
    assert datasets.load(str(tmp_path), 0).sizes == {"train": 6, "val": 2, "test": 2}
    (tmp_path / "val" / "a" / "x.png").write_bytes(b"")
    with pytest.raises(CosignError, match=r"cannot be read: val/a/x\.png \(it is empty\)"):
        datasets.load(str(tmp_path), 0)
