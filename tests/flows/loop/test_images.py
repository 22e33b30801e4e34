"""What a run without training reads, and what it refuses."""

import dataclasses
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
from PIL import Image

from compress.exchange import sources
from compress.model.pretrained import Pretrained
from cosign import CosignError
from flows.loop import images
from flows.loop.rundir import RunConfig


def network(folder: Path, classes: int = 3, channels: int = 3, maps: bool = False) -> Pretrained:
    """Reads 8 x 8 pixels; one number for each class, or a map beside that."""
    graph = onnx_models.Graph()
    x = graph.conv("x", channels, classes, "c")
    graph.node("Flatten", graph.node("GlobalAveragePool", x, name="mean"), name="flat")
    model = graph.model("flat")
    if channels != 3:
        dims = model.graph.input[0].type.tensor_type.shape.dim
        dims[1].dim_value = channels
    if maps:
        model.graph.output.append(
            onnx.helper.make_tensor_value_info(x, onnx.TensorProto.FLOAT, None)
        )
    file = folder / f"net-{classes}-{channels}-{maps}.onnx"
    onnx.save(model, file)
    return sources.load(str(file))


@pytest.fixture
def three(tmp_path: Path) -> Pretrained:
    return network(tmp_path)


def paint(path: Path, number: int, flat: bool = False) -> None:
    """A picture of its own, or of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (1, 1, 3) if flat else (12, 10, 3)
    pixels = np.random.default_rng(number).integers(0, 256, shape, np.uint8)
    Image.fromarray(np.broadcast_to(pixels, (12, 10, 3)).copy()).save(path)


def folder(root: Path, count: int, classes: tuple[str, ...] = ("",), flat: int = 0) -> Path:
    """`count` images in turn in each class folder; the first `flat` are of one colour."""
    for number in range(count):
        name = classes[number % len(classes)]
        paint(root / name / f"{number:03}.png", number, number < flat)
    return root


def asked(data: Path, **changes: object) -> RunConfig:
    return dataclasses.replace(RunConfig("net", data=str(data), method="oneshot"), **changes)


def test_a_folder_without_classes(three: Pretrained, tmp_path: Path) -> None:
    found = images.read(asked(folder(tmp_path / "photos", 60)), three)
    assert not found.labelled
    assert found.calibration.shape == (45, 3, 8, 8)  # a quarter is held
    assert (len(found.val.labels), len(found.test.labels)) == (8, 7)
    assert (found.data.classes, found.data.train, found.data.test) == (0, 45, 7)
    sets = [found.calibration, found.val.images(np.arange(8)), found.test.images(np.arange(7))]
    every = np.concatenate(sets).reshape(60, -1)
    assert len(np.unique(every, axis=0)) == 60  # disjoint
    name, reported = images.reported(asked(tmp_path / "photos"), three)
    assert name == "photos"
    np.testing.assert_array_equal(reported.images(np.arange(7)), found.test.images(np.arange(7)))


@pytest.mark.parametrize("each", [1, 20])
def test_class_folders_are_split_by_seed(each: int, tmp_path: Path) -> None:
    names = tuple(f"n{number:02}" for number in range(60 // each))
    data = folder(tmp_path / "photos", 60, names)
    own = network(tmp_path, len(names))
    found = images.read(asked(data), own)
    assert found.labelled
    assert found.names == names
    assert len(found.calibration) == 30
    assert (len(found.val.labels), len(found.test.labels)) == (15, 15)
    sets = [found.calibration, found.val.images(np.arange(15)), found.test.images(np.arange(15))]
    assert len(np.unique(np.concatenate(sets).reshape(60, -1), axis=0)) == 60
    again = images.read(asked(data), own)
    np.testing.assert_array_equal(again.calibration, found.calibration)
    np.testing.assert_array_equal(again.test.labels, found.test.labels)
    other = images.read(asked(data, seed=1), own)
    assert not np.array_equal(other.calibration, found.calibration)
    for split in (found.val, found.test):  # a label is the class that the picture is of
        for index, label in enumerate(split.labels):
            picture = split.images(np.array([index]))[0]
            files = sorted((data / names[label]).iterdir())
            assert any(_same(picture, file) for file in files)


def _same(picture: np.ndarray, file: Path) -> bool:
    """Nearly: decoding and scaling are tested elsewhere."""
    pixels = np.asarray(Image.open(file)).transpose(2, 0, 1)
    return abs(float(pixels.mean()) - float(picture.mean())) < 12


def test_train_and_val_are_used_as_training_does(three: Pretrained, tmp_path: Path) -> None:
    for split, count in (("train", 60), ("val", 9)):
        folder(tmp_path / "data" / split, count, ("a", "b", "c"))
    found = images.read(asked(tmp_path / "data"), three)
    assert found.labelled
    assert (found.data.val, found.data.test) == (3, 9)
    assert len(found.calibration) == 57


def test_several_outputs_have_no_labels(tmp_path: Path) -> None:
    own = network(tmp_path, maps=True)
    assert not own.spec.classifies
    found = images.read(asked(folder(tmp_path / "photos", 60, ("a", "b"))), own)
    assert not found.labelled
    assert found.data.train == 45


def test_arrays_are_read(tmp_path: Path) -> None:
    own = network(tmp_path, channels=5)
    values = np.random.default_rng(0).normal(size=(40, 5, 8, 8)).astype(np.float32)
    np.save(tmp_path / "values.npy", values)
    found = images.read(asked(tmp_path / "values.npy"), own)
    assert found.calibration.shape == (30, 5, 8, 8)
    assert found.pixels is not None
    with pytest.raises(CosignError, match=r"give --data a \.npy"):
        images.read(asked(folder(tmp_path / "photos", 60)), own)


@pytest.mark.parametrize(
    ("count", "classes", "flat", "sentence"),
    [
        (0, (), 0, "no folder; give a folder of images"),
        (15, ("",), 0, "holds 15 images, of which 12 are to calibrate on; at least 16"),
        (1, ("",), 0, "holds 1 image, of which 1 are to"),
        (60, ("",), 60, "of 45 calibration images of .*, 45 are of one colour; at least 16"),
        (60, ("",), 44, "are of one colour"),
        (60, ("a", "b"), 0, "has 3 outputs, but photos has 2 classes; give one class for each"),
        (60, ("a", "b", "c", "d"), 0, "has 3 outputs, but photos has 4 classes"),
        (20, ("a", "b", "c"), 0, "holds 20 images, of which 10 are to calibrate on"),
    ],
)
def test_what_is_no_use_is_refused(
    count: int,
    classes: tuple[str, ...],
    flat: int,
    sentence: str,
    three: Pretrained,
    tmp_path: Path,
) -> None:
    folder(tmp_path / "photos", count, classes, flat)
    with pytest.raises(CosignError, match=sentence) as refused:
        images.read(asked(tmp_path / "photos"), three)
    assert "\n" not in str(refused.value)


def test_other_files_and_damaged_ones_are_named(three: Pretrained, tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    notes.mkdir()
    (notes / "a.txt").write_text("no image")
    with pytest.raises(CosignError, match=r"holds no image \(but 1 .txt\)"):
        images.read(asked(notes), three)
    data = folder(tmp_path / "photos", 60, ("a", "b", "c"))
    (data / "a" / "000.png").write_bytes(b"")
    with pytest.raises(CosignError, match=r"1 of 60 images in .* a/000.png \(it is empty\)"):
        images.read(asked(data), three)


def test_no_data_for_a_network_that_reads_photographs(three: Pretrained) -> None:
    with pytest.raises(CosignError, match="needs images to calibrate on; give a folder by --data"):
        images.read(RunConfig("net", method="oneshot"), three)


def test_classes_are_ordered_only_where_they_are_looked_at(
    three: Pretrained, tmp_path: Path
) -> None:
    data = folder(tmp_path / "photos", 60, ("c10", "c9", "c1"))
    with pytest.raises(CosignError, match="c1, c10, c9 as text and c1, c9, c10 by number"):
        images.unusual_order(str(data), None, three)
    assert images.unusual_order(str(data), "numeric", three) == ["c1", "c9", "c10"]
    several = network(tmp_path, maps=True)
    assert images.unusual_order(str(data), None, several) is None
    with pytest.raises(CosignError, match="has no classes for this network"):
        images.unusual_order(str(data), "numeric", several)
