"""N:M patterns: what is one, how many weights stay, what obeys it."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from compress.model.graph import Geometry
from compress.model.pattern import LARGEST_GROUP, Pattern
from cosign import CosignError

patterns = st.integers(2, LARGEST_GROUP).flatmap(
    lambda group: st.builds(Pattern, st.integers(1, group - 1), st.just(group))
)


@pytest.mark.parametrize("text", ["2:4", "1:4", "2:8", "4:8", "15:16", "1:2"])
def test_a_pattern_is_written_as_it_is_read(text: str) -> None:
    assert str(Pattern.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("0:4", "a pattern of 0:4 is none: N of each M weights stay, 1 <= N < M <= 16"),
        ("4:4", "a pattern of 4:4 is none"),
        ("5:4", "a pattern of 5:4 is none"),
        ("8:32", "a pattern of 8:32 is none"),
        ("2-4", "'2-4' is no pattern; write N:M, as 2:4"),
        ("", "'' is no pattern"),
        ("2:4:8", "'2:4:8' is no pattern"),
        ("-2:4", "'-2:4' is no pattern"),
        ("2.0:4", "'2.0:4' is no pattern"),
        ("9" * 10_000 + ":4", "is no pattern"),
    ],
)
def test_what_is_no_pattern_is_refused(text: str, sentence: str) -> None:
    with pytest.raises(CosignError, match=sentence):
        Pattern.parse(text)


@given(patterns, st.integers(1, 40), st.integers(1, 3), st.integers(1, 3))
def test_as_many_stay_as_channels_are_counted(
    pattern: Pattern, channels: int, groups: int, taps: int
) -> None:
    """Channel by channel: the first of each group of them."""
    geometry = Geometry("conv", channels * groups, 2 * groups, 5, 5, (taps, 1), groups=groups)
    staying = sum(channel % pattern.group < pattern.keep for channel in range(channels))
    assert pattern.kept(geometry) == staying * taps * geometry.out_channels
    assert pattern.pads(geometry) == bool(channels % pattern.group)


@given(patterns, st.integers(1, 20), st.data())
def test_what_obeys_it_is_found_weight_by_weight(
    pattern: Pattern, channels: int, data: st.DataObject
) -> None:
    seed = data.draw(st.integers(0, 1 << 30))
    share = data.draw(st.sampled_from([0.1, 0.4, 0.9]))
    values = (np.random.default_rng(seed).random((2, channels, 1, 2)) < share).astype(np.int8)
    counts = [
        np.count_nonzero(values[filter, start : start + pattern.group, 0, tap])
        for filter, tap in itertools.product(range(2), range(2))
        for start in range(0, channels, pattern.group)
    ]
    assert pattern.holds(values) == (max(counts) <= pattern.keep)
