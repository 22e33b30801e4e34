"""Seconds that a frontier takes: of one layer at the default areas, the first time and the second.

    python benchmarks/frontier.py --network alexnet --layer conv4

Nothing is synthesised: cores are priced. CPU seconds of one thread, so that other work does not
add; the second time finds the candidates and masks of the first. Prints JSON.
"""

import argparse
import json

from timing import spent

from compress.zoo.networks import spec_of
from flows.measure import frontier
from flows.measure.contest import Masks
from flows.measure.workload import RandomMasks
from synth.breakeven import ACCOUNTINGS
from synth.prices import PriceList, Prices
from synth.sram import MODELS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="alexnet")
    parser.add_argument("--layer", default="conv4")
    parser.add_argument("--seeds", type=int, default=5)
    options = parser.parse_args()
    geometry = spec_of(options.network).geometries[options.layer]
    priced: list[Prices] = []
    prices_s = spent(lambda: priced.append(Prices(PriceList.read().cores)))
    race = frontier.Race(options.layer, [geometry], 1, priced[0])
    seeds = [Masks([RandomMasks(geometry, 1, seed)]) for seed in range(options.seeds)]

    def all_points() -> None:
        for sram_model in MODELS:
            for weights in ACCOUNTINGS:
                for area in frontier.AREAS:
                    frontier.point(race, "dense", seeds, "random", sram_model, weights, area)

    found = {"prices_s": prices_s, "first_s": spent(all_points), "second_s": spent(all_points)}
    print(json.dumps({"network": options.network, "layer": options.layer, **found}, indent=2))


if __name__ == "__main__":
    main()
