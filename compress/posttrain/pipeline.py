"""A compressed file of any built-in network without training: prune, quantise, calibrate.

By magnitude (the projections of §3.3 and §3.4.2, each once, the second one filter by filter), or by
layer-wise ADMM, which needs calibration images (compress.admm.reconstruct). The accuracy is that of
no retraining; of an untrained network the file has the structure and nothing else.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from compress.admm import layerwise, reconstruct
from compress.admm.constraints import cut
from compress.data.pixels import normalised
from compress.exchange import state_dicts
from compress.model import activations
from compress.model.graph import CompressedModel, InputSpec
from compress.model.levels import Levels
from compress.model.pattern import NO_PATTERNS, Patterns
from compress.nn.network import Network, fold, scale_to_data
from compress.posttrain import importance
from compress.posttrain.balance import balance
from compress.posttrain.calibration import scales
from compress.posttrain.finetune import Finetuning, finetune
from compress.posttrain.integers import assemble, input_spec, with_units
from compress.posttrain.samples import spread
from compress.zoo.density import kept_weights
from compress.zoo.networks import spec_of

Method = Literal["magnitude", "oneshot"]
# Of each method; scales of activations need no more than the fewer.
CALIBRATION_IMAGES: dict[Method, int] = {"magnitude": 16, "oneshot": 128}
_BIAS_DEVIATION = 0.1  # of an untrained network, whose activations have a deviation of about 1
_BATCH = 16
_SCALING_IMAGES = 4
_APART = 1 << 13  # intervals of a layer: what is smaller no unit of its output shows


def load(
    network: str, weights: Path, act_bits: int = activations.MOST
) -> tuple[Network, InputSpec]:
    """A built-in network with weights of a file, folded, and the input that it reads.

    Raises CosignError when the weights are unfit.
    """
    loaded, pixels = state_dicts.load(network, weights)
    return loaded, input_spec(loaded.spec.shape, *pixels, act_bits)


def untrained(
    network: str, pixels: np.ndarray, seed: int, act_bits: int = activations.MOST
) -> tuple[Network, InputSpec]:
    """The same with an initialisation by `seed`, scaled to images, uint8 [N, C, H, W]."""
    torch.manual_seed(seed)
    built = fold(Network(spec_of(network)).eval())
    source = input_spec(built.spec.shape, *state_dicts.pixels_of(built.spec), act_bits)
    scale_to_data(built, normalised(source, pixels[:_SCALING_IMAGES]))
    for bias in built.biases.values():
        torch.nn.init.normal_(bias, std=_BIAS_DEVIATION)
    return built, source


def compress(
    network: Network,
    source: InputSpec,
    densities: dict[str, float],
    bits: dict[str, int],
    pixels: np.ndarray,
    method: Method = "magnitude",
    progress: Callable[[str], None] = lambda _: None,
    known: Mapping[str, float] = MappingProxyType({}),
    finetuning: Finetuning | None = None,
    patterns: Patterns = NO_PATTERNS,
) -> CompressedModel:
    """The compressed model of a folded network, whose weights and biases are changed.

    densities, bits : remaining over all weights, and n, by layer
    pixels : calibration images, uint8 [N, C, H, W]
    known : scales of activations that the network's file gives, by node
    finetuning : of a network pruned by oneshot, before it is quantised
    patterns : of layers that have one, whatever their density
    progress : receives one line per layer that takes time, and what is worth knowing of branches
    """
    keep = kept_weights(network.spec, densities, patterns)

    def batches(some: np.ndarray) -> Iterator[Tensor]:
        for start in range(0, len(some), _BATCH):
            yield normalised(source, some[start : start + _BATCH])

    few = pixels[spread(len(pixels), CALIBRATION_IMAGES["magnitude"])]
    changed = balance(network, lambda: batches(few), progress)
    still = {name: scale for name, scale in known.items() if name not in changed}
    if method == "magnitude":  # changes what activations are, and is calibrated behind it
        levels = _put_on_levels(network, keep, bits, patterns)
        return assemble(network, levels, source, lambda: batches(few), note=progress, known=still)
    network.eval()
    units = scales(network, lambda: batches(few), source, known=still)
    some = pixels[spread(len(pixels), importance.IMAGES)]
    aim = importance.aim(network, normalised(source, some))
    if finetuning is not None:
        dense = copy.deepcopy(network)
        reconstruct.prune(
            network, keep, batches(pixels), progress, units, patterns, source.act_bits, aim
        )
        finetune(network, dense, source, units, finetuning, progress)
        units = scales(network, lambda: batches(few), source, known=still)
        levels = reconstruct.quantize_filters(
            network, bits, batches(pixels), units, progress, source.act_bits
        )
        return with_units(network, levels, source, units, progress)
    levels = reconstruct.prune_and_quantize(
        network, keep, bits, batches(pixels), units, progress, patterns, source.act_bits, aim
    )
    return with_units(network, levels, source, units, progress)


@torch.no_grad()
def _put_on_levels(
    network: Network, keep: Mapping[str, int], bits: Mapping[str, int], patterns: Patterns
) -> dict[str, Levels]:
    """The largest `keep` weights of each layer on nearest levels, an interval for each filter.

    A layer of which all weights stay has zero among its levels: there it says what any other does.
    """
    found = {}
    for name, mask in cut(network.weights, keep, patterns).items():
        weight, zeros = network.weights[name], keep[name] == mask.numel()
        flat, kept = weight.flatten(1), mask.flatten(1) & (weight.flatten(1) != 0)
        q = layerwise.intervals(flat, 1.0, bits[name], 0.0)
        q = q.clamp(min=float(q.max()) / _APART or 1.0)
        levels = layerwise.nearest(flat / q, bits[name], kept, zeros)
        weight.copy_((levels * q).reshape(weight.shape))
        values = levels.reshape(weight.shape).numpy()
        found[name] = Levels(values, q.double().flatten().numpy(), bits[name])
    return found
