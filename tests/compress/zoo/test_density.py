"""How a pruning ratio is written, and where it comes from."""

import pytest

from compress.zoo import density, networks
from cosign import CosignError


def test_what_a_ratio_looks_like() -> None:
    texts = ("20x", "1.5x", "20", "ours1", "ax", "a.json")
    assert [density.ratio_of(text) for text in texts] == [20.0, 1.5, None, None, None, None]
    for text in ("0.5x", "-3x", "nanx", "infx"):
        with pytest.raises(CosignError, match=f"the pruning ratio is {text}, must be at least 1x"):
            density.ratio_of(text)


def test_a_row_goes_before_a_ratio_of_its_name() -> None:
    assert networks.recipe("lenet5", alpha="85x").densities == networks.densities("lenet5", "85x")
    assert networks.recipe("lenet5", alpha="86x").densities == 1 / 86
