"""From core reports to break-even and speedup per layer (§5.1), cycles from the cycle model."""

import contextlib
import itertools
from collections.abc import Callable, Collection, Sequence
from typing import Any

from compress.model.graph import Layer
from flows.measure.machines import CoreReports
from flows.measure.workload import RandomMasks
from rtl.config import CoreConfig
from rtl.program.fit import batch_of
from sim import cycles
from synth import breakeven, sram
from synth.profile import HardwareProfile, LayerCost
from synth.report import CoreReport

HEADLINE = ("openram", "streamed")
"""SRAM model and accounting of the layer table: measured macros, one filter's double buffer."""

_LAYER_OF_THE_PAPER = "conv4"


def measure(
    network: str,
    layers: Sequence[Layer],
    reports: CoreReports,
    batch: int,
    seed: int,
    report: Callable[[str, int, int], None],
) -> HardwareProfile:
    """The profile of `network`: from which pruning ratio each layer gains by being sparse.

    layers : those that the machine executes, with as many weights as the memories have to hold;
        `batch` images are the pixels of a linear one

    The curves are those of §5.1: hardware made for one layer. The layers' own break-even ratios
    are those of one chip, whose memories hold the largest layer. Both are measured under random
    masks: they depend on the layers' shapes, not on training.
    """
    chip = Chip(layers, reports, batch)
    costs = []
    for number, layer in enumerate(layers):
        masks = RandomMasks(layer.geometry, batch_of(layer.geometry, batch), seed)
        ratio = chip.break_even(network, layer.name, masks)
        costs.append(LayerCost(layer.name, chip.cycles(layer), ratio))
        report("breakeven", number + 1, len(layers) + 1)
    curves = _curves(network, headline_layer(layers), reports, batch, seed)
    report("breakeven", len(layers) + 1, len(layers) + 1)
    return HardwareProfile(
        network=network,
        cores=chip.reports,
        layers=tuple(costs),
        curves=curves,
        basis={"against": reports.dense.name, "sram_model": HEADLINE[0], "weights": HEADLINE[1]},
        provenance=reports.dense.provenance,
    )


def speedups(
    profile: HardwareProfile, layers: Sequence[Layer], reports: CoreReports, batch: int
) -> dict[str, Any]:
    """What results.json says of the finished layers on a chip whose memories hold them."""
    chip = Chip(layers, reports, batch)
    rows = {}
    for layer in layers:
        ratio = profile.break_even(layer.name)
        pays = ratio is not None and layer.geometry.weights >= ratio * layer.nnz
        rows[layer.name] = {
            **chip.speedups(layer),
            "break_even": ratio,
            "decision": "sparse" if pays else "dense",
        }
    return {"layers": rows, "cores": [_cost(core) for core in chip.reports]}


def _curves(
    network: str, layer: Layer, reports: CoreReports, batch: int, seed: int
) -> tuple[breakeven.Curve, ...]:
    """Fig. 4 for `layer` under both SRAM models and both accountings, HEADLINE first; without those
    that need a deeper memory than there can be."""
    masks = RandomMasks(layer.geometry, batch_of(layer.geometry, batch), seed)
    work = breakeven.Workload(network, layer.name, masks.cycles, masks.stored)
    fitted = reports.fitted([layer], batch)
    settings = [*itertools.product(sram.MODELS, breakeven.ACCOUNTINGS)]
    settings.sort(key=lambda setting: setting != HEADLINE)
    curves = []
    for setting in settings:
        with contextlib.suppress(breakeven.TooDeep):
            curves.append(breakeven.measure(work, fitted.dense, fitted.sized, *setting))
    return tuple(curves)


def headline_layer(layers: Sequence[Layer]) -> Layer:
    """The paper's CONV4 where there is one, else the layer with the most work."""
    named = [layer for layer in layers if layer.name == _LAYER_OF_THE_PAPER]
    return named[0] if named else max(layers, key=lambda layer: layer.geometry.macs)


class Chip:
    """The synthesised cores with memories for a whole network.

    `reports` are the dense cores, the sparse core that executes the network, and the sparse core
    that is fastest on it and no larger than it may be, if that is another.
    """

    def __init__(self, layers: Sequence[Layer], reports: CoreReports, batch: int) -> None:
        self._batch = batch
        self._cores = reports.fitted(layers, batch)
        self._equal_area = self._fastest(layers)
        chosen = [self._cores.dense, self._cores.dense_scalar, self._cores.sparse]
        if self._equal_area is not None and self._equal_area is not self._cores.sparse:
            chosen.append(self._equal_area)
        self.reports = tuple(chosen)

    def _fastest(self, layers: Sequence[Layer]) -> CoreReport | None:
        """The sparse core that takes least time for an image, of those that fit the area."""
        limit = self._cores.limit_um2 or self._cores.dense.area_um2(HEADLINE[0])
        fitting = [core for core in self._cores.sized if core.area_um2(HEADLINE[0]) <= limit]

        def time_of(core: CoreReport) -> float:
            return sum(self._seconds(layer, core) for layer in layers)

        return min(fitting, key=time_of, default=None)

    def cycles(self, layer: Layer) -> dict[str, int]:
        """Clock cycles of one run of the layer, by core name."""
        return {core.name: self._cycles(layer, core) for core in self.reports}

    def _cycles(self, layer: Layer, core: CoreReport) -> int:
        return cycles.layer_cycles(layer, core.config, batch_of(layer.geometry, self._batch))

    def break_even(self, network: str, layer: str, masks: RandomMasks) -> float | None:
        """Pruning ratio from which the sparse chip is faster on this layer, or None."""

        def stored(core: CoreConfig, portion: float) -> breakeven.Stored:
            # A filter longer than the chip's buffer enlarges the buffer; a shorter one does not
            # shrink it.
            needed = masks.stored(core, portion)
            return needed._replace(
                filter=max(needed.filter, core.weight_depth),
                filter_masks=core.mask_depth if needed.filter_masks else 0,
            )

        work = breakeven.Workload(network, layer, masks.cycles, stored)
        cores = self._cores
        curve = breakeven.measure(
            work, cores.dense, cores.sized, *HEADLINE, limit_um2=cores.limit_um2, whole=False
        )
        return curve.break_even_ratio

    def speedups(self, layer: Layer) -> dict[str, float | None]:
        """Time on dense over time on sparse: of equal area, and of equal multipliers."""
        dense, sparse = self.seconds(layer)
        scalar = self._seconds(layer, self._cores.dense_scalar)
        equal_pes = self._seconds(layer, self._cores.sparse)
        return {
            "speedup": None if sparse is None else dense / sparse,
            "speedup_equal_pes": scalar / equal_pes,
        }

    @property
    def sparse(self) -> CoreReport | None:
        """The sparse core that is fastest here and no larger than it may be."""
        return self._equal_area

    def image_time(
        self, layers: Sequence[Layer], dense: Collection[str] = ()
    ) -> dict[str, float | None]:
        """As the function `image_time` says, of layers that fit."""
        sparse: list[float] = []
        mixed: list[float] = []
        for layer in layers:
            on_dense, on_sparse = self.seconds(layer)
            if on_sparse is None:
                return {"time_s": None, "sparse_s": None}
            sparse.append(on_sparse)
            whole = layer.nnz == layer.geometry.weights or layer.name in dense
            mixed.append(on_dense if whole else on_sparse)
        return {"time_s": sum(mixed), "sparse_s": sum(sparse)}

    def seconds(self, layer: Layer) -> tuple[float, float | None]:
        """Time of an image on the dense core, and on the sparse one if one fits the area."""
        smaller = self._equal_area
        sparse = None if smaller is None else self._seconds(layer, smaller)
        return self._seconds(layer, self._cores.dense), sparse

    def _seconds(self, layer: Layer, core: CoreReport) -> float:
        images = batch_of(layer.geometry, self._batch)
        return self._cycles(layer, core) / core.fmax_hz / images


def image_time(
    layers: Sequence[Layer], reports: CoreReports, batch: int, dense: Collection[str] = ()
) -> dict[str, float | None]:
    """Seconds of one image on a chip with memories for `layers`, by the cycle model.

    dense : layers that came with zeros and lost no others

    `sparse_s`: all layers on the sparse core, None when none is as small as the dense one;
    `time_s`: the same, with layers that lost no weight on the dense core. The paper makes
    hardware for one layer; there a dense layer costs its time on dense hardware.
    """
    return Chip(layers, reports, batch).image_time(layers, dense)


def _cost(core: CoreReport) -> dict[str, Any]:
    by_purpose = {"logic": core.logic_um2, **core.sram_um2[HEADLINE[0]]}
    return {
        "name": core.name,
        "core": core.config.core,
        "lanes": core.config.lanes,
        "filters": core.config.filters,
        "multipliers": core.config.multipliers,
        "config_hash": core.config.hash,
        "logic_um2": core.logic_um2,
        "area_um2": core.area_um2(HEADLINE[0]),
        "area_by_purpose_um2": by_purpose,
        "fmax_hz": core.fmax_hz,
        "critical_path": core.critical_path,
    }
