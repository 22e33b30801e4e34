"""The weights of `sparse-nm`: of each group of channels at a tap the levels that are kept, and
which they are; and whether a layer obeys the core's pattern."""

import numpy as np

from compress.model.graph import Layer
from compress.model.pattern import Pattern
from cosign import CosignError
from rtl import pattern
from rtl.config import CoreConfig


def filter_parts(layer: Layer, config: CoreConfig) -> np.ndarray:
    """int64 [filters, taps]: `nm_keep` levels, the first channel's lowest, and the pattern's number
    on top of them; the layer obeys the pattern.

    Where a group has fewer weights, its first zeros are kept too.
    """
    groups = _grouped(layer, config).swapaxes(2, 3)
    kept = np.argsort(groups == 0, axis=-1, kind="stable")[..., : config.nm_keep]
    kept.sort(axis=-1)
    numbers = np.zeros(1 << config.nm_group, np.int64)  # of the patterns, by their bits
    for number, channels in enumerate(pattern.choices(config.nm_keep, config.nm_group)):
        numbers[sum(1 << channel for channel in channels)] = number
    parts = numbers[(1 << kept).sum(axis=-1)]
    operands = np.take_along_axis(groups, kept, axis=-1).astype(np.int64)
    operands &= (1 << config.operand_bits) - 1
    for place in reversed(range(config.nm_keep)):
        parts = parts << config.operand_bits | operands[..., place]
    return parts.reshape(len(parts), -1)


def check_pattern(layer: Layer, config: CoreConfig) -> None:
    """Raises CosignError where a filter keeps too many of a group's channels, and names both."""
    g = layer.geometry
    beyond = np.argwhere(
        np.count_nonzero(_grouped(layer, config), axis=2) > config.nm_keep
    )  # filter, group, tap
    if not len(beyond):
        return
    number, group, tap = map(int, beyond[0])
    channels, filters = g.in_channels // g.groups, g.out_channels // g.groups
    begun = number // filters * channels
    first = begun + group * config.nm_group
    last = min(first + config.nm_group, begun + channels) - 1
    raise CosignError(
        f"layer {layer.name!r} does not fit the core: filter {number} keeps more than "
        f"{config.nm_keep} of the input channels {first} to {last} at kernel position "
        f"{divmod(tap, g.kernel[1])}; prune it to {config.nm_keep}:{config.nm_group}, or take "
        "another core."
    )


def _grouped(layer: Layer, config: CoreConfig) -> np.ndarray:
    """int8 [filters, groups of channels, nm_group, taps]."""
    g = layer.geometry
    levels = layer.dense_levels().reshape(g.out_channels, g.in_channels // g.groups, -1)
    return Pattern(config.nm_keep, config.nm_group).grouped(levels)
