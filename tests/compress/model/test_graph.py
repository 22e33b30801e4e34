"""What the network's values refuse."""

import math

import pytest

from compress.model.graph import InputSpec, finest_scale
from cosign import CosignError


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mean": (0.5,)}, "the mean of pixels has 1 numbers, the input 3 channels"),
        ({"std": (0.5,) * 4}, "the standard deviation of pixels has 4 numbers"),
        ({"std": (0.5, 0.0, 0.5)}, "deviation of pixels is 0.5, 0, 0.5, must be positive"),
        ({"std": (0.5, -1.0, 0.5)}, "deviation of pixels is 0.5, -1, 0.5, must be positive"),
        ({"std": (math.inf,) * 3}, "deviation of pixels is inf, inf, inf, must be finite"),
        ({"mean": (0.0, math.nan, 0.0)}, "the mean of pixels is 0, nan, 0, must be finite"),
        ({"scale": 0.0}, "the input's scale is 0, must be positive"),
        ({"scale": math.nan}, "the input's scale is nan, must be positive"),
        ({"scale": math.inf}, "the input's scale is inf, must be positive"),
        ({"shape": (3, 0, 8)}, r"the input's shape is \(3, 0, 8\)"),
        ({"shape": (3, 8)}, r"the input's shape is \(3, 8\)"),
    ],
)
def test_an_input_that_is_none(change: dict[str, object], sentence: str) -> None:
    fine: dict[str, object] = {
        "shape": (3, 8, 8),
        "scale": 0.01,
        "mean": (0.5,) * 3,
        "std": (0.5,) * 3,
    }
    InputSpec(**fine)  # type: ignore[arg-type]
    with pytest.raises(CosignError, match=sentence):
        InputSpec(**fine | change)  # type: ignore[arg-type]


def test_a_deviation_that_leaves_no_scale() -> None:
    with pytest.raises(CosignError, match="scale is inf"):
        InputSpec((1, 8, 8), finest_scale((0.5,), (1e-310,)), (0.5,), (1e-310,))
    with pytest.raises(CosignError, match="must be positive"):
        finest_scale((0.5,), (0.0,))
