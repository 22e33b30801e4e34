"""The machines of a run: one sparse core and its two dense rivals, with memories that fit.

The sparse core and `dense-scalar` have the same number of multipliers; `dense-2d` is the
strongest dense rival, against which break-even is quoted (DESIGN: the core).

The sparse core has two requantisers: a filter pruned 40 times leaves 44 entries of AlexNet's
CONV4, and 61 results must be drained in that time. A dense core needs one.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from compress.container import Layer
from rtl.config import CoreConfig
from rtl.encode import work
from rtl.layout import Layout

SPARSE = CoreConfig(core="sparse", drain=2)
DENSE_SCALAR = dataclasses.replace(SPARSE, core="dense-scalar", drain=1)
DENSE_2D = dataclasses.replace(
    DENSE_SCALAR, core="dense-2d", lanes=8, filters=8, act_banks=4, bank_bytes=4, act_depth=10240
)
_STEP = 64  # memories grow in steps of this many words


class Machines(NamedTuple):
    """Cores with the same job. `dense` is the two-dimensional rival."""

    sparse: CoreConfig
    dense: CoreConfig
    dense_scalar: CoreConfig


def machines_for(layers: Sequence[Layer], batch: int) -> Machines:
    """The three cores, with memories that hold the largest of `layers`."""
    return Machines(*(fit(config, layers, batch) for config in (SPARSE, DENSE_2D, DENSE_SCALAR)))


def fit(config: CoreConfig, layers: Sequence[Layer], batch: int) -> CoreConfig:
    """`config` with the smallest memories, in steps of 64 words, that hold each of `layers`."""
    layouts = [Layout(layer.geometry, batch_of(layer, batch)) for layer in layers]
    map_bytes = max(layout.bytes for layout in layouts)
    entries = max(
        int(work(layer, layout, config).stored.max())
        for layer, layout in zip(layers, layouts, strict=True)
    )
    return dataclasses.replace(
        config,
        act_depth=_round_up(-(-map_bytes // config.act_word_bytes)),
        weight_depth=_round_up(entries),
    )


def batch_of(layer: Layer, batch: int) -> int:
    """Images that one run of the layer computes: `batch` are the pixels of a linear layer."""
    return batch if layer.geometry.kind == "linear" else 1


def _round_up(words: int) -> int:
    return -(-words // _STEP) * _STEP
