"""What a placement is asked for, and what came out."""

import argparse
from dataclasses import dataclass, field
from typing import Annotated, Any

from msgspec import Meta

from cosign import CosignError
from cosign.kinds import positive, within
from cosign.paths import old_file
from cosign.values import Amount, Count, Positive

SCHEMA = 1
UTILISATION = 0.7
LEAST, MOST = 0.05, 0.9
"""Utilisations; above, what sizing adds finds no room, and cells cannot be moved into rows."""
FLATTEST = 0.1
"""Aspect; one over it is the tallest."""
NOTE = "nothing is routed: wires are Steiner estimates over placed pins, the clock is ideal"


@dataclass(frozen=True)
class Placement:
    """How a core is placed.

    Parameters
    ----------
    utilisation : share of the core's rows that cells fill
    aspect : height of the core over its width
    seeds : placements made; the figures are those of the first
    lef : files of the library's geometry, as text, none for NanGate 45
    """

    utilisation: Annotated[float, Meta(ge=LEAST, le=MOST)] = UTILISATION
    aspect: Annotated[float, Meta(ge=FLATTEST, le=1 / FLATTEST)] = 1.0
    seeds: Annotated[int, Meta(ge=1)] = 1
    lef: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not LEAST <= self.utilisation <= MOST:
            raise CosignError(
                f"a utilisation of {self.utilisation:g} does not fit; it is the share of the core "
                f"that cells fill, {LEAST:g} to {MOST:g}."
            )
        if not FLATTEST <= self.aspect <= 1 / FLATTEST:
            raise CosignError(f"an aspect of {self.aspect:g} is not between 0.1 and 10.")


@dataclass(frozen=True)
class Spread:
    """Smallest and largest over the seeds."""

    seeds: Count
    fmax_hz: tuple[Positive, Positive]
    hpwl_mm: tuple[Positive, Positive]
    logic_um2: tuple[Positive, Positive]
    worst_bin: tuple[Amount, Amount]


@dataclass(frozen=True)
class Placed:
    """A placed core; nothing is routed.

    Parameters
    ----------
    hpwl_mm : half the perimeters of the boxes around all nets, summed
    wire_pf : capacitance of all wires
    library_wire_pf : what the library's wire-load model gives the same nets
    fmax_hz : the highest clock with these wires
    slack_ns : what is left of the target's period, negative when it is missed
    critical_path : the slowest path, in words
    logic_um2 : area of the cells, buffers for wires included
    blocks_um2 : the same by block (synth.blocks)
    cells : library cells by name
    buffers : cells added for wires
    utilisation : share of the core's rows that cells fill
    core_um, die_um : width and height of the rows, and of the die with its memories
    worst_bin : demand over capacity of routing tracks where it is worst
    seed : of the placer
    wall_s : of the placement that made it, synthesis left out
    provenance : placer, LEF, wires, floorplan
    spread : over several seeds, where asked for
    """

    hpwl_mm: Positive
    wire_pf: Positive
    library_wire_pf: Amount
    fmax_hz: Positive
    slack_ns: float
    critical_path: str
    logic_um2: Positive
    blocks_um2: dict[str, Amount]
    cells: dict[str, Count]
    buffers: Count
    utilisation: Annotated[float, Meta(gt=0, le=1)]
    core_um: tuple[Positive, Positive]
    die_um: tuple[Positive, Positive]
    worst_bin: Amount
    seed: Count
    wall_s: Amount
    provenance: dict[str, Any] = field(repr=False)
    spread: Spread | None = None


def words(asked: Placement | None) -> list[str]:
    """The options that ask for it."""
    if asked is None:
        return []
    found = ["--place"]
    for path in asked.lef:
        found += ["--lef", path]
    usual = Placement()
    for name in ("utilisation", "aspect", "seeds"):
        if (value := getattr(asked, name)) != getattr(usual, name):
            found.append(f"--{name}={value:g}")
    return found


def add_options(
    parser: argparse.ArgumentParser,
    what: str = "also place the core, and time it with its wires",
) -> None:
    """--place, --lef, --utilisation, --aspect, --seeds, for `placement_of`.

    what : --place does
    """
    parser.add_argument("--place", action="store_true", help=what)
    parser.add_argument(
        "--lef",
        type=old_file,
        action="append",
        default=[],
        metavar="FILE",
        help="the cell library's LEF, for --place; again for each further file of it",
    )
    parser.add_argument(
        "--utilisation",
        type=within(float, LEAST, MOST),
        metavar="SHARE",
        help=f"of the core's rows that cells fill, for --place ({UTILISATION:g})",
    )
    parser.add_argument(
        "--aspect",
        type=within(float, FLATTEST, 1 / FLATTEST),
        help="height of the core over its width, for --place (1)",
    )
    parser.add_argument(
        "--seeds",
        type=positive(int, 100),
        metavar="N",
        help="placements made, for --place: figures are of the first, with the spread of all (1)",
    )


def placement_of(options: argparse.Namespace) -> Placement | None:
    """What --place and its options ask for. Raises CosignError where one stands without it."""
    given = {
        name: value
        for name in ("lef", "utilisation", "aspect", "seeds")
        if (value := getattr(options, name))
    }
    if not options.place:
        if given:
            raise CosignError(f"--{next(iter(given))} is of a placement; add --place.")
        return None
    if "lef" in given:
        given["lef"] = tuple(str(path.resolve()) for path in given["lef"])
    return Placement(**given)
