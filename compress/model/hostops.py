"""Host operations: the nodes between accelerated layers, their attributes and their shapes.

What they compute, in integers, is in `sim.golden`; docs/format.md specifies it.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from compress.model import activations
from cosign import CosignError

HostOpName = Literal[
    "maxpool",
    "avgpool",
    "lrn",
    "flatten",
    "add",
    "concat",
    "relu",
    "function",
    "take",
    "permute",
    "mul",
]
Shape = tuple[int, int, int]
Layout = tuple[tuple[int, ...], ...]
"""Of take and permute: three lists of whole numbers."""

_SIDES = ("kernel", "stride", "padding", "end", "dilation")
_POOL = (*_SIDES[:4], "dilation", *(f"{side}1" for side in _SIDES))
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "maxpool": _POOL,
    "avgpool": (*_POOL, "exclude", "mul0", "shift"),
    "lrn": ("size", "alpha", "beta", "k", "in_scale", "out_scale"),
    "flatten": (),
    "add": ("mul0", "mul1", "shift", "relu"),
    "concat": ("shift",),
    "relu": ("mul0", "shift"),
    "function": ("out_scale",),
    "take": (),
    "permute": (),
    "mul": ("mul0", "shift"),
}
REAL_ATTRIBUTES = ("alpha", "beta", "k", "in_scale", "out_scale")
SCALE_KEEPING = ("maxpool", "flatten", "take", "permute")
"""Operations that only move or choose values: a unit of their output is one of their input."""


@dataclass(frozen=True)
class HostOp:
    """One node that the host computes on maps of int8, `act_bits` of it, [channels, height, width].

    op and attrs (pixels; integers unless called real):
    - "maxpool": kernel, stride, padding (0 when absent), end, the padding below (as `padding` when
      absent), and dilation (1 when absent), all of the vertical axis; kernel1, stride1, padding1,
      end1, dilation1 of the horizontal one (as those when absent). kernel 0 is the whole axis
    - "avgpool": the same; exclude 1 (0 when absent) divides by the pixels of a window that are no
      padding; mul0, shift
    - "lrn": size, and real alpha, beta, k, in_scale, out_scale (local response normalisation)
    - "flatten": to [channels * height * width, 1, 1]
    - "add": two maps; mul0, mul1, shift, relu (0 or 1)
    - "mul": the product of two maps, times mul0 / 2**shift
    - "concat": maps of one height and width, joined by channel; mul0, mul1, ..., shift
    - "relu": mul0, shift
    - "function": y = table[x - least x], any function of one value; real out_scale
    - "take": the rows, columns and channels that `layout` lists
    - "permute": reshaped, transposed, reshaped, as `layout` says

    Of add and mul, one map may have a single channel, row or column where the other has more.
    mul<i> / 2**shift brings input i to the scale of the output; 0 <= mul<i> < 2**16 and
    1 <= shift <= 47, as in a layer.

    act_bits : of its inputs and its output, two's complement, 4..8
    table : int8 [2**act_bits], or [channels, 2**act_bits], as bytes
    layout : of take, what lies at each channel, row and column of the output: the number of one of
        the input's, or -1 for zeros; of permute, the dimensions to reshape to, their new order,
        and the (channels, height, width) that it gives
    """

    name: str
    op: HostOpName
    inputs: tuple[str, ...]
    attrs: dict[str, float] = dataclasses.field(default_factory=dict)
    table: bytes = b""
    layout: Layout = ()
    act_bits: int = 8

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        object.__setattr__(self, "layout", tuple(map(tuple, self.layout)))
        if self.op not in _ATTRIBUTES:
            raise CosignError(
                f"node {self.name!r}: host operation {self.op!r} is not one of "
                f"{', '.join(_ATTRIBUTES)}."
            )
        activations.check(self.act_bits, f"node {self.name!r}")
        check_inputs(self.name, self.op, len(self.inputs))
        attrs = dict(self.attrs)
        if self.op in ("maxpool", "avgpool"):
            attrs = _sides(attrs)
        if self.op == "avgpool":
            attrs.setdefault("exclude", 0)
        object.__setattr__(self, "attrs", attrs)
        self._validate()

    def _validate(self) -> None:
        wanted = attribute_names(self.op, len(self.inputs))
        if set(self.attrs) != set(wanted):
            raise CosignError(
                f"node {self.name!r}: {self.op} needs the attributes "
                f"{', '.join(wanted) or 'none'}, not {', '.join(self.attrs) or 'none'}."
            )
        for key, value in self.attrs.items():
            number = isinstance(value, int | float) and math.isfinite(value)
            if not number or (key not in REAL_ATTRIBUTES and value != int(value)):
                kind = "real" if key in REAL_ATTRIBUTES else "whole"
                raise CosignError(
                    f"node {self.name!r}: {key} is {value!r}, must be a {kind} number."
                )
        for key in wanted:
            low, high = _bounds(key)
            if not low <= self.attrs[key] <= high:
                raise CosignError(
                    f"node {self.name!r}: {key} is {self.attrs[key]}, must be {low:g}..{high:g}."
                )
        tables, rest = divmod(len(self.table), self.entries)
        if rest or (tables > 0) != (self.op == "function"):
            raise CosignError(
                f"node {self.name!r}: {self.op} has a table of {len(self.table)} values; a "
                f"function needs {self.entries} for all or for each channel, others none."
            )
        values = np.frombuffer(self.table, np.int8)
        activations.check_values(values, self.act_bits, f"the table of node {self.name!r}")
        if len(self.layout) != (3 if self.op in ("take", "permute") else 0):
            raise CosignError(f"node {self.name!r}: {self.op} has a layout that does not fit it.")

    @property
    def entries(self) -> int:
        """Of a table: the values that an activation has."""
        return 1 << self.act_bits

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """(channels, height, width) for inputs of `shapes`; raises CosignError if impossible."""
        tables = len(self.table) // self.entries
        if self.op == "function" and tables not in (1, shapes[0][0]):
            raise CosignError(
                f"node {self.name!r}: {tables} tables do not fit {shapes[0][0]} channels."
            )
        return output_shape(self.name, self.op, self.attrs, shapes, self.layout)


def _bounds(key: str) -> tuple[float, float]:
    if key.startswith("mul"):
        return 0, (1 << 16) - 1
    return {
        "shift": (1, 47),
        "relu": (0, 1),
        "exclude": (0, 1),
        "kernel": (0, 1 << 15),
        "stride": (1, 1 << 15),
        "padding": (0, 1 << 15),
        "end": (0, 1 << 15),
        "dilation": (1, 1 << 15),
        "size": (1, 1 << 15),
        "in_scale": (1e-30, 1e30),
        "out_scale": (1e-30, 1e30),
        "alpha": (0, 1e30),
        "beta": (0, 1e3),
        "k": (1e-30, 1e30),
    }.get(key.rstrip("1"), (-1e300, 1e300))


def attribute_names(op: HostOpName, inputs: int) -> tuple[str, ...]:
    """The attributes of an operation on so many inputs, in the order of the file."""
    if op == "concat":
        return (*(f"mul{i}" for i in range(inputs)), *_ATTRIBUTES[op])
    return _ATTRIBUTES[op]


def check_inputs(name: str, op: str, count: int) -> None:
    """Raises CosignError unless `op` reads `count` inputs."""
    if op == "concat":
        right, wanted = count >= 1, "at least one input"
    elif op in ("add", "mul"):
        right, wanted = count == 2, "two inputs"
    else:
        right, wanted = count == 1, "one input"
    if not right:
        raise CosignError(f"node {name!r}: {op} takes {wanted}, not {count}.")


def _sides(attrs: dict[str, float]) -> dict[str, float]:
    """A pooling's attributes with those that follow from others, in the order of the file."""
    attrs = {"padding": 0, "dilation": 1} | attrs
    attrs.setdefault("end", attrs["padding"])
    for side in _SIDES:
        if side in attrs:
            attrs.setdefault(f"{side}1", attrs[side])
    return attrs


Pair = tuple[int, int]


class Window(NamedTuple):
    """A pooling, (vertical, horizontal) in pixels; `padding` before and `end` after a map."""

    kernel: Pair
    stride: Pair
    padding: Pair
    end: Pair
    dilation: Pair

    @property
    def reach(self) -> Pair:
        """Pixels from a window's first to its last, both included."""
        down, right = (
            step * (size - 1) + 1 for step, size in zip(self.dilation, self.kernel, strict=True)
        )
        return down, right


def pooling_window(attrs: dict[str, float], shape: Shape) -> Window:
    """The window of a pooling over maps of `shape`."""
    attrs = _sides(attrs)
    pairs = {side: (int(attrs[side]), int(attrs[f"{side}1"])) for side in _SIDES}
    down, right = pairs["kernel"]
    return Window(**pairs | {"kernel": (down or shape[1], right or shape[2])})


def _pooled_shape(name: str, op: str, attrs: dict[str, float], shape: Shape) -> Shape:
    window = pooling_window(attrs, shape)
    sizes = []
    for length, reach, stride, padding, end in zip(
        shape[1:], window.reach, window.stride, window.padding, window.end, strict=True
    ):
        # as in torch: more padding could leave a window without a single pixel
        if 2 * padding > reach:
            raise CosignError(
                f"node {name!r}: padding is {padding}, must be at most half the kernel {reach}."
            )
        if end >= reach:
            raise CosignError(f"node {name!r}: end is {end}, must be less than the kernel {reach}.")
        sizes.append((length + padding + end - reach) // stride + 1)
    if min(sizes) < 1:
        raise CosignError(
            f"node {name!r}: the kernel {window.reach} is larger than the padded "
            f"{shape[1]} x {shape[2]} input."
        )
    return shape[0], sizes[0], sizes[1]


def _broadcast_shape(name: str, op: str, shapes: Sequence[Shape]) -> Shape:
    try:
        channels, height, width = np.broadcast_shapes(*shapes)
    except ValueError as error:
        verb = "adds" if op == "add" else "multiplies"
        raise CosignError(
            f"node {name!r} {verb} maps of {shapes[0]} and {shapes[1]}; their shapes must be "
            "equal, or 1 where they differ."
        ) from error
    return channels, height, width


def _laid_out_shape(name: str, op: str, layout: Layout, shape: Shape) -> Shape:
    if op == "take":
        for places, size in zip(layout, shape, strict=True):
            if not places or min(places) < -1 or max(places) >= size:
                raise CosignError(f"node {name!r} takes what a map of {shape} has not.")
        return len(layout[0]), len(layout[1]), len(layout[2])
    sizes, order, result = layout
    volume = math.prod(shape)
    if (
        min((*sizes, *result, volume)) < 1
        or len(result) != 3
        or sorted(order) != list(range(len(sizes)))
        or {math.prod(sizes), math.prod(result)} != {volume}
    ):
        raise CosignError(f"node {name!r} permutes a map of {shape} in a way that does not fit it.")
    return result[0], result[1], result[2]


def output_shape(
    name: str, op: str, attrs: dict[str, float], shapes: Sequence[Shape], layout: Layout = ()
) -> Shape:
    """Shape of a host operation's (or dropout's) output; raises CosignError if impossible."""
    channels, height, width = shapes[0]
    if op in ("maxpool", "avgpool"):
        return _pooled_shape(name, op, attrs, shapes[0])
    if op == "flatten":
        return channels * height * width, 1, 1
    if op in ("add", "mul"):
        return _broadcast_shape(name, op, shapes)
    if op in ("take", "permute"):
        return _laid_out_shape(name, op, layout, shapes[0])
    if op == "concat":
        if any(shape[1:] != (height, width) for shape in shapes):
            raise CosignError(
                f"node {name!r} joins maps of {', '.join(map(str, shapes))}; their heights and "
                "widths must be equal."
            )
        channels = sum(shape[0] for shape in shapes)
    return channels, height, width
