"""Which class of a folder is which output: asked where it is not plain, and kept."""

import dataclasses
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from compress.__main__ import main as compress_main
from compress.data import classes, datasets, imagefolder
from cosign import CosignError

NUMBERED = ["0", "1", "2", "10"]  # as numbers


def folder(root: Path, names: list[str]) -> Path:
    """Three images of each class, 8 x 8, of a shade that says the class's place in `names`."""
    for split, count in (("train", 2), ("val", 1)):
        for shade, name in enumerate(names):
            (root / split / name).mkdir(parents=True)
            for number in range(count):
                image = Image.new("RGB", (8, 8), (shade, shade, shade))
                image.save(root / split / name / f"{number}.png")
    return root


def shades(root: Path, order: classes.Order) -> list[int]:
    """The shade of each label's test image."""
    _, _, _, test = imagefolder.load(root, 0, (3, 8, 8), order=order)
    pixels = test.images(np.arange(len(test.labels)))[:, 0, 0, 0]
    return [int(pixels[test.labels == label][0]) for label in range(len(test.labels))]


def test_where_the_orders_differ_it_is_asked(tmp_path: Path) -> None:
    root = folder(tmp_path / "digits", NUMBERED)
    with pytest.raises(CosignError) as raised:
        datasets.load(str(root), 0)
    message = str(raised.value)
    assert "are 0, 1, 10, 2 as text and 0, 1, 2, 10 by number" in message
    for remedy in ("--classes text", "--classes numeric", "--classes FILE", "classes.txt"):
        assert remedy in message


@pytest.mark.parametrize(("order", "expected"), [("text", [0, 1, 3, 2]), ("numeric", [0, 1, 2, 3])])
def test_labels_are_outputs(tmp_path: Path, order: str, expected: list[int]) -> None:
    assert shades(folder(tmp_path, NUMBERED), order) == expected


def test_a_file_decides_given_or_lying_there(tmp_path: Path) -> None:
    root = folder(tmp_path / "digits", NUMBERED)
    other = tmp_path / "other.txt"
    other.write_text("\ufeff10\tten\n\n 2 two, deux\r\n1\n0\n", "utf-8")
    assert shades(root, str(other)) == [3, 2, 1, 0]
    (root / "classes.txt").write_text("2\n10\n0\n1\n")
    assert shades(root, None) == [2, 3, 0, 1]
    assert shades(root, "numeric") == [0, 1, 2, 3]  # what is given counts more
    assert shades(root, str(other)) == [3, 2, 1, 0]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("0\n1\n2\nten\n", "classes.txt names 'ten', for which there is no folder"),
        ("0\n1\n2\n", "classes.txt does not name .*train/10"),
        ("0\n1\n2\n10\n2\n", "classes.txt names '2' twice"),
        ("", "classes.txt does not name .*train/0"),
        ("\udcff", "cannot read the classes in .*classes.txt"),
    ],
)
def test_a_file_that_does_not_fit_is_told(tmp_path: Path, content: str, sentence: str) -> None:
    root = folder(tmp_path, NUMBERED)
    (root / "classes.txt").write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(CosignError, match=sentence):
        classes.ordered(root)


@pytest.mark.parametrize(
    ("names", "numeric"),
    [
        (["class1", "class2", "class10"], True),
        (["1_cat", "2_dog", "10_ape"], True),
        (["7", "08", "11"], True),
        (["cat", "dog"], False),
        (["n01440764", "n02085620", "n10565667"], False),  # both orders agree
        (["00", "01", "10"], False),
        (["a2", "b10"], False),  # no number that tells all of them apart
        (["1", "1a", "2"], False),
        (["apple10", "apple9", "pear"], False),
    ],
)
def test_when_there_is_a_question(tmp_path: Path, names: list[str], numeric: bool) -> None:
    root = folder(tmp_path, names)
    if numeric:
        with pytest.raises(CosignError, match="which order the network's outputs have"):
            classes.ordered(root)
        assert classes.ordered(root, "numeric") == tuple(names)
    else:
        assert classes.ordered(root) == tuple(sorted(names))


def test_names_without_numbers_have_no_numeric_order(tmp_path: Path) -> None:
    with pytest.raises(CosignError, match=r"--classes numeric: .* have no numbers"):
        classes.ordered(folder(tmp_path, ["cat", "dog"]), "numeric")


def test_folders_that_differ_in_case_alone_are_one_class_or_told(tmp_path: Path) -> None:
    root = folder(tmp_path, ["Cat", "cat", "dog"])
    with pytest.raises(CosignError, match="class folders Cat and cat, which differ in case alone"):
        classes.ordered(root)
    assert classes.ordered(root, "text") == ("Cat", "cat", "dog")


def test_an_order_without_a_folder_is_refused() -> None:
    for data in (None, "mnist", "synthetic", "imagenette"):
        with pytest.raises(CosignError, match="--classes is for an image folder"):
            datasets.check_order(data, "text")


def test_which_output_is_which_is_said(tmp_path: Path) -> None:
    lines: list[str] = []
    datasets.load(str(folder(tmp_path / "ab", ["a", "b"])), 0, lines.append)
    assert lines == ["outputs: 0 is a, 1 is b"]
    assert classes.outputs([f"n{n}" for n in range(100)]) == (
        "outputs: 0 is n0, 1 is n1, 2 is n2, 3 is n3, ... 99 is n99"
    )


def test_other_orders_are_other_data(tmp_path: Path) -> None:
    """A checkpoint of one order is not continued in another; sorted as text nothing is new."""
    from compress.train.stages import identity
    from compress.zoo.networks import recipe

    root = str(folder(tmp_path, NUMBERED))
    text, numeric = (datasets.load(root, 0, order=order) for order in ("text", "numeric"))
    assert (text.reordered, numeric.reordered) == (False, True)
    assert numeric.classes == tuple(NUMBERED)
    asked = recipe("alexnet", 4)
    assert identity("dense", asked, text, 0) != identity("dense", asked, numeric, 0)
    plain = dataclasses.replace(text, classes=("w", "x", "y", "z"))
    assert identity("dense", asked, text, 0) == identity("dense", asked, plain, 0)


def test_test_images_as_pixels_need_no_order(tmp_path: Path) -> None:
    root = folder(tmp_path / "digits", NUMBERED)
    out = tmp_path / "images.npy"
    words = f"images --network alexnet --data {shlex.quote(str(root))} --count 4 --out {out}"
    assert compress_main(shlex.split(words)) == 0
    assert np.load(out)[:, 0, 0, 0].tolist() == [0, 1, 3, 2]
