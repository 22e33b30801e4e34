"""Photographs by class, the place of the right class, and the table of what was measured."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.zoo.lenet5 import LENET5
from flows.__main__ import main
from flows.studies import posttrain


def photograph(path: Path, width: int, height: int, value: int) -> None:
    """`value` in a centre of 224 x 224, black around it."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = (height - 224) // 2, (width - 224) // 2
    pixels[top : top + 224, left : left + 224] = value
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path)


def test_classes_are_folders_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posttrain, "CLASSES", 2)
    photograph(tmp_path / "n02" / "0.png", 300, 256, 7)
    photograph(tmp_path / "n01" / "b.png", 256, 280, 9)
    photograph(tmp_path / "n01" / "a.png", 256, 256, 8)
    (tmp_path / "n01" / "notes.txt").write_text("no photograph")
    pixels, labels = posttrain.photographs(tmp_path, 224)
    assert labels.tolist() == [0, 0, 1]
    assert pixels.shape == (3, 3, 224, 224)
    inner = pixels[:, :, 1:-1, 1:-1]  # sides of odd length have no middle
    assert [np.unique(image).tolist() for image in inner] == [[8], [9], [7]]


def test_a_folder_of_other_classes_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photograph(tmp_path / "n01" / "a.png", 256, 256, 8)
    assert main(["posttrain", str(tmp_path), "--out", str(tmp_path / "out")]) == 2
    printed = capsys.readouterr().err
    assert "holds photographs of 1 classes, 1,000 are needed" in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_ties_go_to_the_lower_class() -> None:
    scores = np.array([[5, 9, 5, 5], [5, 9, 5, 5], [5, 9, 5, 5]])
    assert posttrain.ranks(scores, np.array([1, 0, 3])).tolist() == [0, 1, 3]


def test_first_place_is_the_largest_score() -> None:
    rng = np.random.default_rng(0)
    scores, labels = rng.integers(-9, 9, (200, 7)), rng.integers(0, 7, 200)
    first = posttrain.ranks(scores, labels) == 0
    assert np.array_equal(first, scores.argmax(axis=1) == labels)
    order = np.argsort(-scores, axis=1, kind="stable")
    places = np.argmax(order == labels[:, None], axis=1)
    assert np.array_equal(posttrain.ranks(scores, labels), places)


def test_a_pattern_stands_beside_as_many_weights_anywhere() -> None:
    found = list(posttrain.by_pattern(LENET5.spec, ["2:4"], (8,)))
    assert [case.pattern for case in found] == ["2:4", None, "2:4", None]
    assert [case.method for case in found] == ["oneshot", "oneshot", "magnitude", "magnitude"]
    assert {case.ratio for case in found} == {430_500 / 215_500}
    rows = [
        {"method": "oneshot", "ratio": 430_500 / 215_500, "bits": 8, "top1": 5, "top5": 9}
        | {"nonzeros": 1000, "file_bytes": 2000, "processor_s": 90.0, "pattern": pattern}
        for pattern in ("2:4", None)
    ]
    record = {"scored_images": 10, "float": {"top1": 8, "top5": 10}, "rows": rows}
    lines = posttrain.table(record).splitlines()
    assert lines[3].startswith("| oneshot | 1.998× | 8 | 50.0%")
    assert lines[4].startswith("| oneshot, 2:4 | 1.998× | 8 | 50.0%")


def test_every_case_is_asked_once() -> None:
    found = list(posttrain.cases((2.0, 3.0), (8, 6)))
    assert len(set(found)) == len(found) == 12
    rows = [
        {"method": "magnitude", "ratio": ratio, "bits": 8, "top1": 5, "top5": 9}
        | {"nonzeros": 1000, "file_bytes": 2000, "processor_s": 90.0}
        for ratio in (2.0, 1.0)
    ]
    record = {"scored_images": 10, "float": {"top1": 8, "top5": 10}, "rows": rows}
    lines = posttrain.table(record).splitlines()
    assert lines[2].startswith("| float, dense | 1× | 32 | 80.0% | 100.0% |")
    assert lines[3] == "| magnitude | 1× | 8 | 50.0% | 90.0% | 1,000 | 2,000 | 1.5 |"
    assert lines[4].startswith("| magnitude | 2× | 8 |")


def test_a_little_training_is_a_row_of_its_own() -> None:
    found = list(posttrain.cases((2.0,), (8,), finetune=3.0))
    assert [(case.ratio, case.method, case.finetune) for case in found] == [
        (1.0, "oneshot", None),
        (1.0, "magnitude", None),
        (2.0, "oneshot", None),
        (2.0, "magnitude", None),
        (2.0, "oneshot", 3.0),
    ]
    assert found[-1].title == "oneshot, 2x, 8 bits, 3 minutes"
    row = {"method": "oneshot", "ratio": 2.0, "bits": 8, "top1": 5, "top5": 9, "finetune": 3.0}
    row |= {"nonzeros": 1000, "file_bytes": 2000, "processor_s": 90.0}
    record = {"scored_images": 10, "float": {"top1": 8, "top5": 10}, "rows": [row]}
    line = posttrain.table(record).splitlines()[3]
    assert line.startswith("| oneshot and 3 minutes | 2× | 8 | 50.0%")
