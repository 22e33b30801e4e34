"""A network's file before it has weights: what cannot be written is found before it is trained."""

from compress.file import container
from compress.model import activations
from compress.model.graph import CompressedModel, Layer, Node
from compress.model.nodes import NetworkSpec
from compress.posttrain.integers import blank
from cosign import CosignError


def rehearse(spec: NetworkSpec, act_bits: int = activations.MOST) -> CompressedModel:
    """The network with next to no weights, as it is read from the file that it makes in memory.

    Raises CosignError when the network cannot be written, or is another one when it is read.
    """
    model = blank(spec, act_bits)
    try:
        read = container.from_bytes(container.to_bytes(model))
    except CosignError as error:
        raise CosignError(f"{spec.name} cannot be written as model.cosign: {error}") from error
    if model.outputs != read.outputs:
        raise CosignError(
            f"{spec.name} cannot be written as model.cosign: its outputs are read as others; "
            "report it."
        )
    for wanted, found in zip(model.nodes, read.nodes, strict=True):
        if _structure(wanted) != _structure(found):
            raise CosignError(
                f"{spec.name} cannot be written as model.cosign: node {wanted.name!r} is read as "
                "another one; report it."
            )
    return read


def _structure(node: Node) -> tuple[object, ...]:
    """What of a node is no weight."""
    if isinstance(node, Layer):
        requantiser = node.mul.tolist(), node.shift.tolist()
        return node.name, node.inputs, node.geometry, node.relu, *requantiser
    return node.name, node.inputs, node.op, node.attrs, node.table, node.layout
