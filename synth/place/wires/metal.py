"""Resistance and capacitance of a micrometre of wire, and where the figures come from."""

from dataclasses import dataclass

from synth.pdk import Pdk
from synth.place.lef import Layer, Lef

LONG_UM = 100.0
"""A net longer than this is taken to be routed on the wider layers."""


@dataclass(frozen=True)
class Metal:
    """Wires of short nets and of those longer than `long_um`: ohms and femtofarads a micrometre."""

    short_ohm_um: float
    short_ff_um: float
    long_ohm_um: float
    long_ff_um: float
    source: str
    long_um: float = LONG_UM

    def ohm_um(self, length_um: float) -> float:
        """Of a net of that length."""
        return self.long_ohm_um if length_um > self.long_um else self.short_ohm_um

    def ff_um(self, length_um: float) -> float:
        """Of a net of that length."""
        return self.long_ff_um if length_um > self.long_um else self.short_ff_um


NANGATE = Metal(
    3.6,
    0.105,
    1.5,
    0.111,
    "metal3 and metal5 as OpenROAD-flow-scripts has them for NanGate 45 (platforms/nangate45/"
    "setRC.tcl, fitted to extracted layouts)",
)


def metal_of(pdk: Pdk, lef: Lef) -> Metal:
    """What wires of `lef` have: known figures for NanGate 45, else what the LEF says.

    A LEF tells the capacitance to ground alone, so wires beside each other are rated too low.
    """
    if "nangate" in pdk.name.lower():
        return NANGATE
    narrow = min(layer.width_um for layer in lef.layers[1:] or lef.layers)
    short = [layer for layer in lef.layers[1:] or lef.layers if layer.width_um < 1.5 * narrow]
    wider = [layer for layer in lef.layers[1:] if layer.width_um >= 1.5 * narrow][:2] or short
    return Metal(
        _mean([layer.ohm_um for layer in short]),
        _mean([layer.ff_um for layer in short]),
        _mean([layer.ohm_um for layer in wider]),
        _mean([layer.ff_um for layer in wider]),
        f"{_names(short)} for short nets, {_names(wider)} for long ones, as {lef.files[0].name} "
        "has them, to ground alone",
    )


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _names(layers: list[Layer]) -> str:
    return " and ".join(layer.name for layer in layers)
