"""Densities by layer within a budget: Fig. 5 with what hardware really takes.

Losses come from curves (`compress.posttrain.curves`), costs from the cycle model (`options`), and
`compress.posttrain.allocation` chooses. A layer is pruned beyond its break-even ratio or not at
all, so that what it would have lost for nothing is spent on others; where a number of weights or
bytes cannot be met in that way, any ratio may be had.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from msgspec import structs

from compress.model.graph import Geometry
from compress.posttrain.allocation import Table, TooSmall, choose
from compress.posttrain.expected import Curves
from cosign import CosignError
from cosign.values import Amount, Count, Positive, Value
from flows.measure.breakeven import Chip
from flows.measure.machines import CoreReports
from flows.measure.options import LayerCycles
from sim.workload import random_layers
from synth.report import CoreReport

_TRIES = 4  # to come below a time that interpolated cycles have missed
_JUST_BELOW = 0.999
_ROUNDING = 1e-9  # relative, of sums of seconds


class Plan(Value, frozen=True, kw_only=True):
    """What each layer keeps.

    Parameters
    ----------
    keep : weights by layer
    loss : that is expected of it
    time_s : of an image, dense layers on the dense core; None when no sparse core is that small
    bytes : of the layers in the file, estimated
    relaxed : whether layers are pruned less than break-even, since all else was too much
    """

    keep: dict[str, Count]
    loss: Amount
    time_s: Positive | None
    bytes: Amount
    relaxed: bool = False


@dataclass(frozen=True)
class Planner:
    """Chooses plans for one network on the cores of a run.

    Parameters
    ----------
    curves : of all layers
    geometries, cycles : of all layers
    break_even : ratio by layer, None for never
    reports, batch, seed : the cores, images that are the pixels of a linear layer, and of masks
    scales : by layer, real bytes over estimated ones, of a file that was written
    """

    curves: Curves
    geometries: Mapping[str, Geometry]
    cycles: Mapping[str, LayerCycles]
    break_even: Mapping[str, float | None]
    reports: CoreReports
    batch: int
    seed: int
    scales: Mapping[str, float] = field(default_factory=dict)

    @property
    def weights(self) -> int:
        return sum(curve.weights for curve in self.curves.layers.values())

    @property
    def dense_s(self) -> float:
        """Of an image, all layers on the dense core."""
        dense = self.reports.dense
        return sum(layer.seconds_dense(dense) for layer in self.cycles.values())

    def within_weights(self, weights: float) -> Plan:
        """Raises CosignError, with the best that can be had, when that is too few."""
        total = self.weights

        def say(kept: float) -> str:
            return f"{total / max(kept, 1):.3g}x"

        return self._restoring("a pruning ratio of", weights, say, lambda curve: curve.keep)

    def within_bytes(self, budget: float, beside: float) -> Plan:
        """The layers within `budget` bytes less those of the file `beside` them.

        Raises CosignError, with the best that can be had, when that is too few.
        """

        def say(some: float) -> str:
            return f"{max(some + beside, 0):,.0f} bytes"

        return self._restoring("a file of", budget - beside, say, lambda curve: curve.bytes)

    def within_time(self, seconds: float) -> Plan:
        """Of an image. Raises CosignError, with the best that can be had, if that is too short."""
        dense = self.dense_s
        found = []
        for core in self.reports.sized:
            try:
                found.append((self._on(core, seconds, quick=True).loss, core))
            except TooSmall:
                continue
        found.sort(key=lambda some: some[0])
        for _, core in found:
            aim, plan = seconds, self._on(core, seconds)
            for _ in range(_TRIES):
                timed, fastest = self._timed(plan)
                if timed.time_s is not None and timed.time_s <= seconds * (1 + _ROUNDING):
                    return timed
                if timed.time_s is None or fastest != core.name:
                    break  # another plan is made for the core that is faster here
                aim *= _JUST_BELOW * seconds / timed.time_s
                try:
                    plan = self._on(core, aim)
                except TooSmall:
                    break
        best = self.fastest()
        if best is None:
            raise CosignError(
                "--speedup is of sparse hardware no larger than the dense core, and no sparse core "
                "here is as small; give other --cores, or a budget of --ratio or --size."
            )
        assert best.time_s is not None
        raise CosignError(
            f"--speedup {dense / seconds:.3g}x cannot be met: the best that can be had is "
            f"{dense / best.time_s:.3g}x, with every layer pruned as far as is offered."
        )

    def fastest(self) -> Plan | None:
        """The plan of least time; None when no sparse core is as small as the dense one."""
        made = [self._timed(self._on(core, None))[0] for core in self.reports.sized]
        timed = [plan for plan in made if plan.time_s is not None]
        return min(timed, key=lambda plan: plan.time_s or 0.0, default=None)

    def of(self, keep: Mapping[str, int]) -> Plan:
        """What is expected of layers that keep so many weights, and their exact time."""
        loss = sum(self.losses(keep).values())
        size = sum(self.estimate(name, kept) for name, kept in keep.items())
        return self._timed(Plan(keep=dict(keep), loss=loss, time_s=None, bytes=size))[0]

    def estimate(self, name: str, kept: int) -> float:
        """Bytes of a layer that keeps so many weights, of the nearest option."""
        return float(self.bytes_of(name)[self._nearest(name, kept)])

    def _nearest(self, name: str, kept: int) -> int:
        return int(np.abs(self.curves.layers[name].keep - kept).argmin())

    def around(self, plan: Plan, factors: Iterable[float]) -> list[Plan]:
        """Plans of so many times the plan's time, or weights where it has no time."""
        found = []
        for factor in factors:
            try:
                if plan.time_s is None:
                    found.append(self.within_weights(factor * sum(plan.keep.values())))
                else:
                    found.append(self.within_time(factor * plan.time_s))
            except CosignError:  # further than can be had
                continue
        return found

    def losses(self, keep: Mapping[str, int]) -> dict[str, float]:
        """Expected of each layer that keeps so many weights, of the nearest option."""
        return {
            name: float(curve.losses[self._nearest(name, keep[name])])
            for name, curve in self.curves.layers.items()
        }

    def bytes_of(self, name: str) -> np.ndarray:
        """Estimated, of a layer at each of OFFERED."""
        return self.scales.get(name, 1.0) * self.curves.layers[name].bytes

    def _restoring(
        self,
        what: str,
        budget: float,
        say: Callable[[float], str],
        cost: Callable[..., np.ndarray],
    ) -> Plan:
        """Within a budget that hardware has no part in; by break-even as far as that can be."""
        costs = {
            name: self.bytes_of(name) if what == "a file of" else cost(curve)
            for name, curve in self.curves.layers.items()
        }
        for relaxed in (False, True):
            offered = {
                name: np.flatnonzero(self._pays(name) | relaxed) for name in self.curves.layers
            }
            try:
                plan, _ = self._timed(self._chosen(offered, costs, budget))
                return structs.replace(plan, relaxed=relaxed)
            except TooSmall as error:
                least = error.least
        raise CosignError(
            f"{what} {say(budget)} cannot be met: the best that can be had is {say(least)}, with "
            "every layer pruned as far as is offered."
        )

    def _pays(self, name: str) -> np.ndarray:
        """Which of OFFERED a layer may have: dense, or what break-even asks; bool."""
        curve = self.curves.layers[name]
        ratio = self.break_even[name]
        dense = curve.keep == curve.nonzeros
        return dense if ratio is None else dense | (curve.weights >= ratio * curve.keep)

    def _on(self, core: CoreReport, seconds: float | None, quick: bool = False) -> Plan:
        """The plan on one sparse core, its memories left out of account; None for the fastest."""
        offered, costs = {}, {}
        for name, curve in self.curves.layers.items():
            offered[name] = np.flatnonzero(self._pays(name))
            dense = self.cycles[name].seconds_dense(self.reports.dense)
            on_sparse = self.cycles[name].seconds(core)
            costs[name] = np.where(curve.keep == curve.nonzeros, dense, on_sparse)
        if seconds is None:
            seconds = sum(float(costs[name][rows].min()) for name, rows in offered.items())
        return self._chosen(offered, costs, seconds, quick)

    def _chosen(
        self,
        offered: Mapping[str, np.ndarray],
        costs: Mapping[str, np.ndarray],
        budget: float,
        quick: bool = False,
    ) -> Plan:
        curves = self.curves.layers
        tables = [
            Table(curves[name].losses[rows], costs[name][rows]) for name, rows in offered.items()
        ]
        keep, loss, size = {}, 0.0, 0.0
        for (name, rows), place in zip(
            offered.items(), choose(tables, budget, quick=quick), strict=True
        ):
            at = rows[place]
            keep[name] = int(curves[name].keep[at])
            loss += float(curves[name].losses[at])
            size += float(self.bytes_of(name)[at])
        return Plan(keep=keep, loss=loss, time_s=None, bytes=size)

    def dense(self, keep: Mapping[str, int]) -> list[str]:
        """Layers that lose nothing."""
        return [name for name, curve in self.curves.layers.items() if keep[name] == curve.nonzeros]

    def _timed(self, plan: Plan) -> tuple[Plan, str | None]:
        """With its exact time, and the name of the sparse core that it is on."""
        layers = random_layers(self.geometries, plan.keep, self.seed)
        chip = Chip(layers, self.reports, self.batch)
        time_s = chip.image_time(layers, self.dense(plan.keep))["time_s"]
        return structs.replace(plan, time_s=time_s), (chip.sparse.name if chip.sparse else None)
