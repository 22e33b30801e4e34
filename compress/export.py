"""From a quantised network to the integers that the machine executes (DESIGN: numerics).

Weights are already q * level. What is added here: the scale of every activation, found on
training images; biases in accumulator units; and each layer's requantisation constants.
"""

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from compress.data import Dataset
from compress.graph import CompressedModel, Geometry, InputSpec, Layer, Node
from compress.hostops import HostOp
from compress.networks import NetworkSpec, NodeSpec
from compress.recipes import Recipe
from compress.stages import StageResult
from compress.train import to_input
from cosign import CosignError

_TOP = 127
_BINS = 4096
_BATCH = 50
# Keep their input's scale; dropout does nothing in the machine.
_SCALE_KEEPING = ("maxpool", "flatten", "dropout")
CALIBRATION_IMAGES = {"lenet5": 2000, "alexnet": 100}


def export(result: StageResult, recipe: Recipe, dataset: Dataset) -> CompressedModel:
    """The compressed model of a finished "quantize" stage.

    Activation scales are calibrated on the first training images. Raises CosignError when the
    stage is another one or a scale is out of the machine's range.
    """
    if result.stage != "quantize":
        raise CosignError(f"stage {result.stage} leaves no levels; export the quantize stage.")
    spec = recipe.spec
    pixel_range = [
        max(mean, 1 - mean) / std for mean, std in zip(dataset.mean, dataset.std, strict=True)
    ]
    source = InputSpec(dataset.shape, max(pixel_range) / _TOP, dataset.mean, dataset.std)
    scales = {"input": source.scale, **_calibrate(result, dataset, recipe)}
    alias = {"input": "input"}  # a dropout is its input
    nodes: list[Node] = []
    for node in spec.nodes:
        alias[node.name] = node.name
        if node.op == "dropout":
            alias[node.name] = alias[node.input]
        elif node.geometry is not None:
            nodes.append(_layer(node, node.geometry, alias[node.input], result, recipe, scales))
        elif node.op in ("maxpool", "lrn", "flatten"):
            attrs = dict(node.attrs)
            if node.op == "lrn":
                attrs |= {"in_scale": scales[node.input], "out_scale": scales[node.name]}
            nodes.append(HostOp(node.name, node.op, (alias[node.input],), attrs))
    return CompressedModel(spec.name, source, tuple(nodes))


def fixed_point(factor: float) -> tuple[int, int]:
    """(mul, shift) with mul / 2**shift nearest to `factor` and 2**15 <= mul < 2**16.

    Raises CosignError when the shift leaves 1..47.
    """
    if not factor > 0 or not math.isfinite(factor):
        raise CosignError(f"a requantisation factor is {factor}, must be positive.")
    mantissa, exponent = math.frexp(factor)
    mul, shift = round(mantissa * (1 << 16)), 16 - exponent
    if mul == 1 << 16:
        mul, shift = 1 << 15, shift - 1
    if not 1 <= shift <= 47:
        raise CosignError(
            f"a requantisation factor is {factor:.3g}, outside the machine's range; the network "
            "did not train properly."
        )
    return mul, shift


def _layer(
    node: NodeSpec,
    geometry: Geometry,
    source: str,
    result: StageResult,
    recipe: Recipe,
    scales: dict[str, float],
) -> Layer:
    q = result.q[node.name]
    weight = result.network.weights[node.name].detach().contiguous().numpy()
    levels = np.rint(weight / np.float32(q)).astype(np.int8)
    unit = scales[node.input] * q  # real value of one accumulator unit
    bias = result.network.biases[node.name].detach().double().numpy()
    mul, shift = fixed_point(unit / scales[node.name])
    return Layer.from_dense(
        levels.reshape(geometry.out_channels, geometry.columns),
        name=node.name,
        input=source,
        geometry=geometry,
        bits=recipe.bits[node.name],
        q=q,
        bias=np.rint(bias / unit).astype(np.int64),
        mul=mul,
        shift=shift,
        relu=node.relu,
        in_scale=scales[node.input],
        out_scale=scales[node.name],
    )


def _owners(spec: NetworkSpec) -> dict[str, str]:
    """The node that decides each node's scale."""
    owners = {"input": "input"}
    for node in spec.nodes:
        keeps = node.op in _SCALE_KEEPING
        owners[node.name] = owners[node.input] if keeps else node.name
    return owners


def _calibrate(result: StageResult, dataset: Dataset, recipe: Recipe) -> dict[str, float]:
    """Real value of one int8 unit of every node but the input.

    A scale is judged by what finally reads it, after pooling. The output keeps its largest
    value: clipped logits would tie.
    """
    spec = result.network.spec
    owners = _owners(spec)
    last_reader = {owner: name for name, owner in owners.items()}
    watched = {name: owner for owner, name in last_reader.items() if owner != "input"}
    output = owners[spec.nodes[-1].name]
    largest = dict.fromkeys(watched.values(), 0.0)
    for name, values in _activations(result, dataset, recipe):
        if name in watched:
            owner = watched[name]
            largest[owner] = max(largest[owner], float(values.abs().max()))
    counts = {owner: torch.zeros(_BINS, dtype=torch.float64) for owner in largest}
    for name, values in _activations(result, dataset, recipe):
        if name in watched and largest[watched[name]] > 0:
            owner = watched[name]
            magnitude = values.abs()
            counts[owner] += torch.histc(magnitude[magnitude > 0], _BINS, 0, largest[owner])
    scales = {
        owner: (top if owner == output else best_clip(counts[owner].numpy(), top)) / _TOP or 1.0
        for owner, top in largest.items()
    }
    return {name: scales[owner] for name, owner in owners.items() if owner != "input"}


def _activations(
    result: StageResult, dataset: Dataset, recipe: Recipe
) -> Iterator[tuple[str, Tensor]]:
    """(node, output) of every node for batch after batch of training images."""
    count = min(CALIBRATION_IMAGES[recipe.network], len(dataset.train.labels))
    order = np.random.default_rng(0).permutation(len(dataset.train.labels))[:count]
    with torch.no_grad():
        for start in range(0, count, _BATCH):
            seen: list[tuple[str, Tensor]] = []
            x = to_input(dataset, dataset.train.images(order[start : start + _BATCH]))
            result.network(x, observe=lambda name, value, seen=seen: seen.append((name, value)))
            yield from seen


def best_clip(counts: np.ndarray, largest: float) -> float:
    """The clipping magnitude with the least expected square error of int8 rounding.

    `counts` is a histogram of non-zero magnitudes over 0..`largest`. Rounding costs step^2 / 12
    per value below the clip, clipping its square distance above.
    """
    bins = len(counts)
    centres = (np.arange(bins) + 0.5) * largest / bins
    clips = (np.arange(bins // 8, bins) + 1) * largest / bins
    inside = np.cumsum(counts)[bins // 8 :]
    # sum over values above the clip of (value - clip)^2, by suffix moments
    moments = [
        np.append(np.cumsum((counts * centres**power)[::-1])[::-1], 0.0)[bins // 8 + 1 :]
        for power in range(3)
    ]
    clipped = moments[2] - 2 * clips * moments[1] + clips**2 * moments[0]
    return float(clips[np.argmin(inside * (clips / _TOP) ** 2 / 12 + clipped)])
