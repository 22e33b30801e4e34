"""A layer's shape at any pruning portion: cycles and stored words for the break-even curve."""

import dataclasses
import functools
import operator
from typing import Any

import numpy as np

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from rtl.program.encode import Work, work
from rtl.program.fit import feed
from rtl.program.layout import Layout
from rtl.program.pack import layout_of
from rtl.program.traffic import Traffic, traffic
from sim import cycles
from sim.workload import layer_of, masked_layer, structured_layer
from synth.breakeven import Stored

PORTIONS_HELD = 4
"""Of which masks keep their layers, unless more is asked for: what a search looks at in turns."""


class RandomMasks:
    """One geometry under random masks; the same seed always gives the same masks.

    A core with a pattern has a mask of it at every portion.

    Parameters
    ----------
    geometry, batch : the layer, and the images that are the pixels of a linear layer
    seed : at every portion exactly round(portion * weights) weights are pruned, chosen by it
    held : portions at most of which the layer is kept, so that it need not be made again
    """

    def __init__(
        self, geometry: Geometry, batch: int, seed: int, held: int = PORTIONS_HELD
    ) -> None:
        self.geometry = geometry
        self.batch = batch
        self._seed = seed
        self._layer = functools.lru_cache(maxsize=held)(self.layer)
        self._structured = functools.lru_cache(maxsize=4)(self._of_pattern)
        self._layout = functools.cache(
            lambda tiles, element: layout_of(geometry, batch, tiles, element)
        )
        self._work = functools.lru_cache(maxsize=64)(self._count)
        self._stored = functools.cache(self._words)
        self._cycles = functools.cache(self._run)
        self._nonzeros = functools.cache(lambda portion: np.diff(self._layer(portion).row_ptr))

    def layer(self, portion: float) -> Layer:
        """The geometry with all levels 1 where the mask keeps a weight."""
        g = self.geometry
        rng = np.random.default_rng([self._seed, round(portion * 1_000_000)])
        return masked_layer(g, g.weights - round(portion * g.weights), rng)

    def layer_for(self, config: CoreConfig, portion: float) -> Layer:
        """The same, under a mask that `config` can execute."""
        if config.structured:
            return self._structured(config.nm_keep, config.nm_group)
        return self._layer(portion)

    def _of_pattern(self, keep: int, group: int) -> Layer:
        return structured_layer(self.geometry, keep, group, np.random.default_rng(self._seed))

    def nonzeros(self, portion: float) -> np.ndarray:
        """int64 [filters]: weights that each filter keeps."""
        return self._nonzeros(portion)

    def cycles(
        self, config: CoreConfig, portion: float, bytes_per_cycle: float | None = None
    ) -> int:
        """Clock cycles of one run, from the exact cycle model.

        bytes_per_cycle : of the channel to the memory outside (`sim.channel`); None for no limit

        The memories hold the layer: a core's lockstep tiles share the map, and run once.
        """
        # Addresses in the streams are as wide as the activation memory is deep.
        alike = _small(config, 2 if bytes_per_cycle is None else config.act_depth)
        return self._cycles(alike, _portion(config, portion), bytes_per_cycle)

    def work(self, config: CoreConfig, portion: float) -> Work:
        """What the weights cost on a core."""
        return self._work(stream_of(config), _portion(config, portion))

    def traffic(self, config: CoreConfig, portion: float) -> Traffic:
        """What a run moves to and from the memory outside."""
        return traffic(self.work(config, portion), self.layout_on(config), config)

    def stored(self, config: CoreConfig, portion: float) -> Stored:
        """Words of the whole layer, and of the longest pass."""
        return self._stored(stream_of(config), _portion(config, portion))

    def _words(self, config: CoreConfig, portion: float) -> Stored:
        cost = self.work(config, portion)
        masks = int(cost.mask_words.sum())
        return Stored(
            layer=int(cost.words.sum()) - masks,
            filter=int(cost.stored.max()),
            layer_masks=masks,
            filter_masks=int(cost.mask_words.max()),
            buffers=buffers_of(config),
            table=cost.table_words,
        )

    def layout_on(self, config: CoreConfig) -> Layout:
        """Of the part of the map that one of a core's lockstep tiles holds."""
        return self._layout(config.tiles, config.element)

    def _count(self, config: CoreConfig, portion: float) -> Work:
        return work(self.layer_for(config, portion), self.layout_on(config), config)

    def _run(self, config: CoreConfig, portion: float, bytes_per_cycle: float | None) -> int:
        cost = self.work(config, portion)
        return cycles.run_cycles(cost, self.layout_on(config), config, bytes_per_cycle)


class ThinnedMasks(RandomMasks):
    """A layer that was really pruned, at any other portion: of its weights the largest are kept;
    beyond all of them, pruned ones come back at random.

    Parameters
    ----------
    layer : with the levels that tell how large its weights are
    batch : images that are the pixels of a linear layer
    seed : of what comes back, and of the order of equally large weights
    held : as for random masks
    """

    def __init__(self, layer: Layer, batch: int, seed: int, held: int = PORTIONS_HELD) -> None:
        super().__init__(layer.geometry, batch, seed, held)
        levels = layer.dense_levels().reshape(layer.geometry.out_channels, -1)
        sizes = (np.abs(levels.astype(float)) * layer.q[:, None]).reshape(-1)
        shuffled = np.random.default_rng(seed).permutation(layer.geometry.weights)
        self._order = shuffled[np.argsort(-sizes[shuffled], kind="stable")]

    def layer(self, portion: float) -> Layer:
        """The geometry with all levels 1 where a weight is kept."""
        g = self.geometry
        mask = np.zeros(g.weights, bool)
        mask[self._order[: g.weights - round(portion * g.weights)]] = True
        return layer_of(g, mask, "thinned mask")


def buffers_of(config: CoreConfig) -> int:
    """Weight buffers that are filled alternately or side by side."""
    return 2 * config.filters if config.core == "sparse-rows" else 2


_DEPTHS = ("weight_depth", "mask_depth", "tap_depth")


@functools.cache
def _small(config: CoreConfig, act_depth: int = 2) -> CoreConfig:
    """`config` with the least memories: no depth changes a stream's words, or the cycles of a run
    without limit."""
    return config.resized(**dict.fromkeys(_DEPTHS, 2), act_depth=act_depth)


def _portion(config: CoreConfig, portion: float) -> float:
    """That of the masks which a core's work depends on; of none the cheapest."""
    return portion if config.compresses else 1.0


_SIZES = ("lanes", "drain", "act_banks", "bank_bytes", "act_depth", *_DEPTHS)
_STREAM = operator.attrgetter(
    *(f.name for f in dataclasses.fields(CoreConfig) if f.name not in _SIZES)
)
_ONE_LANE: dict[tuple[Any, ...], CoreConfig] = {}


def one_lane(config: CoreConfig) -> CoreConfig:
    """The least core that stores the same weights, if not always in the same order."""
    key = _STREAM(config)  # thousands of candidates have the same few
    if key not in _ONE_LANE:
        _ONE_LANE[key] = feed(_small(config), lanes=1, drain=1, bank_bytes=4)
    return _ONE_LANE[key]


@functools.cache
def stream_of(config: CoreConfig) -> CoreConfig:
    """The least core with the weight stream of `config`: lanes and drain do not change it, but for
    `sparse-rows`, whose filters are grouped as its tiles take longest."""
    return _small(config) if config.core == "sparse-rows" else one_lane(config)
