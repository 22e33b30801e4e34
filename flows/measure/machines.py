"""The cores of a run on its layers: with memories that fit, and what they cost."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from compress.model.graph import Layer
from cosign import CosignError
from rtl.config import CoreConfig
from rtl.coreset import CoreSet
from rtl.program.fit import fit
from synth.report import CoreReport


class Machines(NamedTuple):
    """Three cores with the same job; `dense` is the two-dimensional rival (`rtl.coreset`)."""

    sparse: CoreConfig
    dense: CoreConfig
    dense_scalar: CoreConfig


def machines_for(cores: CoreSet, layers: Sequence[Layer], batch: int) -> Machines:
    """The three cores, with memories that hold the largest of `layers`."""
    chosen = (cores.sparse, cores.dense, cores.dense_scalar)
    return Machines(*(fit(config, layers, batch) for config in chosen))


@dataclass(frozen=True)
class CoreReports:
    """What the cores of a CoreSet cost, each in its role there.

    limit_um2 : area that a sparse core may have; None for that of the dense core
    """

    dense: CoreReport
    dense_scalar: CoreReport
    sparse: CoreReport
    candidates: tuple[CoreReport, ...]
    limit_um2: float | None = None

    @staticmethod
    def needed(cores: CoreSet) -> tuple[CoreConfig, ...]:
        """What of `cores` has to be synthesised."""
        return (cores.dense, cores.dense_scalar, *cores.sized)

    @classmethod
    def of(
        cls, cores: CoreSet, reports: Iterable[CoreReport], limit_um2: float | None = None
    ) -> "CoreReports":
        """The reports of `cores` among `reports`, in any order.

        Raises CosignError when one is not there.
        """
        known = {report.config: report for report in reports}
        if missing := [core.name for core in cls.needed(cores) if core not in known]:
            raise CosignError(f"the core {missing[0]} is not synthesised; synthesise again.")
        return cls(
            known[cores.dense],
            known[cores.dense_scalar],
            known[cores.sparse],
            tuple(known[core] for core in cores.candidates),
            limit_um2,
        )

    @property
    def sized(self) -> tuple[CoreReport, ...]:
        """The sparse cores of which the fastest that fits counts."""
        return (self.sparse, *self.candidates)

    def fitted(self, layers: Sequence[Layer], batch: int) -> "CoreReports":
        """The same with the smallest memories that hold `layers`."""

        def fitted(report: CoreReport) -> CoreReport:
            return report.with_memories(fit(report.config, layers, batch))

        return dataclasses.replace(
            self,
            dense=fitted(self.dense),
            dense_scalar=fitted(self.dense_scalar),
            sparse=fitted(self.sparse),
            candidates=tuple(map(fitted, self.candidates)),
        )
