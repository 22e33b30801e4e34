"""Pictures as small PNG files: where the weights that a layer kept are, how a core was placed."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from compress.model.graph import Layer
from cosign import values
from flows.report.plots import BLUE
from synth.place.options import NOTE, SCHEMA, Placed

_HEIGHT, _WIDTH = 96, 288  # pixels at most
_SHADES = 15
_RED_GREEN_BLUE = tuple(bytes.fromhex(BLUE[1:]))


@dataclass(frozen=True)
class Picture:
    """One of the page, as a PNG.

    Parameters
    ----------
    name, caption : of what it shows
    uri : as a data URI
    width, height : pixels
    """

    name: str
    caption: str
    uri: str
    width: int
    height: int


def density(layer: Layer, height: int = _HEIGHT, width: int = _WIDTH) -> np.ndarray:
    """Share of the weights kept, float64 [h, w] with h <= height and w <= width.

    A pixel is a block of the weight matrix [out_channels, columns], one weight where the matrix is
    that small; blocks differ by a row or a column where the matrix does not divide.
    """
    rows, columns = layer.geometry.out_channels, layer.geometry.columns
    height, width = min(height, rows), min(width, columns)
    row = layer.row_idx * height // rows
    column = layer.col_idx.astype(np.int64) * width // columns
    kept = np.bincount(row * width + column, minlength=height * width).reshape(height, width)
    down = np.bincount(np.arange(rows) * height // rows, minlength=height)
    across = np.bincount(np.arange(columns) * width // columns, minlength=width)
    return kept / np.outer(down, across)


def picture(layer: Layer) -> Picture:
    """The mask of a small layer, the density map of a large one: filters downwards, channel x row x
    column across; the more opaque a pixel, the more of its weights were kept."""
    share = density(layer)
    shade = np.ceil(share / max(share.max(), 1e-9) * _SHADES) / _SHADES
    height, width = share.shape
    pixels = np.empty((height, width, 4), np.uint8)
    pixels[..., :3] = _RED_GREEN_BLUE
    pixels[..., 3] = np.rint(255 * shade)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", optimize=True)
    g = layer.geometry
    block = -(-g.out_channels // height), -(-g.columns // width)
    pixel = (
        "a weight"
        if block == (1, 1)
        else f"up to {block[0]} × {block[1]} weights, strongest where {share.max():.0%} were kept"
    )
    return Picture(
        name=layer.name,
        caption=f"{g.out_channels:,} × {g.columns:,}, {layer.nnz / g.weights:.1%} kept; a pixel is "
        + pixel,
        uri=_uri(buffer.getvalue()),
        width=width,
        height=height,
    )


def floorplan(name: str, folder: Path) -> Picture:
    """The core `name` as it was placed; `folder` has what the placement left.

    Raises CosignError where its figures cannot be read.
    """
    placed = values.read(folder / "placed.json", Placed, (SCHEMA,), "place again")
    content = (folder / "floorplan.png").read_bytes()
    image = Image.open(io.BytesIO(content))
    width, height = placed.core_um
    return Picture(
        name=name,
        caption=f"the die with its memories; the cells by block, in rows of {width:.0f} × "
        f"{height:.0f} µm that they fill to {placed.utilisation:.0%}; and routing demand over "
        f"capacity, {placed.worst_bin:.2f} in the fullest bin ({NOTE})",
        uri=_uri(content),
        width=image.width,
        height=image.height,
    )


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()
