"""A batch that a network's code writes into a shape, and that its file leaves free."""

from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest

from compress.exchange import sources
from cosign import CosignError


def saved(path: Path, batch: int | str, shape: list[int]) -> Path:
    """A convolution of 144 numbers, reshaped, and a layer that reads 144 of them."""
    graph = onnx_models.Graph((batch, 3, 8, 8))
    view = graph.node(
        "Reshape", graph.conv("x", 3, 4, "c"), graph.constant("s", shape, np.int64), name="view"
    )
    graph.node("MatMul", view, graph.random("w", 144, 3), name="fc")
    onnx.save(graph.model(), path)
    return path


@pytest.mark.parametrize("written", [64, 16])  # 144 are no multiple of the one, nine of the other
def test_a_view_that_writes_the_batch_is_told(written: int, tmp_path: Path) -> None:
    path = saved(tmp_path / "net.onnx", "batch", [written, -1])
    with pytest.raises(CosignError) as raised:
        sources.load(str(path))
    assert str(raised.value) == (
        f"{path}: node 'view' (Reshape) writes a batch of {written} into [{written}, -1], and one "
        "image is read at a time, 144 numbers there; reshape by x.flatten(1) or "
        "x.view(x.shape[0], -1), which leave the batch free, and export again."
    )


@pytest.mark.parametrize(("batch", "shape"), [("batch", [-1, 144]), (64, [64, -1]), (1, [1, -1])])
def test_views_that_fit_are_read(batch: int | str, shape: list[int], tmp_path: Path) -> None:
    assert sources.load(str(saved(tmp_path / "net.onnx", batch, shape))).spec.classes == 3
