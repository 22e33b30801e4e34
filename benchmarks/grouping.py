"""Cycles of sparse-rows with its filters in the network's order, over those with filters of like
density together, as a ratio in one run.

On CONV4 of AlexNet under random masks, and on CONV4 of torchvision's AlexNet, of which the largest
weights stay (they are fetched, as `--weights imagenet-conv` does). Prints JSON.

    python benchmarks/grouping.py --ratios 2 4 13.2
"""

import argparse
import json
from collections.abc import Iterator

import numpy as np

from compress.exchange import features
from compress.model.graph import Geometry, Layer
from compress.zoo.networks import FEATURES, spec_of
from cosign.kinds import pruning_ratio
from rtl.coreset import CoreSet
from rtl.program.encode import work
from rtl.program.layout import Layout
from sim.cycles import run_cycles
from sim.workload import masked_layer

_LAYER, _TRAINED = "conv4", "alexnet-conv"
_SEEDS = range(5)


def largest(weights: np.ndarray, geometry: Geometry, ratio: float) -> Layer:
    """The layer of which one weight of `ratio` stays, the largest, all of level 1."""
    ranks = np.argsort(-np.abs(weights).reshape(-1), kind="stable")
    levels = np.zeros(geometry.weights, np.int8)
    levels[ranks[: round(geometry.weights / ratio)]] = 1
    template = masked_layer(geometry, 1, np.random.default_rng(0))
    given = {"name": "largest", "input": "input", "geometry": geometry, "bits": 8, "relu": True}
    given |= {name: getattr(template, name) for name in ("q", "bias", "mul", "shift")}
    given |= {"in_scale": 1.0, "out_scale": 1.0}
    return Layer.from_dense(levels.reshape(geometry.out_channels, -1), **given)


def layers(ratio: float) -> Iterator[tuple[str, Layer]]:
    """(what masks, a layer with them)."""
    geometry = spec_of("alexnet").geometries[_LAYER]
    for seed in _SEEDS:
        rng = np.random.default_rng(seed)
        yield "random", masked_layer(geometry, round(geometry.weights / ratio), rng)
    weights = np.asarray(features.load(_TRAINED, FEATURES).weights[_LAYER])
    yield "trained", largest(weights, spec_of(_TRAINED).geometries[_LAYER], ratio)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--ratios", type=pruning_ratio, nargs="+", default=[2, 4, 13.2])
    options = parser.parse_args()
    rows = []
    for ratio in options.ratios:
        for config in CoreSet().rows:
            found: dict[str, list[tuple[int, int]]] = {}
            for masks, layer in layers(ratio):
                layout = Layout(layer.geometry)
                as_it_is, grouped = (
                    run_cycles(work(layer, layout, config, grouped=grouped), layout, config)
                    for grouped in (False, True)
                )
                found.setdefault(masks, []).append((as_it_is, grouped))
            for masks, several in found.items():
                before, after = (sum(column) for column in zip(*several, strict=True))
                row = {"ratio": ratio, "core": config.name, "masks": masks}
                rows.append(row | {"cycles": before / len(several), "gain": before / after})
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
