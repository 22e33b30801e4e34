"""A layer's weights as they are dealt to streams of input channels."""

import numpy as np

from compress.model.graph import Layer
from rtl.program.layout import Layout

Decoded = list[list[tuple[int, int, int]]]
"""(stream, address, level) of each weight of each filter."""


def dealt(layer: Layer, layout: Layout, streams: int) -> Decoded:
    """Every weight, from its column alone: channel c is in stream c mod `streams`."""
    g = layer.geometry
    found: Decoded = []
    for row in layer.dense_levels():
        of_filter = []
        for column in np.flatnonzero(row):
            c, r, s = np.unravel_index(column, (g.in_channels // g.groups, *g.kernel))
            address = int(layout.tap_address(c // streams, r, s))
            of_filter.append((int(c) % streams, address, int(row[column])))
        found.append(sorted(of_filter))
    return found
