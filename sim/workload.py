"""Layers of which only the shape and the density, or a pattern, are known: random masks."""

from collections.abc import Mapping

import numpy as np

from compress.model.graph import Geometry, Layer


def masked_layer(
    geometry: Geometry, kept: int, rng: np.random.Generator, name: str = "random mask"
) -> Layer:
    """Exactly `kept` weights at random places of `geometry`, all of level 1."""
    chosen = rng.choice(
        geometry.weights, min(kept, geometry.weights - kept), replace=False, shuffle=False
    )
    mask = np.zeros(geometry.weights, bool)
    mask[chosen] = True
    if 2 * kept > geometry.weights:  # fewer are pruned than kept: those were chosen
        mask = ~mask
    return layer_of(geometry, mask, name)


def structured_layer(
    geometry: Geometry,
    keep: int,
    group: int,
    rng: np.random.Generator,
    name: str = "random pattern",
) -> Layer:
    """`keep` weights at random places of each `group` input channels of a filter, at the same
    kernel position, all of level 1; of a last group with fewer channels no more than there are."""
    channels = geometry.in_channels // geometry.groups
    groups = -(-channels // group)
    shape = (geometry.out_channels, groups, geometry.kernel[0] * geometry.kernel[1], group)
    drawn = rng.random(shape, np.float32)
    drawn[:, -1, :, channels - group * (groups - 1) :] = 2  # no channel is there
    chosen = np.argpartition(drawn, keep - 1, axis=-1)[..., :keep]
    mask = np.zeros(shape, bool)
    np.put_along_axis(mask, chosen, True, axis=-1)
    by_channel = mask.swapaxes(2, 3).reshape(geometry.out_channels, groups * group, -1)
    return layer_of(geometry, by_channel[:, :channels].reshape(-1), name)


def layer_of(geometry: Geometry, mask: np.ndarray, name: str) -> Layer:
    """The weights of a mask, bool [weights], all of level 1."""
    rows = mask.reshape(geometry.out_channels, geometry.columns)
    places = np.flatnonzero(mask)
    counts = np.count_nonzero(rows, axis=1)
    return Layer(
        name=name,
        input="input",
        geometry=geometry,
        bits=8,
        q=np.ones(1),
        row_ptr=np.concatenate([[0], np.cumsum(counts)]),
        col_idx=places - np.repeat(np.arange(len(counts)) * geometry.columns, counts),
        levels=np.ones(len(places), np.int8),
        bias=np.zeros(geometry.out_channels, np.int64),
        mul=np.array([1 << 15]),
        shift=np.array([15]),
        relu=True,
        in_scale=1.0,
        out_scale=1.0,
    )


def random_layers(
    geometries: Mapping[str, Geometry], keep: Mapping[str, int], seed: int
) -> list[Layer]:
    """A layer of each geometry with `keep` weights of level 1 at random places."""
    return [
        masked_layer(geometry, keep[name], np.random.default_rng([seed, number]), name)
        for number, (name, geometry) in enumerate(geometries.items())
    ]
