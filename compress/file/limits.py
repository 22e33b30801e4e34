"""What a file may announce: everything is held against these before memory is taken for it.

A few bytes can say numbers without end. What they stand for is bounded by what a network for this
machine can be, and by the bytes that are there to say it.
"""

from collections.abc import Iterable

from compress.model.graph import Geometry
from compress.model.hostops import Shape
from cosign import CosignError

LARGEST_MAP = 1 << 27  # values in one map
LARGEST_MAPS = 1 << 30  # values in the maps of all nodes
LARGEST_LAYER = 1 << 28  # weights, pruned ones too
MOST_NODES = 1 << 14
MOST_INPUTS = 1 << 12  # of a concat
MOST_UNPACKED = 1 << 24  # bytes of all tables and layouts, which are stored in fewer
LARGEST_SIDE = 1 << 15  # of kernels, strides, padding, dilation
LARGEST_HEAD = 1 << 26  # bytes of an unpacked header of schemas 1 and 2
ADAPTIVE_ROWS = 1 << 20  # rows and channels of all adaptively coded layers
_FREE_DECISIONS = 1 << 19
_DECISIONS_PER_BYTE = 1 << 12
_SYMBOLS_PER_BYTE = 1 << 19  # an ANS symbol costs 2**-16 of a bit or more


def check_maps(shapes: Iterable[Shape]) -> None:
    """Raises CosignError unless all maps together, and each, can be computed."""
    total = 0
    for channels, height, width in shapes:
        values = channels * height * width
        total += values
        if values > LARGEST_MAP or total > LARGEST_MAPS:
            raise CosignError(
                f"its maps are larger than {LARGEST_MAP:,} values, or {LARGEST_MAPS:,} together"
            )


def check_geometry(geometry: Geometry) -> None:
    """Raises CosignError unless a layer of this shape can be held."""
    g = geometry
    if g.weights > LARGEST_LAYER:
        raise CosignError(f"a layer has more than {LARGEST_LAYER:,} weights")
    if max((*g.kernel, *g.stride, *g.padding, *g.dilation)) > LARGEST_SIDE:
        raise CosignError(f"a layer has a kernel, stride or padding beyond {LARGEST_SIDE:,}")


def check_symbols(count: int, payload: int, geometry: Geometry) -> None:
    """Raises CosignError unless `payload` bytes can hold so many symbols of a layer."""
    if count > min(2 * geometry.weights + geometry.out_channels, payload * _SYMBOLS_PER_BYTE):
        raise CosignError(f"a layer announces {count:,} symbols, more than it can have")


def decisions(rows: int, stream: int) -> int:
    """How many decisions a stream of so many bytes may spell out for layers of so many rows and
    channels. Raises CosignError when there are more of those than belong to any network."""
    if rows > ADAPTIVE_ROWS:
        raise CosignError(f"its adaptively coded layers have more than {ADAPTIVE_ROWS:,} channels")
    return 4 * rows + _FREE_DECISIONS + _DECISIONS_PER_BYTE * stream
