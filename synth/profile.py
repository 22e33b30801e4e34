"""HardwareProfile: what the hardware side tells the pruner, as one value with one file form."""

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cosign import CosignError, read_json, write_json
from synth.breakeven import Curve
from synth.report import CoreReport

SCHEMA = 1


@dataclass(frozen=True)
class LayerCost:
    """A layer on the cores: cycles by core name, and its break-even ratio.

    `break_even` is None when the sparse core never catches up at the ratios measured.
    """

    name: str
    cycles: dict[str, int]
    break_even: float | None

    def __post_init__(self) -> None:
        if not self.name or any(count <= 0 for count in self.cycles.values()):
            raise CosignError(f"layer {self.name!r} of the profile has no positive cycles.")
        if self.break_even is not None and not (
            math.isfinite(self.break_even) and self.break_even >= 1
        ):
            raise CosignError(f"layer {self.name!r} has a break-even ratio of {self.break_even}.")


@dataclass(frozen=True)
class HardwareProfile:
    """Measured hardware of one network: cores, layers, Fig. 4 curves, where it all comes from.

    `basis` names what the layers' break-even ratios were measured under:
    {"against": core name, "sram_model": ..., "weights": ...}.
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
        return {
            "schema": SCHEMA,
            "network": self.network,
            "cores": [core.to_json() for core in self.cores],
            "layers": [dataclasses.asdict(layer) for layer in self.layers],
            "curves": [curve.to_json() for curve in self.curves],
            "basis": self.basis,
            "provenance": self.provenance,
        }

    def write(self, path: Path) -> None:
        write_json(path, self.to_json())

    @classmethod
    def read(cls, path: Path) -> "HardwareProfile":
        """Raises CosignError when the file is missing, damaged or of another schema."""
        value = read_json(path)
        schema = value.get("schema") if isinstance(value, dict) else None
        if schema != SCHEMA:
            raise CosignError(
                f"{path} is a hardware profile of schema {schema}, this version reads {SCHEMA}; "
                "synthesise again."
            )
        try:
            return cls(
                network=str(value["network"]),
                cores=tuple(CoreReport.from_json(core) for core in value["cores"]),
                layers=tuple(
                    LayerCost(
                        str(layer["name"]),
                        {core: int(count) for core, count in layer["cycles"].items()},
                        None if layer["break_even"] is None else float(layer["break_even"]),
                    )
                    for layer in value["layers"]
                ),
                curves=tuple(Curve.from_json(curve) for curve in value["curves"]),
                basis=dict(value["basis"]),
                provenance=dict(value["provenance"]),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise CosignError(
                f"{path} is a damaged hardware profile ({error!r}); synthesise again."
            ) from error
