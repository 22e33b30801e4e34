"""The weights of `sparse-nm`: of each group of channels at a tap the levels that are kept, and
which they are; and whether a layer obeys the core's pattern."""

import numpy as np

from compress.model.graph import Layer
from cosign import CosignError
from rtl import pattern
from rtl.config import CoreConfig
from rtl.program.layout import Layout


def filter_parts(layer: Layer, layout: Layout, config: CoreConfig) -> np.ndarray:
    """int64 [filters, taps]: `nm_keep` levels, the first channel's lowest, and the pattern's number
    on top of them; the layer obeys the pattern.

    Where a group has fewer weights, its first zeros are kept too.
    """
    g = layer.geometry
    levels = layer.dense_levels().reshape(g.out_channels, g.in_channels // g.groups, -1)
    groups = layout.in_elements(levels)  # [filters, channels, kernel area, element]
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
    return parts.reshape(g.out_channels, -1)


def check_pattern(layer: Layer, layout: Layout, config: CoreConfig) -> None:
    """Raises CosignError where a filter keeps too many of a group's channels, and names both."""
    g = layer.geometry
    area = g.kernel[0] * g.kernel[1]
    channels, filters = g.in_channels // g.groups, g.out_channels // g.groups
    row = np.repeat(np.arange(g.out_channels), np.diff(layer.row_ptr))
    channel, tap = np.divmod(layer.col_idx.astype(np.int64), area)
    kept = np.bincount((row * layout.channels + channel // layout.element) * area + tap)
    if int(kept.max(initial=0)) <= config.nm_keep:
        return
    place, position = divmod(int(np.argmax(kept > config.nm_keep)), area)
    filter_, element = divmod(place, layout.channels)
    first = filter_ // filters * channels + element * layout.element
    last = min(first + layout.element, (filter_ // filters + 1) * channels) - 1
    raise CosignError(
        f"layer {layer.name!r} does not fit the core: filter {filter_} keeps more than "
        f"{config.nm_keep} of the input channels {first} to {last} at kernel position "
        f"{divmod(position, g.kernel[1])}; prune it to {config.nm_keep}:{config.nm_group}, or take "
        "another core."
    )
