"""The machines of a run: one sparse core and its two dense rivals, with memories that fit.

The sparse core and `dense-scalar` have the same number of multipliers; `dense-2d` is the
strongest dense rival, against which break-even is quoted (DESIGN: the core).

The sparse core has two requantisers: a filter pruned 40 times leaves 44 entries of AlexNet's
CONV4, and 61 results must be drained in that time. A dense core needs one.
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from compress.file.container import Layer
from rtl.config import CoreConfig
from rtl.program.fit import fit

SPARSE = CoreConfig(core="sparse", drain=2)
DENSE_SCALAR = dataclasses.replace(SPARSE, core="dense-scalar", drain=1)
DENSE_2D = dataclasses.replace(
    DENSE_SCALAR, core="dense-2d", lanes=8, filters=8, act_banks=4, bank_bytes=4, act_depth=10240
)


class Machines(NamedTuple):
    """Cores with the same job. `dense` is the two-dimensional rival."""

    sparse: CoreConfig
    dense: CoreConfig
    dense_scalar: CoreConfig


def machines_for(layers: Sequence[Layer], batch: int) -> Machines:
    """The three cores, with memories that hold the largest of `layers`."""
    return Machines(*(fit(config, layers, batch) for config in (SPARSE, DENSE_2D, DENSE_SCALAR)))
