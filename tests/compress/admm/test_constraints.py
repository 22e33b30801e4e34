"""Constraint sets as functions of tensors."""

import numpy as np
import pytest
import torch

from compress.admm import projections
from compress.admm.constraints import largest, prune_projection, quantize_projection, staged

LAYOUTS = (torch.contiguous_format, torch.channels_last)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_projection_is_that_of_the_values_whatever_their_layout(
    layout: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    values = torch.randn(6, 4, 3, 3)
    tensor = values.contiguous(memory_format=layout)
    mask = projections.prune_mask(values.numpy(), 50)
    assert np.array_equal(largest(tensor, 50).numpy(), mask)
    pruned = prune_projection({"w": 50})("w", tensor)
    assert np.array_equal(pruned.numpy(), np.where(mask, values.numpy(), 0))
    quantized = quantize_projection({"w": 3}, {"w": torch.from_numpy(mask)})("w", tensor)
    levels = projections.quantize(values.numpy(), mask, 3)
    assert np.array_equal(quantized.numpy(), levels.weights)
    assert quantized.stride() == tensor.stride()  # sums over it depend on the order


def test_targets_tighten_evenly_and_the_last_is_alpha() -> None:
    weights, keep = {"a": 1000, "b": 50, "c": 7}, {"a": 1, "b": 50, "c": 6}
    tensors = {name: torch.arange(1.0, count + 1) for name, count in weights.items()}
    found = [
        {name: int(project(name, tensor).count_nonzero()) for name, tensor in tensors.items()}
        for project in staged(weights, keep, 3)
    ]
    assert found == [{"a": 100, "b": 50, "c": 7}, {"a": 10, "b": 50, "c": 6}, keep]
