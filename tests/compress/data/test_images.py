"""`python -m compress images`: the test split's first images, or one sentence."""

import numpy as np
import pytest
from PIL import Image

from compress.__main__ import main
from compress.data.datasets import load_dataset, load_for
from compress.data.images import test_split as split_of


def images(tmp_path, network: str, data: str, count: int) -> tuple[int, np.ndarray | None]:
    out = tmp_path / "images.npy"
    arguments = ["images", "--network", network, "--data", data, "--count", str(count)]
    status = main([*arguments, "--out", str(out)])
    return status, np.load(out) if out.exists() else None


@pytest.mark.parametrize(("network", "size"), [("alexnet", 227), ("resnet50", 224)])
def test_the_first_images_of_the_test_split_are_written(network, size, tmp_path):
    status, pixels = images(tmp_path, network, "synthetic", 2)
    assert status == 0
    assert pixels.dtype == np.uint8
    expected = load_dataset("alexnet", "synthetic", 0).test.images(np.arange(2))
    margin = (227 - size) // 2
    assert np.array_equal(pixels, expected[:, :, margin : margin + size, margin : margin + size])


@pytest.mark.parametrize("shape", [(3, 8, 8), (1, 8, 8), (3, 224, 224), (3, 10, 20)])
def test_photographs_are_scaled_to_the_network_as_in_training(shape, tmp_path):
    """Left half dark, right half bright, whatever the size: not a cut-out of the middle."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        for name in ("a", "b"):
            (tmp_path / split / name).mkdir(parents=True)
            for number in range(2):
                pixels = rng.integers(0, 20, (90, 120, 3), np.uint8)
                pixels[:, 60:] += 200
                Image.fromarray(pixels).save(tmp_path / split / name / f"{number}.png")
    dataset, pixels_of = split_of("net", shape, str(tmp_path), None, None)
    everything = np.arange(4)
    pixels = pixels_of(everything)
    trained = load_for(shape, str(tmp_path), 3).test.images(everything)
    np.testing.assert_array_equal(pixels, trained)
    assert dataset.shape == shape
    quarter = shape[2] // 4
    assert pixels[..., :quarter].max() < 20 < 200 <= pixels[..., -quarter:].min()


@pytest.mark.parametrize(
    ("network", "data", "count", "sentence"),
    [
        ("lenet5", "synthetic", 1, "lenet5 reads images of 1 channels, synthetic has 3"),
        ("alexnet", "synthetic", 0, "--count: 0 is not positive"),
        ("alexnet", "synthetic", 481, "has 480 test images, --count is 481"),
        ("vgg16", "nowhere", 1, "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(network, data, count, sentence, tmp_path, capsys):
    assert images(tmp_path, network, data, count) == (2, None)
    assert sentence in capsys.readouterr().err
