"""Host operations: the nodes between accelerated layers, their attributes and their shapes.

What they compute, in integers, is in `sim.golden`; docs/format.md specifies it.
"""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from cosign import CosignError

HostOpName = Literal["maxpool", "avgpool", "lrn", "flatten", "add", "concat", "relu"]
Shape = tuple[int, int, int]

_POOL = ("kernel", "stride", "padding", "end")
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "maxpool": _POOL,
    "avgpool": (*_POOL, "exclude", "mul0", "shift"),
    "lrn": ("size", "alpha", "beta", "k", "in_scale", "out_scale"),
    "flatten": (),
    "add": ("mul0", "mul1", "shift", "relu"),
    "concat": ("shift",),
    "relu": ("mul0", "shift"),
}
REAL_ATTRIBUTES = ("alpha", "beta", "k", "in_scale", "out_scale")


@dataclass(frozen=True)
class HostOp:
    """One node that the host computes on int8 maps [channels, height, width].

    op and attrs (pixels; integers unless called real):
    - "maxpool": kernel, stride, padding (0 when absent), all square; end, the padding below and on
      the right (as `padding` when absent)
    - "avgpool": the same; kernel 0 is the whole map; exclude 1 (0 when absent) divides by the
      pixels of a window that are no padding; mul0, shift
    - "lrn": size, and real alpha, beta, k, in_scale, out_scale (local response normalisation)
    - "flatten": to [channels * height * width, 1, 1]
    - "add": two maps of one shape; mul0, mul1, shift, relu (0 or 1)
    - "concat": maps of one height and width, joined by channel; mul0, mul1, ..., shift
    - "relu": mul0, shift

    mul<i> / 2**shift brings input i to the scale of the output; 0 <= mul<i> < 2**16 and
    1 <= shift <= 47, as in a layer.
    """

    name: str
    op: HostOpName
    inputs: tuple[str, ...]
    attrs: dict[str, float] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", tuple(self.inputs))
        if self.op not in _ATTRIBUTES:
            raise CosignError(
                f"node {self.name!r}: host operation {self.op!r} is not one of "
                f"{', '.join(_ATTRIBUTES)}."
            )
        check_inputs(self.name, self.op, len(self.inputs))
        defaults: dict[str, float] = {}
        if self.op == "maxpool":
            defaults = {"padding": 0}
        elif self.op == "avgpool":
            defaults = {"exclude": 0}
        object.__setattr__(self, "attrs", {**defaults, **self.attrs})
        if self.op in ("maxpool", "avgpool") and "padding" in self.attrs:
            self.attrs.setdefault("end", self.attrs["padding"])
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

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """(channels, height, width) for inputs of `shapes`; raises CosignError if impossible."""
        return output_shape(self.name, self.op, self.attrs, shapes)


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
        "size": (1, 1 << 15),
        "in_scale": (1e-30, 1e30),
        "out_scale": (1e-30, 1e30),
    }.get(key, (-1e300, 1e300))


def attribute_names(op: HostOpName, inputs: int) -> tuple[str, ...]:
    """The attributes of an operation on so many inputs, in the order of the file."""
    if op == "concat":
        return (*(f"mul{i}" for i in range(inputs)), *_ATTRIBUTES[op])
    return _ATTRIBUTES[op]


def check_inputs(name: str, op: str, count: int) -> None:
    """Raises CosignError unless `op` reads `count` inputs."""
    if op == "concat":
        right, wanted = count >= 1, "at least one input"
    elif op == "add":
        right, wanted = count == 2, "two inputs"
    else:
        right, wanted = count == 1, "one input"
    if not right:
        raise CosignError(f"node {name!r}: {op} takes {wanted}, not {count}.")


class Window(NamedTuple):
    """A pooling's kernel (height, width), stride, and padding before and after a map, in pixels."""

    kernel: tuple[int, int]
    stride: int
    padding: int
    end: int


def pooling_window(attrs: dict[str, float], shape: Shape) -> Window:
    """The window of a pooling over maps of `shape`."""
    kernel, padding = int(attrs["kernel"]), int(attrs.get("padding", 0))
    return Window(
        kernel=(kernel, kernel) if kernel else (shape[1], shape[2]),
        stride=int(attrs["stride"]),
        padding=padding,
        end=int(attrs.get("end", padding)),
    )


def output_shape(name: str, op: str, attrs: dict[str, float], shapes: Sequence[Shape]) -> Shape:
    """Shape of a host operation's (or dropout's) output; raises CosignError if impossible."""
    channels, height, width = shapes[0]
    if op in ("maxpool", "avgpool"):
        if op == "maxpool" and not attrs["kernel"]:
            raise CosignError(f"node {name!r}: kernel is 0, must be at least 1.")
        kernel, stride, padding, end = pooling_window(attrs, shapes[0])
        # as in torch: more padding could leave a window without a single pixel
        if 2 * padding > min(kernel):
            raise CosignError(
                f"node {name!r}: padding is {padding}, must be at most half the kernel {kernel}."
            )
        if end >= min(kernel):
            raise CosignError(
                f"node {name!r}: end is {end}, must be less than the kernel {kernel}."
            )
        size = [
            (length + padding + end - reach) // stride + 1
            for length, reach in zip((height, width), kernel, strict=True)
        ]
        if min(size) < 1:
            raise CosignError(
                f"node {name!r}: the kernel {kernel} is larger than the padded {height} x {width} "
                "input."
            )
        return channels, size[0], size[1]
    if op == "flatten":
        return channels * height * width, 1, 1
    if op == "add" and shapes[0] != shapes[1]:
        raise CosignError(
            f"node {name!r} adds maps of {shapes[0]} and {shapes[1]}; their shapes must be equal."
        )
    if op == "concat":
        if any(shape[1:] != (height, width) for shape in shapes):
            raise CosignError(
                f"node {name!r} joins maps of {', '.join(map(str, shapes))}; their heights and "
                "widths must be equal."
            )
        channels = sum(shape[0] for shape in shapes)
    return channels, height, width
