"""The grid of cores that a price list is made of: every kind, few multipliers first.

What a core costs adds up from parts (synth.parts), so that many small cores of different shapes
tell more than few large ones, and take less time to synthesise. Those at the end are there to be
held against what the small ones say of them.
"""

import itertools
from collections.abc import Iterable
from typing import Any

from rtl.config import CoreConfig
from rtl.program.fit import feed
from synth.prices import standard

_DENSE_2D = (  # lanes, filters, drain, tiles
    (8, 2, 1, 1), (4, 4, 1, 1), (2, 8, 1, 1), (13, 2, 1, 1), (4, 8, 2, 1), (8, 4, 4, 1),
    (2, 16, 1, 1), (16, 2, 2, 1), (8, 2, 1, 2), (4, 4, 2, 4), (29, 2, 1, 1), (5, 5, 1, 1),
    (13, 4, 1, 1), (4, 16, 4, 1), (1, 24, 1, 1), (46, 2, 1, 1), (12, 8, 4, 1), (24, 4, 2, 1),
    (8, 8, 1, 1), (2, 32, 2, 1), (13, 6, 1, 1),
)  # fmt: skip
_DENSE_SCALAR = (
    (13, 1, 1),
    (29, 1, 1),
    (29, 2, 1),
    (13, 1, 2),
    (61, 1, 1),
    (26, 1, 1),
)  # lanes, drain, tiles
_Rows = tuple[tuple[int, int, int, dict[str, Any]], ...]
_SPARSE: _Rows = (  # lanes, drain, tiles, and what else differs
    (13, 1, 1, {}), (29, 2, 1, {}), (13, 4, 1, {}), (13, 2, 2, {}), (29, 1, 1, {"index_bits": 8}),
    (20, 2, 1, {"bank_bytes": 2}), (34, 2, 1, {}), (46, 2, 1, {}), (5, 1, 4, {}), (61, 2, 1, {}),
)  # fmt: skip
_BITMASK: _Rows = (
    (13, 1, 1, {}), (29, 2, 1, {}), (13, 2, 1, {"mask_bits": 9}), (13, 1, 2, {}), (29, 4, 1, {}),
    (13, 2, 1, {"mask_bits": 54}), (20, 2, 1, {"bank_bytes": 8}), (13, 4, 4, {}), (34, 2, 1, {}),
    (46, 2, 1, {}), (29, 2, 2, {}), (61, 2, 1, {}), (29, 8, 1, {}), (8, 8, 1, {}),
    (19, 1, 1, {"bank_bytes": 8}), (26, 1, 1, {}), (46, 1, 1, {"bank_bytes": 8}),
    (13, 1, 1, {"mask_bits": 3, "run_bits": 3}), (46, 1, 1, {"mask_bits": 3, "run_bits": 3}),
)  # fmt: skip
_STREAMS: _Rows = (  # lanes, drain, streams, and what else differs
    (4, 1, 2, {}), (8, 1, 2, {}), (5, 1, 4, {}), (13, 1, 2, {"index_bits": 10}), (4, 1, 8, {}),
    (13, 1, 3, {}), (7, 2, 4, {}), (8, 2, 4, {"index_bits": 10}), (13, 1, 4, {}), (19, 1, 2, {}),
    (7, 1, 6, {"index_bits": 10}), (22, 2, 2, {"bank_bytes": 8}), (13, 2, 4, {"tiles": 2}),
    (17, 1, 3, {"bank_bytes": 2}), (9, 1, 6, {}), (8, 2, 8, {}), (17, 2, 4, {}), (29, 4, 2, {}),
    (25, 2, 3, {"index_bits": 10}), (13, 1, 8, {}),
)  # fmt: skip
_MASKED_STREAMS: _Rows = (  # lanes, drain, streams, and what else differs
    (4, 1, 2, {"mask_bits": 9}), (5, 1, 4, {}), (8, 1, 2, {"mask_bits": 18}), (13, 1, 4, {}),
    (7, 2, 3, {"mask_bits": 18}), (4, 1, 8, {"mask_bits": 9}), (13, 1, 6, {"mask_bits": 54}),
    (37, 1, 2, {"bank_bytes": 8}), (61, 1, 2, {"mask_bits": 18}), (61, 2, 4, {"mask_bits": 18}),
    (8, 1, 2, {"mask_bits": 3, "run_bits": 3}), (37, 1, 2, {"mask_bits": 3, "run_bits": 3}),
)  # fmt: skip
_WINDOWS = (  # lanes, drain, streams, window_span, beats, step_bits
    (8, 1, 1, 3, 1, 3), (16, 1, 1, 3, 2, 3), (8, 1, 2, 1, 1, 3), (8, 1, 2, 3, 2, 2),
    (6, 1, 3, 3, 3, 3), (4, 1, 4, 1, 1, 4), (13, 1, 2, 3, 2, 3), (26, 2, 1, 3, 2, 3),
    (8, 1, 4, 3, 2, 3), (16, 1, 2, 3, 3, 2), (12, 1, 3, 3, 1, 3), (20, 1, 2, 3, 3, 3),
    (6, 1, 8, 1, 1, 3), (13, 1, 4, 1, 1, 4), (26, 1, 2, 3, 2, 3), (31, 1, 2, 3, 3, 3),
    (23, 2, 3, 3, 2, 2), (13, 1, 8, 1, 1, 4),
    (8, 1, 1, 3, 2, 2), (13, 1, 1, 1, 1, 3), (13, 1, 1, 3, 1, 3), (4, 1, 4, 3, 2, 3),
    (8, 1, 2, 3, 3, 3), (7, 1, 3, 1, 1, 4), (13, 2, 2, 3, 2, 2), (5, 1, 6, 1, 1, 3),
    (22, 1, 1, 3, 2, 3), (13, 1, 3, 3, 1, 3), (22, 2, 2, 3, 2, 3), (13, 1, 4, 1, 1, 3),
    (15, 1, 3, 3, 3, 2), (17, 2, 4, 3, 2, 3), (8, 1, 8, 3, 2, 2), (29, 2, 2, 3, 3, 3),
)  # fmt: skip
_TURNS = (  # lanes, filters, drain, streams, window_span, beats, step_bits
    (8, 2, 1, 1, 3, 3, 3), (8, 4, 1, 1, 3, 2, 3), (6, 3, 2, 2, 3, 3, 3), (13, 2, 1, 2, 3, 2, 2),
    (5, 2, 1, 4, 3, 4, 3), (22, 2, 1, 1, 3, 3, 3), (13, 4, 1, 1, 1, 1, 3), (13, 3, 1, 3, 3, 4, 3),
)  # fmt: skip
_WIDE = (  # lanes, filters, drain, streams, window_span, beats, step_bits, listed
    (8, 1, 1, 1, 31, 8, 3, 0), (12, 1, 1, 1, 17, 4, 3, 1), (6, 2, 1, 2, 31, 6, 3, 1),
    (5, 1, 1, 4, 31, 8, 3, 1),
)  # fmt: skip
_MASKED_WINDOWS = (  # lanes, drain, streams, window_span, beats, mask_bits, run_bits
    (61, 1, 1, 31, 8, 9, 2), (13, 1, 1, 3, 1, 3, 3), (8, 1, 2, 3, 2, 3, 3), (37, 1, 2, 31, 6, 9, 0),
    (13, 1, 4, 31, 8, 9, 2), (26, 1, 2, 3, 3, 3, 3), (8, 1, 1, 31, 4, 9, 0), (91, 1, 1, 3, 2, 3, 3),
    (181, 1, 1, 31, 8, 9, 0), (91, 1, 2, 31, 5, 9, 0),
)  # fmt: skip
_ROWS = (  # lanes, filters, drain, window_reads, window_span
    (8, 2, 1, 3, 3), (4, 4, 1, 3, 3), (8, 4, 2, 3, 5), (4, 8, 1, 1, 3), (13, 2, 1, 3, 3),
    (8, 8, 1, 3, 3), (16, 2, 1, 6, 3), (23, 3, 1, 3, 3), (37, 2, 1, 3, 3),
)  # fmt: skip
_PACKED = (  # lanes, filters, drain, mask_bits
    (4, 4, 1, 8), (8, 2, 1, 16), (2, 8, 1, 4), (13, 2, 1, 16), (4, 8, 2, 4),
    (8, 4, 1, 8), (26, 2, 1, 16), (4, 16, 2, 2), (12, 8, 4, 4), (37, 1, 1, 32),
)  # fmt: skip
_NM = (  # lanes, filters, drain, nm_keep, nm_group
    (4, 2, 1, 2, 4), (4, 4, 1, 2, 4), (8, 2, 2, 1, 4), (2, 4, 1, 4, 8), (7, 4, 1, 2, 4),
    (4, 4, 1, 4, 4), (8, 2, 1, 2, 2), (2, 4, 1, 8, 8), (7, 4, 1, 4, 4),
    (8, 1, 1, 8, 8), (8, 2, 1, 4, 4), (3, 3, 1, 8, 8), (8, 2, 1, 8, 8), (13, 4, 1, 2, 2),
    (4, 8, 2, 4, 4), (13, 12, 1, 2, 2), (8, 4, 1, 8, 8), (8, 3, 1, 2, 4), (14, 7, 2, 2, 4),
    (23, 4, 1, 2, 4),
)  # fmt: skip
_FASTEST = (
    {"core": "sparse", "coding": "bitmask", "mask_bits": 9, "lanes": 12},
    {"core": "sparse", "coding": "window", "window_span": 3, "beats": 2, "step_bits": 2,
     "lanes": 26, "streams": 2, "bank_bytes": 2},
    {"core": "sparse", "coding": "window", "window_span": 3, "beats": 3, "step_bits": 2,
     "lanes": 61, "bank_bytes": 8},
    {"core": "sparse", "coding": "window", "window_span": 3, "beats": 3, "step_bits": 2,
     "lanes": 37, "streams": 2},
    {"core": "sparse", "index_bits": 8, "lanes": 26, "streams": 8},
    {"core": "sparse", "coding": "window", "window_span": 31, "beats": 8, "lanes": 61},
    {"core": "sparse", "coding": "window", "window_span": 31, "beats": 8, "listed": 1, "lanes": 61},
    {"core": "sparse", "coding": "window", "window_span": 31, "beats": 5, "listed": 1,
     "lanes": 31, "streams": 2},
    {"core": "sparse", "coding": "window", "window_span": 31, "beats": 8, "listed": 1,
     "lanes": 61, "drain": 2, "streams": 4},
    {"core": "sparse-nm", "nm_keep": 8, "nm_group": 8, "lanes": 2, "bank_bytes": 8},
    {"core": "sparse-nm", "nm_keep": 8, "nm_group": 8, "lanes": 8, "bank_bytes": 8},
    {"core": "sparse-nm", "nm_keep": 8, "nm_group": 8, "lanes": 8, "filters": 4, "bank_bytes": 8},
    {"core": "sparse-rows", "lanes": 46, "filters": 3, "window_reads": 6, "window_span": 3,
     "bank_bytes": 8},
)  # fmt: skip
"""At the crossings of CONV4 with weights streamed: what decides them is measured, not priced."""
_LARGE = (
    {"core": "sparse", "streams": 4, "index_bits": 8, "lanes": 29, "drain": 2},
    {"core": "sparse", "streams": 4, "coding": "window", "window_span": 3, "beats": 2, "lanes": 37},
    {
        "core": "sparse",
        "streams": 8,
        "coding": "window",
        "window_span": 1,
        "step_bits": 4,
        "lanes": 26,
    },
    {"core": "sparse", "streams": 4, "index_bits": 8, "lanes": 57, "drain": 2},
    {"core": "sparse", "streams": 8, "index_bits": 10, "lanes": 25, "drain": 2},
    {"core": "sparse-rows", "lanes": 46, "filters": 3, "window_reads": 3, "window_span": 3},
    {"core": "sparse", "coding": "bitmask", "lanes": 91, "drain": 2},
    {"core": "dense-2d", "lanes": 16, "filters": 8, "drain": 2},
    {"core": "sparse", "coding": "bitmask", "lanes": 61, "tiles": 2, "drain": 4},
    {"core": "dense-2d", "lanes": 13, "filters": 16},
    {"core": "sparse", "coding": "bitmask", "lanes": 61, "tiles": 4, "drain": 4},
    {"core": "dense-2d", "lanes": 29, "filters": 8},
    {"core": "sparse", "coding": "bitmask", "lanes": 253, "drain": 4},
    {"core": "dense-2d", "lanes": 29, "filters": 16},
    {"core": "sparse", "coding": "bitmask", "lanes": 125, "tiles": 4, "drain": 4},
)

_PLACED = (
    "sparse-61-window31x8-listed", "dense-dot-2x8x4", "dense-dot-8x8", "sparse-dot-13x4-window1x1",
    "dense-dot-4x8x8", "sparse-dot-61x4-window31x8-listed", "sparse-13-bitmask", "dense-dot-2x8",
    "sparse-13", "dense-2d-4x4", "dense-packed-4x4", "sparse-nm-2x4-2of4", "sparse-rows-2x8",
    "sparse-dot-8x2-window3x2", "dense-scalar-13", "sparse-dot-5x4-bitmask",
    "sparse-2x8-window3x3", "dense-packed-4x8", "sparse-dot-19x2", "sparse-8-window31x8",
    "sparse-dot-26x8", "dense-2d-2x13", "sparse-nm-3x8-2of4", "dense-packed-37",
    "sparse-dot-7x4", "sparse-rows-8x4", "sparse-dot-13x4-bitmask", "sparse-61-window3x3",
    "dense-dot-8x4x4", "dense-2d-16x13",
)  # fmt: skip
"""Small ones of all kinds, and those at the crossings with weights streamed."""


def _window(
    lanes: int,
    filters: int,
    drain: int,
    streams: int,
    span: int,
    beats: int,
    step_bits: int,
    listed: int = 0,
) -> dict[str, Any]:
    """The fields of a core with windows."""
    return {"core": "sparse", "coding": "window", "lanes": lanes, "filters": filters,
            "drain": drain, "streams": streams, "window_span": span, "beats": beats,
            "step_bits": step_bits, "listed": listed}  # fmt: skip


def _masked_window(
    lanes: int, drain: int, streams: int, span: int, beats: int, mask_bits: int, run_bits: int
) -> dict[str, Any]:
    """The fields of a core whose masks are windows."""
    return {"core": "sparse", "coding": "bitmask", "windows": 1, "lanes": lanes, "drain": drain,
            "streams": streams, "window_span": span, "beats": beats, "mask_bits": mask_bits,
            "run_bits": run_bits}  # fmt: skip


def cores() -> tuple[CoreConfig, ...]:
    """The grid, in the order in which it is worth synthesising."""
    dense: list[dict[str, Any]] = [
        {"core": "dense-2d", "lanes": lanes, "filters": filters, "drain": drain, "tiles": tiles}
        for lanes, filters, drain, tiles in _DENSE_2D
    ]
    scalar: list[dict[str, Any]] = [
        {"core": "dense-scalar", "lanes": lanes, "drain": drain, "tiles": tiles}
        for lanes, drain, tiles in _DENSE_SCALAR
    ]
    sparse: list[dict[str, Any]] = [
        {"core": "sparse", "coding": coding, "lanes": lanes, "drain": drain, "tiles": tiles, **more}
        for coding, several in (("relative", _SPARSE), ("bitmask", _BITMASK))
        for lanes, drain, tiles, more in several
    ]
    streams: list[dict[str, Any]] = [
        {"core": "sparse", "lanes": lanes, "drain": drain, "streams": count, **coding, **more}
        for coding, several in (
            ({"index_bits": 8}, _STREAMS), ({"coding": "bitmask"}, _MASKED_STREAMS)
        )
        for lanes, drain, count, more in several
    ]  # fmt: skip
    windows = [_window(lanes, 1, *more) for lanes, *more in _WINDOWS]
    turns, wide = ([_window(*sizes) for sizes in several] for several in (_TURNS, _WIDE))
    masked = [_masked_window(*sizes) for sizes in _MASKED_WINDOWS]
    rows: list[dict[str, Any]] = [
        {"core": "sparse-rows", "lanes": lanes, "filters": filters, "drain": drain,
         "window_reads": reads, "window_span": span}
        for lanes, filters, drain, reads, span in _ROWS
    ]  # fmt: skip
    structured: list[dict[str, Any]] = [
        {"core": "sparse-nm", "lanes": lanes, "filters": filters, "drain": drain,
         "nm_keep": keep, "nm_group": group}
        for lanes, filters, drain, keep, group in _NM
    ]  # fmt: skip
    packed: list[dict[str, Any]] = [
        {"core": "dense-packed", "lanes": lanes, "filters": filters, "drain": drain,
         "mask_bits": bits}
        for lanes, filters, drain, bits in _PACKED
    ]  # fmt: skip
    several = (
        *(dense, scalar, sparse, streams, windows, turns, wide, masked),
        *(rows, structured, packed),
        *(_FASTEST, _LARGE),
    )
    found = [_core(fields) for fields in itertools.chain.from_iterable(several)]
    small, large = found[: -len(_LARGE)], found[-len(_LARGE) :]
    return (*sorted(small, key=lambda core: core.multipliers), *large)


def placed_of(grid: Iterable[CoreConfig]) -> set[CoreConfig]:
    """Those of the grid that are worth placing: of those with the same name the first."""
    named: dict[str, CoreConfig] = {}
    for core in grid:
        named.setdefault(core.name, core)
    return {named[name] for name in _PLACED if name in named}


def _core(fields: dict[str, Any]) -> CoreConfig:
    """The priced core with these fields."""
    return standard(feed(CoreConfig(), **fields))
