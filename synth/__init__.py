"""What the machine costs: area, clock, memories, and the break-even pruning ratio.

    report = synthesize(config, out)            # Yosys, ABC, OpenSTA -> CoreReport
    report = route(config, out, Target())      # Yosys, nextpnr -> FpgaReport, on an ECP5
    reports = synthesize_many(configs, out)     # two at a time
    curve = measure(workload, dense, sparse, "openram", "streamed")   # section 5.1, Fig. 4
    HardwareProfile.read(path)                  # what the pruner is told

Verilog comes from rtl; cycles come in as a callable, because this room does not know sim.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synth.breakeven import Curve, Point, Stored, Workload, measure
    from synth.fpga import FpgaReport, Target, route
    from synth.profile import HardwareProfile, LayerCost
    from synth.report import CoreReport, synthesize, synthesize_many

__all__ = [
    "CoreReport",
    "Curve",
    "FpgaReport",
    "HardwareProfile",
    "LayerCost",
    "Point",
    "Stored",
    "Target",
    "Workload",
    "measure",
    "route",
    "synthesize",
    "synthesize_many",
]

_WHERE = {
    "breakeven": ("Curve", "Point", "Stored", "Workload", "measure"),
    "fpga": ("FpgaReport", "Target", "route"),
    "profile": ("HardwareProfile", "LayerCost"),
    "report": ("CoreReport", "synthesize", "synthesize_many"),
}


def __getattr__(name: str) -> Any:
    """Imported when it is asked for: what a run is asked needs no gateware and no plots."""
    for module, names in _WHERE.items():
        if name in names:
            return getattr(importlib.import_module(f"synth.{module}"), name)
    raise AttributeError(f"module 'synth' has no attribute {name!r}")
