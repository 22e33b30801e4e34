"""Export: the integer model computes what the float network does."""

from types import ModuleType

import numpy as np
import pytest

from compress.data.pixels import to_input
from compress.file import container
from compress.train import export
from compress.train.results import StageResult
from cosign import CosignError
from sim import golden

Trained = dict[str, StageResult]


def test_the_integer_model_follows_the_float_network(toy: ModuleType, trained: Trained) -> None:
    dataset = toy.dataset()
    result = trained["quantize"]
    model = export.export(result, dataset)
    pixels = dataset.test.images(np.arange(200))
    integers = golden.run(model, model.input.quantize(pixels)).reshape(200, -1)
    logits = result.network(to_input(dataset, pixels)).detach().numpy()
    error = integers * model.layers[-1].out_scale - logits
    assert np.sqrt((error**2).mean()) < 0.05 * logits.std()
    assert (integers.argmax(axis=1) == logits.argmax(axis=1)).mean() > 0.97


def test_exported_layers_hold_the_trained_levels(toy: ModuleType, trained: Trained) -> None:
    result = trained["quantize"]
    model = export.export(result, toy.dataset())
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
        levels = result.levels[layer.name]
        assert layer.nnz == toy.recipe().keep[layer.name]
        assert np.array_equal(layer.dense_levels(), levels.values.reshape(len(layer.bias), -1))
        assert layer.uniform
        assert layer.q[0] == pytest.approx(float(levels.q), rel=1e-4)  # in fewer bits
        bias = result.network.biases[layer.name].detach().numpy()
        assert (np.abs(layer.bias * layer.unit - bias) <= 0.51 * layer.unit).all()
    again = container.from_bytes(container.to_bytes(model))
    assert container.to_bytes(again) == container.to_bytes(model)


def test_scales_connect_the_layers(toy: ModuleType, trained: Trained) -> None:
    model = export.export(trained["quantize"], toy.dataset())
    scales = [model.input.scale] + [layer.out_scale for layer in model.layers]
    assert [layer.in_scale for layer in model.layers] == scales[:-1]


def test_only_the_last_stage_can_be_exported(toy: ModuleType, trained: Trained) -> None:
    with pytest.raises(CosignError, match="stage retrain leaves no levels"):
        export.export(trained["retrain"], toy.dataset())
