"""Export: the integer model computes what the float network does."""

from types import ModuleType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.file import container
from compress.train import evaluation, export
from compress.train.stages import StageResult
from cosign import CosignError
from sim import golden

Trained = dict[str, StageResult]


@given(st.floats(1e-9, 1e4))
def test_fixed_point_is_normalised_and_near(factor: float) -> None:
    mul, shift = export.fixed_point(factor)
    assert 1 << 15 <= mul < 1 << 16
    assert mul / 2.0**shift == pytest.approx(factor, rel=2.0**-16)


@pytest.mark.parametrize("factor", [0.0, -1.0, float("nan"), float("inf"), 1e-14, 1e6])
def test_factors_out_of_range_are_refused(factor: float) -> None:
    with pytest.raises(CosignError, match="requantisation factor"):
        export.fixed_point(factor)


def test_clip_minimises_the_error_of_rounding() -> None:
    """Against the measured error of rounding a long-tailed sample at every clip."""
    values = np.random.default_rng(0).exponential(1.0, 200_000) ** 1.5
    counts, edges = np.histogram(values, 4096, (0, values.max()))
    clip = export.best_clip(counts.astype(float), float(values.max()))

    def error(at: float) -> float:
        step = at / 127
        return float(((np.minimum(np.rint(values / step), 127) * step - values) ** 2).sum())

    assert clip < values.max()
    assert error(clip) <= 1.02 * min(error(at) for at in edges[512::64])


def test_the_integer_model_follows_the_float_network(toy: ModuleType, trained: Trained) -> None:
    dataset = toy.dataset()
    result = trained["quantize"]
    model = export.export(result, toy.recipe(), dataset)
    pixels = dataset.test.images(np.arange(200))
    integers = golden.run(model, model.input.quantize(pixels)).reshape(200, -1)
    logits = result.network(evaluation.to_input(dataset, pixels)).detach().numpy()
    error = integers * model.layers[-1].out_scale - logits
    assert np.sqrt((error**2).mean()) < 0.05 * logits.std()
    assert (integers.argmax(axis=1) == logits.argmax(axis=1)).mean() > 0.97


def test_exported_layers_hold_the_trained_levels(toy: ModuleType, trained: Trained) -> None:
    result = trained["quantize"]
    model = export.export(result, toy.recipe(), toy.dataset())
    assert [node.name for node in model.nodes] == [
        "conv1",
        "pool1",
        "conv2",
        "pool2",
        "flatten",
        "fc1",
        "fc2",
    ]
    for layer in model.layers:
        weight = result.network.weights[layer.name].detach().numpy()
        assert layer.nnz == toy.recipe().keep[layer.name]
        assert np.allclose(
            layer.dense_levels() * layer.q, weight.reshape(len(weight), -1), rtol=1e-4
        )
        bias = result.network.biases[layer.name].detach().numpy()
        assert np.abs(layer.bias * layer.in_scale * layer.q - bias).max() <= (
            0.51 * layer.in_scale * layer.q
        )
    again = container.from_bytes(container.to_bytes(model))
    assert container.to_bytes(again) == container.to_bytes(model)


def test_scales_connect_the_layers(toy: ModuleType, trained: Trained) -> None:
    model = export.export(trained["quantize"], toy.recipe(), toy.dataset())
    scales = [model.input.scale] + [layer.out_scale for layer in model.layers]
    assert [layer.in_scale for layer in model.layers] == scales[:-1]


def test_only_the_last_stage_can_be_exported(toy: ModuleType, trained: Trained) -> None:
    with pytest.raises(CosignError, match="stage retrain leaves no levels"):
        export.export(trained["retrain"], toy.recipe(), toy.dataset())
