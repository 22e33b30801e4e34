"""`python -m compress images`: the test split's first images, or one sentence."""

import numpy as np
import pytest

from compress.__main__ import main
from compress.data.datasets import load_dataset


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


@pytest.mark.parametrize(
    ("network", "data", "count", "sentence"),
    [
        ("lenet5", "synthetic", 1, "lenet5 reads images of 1 channels, synthetic has 3"),
        ("alexnet", "synthetic", 0, "has 480 test images, --count is 0"),
        ("alexnet", "synthetic", 481, "has 480 test images, --count is 481"),
        ("vgg16", "nowhere", 1, "nowhere"),
    ],
)
def test_bad_input_is_one_sentence(network, data, count, sentence, tmp_path, capsys):
    assert images(tmp_path, network, data, count) == (2, None)
    assert sentence in capsys.readouterr().err
