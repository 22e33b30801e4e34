"""Networks with activations of fewer bits, made of ones with 8."""

import dataclasses

import numpy as np

from compress.model.graph import CompressedModel
from compress.model.hostops import HostOp


def with_act_bits(model: CompressedModel, act_bits: int) -> CompressedModel:
    """The same nodes; a function's table is that of every so many inputs, its outputs shortened."""
    fewer = 8 - act_bits
    nodes = []
    for node in model.nodes:
        changed = {"act_bits": act_bits}
        if isinstance(node, HostOp) and node.table:
            values = np.frombuffer(node.table, np.int8)[:: 1 << fewer] >> fewer
            changed |= {"table": values.tobytes()}
        nodes.append(dataclasses.replace(node, **changed))
    source = dataclasses.replace(model.input, act_bits=act_bits)
    return dataclasses.replace(model, input=source, nodes=tuple(nodes))
