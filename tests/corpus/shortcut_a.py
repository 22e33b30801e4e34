"""ResNet-20 for CIFAR-10 with shortcuts that have no weights (He 2015, §4.2, option A), in torch.

Where channels double, a shortcut takes every second pixel and has channels of zeros on both sides.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

CHECKPOINT = "resnet20-cifar10.th"


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.stride, self.more = outputs // inputs, (outputs - inputs) // 2
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.more:
            x = functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.more, self.more))
        return functional.relu(y + x)


class ResNet20(nn.Module):
    input_shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        widths = ((16, 16), (16, 32), (32, 64))
        self.layer1, self.layer2, self.layer3 = (
            nn.Sequential(Block(inputs, outputs), Block(outputs, outputs), Block(outputs, outputs))
            for inputs, outputs in widths
        )
        self.linear = nn.Linear(64, 10)

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = self.layer3(self.layer2(self.layer1(y)))
        return self.linear(functional.avg_pool2d(y, y.shape[3]).flatten(1))


def untrained() -> nn.Module:
    return ResNet20()


def checkpoint() -> Path:
    """A public one, names beginning with "module."; the test is skipped without it."""
    for folder in Path(__file__).resolve().parents:
        if (path := folder / "shared" / "data" / CHECKPOINT).exists():
            return path
    pytest.skip(f"no {CHECKPOINT} in shared/data")


def trained() -> nn.Module:
    network = ResNet20()
    state = torch.load(checkpoint(), map_location="cpu", weights_only=True)["state_dict"]
    network.load_state_dict({name.removeprefix("module."): t for name, t in state.items()})
    return network
