"""From a quantised network to the integers that the machine executes (docs/method.md).

Weights have their levels. What is added here: the scale of every activation, found on calibration
images; biases in accumulator units; and each layer's requantisation constants.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from compress.data.datasets import Dataset
from compress.data.pixels import some_images
from compress.model import activations, functions
from compress.model.graph import (
    LARGEST_BIAS,
    CompressedModel,
    Geometry,
    InputSpec,
    Layer,
    Node,
    finest_scale,
    fixed_point,
)
from compress.model.hostops import HostOp, Shape, pooling_window
from compress.model.levels import Levels
from compress.model.nodes import NetworkSpec, NodeSpec
from compress.nn.network import Network
from compress.posttrain.calibration import SCALE_BITS, Batches, scales, shortened
from compress.zoo.networks import entry_for
from cosign import CosignError

_BATCH = 50
_BIAS_PARTS = 256
_FILTER_BITS = 10  # of q where filters have their own: a thousandth is less than a level's step


def input_spec(
    shape: tuple[int, int, int],
    mean: tuple[float, ...],
    std: tuple[float, ...],
    act_bits: int = activations.MOST,
) -> InputSpec:
    """The input with the finest scale at which no pixel saturates."""
    return InputSpec(shape, finest_scale(mean, std, act_bits), mean, std, act_bits)


def assemble(
    network: Network,
    levels: Mapping[str, Levels],
    source: InputSpec,
    batches: Batches,
    scale_bits: int = SCALE_BITS,
    note: Callable[[str], None] = lambda _: None,
    known: Mapping[str, float] = MappingProxyType({}),
) -> CompressedModel:
    """As `with_units`, with the scales of activations that the quantised network itself needs.

    batches, scale_bits, known : as for `calibration.scales`
    """
    network.eval()
    units = scales(network, batches, source, scale_bits, known)
    return with_units(network, levels, source, units, note)


def with_units(
    network: Network,
    levels: Mapping[str, Levels],
    source: InputSpec,
    units: Mapping[str, float],
    note: Callable[[str], None] = lambda _: None,
) -> CompressedModel:
    """The compressed model of a quantised network.

    network : its weights are q * level
    levels : of its weights, by layer; they and no others come into the model
    units : real value of one unit of every node's output, and of the input
    note : gets a line for each branch of an add or concat that is too small for its units

    Raises CosignError when batch normalisation is not folded or a scale is out of range.
    """
    spec = network.spec
    normalised = [node.name for node in spec.nodes if node.batch_norm]
    if normalised:
        raise CosignError(
            f"layer {normalised[0]!r} is batch-normalised; fold the network before its levels are "
            "found."
        )
    biases = {name: bias.detach().double().numpy() for name, bias in network.biases.items()}
    model = _model(spec, source, levels, biases, units)
    for line in _lost_branches(model, units):
        note(line)
    return model


def blank(spec: NetworkSpec, act_bits: int = activations.MOST) -> CompressedModel:
    """The network with a single weight in every layer and one scale for all activations.

    Whether a network can be written, read and packed for a core depends on little else.
    """
    channels = spec.shape[0]
    source = input_spec(spec.shape, (0.0,) * channels, (1.0,) * channels, act_bits)
    levels = {}
    for name, geometry in spec.geometries.items():
        values = np.zeros((geometry.out_channels, geometry.columns), np.int8)
        values[0, 0] = 1
        levels[name] = Levels(values, np.ones(()), 1)
    biases = {name: np.zeros(g.out_channels) for name, g in spec.geometries.items()}
    units = dict.fromkeys(spec.shapes, source.scale)
    return _model(spec.folded(), source, levels, biases, units)


def _model(
    spec: NetworkSpec,
    source: InputSpec,
    levels: Mapping[str, Levels],
    biases: Mapping[str, np.ndarray],
    units: Mapping[str, float],
) -> CompressedModel:
    """The nodes as the machine has them.

    biases : by layer, float64, real
    units : real value of one unit of every node's output, and of the input
    """
    alias = {"input": "input"}  # a dropout is its input
    shapes = spec.shapes
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
            made = _layer(
                node,
                node.geometry,
                inputs[0],
                levels[node.name],
                biases[node.name],
                units,
                source.act_bits,
            )
        else:
            table = b""
            if node.op == "function":
                scale = units[node.input]
                table = functions.table(node.program, scale, units[node.name], source.act_bits)
            attributes = _attributes(node, shapes[node.input], units)
            made = HostOp(
                node.name, node.op, inputs, attributes, table, node.layout, source.act_bits
            )
        nodes.append(made)
    outputs = tuple(alias[name] for name in spec.outputs)
    return CompressedModel(spec.name, source, tuple(nodes), outputs)


def from_dataset(
    network: Network,
    levels: Mapping[str, Levels],
    dataset: Dataset,
    scale_bits: int = SCALE_BITS,
    note: Callable[[str], None] = lambda _: None,
    act_bits: int = activations.MOST,
) -> CompressedModel:
    """As `assemble`, calibrated on some training images."""
    count = entry_for(network.spec).calibration_images
    source = input_spec(dataset.shape, dataset.mean, dataset.std, act_bits)
    images = partial(some_images, dataset, count, _BATCH)
    return assemble(network, levels, source, images, scale_bits, note)


def _attributes(node: NodeSpec, shape: Shape, units: Mapping[str, float]) -> dict[str, float]:
    """A host operation's attributes with what brings its inputs to its own unit."""
    attrs = dict(node.attrs)
    factors = [units[name] / units[node.name] for name in node.inputs]
    if node.op == "lrn":
        return attrs | {"in_scale": units[node.input], "out_scale": units[node.name]}
    if node.op == "avgpool":
        height, width = pooling_window(attrs, shape).kernel
        factors = [factors[0] / (height * width)]
    elif node.op == "function":
        return {"out_scale": units[node.name]}
    elif node.op == "mul":
        factors = [factors[0] * units[node.inputs[1]]]
    elif node.op not in ("add", "concat", "relu"):
        return attrs
    # One shift for all: the largest factor gets 16 significant bits.
    shift = int(fixed_point(max(factors))[1])
    for number, factor in enumerate(factors):
        attrs[f"mul{number}"] = min(round(factor * 2**shift), (1 << 16) - 1)
    attrs["shift"] = shift
    if node.op == "add":
        attrs["relu"] = int(node.relu)
    return attrs


def _lost_branches(model: CompressedModel, units: Mapping[str, float]) -> Iterator[str]:
    """What to say of branches of which not even the largest value reaches half a unit."""
    largest = -activations.lowest(model.act_bits)
    for node in model.nodes:
        if not isinstance(node, HostOp) or node.op not in ("add", "concat"):
            continue
        for number, name in enumerate(node.inputs):
            if largest * node.attrs[f"mul{number}"] * 2 < 2 ** node.attrs["shift"]:
                smaller = units[node.name] / units[name]
                yield (
                    f"{node.op} {node.name!r}: its branch {name!r} is zero in the integers, since "
                    f"it is {smaller:.3g} times smaller than the whole."
                )


def _without_weights(node: NodeSpec, units: Mapping[str, float]) -> float:
    """q of a layer of biases alone, which come to parts of its output's unit."""
    return units[node.name] / units[node.input] / _BIAS_PARTS


def _layer(
    node: NodeSpec,
    geometry: Geometry,
    source: str,
    levels: Levels,
    bias: np.ndarray,
    units: Mapping[str, float],
    act_bits: int,
) -> Layer:
    values = levels.values.reshape(geometry.out_channels, geometry.columns)
    alone = _without_weights(node, units)
    q, short = levels.q, partial(shortened, bits=_FILTER_BITS if levels.q.ndim else SCALE_BITS)
    if q.ndim:
        q = np.where(values.any(axis=1), q, alone)
    q = np.vectorize(short, otypes=[np.float64])(q if values.any() else alone)
    unit = units[node.input] * q  # real value of one accumulator unit
    mul, shift = fixed_point(unit / units[node.name])
    return Layer.from_dense(
        values,
        name=node.name,
        input=source,
        geometry=geometry,
        bits=levels.bits,
        q=q,
        bias=np.rint(np.clip(bias / unit, -LARGEST_BIAS, LARGEST_BIAS)).astype(np.int64),
        mul=mul,
        shift=shift,
        relu=node.relu,
        in_scale=units[node.input],
        out_scale=units[node.name],
        act_bits=act_bits,
    )
