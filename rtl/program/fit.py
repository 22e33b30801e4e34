"""The smallest memories with which a core holds given layers.

Fewer bytes than a map needs are enough when it is computed in stripes (`rtl.program.stripes`):
`act_bytes` limits the activation memory of a tile, and what is larger is cut.
"""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from rtl.program.encode import Work, work
from rtl.program.layout import Layout
from rtl.program.pack import accumulator_bits, images_within, layout_of, stripes_of

_STEP = 64  # memories grow in steps of this many words
DEEPEST = 1 << 22  # words
_NARROWEST = 12  # accumulator, bits
_MOST_BANKS = 1 << 10  # feed any core
_FEWEST_IMAGES, _MOST_IMAGES = 16, 64  # of a batch of linear layers


def fit(
    config: CoreConfig,
    layers: Sequence[Layer],
    batch: int = 1,
    act_bytes: int | None = None,
    ranges: Mapping[str, tuple[int, int]] | None = None,
) -> CoreConfig:
    """`config` with the smallest memories, in steps of 64 words, that hold each of `layers`.

    batch : images that are the pixels of a linear layer
    act_bytes : activation memory of a tile above which maps are computed in stripes
    ranges : smallest and largest input of each layer, by name; then acc_bits is what they need

    Raises CosignError when a memory would leave CoreConfig's bounds.
    """
    config = with_maps(config, [layer.geometry for layer in layers], batch, act_bytes)
    config = with_streams(
        config,
        [work(layer, layout_in(layer.geometry, batch, config), config) for layer in layers],
    )
    if ranges is None:
        return config
    needed = max(accumulator_bits(layer, ranges[layer.name]) for layer in layers)
    return dataclasses.replace(config, acc_bits=max(needed, _NARROWEST))


def with_maps(
    config: CoreConfig, geometries: Sequence[Geometry], batch: int, act_bytes: int | None = None
) -> CoreConfig:
    """`config` with the smallest act_depth that holds the input maps, or stripes of them."""
    depth = DEEPEST if act_bytes is None else act_bytes // config.act_word_bytes
    roomy = dataclasses.replace(config, act_depth=min(max(depth, 2), DEEPEST))
    layouts = [stripes_of(g, batch_of(g, batch), roomy)[1] for g in geometries]
    largest = max(layout.bytes for layout in layouts)
    # In the absolute coding an address of all ones is a filler.
    spare = config.element if config.core == "sparse" and config.coding == "absolute" else 0
    words = -(-(largest + spare) // config.act_word_bytes)
    return dataclasses.replace(config, act_depth=in_steps(words))


def with_streams(config: CoreConfig, costs: Iterable[Work]) -> CoreConfig:
    """`config` with the smallest weight, mask and table memories that hold what `costs` says."""
    costs = list(costs)
    depths: dict[str, Any] = {"weight_depth": max(int(cost.stored.max()) for cost in costs)}
    if config.masked:
        depths["mask_depth"] = max(int(cost.mask_words.max()) for cost in costs)
    if config.table:
        depths["tap_depth"] = max(cost.table_words for cost in costs)
    depths = {name: in_steps(words) for name, words in depths.items()}
    return dataclasses.replace(config, **depths)


def layout_in(geometry: Geometry, batch: int, config: CoreConfig) -> Layout:
    """Layout of what the activation memory holds of the input at once.

    Of a linear layer those are as many of `batch` images as fit: more images make longer distances
    between its entries, so that no smaller batch takes more fillers.
    """
    if geometry.kind == "linear":
        fitting = images_within(geometry, config)
        images = max(1, min(-(-batch // config.tiles), fitting))
        return layout_of(geometry, images, 1, config.element)
    return stripes_of(geometry, 1, config)[1]


def batch_for(geometries: Iterable[Geometry]) -> int:
    """Images that a network's linear layers compute together where nothing is said.

    More of them keep more lanes at work, 64 those of most cores, and take activation memory: as
    many as that holds which the largest map of a convolution needs anyway, but 16 at least.
    """
    known = list(geometries)
    maps = [layout_of(g, 1, 1).bytes for g in known if g.kind == "conv"]
    vectors = [g.in_channels for g in known if g.kind == "linear"]
    held = max(maps, default=0) // max(vectors, default=1)
    return min(max(held, _FEWEST_IMAGES), _MOST_IMAGES)


def batch_of(geometry: Geometry, batch: int) -> int:
    """Images that one run of a layer computes: `batch` are the pixels of a linear layer."""
    return batch if geometry.kind == "linear" else 1


def feed(config: CoreConfig, **fields: Any) -> CoreConfig:
    """`config` with `fields` replaced and the fewest activation banks that feed its lanes."""
    roomy = CoreConfig(**{**vars(config), **fields, "act_banks": _MOST_BANKS})
    return fed(roomy)


def fed(config: CoreConfig) -> CoreConfig:
    """`config` with the fewest activation banks that feed its lanes."""
    return config.resized(act_banks=config.fewest_banks)


def in_steps(words: int) -> int:
    """Words that a memory of at least `words` is made with."""
    return -(-words // _STEP) * _STEP
