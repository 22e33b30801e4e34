"""Networks that know digits a little, and folders of them."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

from compress.data import mnist
from compress.data.datasets import MNIST
from compress.nn.network import Network
from compress.zoo.networks import spec_of

EACH = 16  # digits of each class, of which half calibrate


@pytest.fixture(scope="session")
def digits() -> tuple[np.ndarray, np.ndarray]:
    """uint8 [N, 28, 28] and classes, of real digits."""
    files = mnist.load()
    return files["train-images-idx3-ubyte"], files["train-labels-idx1-ubyte"]


@pytest.fixture(scope="session")
def data(digits: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for each class."""
    root = tmp_path_factory.mktemp("oneshot") / "digits"
    pixels, labels = digits
    for digit in range(10):
        (root / str(digit)).mkdir(parents=True)
        for index in np.flatnonzero(labels == digit)[-EACH:]:
            Image.fromarray(pixels[index]).save(root / str(digit) / f"{index}.png")
    return root


def trained(network: nn.Module, digits: tuple[np.ndarray, np.ndarray]) -> None:
    """A few steps on other digits than those of `data`."""
    pixels, labels = digits
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    for step in range(150):
        some = slice(64 * step, 64 * step + 64)
        x = (torch.tensor(pixels[some])[:, None] / 255 - MNIST[0][0]) / MNIST[1][0]
        loss = functional.cross_entropy(network(x), torch.tensor(labels[some]).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


@pytest.fixture(scope="session")
def weights(digits: tuple[np.ndarray, np.ndarray], data: Path) -> Path:
    """Of LeNet-5."""
    torch.manual_seed(0)
    network = Network(spec_of("lenet5"))
    trained(network, digits)
    path = data.parent / "lenet5.pt"
    torch.save(network.state_dict(), path)
    return path


@pytest.fixture(scope="session")
def tiny(digits: tuple[np.ndarray, np.ndarray], data: Path) -> Path:
    """A network of 6,000 weights as a file."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 8, 5, 2), nn.ReLU(), nn.Conv2d(8, 16, 5, 2), nn.ReLU())
    network = nn.Sequential(*layers, nn.Flatten(), nn.Linear(256, 10))
    trained(network, digits)
    path = data.parent / "tiny.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (torch.zeros(1, 1, 28, 28),), path, dynamo=False)
    return path
