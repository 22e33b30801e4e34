"""A compressed network as values: what `model.cosign` says, without how it is written.

A `CompressedModel` is a small DAG of `Layer` nodes (conv, linear: run by the accelerator)
and `HostOp` nodes (pooling, LRN, add...: run by the host), in topological order. Weights are
CSR-indexed integer levels: row = filter, column = (channel within the group, r, s)
flattened, weight = q * level.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from compress.model import activations
from compress.model.hostops import HostOp, Shape
from compress.model.levels import max_level
from cosign import CosignError
from cosign.names import is_printable

OF_FILTERS = ("q", "mul", "shift")
"""Fields of a layer that have a number for each filter, beside its bias."""
LARGEST_BIAS = 1 << 38
"""Magnitude of a bias, in accumulator units: the widest accumulator, of 40 bits, holds it beside
a filter's sums, and whatever these are, an output that has it saturates."""


@dataclass(frozen=True)
class Geometry:
    """Shape of an accelerated layer. A linear layer is a 1x1 convolution of a 1x1 map.

    Parameters
    ----------
    kind : "conv" or "linear"
    in_channels, out_channels : channels of the whole layer, all groups together
    in_height, in_width : input map, pixels, without padding
    kernel, stride, padding, dilation : (vertical, horizontal), pixels
    groups : filters of group g see input channels [g, g+1) * in_channels / groups
    """

    kind: Literal["conv", "linear"]
    in_channels: int
    out_channels: int
    in_height: int = 1
    in_width: int = 1
    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1

    def __post_init__(self) -> None:
        for name in ("kernel", "stride", "padding", "dilation"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        positive: tuple[int, ...] = (
            self.in_channels,
            self.out_channels,
            self.in_height,
            self.in_width,
            self.groups,
            *self.kernel,
            *self.stride,
            *self.dilation,
        )
        whole = all(type(size) is int for size in (*positive, *self.padding))
        pairs = (self.kernel, self.stride, self.padding, self.dilation)
        if (
            self.kind not in ("conv", "linear")
            or not whole
            or {len(pair) for pair in pairs} != {2}
            or min(positive) < 1
            or min(self.padding) < 0
        ):
            raise CosignError(f"impossible layer geometry {self}.")
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise CosignError(
                f"{self.groups} groups do not divide {self.in_channels} input and "
                f"{self.out_channels} output channels."
            )
        if self.out_height < 1 or self.out_width < 1:
            raise CosignError(f"the kernel is larger than the padded input in {self}.")

    def _out(self, size: int, axis: int) -> int:
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return (size + 2 * self.padding[axis] - reach) // self.stride[axis] + 1

    @property
    def out_height(self) -> int:
        return self._out(self.in_height, 0)

    @property
    def out_width(self) -> int:
        return self._out(self.in_width, 1)

    @property
    def columns(self) -> int:
        """Weights of one filter: input channels of a group x kernel area."""
        return self.in_channels // self.groups * self.kernel[0] * self.kernel[1]

    @property
    def weights(self) -> int:
        return self.out_channels * self.columns

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the dense layer for one image."""
        return self.weights * self.out_height * self.out_width


@dataclass(frozen=True, eq=False)
class Layer:
    """One accelerated node.

    Parameters
    ----------
    name, input : this node's name and the node (or "input") whose output it reads
    geometry : Geometry
    bits : n, 1..8; levels lie in +-1 .. +-max_level(n), zero is "not stored"
    q : float64 [out_channels], quantisation interval of each filter; a real weight is q * level
        (dimensionless)
    row_ptr : int64 [out_channels + 1]
    col_idx : int64 [nnz], strictly increasing within a row, < geometry.columns
    levels : int8 [nnz]
    bias : int64 [out_channels], in accumulator units (in_scale * q)
    mul, shift : int64 [out_channels], requantisation of each filter,
        out = (acc * mul + 2**(shift-1)) >> shift; 1 <= shift
    relu : saturate below at 0 instead of the least activation
    in_scale, out_scale : real value of one activation unit
    act_bits : of the activations that it reads and makes, two's complement, 4..8

    A single q, mul or shift is that of every filter.
    """

    name: str
    input: str
    geometry: Geometry
    bits: int
    q: np.ndarray
    row_ptr: np.ndarray
    col_idx: np.ndarray
    levels: np.ndarray
    bias: np.ndarray
    mul: np.ndarray
    shift: np.ndarray
    relu: bool
    in_scale: float
    out_scale: float
    act_bits: int = 8

    def __post_init__(self) -> None:
        for name, dtype in (
            ("row_ptr", np.int64),
            ("col_idx", np.int64),
            ("levels", np.int8),
            ("bias", np.int64),
            ("q", np.float64),
            ("mul", np.int64),
            ("shift", np.int64),
        ):
            array = np.ascontiguousarray(getattr(self, name), dtype=dtype)
            if name in OF_FILTERS and array.size == 1:
                array = np.full(self.geometry.out_channels, array.item(), dtype)
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        self._validate()

    def _validate(self) -> None:
        def demand(condition: bool, what: str) -> None:
            if not condition:
                raise CosignError(f"layer {self.name!r}: {what}.")

        rows = self.geometry.out_channels
        nnz = len(self.levels)
        demand(1 <= self.bits <= 8, f"bits is {self.bits}, must be 1..8")
        activations.check(self.act_bits, f"layer {self.name!r}")
        for what, value in (("input scale", self.in_scale), ("output scale", self.out_scale)):
            demand(0 < value < math.inf, f"{what} is {value}, must be positive")
        for name in OF_FILTERS:
            demand(getattr(self, name).shape == (rows,), f"{name} must have {rows} entries, or one")
        for name, good, limits in (
            ("q", (self.q > 0) & (self.q < math.inf), "be positive"),
            ("mul", (self.mul >= 0) & (self.mul < 1 << 16), "fit in 16 unsigned bits"),
            ("shift", (self.shift >= 1) & (self.shift <= 47), "be 1..47"),
        ):
            worst = getattr(self, name)[np.argmin(good)]
            demand(bool(good.all()), f"{name} is {worst}, must {limits}")
        demand(self.row_ptr.shape == (rows + 1,), f"row_ptr must have {rows + 1} entries")
        demand(self.row_ptr[0] == 0 and self.row_ptr[-1] == nnz, "row_ptr does not span the levels")
        demand(bool(np.all(np.diff(self.row_ptr) >= 0)), "row_ptr decreases")
        demand(self.col_idx.shape == (nnz,), "as many column indices as levels are needed")
        demand(self.bias.shape == (rows,), f"bias must have {rows} entries")
        demand(
            rows == 0 or int(np.abs(self.bias).max()) <= LARGEST_BIAS,
            f"a bias is beyond {LARGEST_BIAS:,}",
        )
        if nnz:
            demand(
                self.col_idx.min() >= 0 and self.col_idx.max() < self.geometry.columns,
                f"a column index is outside 0..{self.geometry.columns - 1}",
            )
            rising = self.col_idx[1:] > self.col_idx[:-1]
            starts = self.row_ptr[1:-1]
            rising[starts[(starts > 0) & (starts < nnz)] - 1] = True  # a new row may step back
            demand(bool(rising.all()), "column indices do not increase within a row")
            top = max_level(self.bits)
            demand(
                bool(self.levels.all()) and self.levels.min() >= -top and self.levels.max() <= top,
                f"levels of {self.bits} bits must lie in +-1..+-{top}",
            )

    @classmethod
    def from_dense(cls, levels: np.ndarray, **fields: Any) -> "Layer":
        """Build from int8 [out_channels, columns] with zeros where nothing is to be stored."""
        rows, columns = levels.shape
        flat = np.flatnonzero(levels)
        row_ptr = np.searchsorted(flat, np.arange(rows + 1) * columns)
        col_idx = flat - np.repeat(np.arange(rows) * columns, np.diff(row_ptr))
        return cls(row_ptr=row_ptr, col_idx=col_idx, levels=levels.reshape(-1)[flat], **fields)

    @property
    def inputs(self) -> tuple[str, ...]:
        return (self.input,)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """(channels, height, width); raises CosignError when the input has another geometry."""
        g = self.geometry
        if tuple(shapes[0]) != (g.in_channels, g.in_height, g.in_width):
            raise CosignError(
                f"layer {self.name!r} takes maps of {(g.in_channels, g.in_height, g.in_width)}, "
                f"but {self.input!r} is {tuple(shapes[0])}."
            )
        return g.out_channels, g.out_height, g.out_width

    @property
    def nnz(self) -> int:
        return len(self.levels)

    @property
    def row_idx(self) -> np.ndarray:
        """int64 [nnz]: the filter of each non-zero."""
        return np.repeat(np.arange(self.geometry.out_channels), np.diff(self.row_ptr))

    @property
    def unit(self) -> np.ndarray:
        """Real value of one accumulator unit, float64 [out_channels]."""
        return self.in_scale * self.q

    @property
    def uniform(self) -> bool:
        """Whether all filters have one interval and one requantisation."""
        return all(bool((values == values[0]).all()) for values in (self.q, self.mul, self.shift))

    @property
    def dead(self) -> int:
        """Filters, or neurons, without a weight."""
        return int(np.count_nonzero(np.diff(self.row_ptr) == 0))

    def dense_weights(self) -> np.ndarray:
        """q * level, float32 [out_channels, columns]."""
        return self.dense_levels() * self.q.astype(np.float32)[:, None]

    def dense_levels(self) -> np.ndarray:
        """int8 [out_channels, columns] with zeros where nothing is stored."""
        rows, columns = self.geometry.out_channels, self.geometry.columns
        dense = np.zeros((rows, columns), np.int8)
        places = np.repeat(np.arange(rows) * columns, np.diff(self.row_ptr))
        places += self.col_idx
        dense.reshape(-1)[places] = self.levels
        return dense


Node = Layer | HostOp


@dataclass(frozen=True)
class InputSpec:
    """The network's input: x = clamp(floor((pixel/255 - mean) / std / scale + 0.5)), of `act_bits`.

    Parameters
    ----------
    shape : (channels, height, width)
    scale : real value of one unit after normalisation
    mean, std : per channel, on pixels scaled to 0..1
    act_bits : of every activation of the network, two's complement, 4..8

    Raises CosignError when there are not as many of them as channels, a value is not finite, or a
    deviation or the scale is not positive, or activations cannot have so many bits.
    """

    shape: tuple[int, int, int]
    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    act_bits: int = 8

    def __post_init__(self) -> None:
        for name in ("shape", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if len(self.shape) != 3 or min(self.shape) < 1:
            raise CosignError(
                f"the input's shape is {self.shape}, must be channels, height and width."
            )
        activations.check(self.act_bits, "the input")
        check_pixels(self.mean, self.std, self.shape[0])
        if not 0 < self.scale < math.inf:
            raise CosignError(
                f"the input's scale is {self.scale:g}, must be positive; its mean and standard "
                "deviation leave no room for it."
            )

    def quantize(self, pixels: np.ndarray) -> np.ndarray:
        """uint8 [..., C, H, W] pixels to int8 of the same shape."""
        table = (np.arange(256)[None] / 255 - np.array(self.mean)[:, None]) / (
            np.array(self.std)[:, None] * self.scale
        )
        low, high = activations.bounds(self.act_bits)
        table = np.clip(np.floor(table + 0.5), low, high).astype(np.int8)
        return np.stack([table[c][pixels[..., c, :, :]] for c in range(self.shape[0])], axis=-3)


@dataclass(frozen=True)
class CompressedModel:
    """A whole network.

    Parameters
    ----------
    nodes : in topological order
    outputs : names of nodes; the last one, when none are given
    act_bits : of the input and of every node
    shapes : (channels, height, width) of the input and of every node's output
    """

    name: str
    input: InputSpec
    nodes: tuple[Node, ...]
    outputs: tuple[str, ...] = ()
    shapes: dict[str, Shape] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", tuple(self.nodes))
        for name in (self.name, *(node.name for node in self.nodes)):
            if not is_printable(name):
                raise CosignError(f"the name {name!r} holds characters that cannot be shown.")
        shapes: dict[str, Shape] = {"input": self.input.shape}
        for node in self.nodes:
            for source in node.inputs:
                if source not in shapes:
                    raise CosignError(
                        f"node {node.name!r} reads {source!r}, which is not before it."
                    )
            if node.act_bits != self.act_bits:
                raise CosignError(
                    f"node {node.name!r} has activations of {node.act_bits} bits, the input of "
                    f"{self.act_bits}; a network has one number for all."
                )
            if node.name in shapes:
                raise CosignError(f"two nodes are called {node.name!r}.")
            shapes[node.name] = node.output_shape([shapes[source] for source in node.inputs])
        object.__setattr__(self, "shapes", shapes)
        outputs = tuple(self.outputs) or tuple(node.name for node in self.nodes[-1:])
        object.__setattr__(self, "outputs", outputs)
        for name in outputs:
            if name not in shapes or name == "input":
                raise CosignError(f"the output {name!r} is no node.")

    @property
    def act_bits(self) -> int:
        return self.input.act_bits

    @property
    def layers(self) -> tuple[Layer, ...]:
        return tuple(node for node in self.nodes if isinstance(node, Layer))


def check_pixels(mean: Sequence[float], std: Sequence[float], channels: int) -> None:
    """Raises CosignError unless they are a mean and a positive deviation for every channel."""
    for name, values in (("mean", mean), ("standard deviation", std)):
        if len(values) != channels:
            raise CosignError(
                f"the {name} of pixels has {len(values)} numbers, the input {channels} channels; "
                "give one for each."
            )
        if not all(map(math.isfinite, values)):
            raise CosignError(f"the {name} of pixels is {_listed(values)}, must be finite.")
    if min(std) <= 0:
        raise CosignError(f"the standard deviation of pixels is {_listed(std)}, must be positive.")


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def finest_scale(mean: Sequence[float], std: Sequence[float], act_bits: int = 8) -> float:
    """The finest input scale at which no pixel saturates; raises CosignError as InputSpec does."""
    activations.check(act_bits, "the input")
    check_pixels(mean, std, len(mean))
    top = activations.highest(act_bits)
    return max(max(m, 1 - m) / s for m, s in zip(mean, std, strict=True)) / top


def fixed_point(factor: float | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(mul, shift), int64, with mul / 2**shift nearest to `factor` and 2**15 <= mul < 2**16.

    Of an array of factors, arrays. Raises CosignError when a shift leaves 1..47.
    """
    factor = np.asarray(factor, np.float64)
    good = (factor > 0) & (factor < math.inf)
    if not good.all():
        raise CosignError(f"a requantisation factor is {factor[~good][0]}, must be positive.")
    mantissa, exponent = np.frexp(factor)
    mul = np.rint(mantissa * (1 << 16)).astype(np.int64)
    carried = mul == 1 << 16
    mul, shift = np.where(carried, 1 << 15, mul), 16 - exponent.astype(np.int64) - carried
    good = (shift >= 1) & (shift <= 47)
    if not good.all():
        raise CosignError(
            f"a requantisation factor is {factor[~good][0]:.3g}, outside the machine's range; the "
            "network did not train properly."
        )
    return mul, shift
