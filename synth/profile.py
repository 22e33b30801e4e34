"""HardwareProfile: what the hardware side tells the pruner, as one value with one file form."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from cosign import CosignError, values, write_json
from cosign.values import Ratio
from synth.breakeven import Curve
from synth.report import CoreReport

SCHEMA = 2
READ = (1, SCHEMA)
"""Schemas that can be read; 1 names no version of its writer."""


@dataclass(frozen=True)
class LayerCost:
    """A layer on the cores.

    Parameters
    ----------
    name : of the layer
    cycles : clock cycles of one run of the layer, by name of the core
    break_even : pruning ratio from which the sparse core wins; null when it never catches up
    """

    name: str
    cycles: dict[str, Annotated[int, Meta(gt=0)]]
    break_even: Ratio | None


@dataclass(frozen=True)
class HardwareProfile:
    """Measured hardware of one network.

    Parameters
    ----------
    network : its name
    cores : of the chip, with memories for its layers
    layers : those that the machine executes
    curves : Fig. 4 under every SRAM model and accounting, the headline's first
    basis : what the layers' break-even ratios were measured under: `against` (name of a core),
        `sram_model` and `weights` (streamed, on-chip)
    provenance : tools, cell library, recipe, SRAM models
    """

    network: str
    cores: tuple[CoreReport, ...]
    layers: tuple[LayerCost, ...]
    curves: tuple[Curve, ...]
    basis: dict[str, str]
    provenance: dict[str, Any]

    def __post_init__(self) -> None:
        names = [layer.name for layer in self.layers]
        if len(set(names)) != len(names):
            raise CosignError("the hardware profile names a layer twice.")
        if set(self.basis) != {"against", "sram_model", "weights"}:
            raise CosignError("the basis of a hardware profile is against, sram_model, weights.")

    def break_even(self, layer: str) -> float | None:
        """The break-even ratio of `layer`. Raises CosignError when the profile lacks the layer."""
        for cost in self.layers:
            if cost.name == layer:
                return cost.break_even
        raise CosignError(f"the hardware profile of {self.network} has no layer {layer!r}.")

    def to_json(self) -> dict[str, Any]:
        cores = [core.to_json() for core in self.cores]
        return values.stamped(self, SCHEMA) | {"cores": cores}

    def write(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> "HardwareProfile":
        """Raises CosignError when the file is missing, damaged or of another schema."""
        return values.read(path, cls, READ, "synthesise again")
