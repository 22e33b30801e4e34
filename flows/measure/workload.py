"""A layer's shape at any pruning portion: cycles and stored words for the break-even curve."""

import dataclasses
import functools

import numpy as np

from compress.model.graph import Geometry, Layer
from rtl.config import CoreConfig
from rtl.program.encode import Work, work
from rtl.program.layout import Layout
from sim import cycles
from sim.workload import masked_layer
from synth.breakeven import Stored


class RandomMasks:
    """One geometry under random masks; the same seed always gives the same masks.

    Parameters
    ----------
    geometry, batch : the layer, and the images that are the pixels of a linear layer
    seed : at every portion exactly round(portion * weights) weights are pruned, chosen by it
    """

    def __init__(self, geometry: Geometry, batch: int, seed: int) -> None:
        self.geometry = geometry
        self.layout = Layout(geometry, batch)
        self._seed = seed
        self._layer = functools.lru_cache(maxsize=1)(self.layer)
        self._costs = functools.cache(self._count)

    def layer(self, portion: float) -> Layer:
        """The geometry with all levels 1 where the mask keeps a weight."""
        g = self.geometry
        rng = np.random.default_rng([self._seed, round(portion * 1_000_000)])
        return masked_layer(g, g.weights - round(portion * g.weights), rng)

    def _count(self, config: CoreConfig, portion: float) -> tuple[Work, int]:
        cost = work(self._layer(portion), self.layout, config)
        return cost, cycles.run_cycles(cost, self.layout, config)

    def cycles(self, config: CoreConfig, portion: float) -> int:
        """Clock cycles of one run, from the exact cycle model; a dense core that stores its
        zeros ignores `portion`."""
        return self._work(config, portion)[1]

    def stored(self, config: CoreConfig, portion: float) -> Stored:
        """Words of the whole layer, and of the longest pass."""
        cost, _ = self._work(config, portion)
        masks = cost.mask_words * len(cost.words)
        return Stored(
            layer=int(cost.words.sum()) - masks,
            filter=int(cost.stored.max()),
            layer_masks=masks,
            filter_masks=cost.mask_words,
            buffers=2 * config.filters if config.core == "sparse-rows" else 2,
        )

    def _work(self, config: CoreConfig, portion: float) -> tuple[Work, int]:
        # No memory's depth changes stream or cycles: leave them out of what the cache looks at.
        return self._costs(
            dataclasses.replace(config, weight_depth=2, act_depth=2, mask_depth=2, tap_depth=2),
            portion if config.packed or not config.dense else 0.0,
        )
