"""What the commands that tell break-even have in common."""

import argparse
from pathlib import Path

from compress.file.container import load
from compress.model.graph import Geometry, Layer
from compress.zoo.networks import spec_of
from cosign.kinds import bytes_per_cycle

Known = dict[str, tuple[Geometry, Layer | None]]
"""Layers by name: their geometry, and what a model's file holds of them."""


def known_layers(network: str, model: Path | None) -> tuple[str, Known]:
    """(name, layers) of a built-in network, or of a model.cosign if one is given.

    Raises CosignError.
    """
    if model is None:
        return network, {name: (g, None) for name, g in spec_of(network).geometries.items()}
    found = load(model)
    return found.name, {layer.name: (layer.geometry, layer) for layer in found.layers}


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
