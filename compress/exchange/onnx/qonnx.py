"""Quant and BipolarQuant of QONNX, which Brevitas, HAWQ and QKeras write, as ONNX's own nodes.

Source: qonnx, docs/qonnx-custom-ops; arXiv:2206.07527.
"""

import numpy as np
import onnx_ir as ir

from compress.exchange.onnx.grids import ROUNDINGS, Grid, bounds
from compress.exchange.onnx.quantised import Dequantiser, Rule
from compress.exchange.onnx.rewriting import Rewriting, array, attribute


def _quant(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    x = node.inputs[0]
    assert x is not None
    scale, zero, bits = (array(value) for value in node.inputs[1:4])
    mode = str(attribute(node, "rounding_mode", "ROUND")).upper()
    signed, narrow = attribute(node, "signed", 1), attribute(node, "narrow", 0)
    if scale is None or zero is None or bits is None or mode not in ROUNDINGS:
        return
    if signed and (bits == 1).all():
        _signs(at, x, scale, zero)
        return
    low, high = bounds(bits, bool(signed), bool(narrow))
    constant = array(x)
    if constant is not None:
        q = ROUNDINGS[mode](np.clip(constant / scale + zero, low, high))
        at.give(at.constant((q - zero) * scale, x))
        return
    if bits.size > 1 or not (zero == np.rint(zero)).all():
        return
    at.give(of.rounded(at, x, Grid(scale, zero, int(low.min()), int(high.max())), mode))


def _bipolar(of: Dequantiser, node: ir.Node, at: Rewriting) -> None:
    scale = array(node.inputs[1])
    if node.inputs[0] is not None and scale is not None:
        _signs(at, node.inputs[0], scale, np.zeros(()))


def _signs(at: Rewriting, x: ir.Value, scale: np.ndarray, zero: np.ndarray) -> None:
    """(s - zero) scale, where s is 1 if x / scale + zero is 0 or more, and -1 elsewhere."""
    constant = array(x)
    if constant is not None:
        signs = np.where(constant / scale + zero >= 0, 1, -1)
        at.give(at.constant((signs - zero) * scale, x))
        return
    if zero.any():
        x = at.op("Add", at.op("Div", x, at.constant(scale)), at.constant(zero))
    # Sign is 0 at 0, where 1 is wanted
    twice = at.op("Mul", at.op("Sign", x), at.constant(2))
    sign = at.op("Sign", at.op("Add", twice, at.constant(1)))
    if zero.any():
        sign = at.op("Sub", sign, at.constant(zero))
    at.give(at.op("Mul", sign, at.constant(scale)))


QONNX: dict[str, Rule] = {"Quant": _quant, "IntQuant": _quant, "BipolarQuant": _bipolar}
