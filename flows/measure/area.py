"""Which cores of a CoreSet a chip of some area has: the fastest that fit, with all memories."""

import dataclasses
import math
from collections.abc import Sequence

from compress.model.graph import Layer
from cosign import CosignError
from flows.measure.breakeven import HEADLINE
from flows.measure.machines import CoreReports
from rtl.coreset import CoreSet
from rtl.program.fit import batch_of
from sim.cycles import dense_cycles
from synth.report import CoreReport


def within(
    cores: CoreSet, reports: CoreReports, layers: Sequence[Layer], batch: int, area_um2: float
) -> CoreSet:
    """`cores` with the dense core that is fastest on `layers` within the area, as `dense`.

    reports : of `cores`
    layers : a network with as few weights as there can be: sparse cores are sized to the densities
        that are found later
    batch : images that are the pixels of a linear layer

    Raises CosignError, with the smallest core, where no dense or no sparse core fits.
    """
    fitted = reports.fitted(layers, batch)
    dense = _fitting("dense", (fitted.dense, fitted.dense_scalar), area_um2)
    _fitting("sparse", fitted.sized, area_um2)

    def time_of(core: CoreReport) -> float:
        cycles = (
            dense_cycles(layer.geometry, core.config, images) / images
            for layer in layers
            for images in (batch_of(layer.geometry, batch),)
        )
        return sum(cycles) / core.fmax_hz

    if min(dense, key=time_of) is fitted.dense:
        return cores
    return dataclasses.replace(
        cores, dense=dataclasses.replace(cores.dense_scalar, core="dense-2d")
    )


def _fitting(kind: str, cores: Sequence[CoreReport], area_um2: float) -> list[CoreReport]:
    """Those of at most that area."""
    fitting = [core for core in cores if core.area_um2(HEADLINE[0]) <= area_um2]
    if fitting:
        return fitting
    least = min(cores, key=lambda core: core.area_um2(HEADLINE[0]))
    raise CosignError(
        f"--area {area_um2:.10g}um2 holds no {kind} core with memories for this network; the "
        f"smallest, {least.name}, takes {math.ceil(least.area_um2(HEADLINE[0]))}um2."
    )
