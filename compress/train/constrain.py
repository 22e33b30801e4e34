"""Where ADMM ends: the weights are put on their constraint, for good.

Without images by a projection of each layer, as it is done in every iteration. With images layer
after layer, so that the answers to them change the least (`reconstruct`): that pays where ADMM ends
before W and Z have met.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from compress.admm import reconstruct
from compress.admm.constraints import cut, put_on_levels
from compress.data.datasets import Dataset
from compress.data.pixels import some_images
from compress.model.levels import Levels
from compress.model.pattern import NO_PATTERNS, Patterns
from compress.nn.network import Network, channels_last
from compress.train import distributed
from compress.zoo.recipe import Recipe

Progress = Callable[[int, int], None]
_BATCH = 16


def calibration(recipe: Recipe, dataset: Dataset) -> tuple[Tensor, ...]:
    """The recipe's calibration images in batches; none where it wants none."""
    return tuple(some_images(dataset, recipe.calibration, _BATCH))


@torch.no_grad()
def prune(
    network: Network,
    keep: Mapping[str, int],
    images: Sequence[Tensor] = (),
    progress: Progress = lambda *_: None,
    patterns: Patterns = NO_PATTERNS,
) -> dict[str, Tensor]:
    """Cut a network in place; returns the masks of the weights that stay, exactly `keep` each.

    images : float32 [N, C, H, W] each, normalised calibration images
    progress : receives how many layers are through, of how many
    patterns : of layers that have one; `keep` is then as many as it keeps
    """
    if images:
        _first_finds(
            network,
            lambda lines: reconstruct.prune(network, keep, images, lines, patterns=patterns),
            len(keep),
            progress,
        )
    return cut(network.weights, keep, patterns)


@torch.no_grad()
def quantize(
    network: Network,
    masks: Mapping[str, Tensor],
    bits: Mapping[str, int],
    images: Sequence[Tensor] = (),
    progress: Progress = lambda *_: None,
) -> dict[str, Levels]:
    """Give the weights of `masks` their levels, in place, W = q * level; returns them by layer.

    images, progress : as for `prune`
    """
    if not images:
        return put_on_levels(network.weights, masks, bits)
    at = {name: mask.cpu() for name, mask in masks.items()}
    levels = {
        name: Levels(np.zeros(weight.shape, np.int8), np.zeros(()), bits[name])
        for name, weight in network.weights.items()
    }  # where another process finds them

    def find(lines: Callable[[str], None]) -> None:
        levels.update(reconstruct.quantize(network, at, bits, images, lines))

    _first_finds(network, find, len(masks), progress)
    return {name: _of_first(each) for name, each in levels.items()}


def _of_first(levels: Levels) -> Levels:
    """The first process's, for all."""
    values = torch.from_numpy(levels.values).to(distributed.device())
    each = distributed.agreed(levels.q.ndim > 0)  # whether filters have their own
    own = np.resize(levels.q, levels.values.shape[:1] if each else ())
    q = torch.from_numpy(own).to(distributed.device())
    return replace(
        levels,
        values=distributed.of_first(values).cpu().numpy(),
        q=distributed.of_first(q).cpu().numpy(),
    )


def _first_finds(
    network: Network,
    find: Callable[[Callable[[str], None]], None],
    layers: int,
    progress: Progress,
) -> None:
    """`find` changes the network on the CPU; of several processes the first one's, for all."""
    device, training = next(network.parameters()).device, network.training
    if distributed.rank() == 0:
        done: list[str] = []

        def show(line: str) -> None:
            done.append(line)
            progress(len(done), layers)

        channels_last(network.cpu().eval())  # sums depend on it, and files do not keep it
        find(show)
        network.to(device).train(training)
    for parameter in network.parameters():
        distributed.of_first(parameter)
