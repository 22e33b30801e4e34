"""Where activations lie in the memory, and where outputs come from ("pitch space").

The padded input map is stored split by phase (row mod stride, column mod stride): one *plane* per
channel and phase, so that neighbouring outputs read neighbouring bytes. Rows of a plane are
`pitch` bytes apart, and zeros are shared: the padding right of a row is the padding left of the
next one, the padding below a plane is that above the next. Output pixel (oy, ox) reads tap
(c, r, s) at `tap_address(c, r, s) + oy * pitch + ox`, so outputs are addressed by
p = oy * pitch + ox, and neighbouring p form a tile; values at p between rows are dropped.

A linear layer is a 1x1 convolution whose pixels are the images of the batch.

What has an address is an *element*, a byte: one channel of one pixel. In `sparse-nm` it holds the
channels of a pixel that are neighbours, and all distances count elements; a group whose
channels do not fill its last element is filled up with zeros. Where channels are dealt to several
streams, an element has one of each, and its bytes lie in as many memories at the same address.
"""

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from compress.model.graph import Geometry
from cosign import CosignError


class _Phase(NamedTuple):
    """One phase along one axis, in phase-plane units: zeros before the data, end of the
    data, and how far outputs read."""

    lead: int
    end: int
    reach: int


@dataclass(frozen=True)
class Layout:
    """Addresses of one layer's input map; see the module's text.

    Parameters
    ----------
    geometry : the layer
    batch : images that are the pixels of a linear layer; 1 for a convolution
    element : channels of an element
    """

    geometry: Geometry
    batch: int = 1
    element: int = 1

    def __post_init__(self) -> None:
        if self.batch < 1 or (self.geometry.kind == "conv" and self.batch != 1):
            raise CosignError(
                f"a batch of {self.batch} images is not possible for a {self.geometry.kind} layer; "
                "convolutions take one image at a time."
            )

    @property
    def in_shape(self) -> tuple[int, int]:
        """(height, width) of the stored map."""
        g = self.geometry
        return (1, self.batch) if g.kind == "linear" else (g.in_height, g.in_width)

    @property
    def out_shape(self) -> tuple[int, int]:
        """(height, width) of the output map in pitch space's terms."""
        g = self.geometry
        return (1, self.batch) if g.kind == "linear" else (g.out_height, g.out_width)

    @functools.cached_property
    def _phases(self) -> tuple[dict[int, _Phase], dict[int, _Phase]]:
        """Per axis: the phases that taps read, in the order in which taps first read them."""
        g = self.geometry
        axes = []
        for axis in range(2):
            stride, pad, dilation = g.stride[axis], g.padding[axis], g.dilation[axis]
            phases: dict[int, _Phase] = {}
            for tap in range(g.kernel[axis]):
                offset, phase = divmod(tap * dilation, stride)
                reach = offset + self.out_shape[axis]
                lead = max(0, -(-(pad - phase) // stride))
                end = max(0, -(-(pad + self.in_shape[axis] - phase) // stride))
                phases[phase] = _Phase(lead, min(end, reach), reach)  # later taps reach further
            axes.append(phases)
        return axes[0], axes[1]

    @property
    def channels(self) -> int:
        """Elements that hold the channels of a convolution group at one place."""
        g = self.geometry
        return -(-(g.in_channels // g.groups) // self.element)

    @property
    def taps(self) -> int:
        """Elements that an output reads."""
        height, width = self.geometry.kernel
        return self.channels * height * width

    @functools.cached_property
    def pitch(self) -> int:
        """Elements from a row of a plane to the next."""
        return max(1, *(max(p.end, p.reach - p.lead) for p in self._phases[1].values()))

    @functools.cached_property
    def plane(self) -> int:
        """Elements from a plane to the next."""
        pairs = [(y, x) for y in self._phases[0].values() for x in self._phases[1].values()]
        zeros = min(y.lead * self.pitch + x.lead for y, x in pairs)
        return max(
            1,
            *((y.end - 1) * self.pitch + x.end for y, x in pairs),
            *((y.reach - 1) * self.pitch + x.reach - zeros for y, x in pairs),
        )

    @property
    def group_step(self) -> int:
        """Elements from the first channel of a convolution group to that of the next."""
        planes = len(self._phases[0]) * len(self._phases[1])
        return self.channels * planes * self.plane

    @functools.cached_property
    def positions(self) -> int:
        """Pitch-space positions of a filter's outputs, those between rows included."""
        height, width = self.out_shape
        return (height - 1) * self.pitch + width

    @functools.cached_property
    def bytes(self) -> int:
        """Activation memory that the map needs: as far as any output reads, or data lies."""
        g = self.geometry
        last = int(self.tap_addresses().max()) + self.positions
        most = max(last + (g.groups - 1) * self.group_step, g.groups * self.group_step)
        return most * self.element

    def tap_address(self, c: np.ndarray, r: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Address, for output (0, 0), of a group's element c and kernel position (r, s)."""
        g = self.geometry
        y, phase_y = np.divmod(np.asarray(r) * g.dilation[0], g.stride[0])
        x, phase_x = np.divmod(np.asarray(s) * g.dilation[1], g.stride[1])
        rank_y, rank_x = (_ranks(phases) for phases in self._phases)
        plane = np.asarray(c) * len(self._phases[0]) + rank_y[phase_y]
        plane = plane * len(self._phases[1]) + rank_x[phase_x]
        return plane * self.plane + y * self.pitch + x

    def tap_addresses(self) -> np.ndarray:
        """int64 [taps]: addresses of what an output reads, (c, r, s) flattened."""
        return self.tap_address(*np.indices((self.channels, *self.geometry.kernel))).reshape(-1)

    def dealt(self) -> tuple[np.ndarray, np.ndarray]:
        """(tap that has it, its place in the element) of each of a filter's columns, int64
        [columns] each."""
        height, width = self.geometry.kernel
        channel, tap = np.divmod(np.arange(self.geometry.columns), height * width)
        element, place = np.divmod(channel, self.element)
        return element * height * width + tap, place

    def pack(self, x: np.ndarray, word_bytes: int) -> np.ndarray:
        """Memory image, uint8 [words, word_bytes], of int8 [C, H, W] (linear: [batch, C])."""
        g = self.geometry
        x = np.asarray(x, np.int8)
        maps = x.T.reshape(g.in_channels, 1, self.batch) if g.kind == "linear" else x
        words = -(-self.bytes // word_bytes)
        elements = words * word_bytes // self.element
        memory = np.zeros((elements + self.plane + self.pitch, self.element), np.int8)
        number = 0
        room = self.channels * self.element - g.in_channels // g.groups
        groups = maps.reshape(g.groups, -1, *self.in_shape)
        groups = np.pad(groups, ((0, 0), (0, room), (0, 0), (0, 0)))
        for channels in groups.reshape(-1, self.element, *self.in_shape):
            for phase_y, y in self._phases[0].items():
                for phase_x, x_ in self._phases[1].items():
                    top = y.lead * g.stride[0] + phase_y - g.padding[0]
                    left = x_.lead * g.stride[1] + phase_x - g.padding[1]
                    data = np.moveaxis(channels, 0, -1)[top :: g.stride[0], left :: g.stride[1]]
                    data = data[: max(0, y.end - y.lead), : max(0, x_.end - x_.lead)]
                    start = number * self.plane + y.lead * self.pitch + x_.lead
                    rows = start + np.arange(data.shape[0])[:, None] * self.pitch
                    memory[rows + np.arange(data.shape[1])] = data
                    number += 1
        return memory[:elements].view(np.uint8).reshape(words, word_bytes)

    def unpack(self, values: np.ndarray) -> np.ndarray:
        """int8 [K, positions] to the output map [K, Ho, Wo] (linear: [batch, K])."""
        height, width = self.out_shape
        at = np.arange(height)[:, None] * self.pitch + np.arange(width)
        maps = values[:, at]
        return maps[:, 0, :].T if self.geometry.kind == "linear" else maps


def _ranks(phases: dict[int, _Phase]) -> np.ndarray:
    ranks = np.zeros(max(phases) + 1, np.int64)
    ranks[list(phases)] = np.arange(len(phases))
    return ranks
