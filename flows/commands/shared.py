"""What the commands that tell break-even have in common."""

import argparse
from pathlib import Path
from typing import NamedTuple

from compress.file.container import load
from compress.model.graph import Geometry, Layer
from compress.zoo.networks import spec_of
from cosign import CosignError
from cosign.kinds import bytes_per_cycle
from rtl.config import CoreConfig

Known = dict[str, tuple[Geometry, Layer | None]]
"""Layers by name: their geometry, and what a model's file holds of them."""


class Asked(NamedTuple):
    """A network whose layers are measured.

    Parameters
    ----------
    name : of the network
    layers : by name
    act_bits : of its activations
    """

    name: str
    layers: Known
    act_bits: int


def known_layers(network: str, model: Path | None, act_bits: int | None) -> Asked:
    """A built-in network, or a model.cosign if one is given.

    act_bits : of --act-bits, None without it

    Raises CosignError, and where the model has other activations.
    """
    if model is None:
        geometries = spec_of(network).geometries
        layers: Known = {name: (g, None) for name, g in geometries.items()}
        return Asked(network, layers, act_bits or CoreConfig.act_bits)
    found = load(model)
    if act_bits not in (None, found.act_bits):
        raise CosignError(
            f"{model} has activations of {found.act_bits} bits; leave --act-bits out."
        )
    own: Known = {layer.name: (layer.geometry, layer) for layer in found.layers}
    return Asked(found.name, own, found.act_bits)


def add_channels(parser: argparse.ArgumentParser, what: str) -> None:
    """The option of several bandwidths; `what` is said of it beside."""
    parser.add_argument(
        "--bytes-per-cycle",
        type=bytes_per_cycle,
        nargs="+",
        default=[None],
        metavar="B",
        help=what,
    )


def applies(b: float | None, weights: str) -> bool:
    """Whether there is a figure at so many bytes a cycle: weights that lie on chip share no
    channel, and have only that without a limit."""
    return b is None or weights == "streamed"


def channel(b: float | None) -> str:
    """Of a line that tells what was measured at so many bytes a cycle."""
    return "" if b is None else f" at {b:g} bytes a cycle"
