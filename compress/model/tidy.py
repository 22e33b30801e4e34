"""The same network in fewer bytes: `tidy` removes what makes no difference and sorts channels.

Only integers are looked at, so the outputs are the same to the last bit:
- a filter that nothing reads loses its weights and bias;
- a filter without weights is a constant: it moves into the biases of the layers that read it;
- filters are reordered, the fullest first and the empty ones last, with the columns of the
  layers that read them. Which filters are empty then costs the entropy coder almost nothing.

Branches, local response normalisation, grouped convolutions and the output keep what they have.
"""

import dataclasses

import numpy as np

from compress.model import activations
from compress.model.graph import OF_FILTERS, CompressedModel, Layer


def tidy(model: CompressedModel, in_order: bool = False) -> CompressedModel:
    """An equivalent model; layers whose readers are unknown here stay as they are.

    in_order : leave filters where they are, as an N:M pattern needs it: which channels are a group
        is a matter of their order
    """
    weights = {layer.name: layer.dense_levels() for layer in model.layers}
    bias = {layer.name: layer.bias.copy() for layer in model.layers}
    readers = {layer.name: _readers(model, layer) for layer in model.layers}
    chains = [(layer, readers[layer.name]) for layer in model.layers if readers[layer.name]]
    # One filter less may leave another unread, before or after it: until nothing changes.
    while any(_clear(layer, targets, weights, bias) for layer, targets in chains):
        pass
    orders = (
        {}
        if in_order
        else {layer.name: _sort(layer, targets, weights, bias) for layer, targets in chains}
    )
    nodes = [
        _with(node, weights[node.name], bias[node.name], orders.get(node.name))
        if isinstance(node, Layer)
        else node
        for node in model.nodes
    ]
    return dataclasses.replace(model, nodes=tuple(nodes))


def _readers(model: CompressedModel, layer: Layer) -> list[Layer]:
    """The layers that read this one, through maxpool and flatten; none when others do too."""
    if layer.geometry.groups != 1 or layer.name in model.outputs:
        return []
    readers: list[Layer] = []
    carriers = {layer.name}
    for node in model.nodes:
        if carriers.isdisjoint(node.inputs):
            continue
        if isinstance(node, Layer):
            if node.geometry.groups != 1:
                return []
            readers.append(node)
        elif node.op in ("maxpool", "flatten") and node.name not in model.outputs:
            carriers.add(node.name)
        else:
            return []
    return readers


def _columns(layer: Layer, reader: Layer, weights: dict[str, np.ndarray]) -> np.ndarray:
    """A view of the reader's weights as [its filters, the layer's filters, columns of each]."""
    dense = weights[reader.name]
    return dense.reshape(len(dense), layer.geometry.out_channels, -1)


def _clear(
    layer: Layer,
    targets: list[Layer],
    weights: dict[str, np.ndarray],
    bias: dict[str, np.ndarray],
) -> bool:
    """Empty this layer's filters that make no difference; returns whether there were any."""
    filters, own = weights[layer.name], bias[layer.name]
    views = [_columns(layer, reader, weights) for reader in targets]
    read = np.any([view.any(axis=(0, 2)) for view in views], axis=0)
    # A constant is the same at every pixel only where no zero padding meets it.
    constant = (own * layer.mul + (np.int64(1) << (layer.shift - 1))) >> layer.shift
    constant = np.clip(constant, *activations.bounds(layer.act_bits, layer.relu))
    padded = any(max(reader.geometry.padding) for reader in targets)
    folded = read & ~filters.any(axis=1) & ((constant == 0) | (not padded))
    for view, reader in zip(views, targets, strict=True):
        sums = view.astype(np.int64).sum(axis=2)
        bias[reader.name] += sums[:, folded] @ constant[folded]
        view[:, folded] = 0
    unread = ~(read & ~folded)
    changed = bool(folded.any() or filters[unread].any() or own[unread].any())
    filters[unread] = 0
    own[unread] = 0
    return changed


def _sort(
    layer: Layer,
    targets: list[Layer],
    weights: dict[str, np.ndarray],
    bias: dict[str, np.ndarray],
) -> np.ndarray:
    """Returns which filter comes to each place."""
    filled = np.count_nonzero(weights[layer.name], axis=1) * 2 + (bias[layer.name] != 0)
    order = np.argsort(-filled, kind="stable")
    weights[layer.name] = weights[layer.name][order]
    bias[layer.name] = bias[layer.name][order]
    for reader in targets:
        view = _columns(layer, reader, weights)
        view[:] = view[:, order]
    return order


def _with(layer: Layer, dense: np.ndarray, bias: np.ndarray, order: np.ndarray | None) -> Layer:
    """The layer with these weights and biases, its filters' scales in this order."""
    kept = {
        field.name: getattr(layer, field.name)
        for field in dataclasses.fields(layer)
        if field.name not in ("row_ptr", "col_idx", "levels", "bias")
    }
    if order is not None:
        kept |= {name: kept[name][order] for name in OF_FILTERS}
    return Layer.from_dense(dense, bias=bias, **kept)
