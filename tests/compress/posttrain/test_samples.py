"""What is calibrated on and what is measured on: pixels of folders, arrays, and generated ones."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from compress.posttrain.samples import collect, split
from cosign import CosignError


@given(st.integers(1, 400), st.integers(1, 130), st.integers(0, 20))
def test_nothing_is_calibrated_and_measured_on(available: int, count: int, held: int) -> None:
    first, rest = split(available, count, held)
    assert not set(first) & set(rest)
    assert set(first) | set(rest) <= set(range(available))
    assert len(rest) <= held
    if available >= count + held:
        assert (len(first), len(rest)) == (count, held)
    else:
        assert len(first) >= min(count, -(-available // 2))
        assert len(rest) == min(held, max(available - count, available // 4, int(available > 1)))


@pytest.mark.parametrize("channels", [1, 2, 3, 5, 64])
def test_generated_images_have_any_channels(channels: int) -> None:
    found = collect((channels, 9, 7), None, seed=3, count=4, held=2)
    assert found.calibration.shape == (4, channels, 9, 7)
    assert found.held.shape == (2, channels, 9, 7)
    assert found.calibration.dtype == np.uint8
    assert len({image.tobytes() for image in (*found.calibration, *found.held)}) == 6
    assert found.calibration.std(axis=(2, 3)).mean() > 5  # not grey
    again = collect((channels, 9, 7), None, seed=3, count=4, held=2)
    np.testing.assert_array_equal(found.held, again.held)
    assert found.held_words == "2 images (generated)"


def test_a_single_image_leaves_generated_ones_to_measure_on(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 9, np.uint8)).save(tmp_path / "a.png")
    found = collect((1, 8, 8), tmp_path, 0, 16, 3)
    assert (found.calibration == 9).all()
    assert found.words == f"1 image of {tmp_path}"
    assert found.held_words == "3 images (generated)"
    Image.fromarray(np.full((8, 8), 7, np.uint8)).save(tmp_path / "b.png")
    found = collect((1, 8, 8), tmp_path, 0, 16, 3)
    assert sorted((found.calibration.max(), found.held.max())) == [7, 9]
    assert found.held_words == f"1 image of {tmp_path}"


@pytest.mark.parametrize("ending", ["npy", "npz"])
def test_pixels_of_an_array_stay(ending: str, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 4, 3), np.uint8)
    file = tmp_path / f"a.{ending}"
    np.save(file, pixels) if ending == "npy" else np.savez(file, pixels)
    found = collect((5, 4, 3), file, 0, 16, 1)
    together = np.concatenate([found.calibration, found.held])
    assert {image.tobytes() for image in together} == {image.tobytes() for image in pixels}
    assert found.pixels is None
    turned = pixels.transpose(0, 2, 3, 1)  # a file that reads rows of pixels
    np.save(tmp_path / "turned.npy", turned)
    layout = np.arange(60).reshape(5, 4, 3).transpose(1, 2, 0)
    from_turned = collect((5, 4, 3), tmp_path / "turned.npy", 0, 16, 1, layout=layout)
    np.testing.assert_array_equal(from_turned.calibration, found.calibration)


def test_floats_become_the_pixels_nearest_to_them(tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(3, [[[1]], [[20]]], (9, 2, 6, 6)).astype(np.float32)
    np.save(tmp_path / "a.npy", values)
    found = collect((2, 6, 6), tmp_path / "a.npy", 0, 16)
    assert found.pixels is not None
    mean, std = (np.array(part)[:, None, None] for part in found.pixels)
    step = values.max(axis=(0, 2, 3)) - values.min(axis=(0, 2, 3))
    error = np.abs((found.calibration / 255 - mean) / std - values).max(axis=(0, 2, 3))
    assert (error <= step / 255 * 0.501).all()
    assert (found.calibration.min(axis=(0, 2, 3)) == 0).all()
    assert (found.calibration.max(axis=(0, 2, 3)) == 255).all()


def test_floats_that_are_pixels_come_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 6, 6), np.uint8)
    normalised = (pixels / np.float32(255) - np.float32(0.1307)) / np.float32(0.3081)
    np.save(tmp_path / "a.npy", normalised)
    found = collect((1, 6, 6), tmp_path / "a.npy", 0, 3, pixels=((0.1307,), (0.3081,)))
    np.testing.assert_array_equal(found.calibration, pixels)
    assert found.pixels is None


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((2, 3, 3, 1), np.uint8), r"\[2, 3, 3, 1\], the network reads \[N, 1, 3, 3\]"),
        (np.zeros((2, 1, 3, 3), np.int64), "holds int64, must hold uint8 pixels or float32"),
        (np.zeros((0, 1, 3, 3), np.uint8), "holds no images"),
        (np.full((2, 1, 3, 3), np.nan, np.float32), "numbers that are not finite"),
        (np.full((2, 1, 3, 3), 3, np.float32), r"pixels of 318.8 to 318.8, not of 0 to 255"),
        (np.array([None]), "is not a NumPy array"),
    ],
)
def test_arrays_that_do_not_fit(array: np.ndarray, message: str, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(CosignError, match=message):
        collect((1, 3, 3), tmp_path / "a.npy", 0, 2, pixels=((0.5,), (0.25,)))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    np.savez(tmp_path / "two.npz", a=np.zeros(1), b=np.zeros(1))
    (tmp_path / "text.npy").write_text("nothing")
    for file, message in (
        ("two.npz", r"holds 2 arrays \(a, b\), must hold one"),
        ("text.npy", "is not a NumPy array"),
        ("none.npz", "cannot read .*none.npz"),
    ):
        with pytest.raises(CosignError, match=message):
            collect((1, 3, 3), tmp_path / file, 0, 2)
    with pytest.raises(CosignError, match=r"reads 6 channels, the images of .* have 1 or 3"):
        collect((6, 3, 3), tmp_path, 0, 2)
