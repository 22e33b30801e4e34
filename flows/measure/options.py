"""What every layer costs on the cores, at each of the densities that an allocation may choose."""

from collections.abc import Callable, Mapping

import numpy as np

from compress.model.graph import Geometry
from compress.posttrain.expected import OFFERED, PORTIONS
from cosign.values import Count, Value
from flows.measure.machines import CoreReports
from flows.measure.workload import RandomMasks
from rtl.program.fit import batch_of
from sim import cycles
from synth.report import CoreReport


class LayerCycles(Value, frozen=True, kw_only=True):
    """A layer on the cores, by the exact cycle model under random masks.

    Parameters
    ----------
    images : of one run, whose pixels a linear layer has
    dense : cycles of a run on the dense core
    sparse : by sparse core, those of a run with all weights and then at each of PORTIONS
    """

    images: Count
    dense: Count
    sparse: dict[str, tuple[Count, ...]]

    def seconds(self, core: CoreReport) -> np.ndarray:
        """Of an image on a sparse core at each of OFFERED; between portions, interpolated."""
        known = np.interp(OFFERED, (0.0, *PORTIONS), self.sparse[core.name])
        return known / core.fmax_hz / self.images

    def seconds_dense(self, core: CoreReport) -> float:
        """Of an image on the dense core."""
        return self.dense / core.fmax_hz / self.images


def measure(
    geometries: Mapping[str, Geometry],
    reports: CoreReports,
    batch: int,
    seed: int,
    report: Callable[[int, int], None],
) -> dict[str, LayerCycles]:
    """Each of the layers on the dense core, and on all sparse cores of which one may be chosen.

    batch : images that are the pixels of a linear layer
    report : gets the layers that are done, and how many there are
    """
    found = {}
    for name, geometry in geometries.items():
        images = batch_of(geometry, batch)
        masks = RandomMasks(geometry, images, seed)
        sparse: dict[str, list[int]] = {core.name: [] for core in reports.sized}
        for portion in (0.0, *PORTIONS):
            for core in reports.sized:
                sparse[core.name].append(masks.cycles(core.config, portion))
        found[name] = LayerCycles(
            images=images,
            dense=cycles.dense_cycles(geometry, reports.dense.config, images),
            sparse={core: tuple(several) for core, several in sparse.items()},
        )
        report(len(found), len(geometries))
    return found
