"""What a layer moves to and from the memory outside, and what that costs.

Every image moves the layer's map in and out once (of a map that is computed in stripes, the rows
that two stripes read twice), the weights as they stream and the biases; a linear layer's weights
serve a whole batch.
"""

import argparse

from compress.model.graph import Layer
from cosign.kinds import positive
from cosign.values import Amount, Value
from rtl.config import CoreConfig
from rtl.program.encode import work
from rtl.program.pack import stripes_of
from rtl.program.traffic import Traffic, traffic

PJ_PER_BIT = 20.0
SOURCE = (
    "640 pJ for 32 bits from DRAM, 45 nm: M. Horowitz, Computing's energy problem, ISSCC 2014, as "
    "S. Han et al. have it, EIE, ISCA 2016, table I"
)


class DramUse(Value, frozen=True, kw_only=True):
    """Of one image.

    Parameters
    ----------
    bytes : by stream: inputs, weights, biases, outputs
    total_bytes : their sum
    energy_nj : of moving them
    """

    bytes: dict[str, Amount]
    total_bytes: Amount
    energy_nj: Amount


def dram_use(moved: Traffic, runs: int, images: int, pj_per_bit: float) -> DramUse:
    """Of `runs` runs that compute `images` images together."""
    share = runs / images
    by_stream = {name: share * each for name, each in moved.bytes_by_stream.items()}
    total = sum(by_stream.values())
    return DramUse(bytes=by_stream, total_bytes=total, energy_nj=8 * total * pj_per_bit / 1000)


def of_layer(layer: Layer, config: CoreConfig, batch: int, pj_per_bit: float) -> DramUse:
    """Of an image of `layer`, of a linear one in a batch of so many."""
    stripes, layout = stripes_of(layer.geometry, batch, config)
    moved = traffic(work(layer, layout, config), layout, config)
    return dram_use(moved, stripes // config.tiles, batch, pj_per_bit)


def add_dram(parser: argparse.ArgumentParser) -> None:
    """The option of commands that tell the energy of the memory outside."""
    parser.add_argument(
        "--dram-pj-per-bit",
        type=positive(float, 1e6),
        default=PJ_PER_BIT,
        metavar="PJ",
        help=f"energy of a bit to or from the memory outside ({PJ_PER_BIT:g}: Horowitz 2014)",
    )


def provenance(pj_per_bit: float) -> dict[str, object]:
    """The price, and where it comes from."""
    source = SOURCE if pj_per_bit == PJ_PER_BIT else "given"
    return {"pj_per_bit": pj_per_bit, "source": source}
