"""N:M sparsity: of each M weights in a row along the input channels, at most N are not zero."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from compress.model.graph import Geometry
from cosign import CosignError

LARGEST_GROUP = 16


class Pattern(NamedTuple):
    """`keep` of each `group` weights: those of one filter at one tap, and of as many consecutive
    input channels.

    The channels that a filter sees are padded with zeros to a multiple of `group`. Of a group with
    fewer real channels than `group` there are `keep` weights too, or all of them.
    """

    keep: int
    group: int

    @classmethod
    def parse(cls, text: str) -> "Pattern":
        """Of "2:4". Raises CosignError unless 1 <= keep < group <= LARGEST_GROUP."""
        found = re.fullmatch(r"([0-9]{1,9}):([0-9]{1,9})", text)
        if not found:
            raise CosignError(
                f"{text!r} is no pattern; write N:M, as 2:4, for N of each M weights."
            )
        keep, group = map(int, found.groups())
        if not 1 <= keep < group <= LARGEST_GROUP:
            raise CosignError(
                f"a pattern of {text} is none: N of each M weights stay, 1 <= N < M <= "
                f"{LARGEST_GROUP}."
            )
        return cls(keep, group)

    def __str__(self) -> str:
        return f"{self.keep}:{self.group}"

    def kept(self, geometry: Geometry) -> int:
        """Weights of a layer that stay."""
        channels = geometry.in_channels // geometry.groups
        whole, rest = divmod(channels, self.group)
        return geometry.weights // channels * (whole * self.keep + min(rest, self.keep))

    def pads(self, geometry: Geometry) -> bool:
        """Whether the channels that a filter sees are no multiple of `group`."""
        return geometry.in_channels // geometry.groups % self.group != 0

    def grouped(self, values: np.ndarray, padding: float = 0) -> np.ndarray:
        """[filters, channels, ...] as [filters, groups, group, taps], padded channels last."""
        filters, channels = values.shape[:2]
        taps = int(np.prod(values.shape[2:]))
        flat = values.reshape(filters, channels, taps)
        room = -channels % self.group
        padded = np.pad(flat, ((0, 0), (0, room), (0, 0)), constant_values=padding)
        return padded.reshape(filters, -1, self.group, taps)

    def holds(self, values: np.ndarray) -> bool:
        """Whether values [filters, channels, ...] obey it."""
        return bool((np.count_nonzero(self.grouped(values), axis=2) <= self.keep).all())


Patterns = Mapping[str, Pattern]
"""By layer; layers without one are not in it."""
NO_PATTERNS: Patterns = MappingProxyType({})
