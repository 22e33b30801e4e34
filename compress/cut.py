"""The cut: alpha_i weights of each layer stay, the others are zero from here on."""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from compress import distributed, reconstruct
from compress.models import Network
from compress.regimes import mask_of

Progress = Callable[[int, int], None]


@torch.no_grad()
def cut(
    network: Network,
    keep: Mapping[str, int],
    images: Sequence[Tensor] = (),
    progress: Progress = lambda *_: None,
) -> dict[str, Tensor]:
    """Cut a network in place; returns the masks of the weights that stay, exactly `keep` each.

    Without images the largest weights stay as they are (Eqn. 7). With images each layer gets, in
    its turn, the weights and biases that keep its answers (`reconstruct`): of several processes
    the first finds them for all.

    images : float32 [N, C, H, W] each, normalised calibration images
    progress : receives how many layers are through, of how many
    """
    device = next(network.parameters()).device
    if len(images) and distributed.rank() == 0:
        done: list[str] = []

        def show(line: str) -> None:
            done.append(line)
            progress(len(done), len(keep))

        training = network.training
        reconstruct.prune(network.cpu().eval(), dict(keep), images, show)
        network.to(device).train(training)
    masks = {}
    for name, weight in network.weights.items():
        if len(images):
            distributed.of_first(weight)
            distributed.of_first(network.biases[name])
        masks[name] = mask_of(weight, keep[name])
        weight.mul_(masks[name])
    return masks
