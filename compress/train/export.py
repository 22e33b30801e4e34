"""From a quantised network to the integers that the machine executes (DESIGN: numerics).

Weights are already q * level. What is added here: the scale of every activation, found on
training images; biases in accumulator units; and each layer's requantisation constants.
"""

import math
from collections.abc import Callable, Iterable, Iterator
from functools import partial

import numpy as np
import torch
from torch import Tensor

from compress.data.datasets import Dataset
from compress.model.graph import (
    CompressedModel,
    Geometry,
    InputSpec,
    Layer,
    Node,
    finest_scale,
    fixed_point,
)
from compress.model.hostops import HostOp, Shape, pooling_window
from compress.model.nodes import NetworkSpec, NodeSpec
from compress.nn.network import Network
from compress.train.evaluation import some_images
from compress.train.stages import StageResult
from compress.zoo.networks import entry_for
from compress.zoo.recipe import Recipe
from cosign import CosignError

SCALE_BITS = 14
_TOP = 127
_BINS = 4096
_BATCH = 50
# Keep their input's scale; dropout does nothing in the machine.
_SCALE_KEEPING = ("maxpool", "flatten", "dropout")


def export(result: StageResult, recipe: Recipe, dataset: Dataset) -> CompressedModel:
    """The compressed model of a finished "quantize" stage.

    Activation scales are calibrated on the first training images. Raises CosignError when the
    stage is another one or a scale is out of the machine's range.
    """
    if result.stage != "quantize":
        raise CosignError(f"stage {result.stage} leaves no levels; export the quantize stage.")
    return integers(result.network, result.q, result.bits, dataset)


def integers(
    network: Network,
    q: dict[str, float],
    bits: dict[str, int],
    dataset: Dataset,
    scale_bits: int = SCALE_BITS,
) -> CompressedModel:
    """The compressed model of a network whose weights are q * level.

    Activation scales are calibrated on the first training images. Raises CosignError like
    `assemble`.
    """
    count = entry_for(network.spec).calibration_images
    source = input_spec(dataset.shape, dataset.mean, dataset.std)
    images = partial(some_images, dataset, count, _BATCH)
    return assemble(network, q, bits, source, images, scale_bits)


def input_spec(
    shape: tuple[int, int, int], mean: tuple[float, ...], std: tuple[float, ...]
) -> InputSpec:
    """The input with the finest scale at which no pixel saturates."""
    return InputSpec(shape, finest_scale(mean, std), mean, std)


def assemble(
    network: Network,
    q: dict[str, float],
    bits: dict[str, int],
    source: InputSpec,
    batches: Callable[[], Iterable[Tensor]],
    scale_bits: int = SCALE_BITS,
) -> CompressedModel:
    """The compressed model of a network whose weights are q * level.

    `batches()` yields normalised calibration images, float32 [N, C, H, W], the same each time;
    the scales of activations that they give are rounded to `scale_bits` significant bits.
    Raises CosignError when batch normalisation is not folded or a scale is out of range.
    """
    spec = network.spec
    normalised = [node.name for node in spec.nodes if node.batch_norm]
    if normalised:
        raise CosignError(
            f"layer {normalised[0]!r} is batch-normalised; fold the network before its levels are "
            "found."
        )
    network.eval()
    scales = _calibrate(network, batches, source.scale, scale_bits)
    q = {name: shortened(interval) for name, interval in q.items()}
    alias = {"input": "input"}  # a dropout is its input
    shapes: dict[str, Shape] = {"input": source.shape}
    nodes: list[Node] = []
    for node in spec.nodes:
        if node.op == "dropout":
            alias[node.name] = alias[node.input]
            continue
        alias[node.name] = node.name
        inputs = tuple(alias[name] for name in node.inputs)
        made: Node
        if node.op == "conv" or node.op == "linear":
            assert node.geometry is not None
            layer_bits, layer_q = bits[node.name], q[node.name]
            made = _layer(node, node.geometry, inputs[0], network, layer_q, layer_bits, scales)
        else:
            made = HostOp(node.name, node.op, inputs, _attributes(node, shapes[inputs[0]], scales))
        shapes[node.name] = made.output_shape([shapes[name] for name in inputs])
        nodes.append(made)
    return CompressedModel(spec.name, source, tuple(nodes))


def _attributes(node: NodeSpec, shape: Shape, scales: dict[str, float]) -> dict[str, float]:
    """A host operation's attributes with what brings its inputs to the scale of its output."""
    attrs = dict(node.attrs)
    factors = [scales[name] / scales[node.name] for name in node.inputs]
    if node.op == "lrn":
        return attrs | {"in_scale": scales[node.input], "out_scale": scales[node.name]}
    if node.op == "avgpool":
        height, width = pooling_window(attrs, shape).kernel
        factors = [factors[0] / (height * width)]
    elif node.op not in ("add", "concat", "relu"):
        return attrs
    # One shift for all: the largest factor gets 16 significant bits.
    _, shift = fixed_point(max(factors))
    for number, factor in enumerate(factors):
        attrs[f"mul{number}"] = min(round(factor * 2**shift), (1 << 16) - 1)
    attrs["shift"] = shift
    if node.op == "add":
        attrs["relu"] = int(node.relu)
    return attrs


def _layer(
    node: NodeSpec,
    geometry: Geometry,
    source: str,
    network: Network,
    q: float,
    bits: int,
    scales: dict[str, float],
) -> Layer:
    weight = network.weights[node.name].detach().contiguous().numpy()
    levels = np.rint(weight / np.float32(q)).astype(np.int8)
    unit = scales[node.input] * q  # real value of one accumulator unit
    bias = network.biases[node.name].detach().double().numpy()
    mul, shift = fixed_point(unit / scales[node.name])
    return Layer.from_dense(
        levels.reshape(geometry.out_channels, geometry.columns),
        name=node.name,
        input=source,
        geometry=geometry,
        bits=bits,
        q=q,
        bias=np.rint(bias / unit).astype(np.int64),
        mul=mul,
        shift=shift,
        relu=node.relu,
        in_scale=scales[node.input],
        out_scale=scales[node.name],
    )


def shortened(scale: float, bits: int = SCALE_BITS) -> float:
    """The scale in so many significant bits: the file writes 7 in two bytes, 14 in three."""
    mantissa, exponent = math.frexp(scale)
    return math.ldexp(round(math.ldexp(mantissa, bits)), exponent - bits)


def _owners(spec: NetworkSpec) -> dict[str, str]:
    """The node that decides each node's scale."""
    owners = {"input": "input"}
    for node in spec.nodes:
        keeps = node.op in _SCALE_KEEPING
        owners[node.name] = owners[node.input] if keeps else node.name
    return owners


def _calibrate(
    network: Network,
    batches: Callable[[], Iterable[Tensor]],
    input_scale: float,
    scale_bits: int,
) -> dict[str, float]:
    """Real value of one int8 unit of every node; the input's is given.

    A scale is judged by what finally reads it, after pooling. The output keeps its largest
    value: clipped logits would tie.
    """
    spec = network.spec
    owners = _owners(spec)
    last_reader = {owner: name for name, owner in owners.items()}
    watched = {name: owner for owner, name in last_reader.items() if owner != "input"}
    output = owners[spec.nodes[-1].name]
    largest = dict.fromkeys(watched.values(), 0.0)
    for name, values in _activations(network, batches):
        if name in watched:
            owner = watched[name]
            largest[owner] = max(largest[owner], float(values.abs().max()))
    counts = {owner: torch.zeros(_BINS, dtype=torch.float64) for owner in largest}
    for name, values in _activations(network, batches):
        if name in watched and largest[watched[name]] > 0:
            owner = watched[name]
            magnitude = values.abs()
            counts[owner] += torch.histc(magnitude[magnitude > 0], _BINS, 0, largest[owner])
    tops = {
        owner: top if owner == output else best_clip(counts[owner].numpy(), top)
        for owner, top in largest.items()
    }
    scales = {owner: shortened(top / _TOP, scale_bits) or 1.0 for owner, top in tops.items()}
    scales["input"] = input_scale
    return {name: scales[owner] for name, owner in owners.items()}


def _activations(
    network: Network, batches: Callable[[], Iterable[Tensor]]
) -> Iterator[tuple[str, Tensor]]:
    """(node, output) of every node for batch after batch."""
    with torch.no_grad():
        for x in batches():
            seen: list[tuple[str, Tensor]] = []
            network(x, observe=lambda name, value, seen=seen: seen.append((name, value)))
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
