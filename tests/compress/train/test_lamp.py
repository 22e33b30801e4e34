"""One ratio for the whole network: LAMP against its definition, exact counts, bad input."""

from pathlib import Path
from types import ModuleType

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from compress.train import lamp, stages
from compress.train.recipes import keep_of
from compress.train.results import StageResult
from compress.zoo.networks import recipe

SHAPES = ((3, 4), (20,), (2, 2, 3))
networks = st.tuples(
    *(
        arrays.arrays(np.float32, shape, elements=st.floats(-8, 8, width=16, allow_subnormal=False))
        for shape in SHAPES
    )
).map(lambda tensors: {f"layer{number}": tensor for number, tensor in enumerate(tensors)})


def test_scores_are_those_of_the_definition() -> None:
    """Lee et al., Eqn. 3: W[u]^2 over the sum of all W[v]^2 with |W[v]| >= |W[u]|."""
    weight = np.random.default_rng(0).standard_normal((7, 9)).astype(np.float32)
    square = weight.astype(np.float64) ** 2
    expected = [s / square[square >= s].sum() for s in square.reshape(-1)]
    assert np.allclose(lamp.scores(weight).reshape(-1), expected)


@given(networks, st.floats(0.01, 1))
def test_as_many_stay_as_asked_for(network: dict[str, np.ndarray], density: float) -> None:
    keep = lamp.share_out(network, density)
    alive = {name: int(np.count_nonzero(weight)) for name, weight in network.items()}
    layers = sum(count > 0 for count in alive.values())
    wanted = max(layers, round(density * sum(w.size for w in network.values())))
    assert all(min(1, count) <= keep[name] <= count for name, count in alive.items())
    assert sum(keep.values()) == min(wanted, sum(alive.values()))


@given(networks, st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_larger_density_takes_from_no_layer(
    network: dict[str, np.ndarray], one: float, two: float
) -> None:
    fewer, more = (lamp.share_out(network, density) for density in sorted((one, two)))
    assert all(fewer[name] <= more[name] for name in network)


@given(networks, st.sampled_from([0.25, 2.0, 64.0]))
def test_the_scale_of_a_layer_does_not_matter(network: dict[str, np.ndarray], by: float) -> None:
    scaled = network | {"layer1": network["layer1"] * np.float32(by)}
    assert lamp.share_out(scaled, 0.3) == lamp.share_out(network, 0.3)


def test_a_peaked_layer_keeps_less_than_a_flat_one() -> None:
    peaked = np.array([9.0] + [0.1] * 49, np.float32)
    keep = lamp.share_out({"peaked": peaked, "flat": np.ones(50, np.float32)}, 0.3)
    assert keep == {"peaked": 1, "flat": 29}


def test_a_ratio_prunes_the_trained_network_to_it(
    toy: ModuleType, trained: dict[str, StageResult], tmp_path: Path
) -> None:
    asked = toy.recipe(densities=recipe("lenet5", alpha="100x").densities)
    for stage in ("dense", "prune"):
        kept = stages.run_stage(stage, asked, toy.dataset(), tmp_path, 0).kept
    weights = {n: w.detach().numpy() for n, w in trained["dense"].network.weights.items()}
    assert kept == keep_of(asked, weights) == lamp.share_out(weights, 0.01)
    assert sum(kept.values()) == 4305
