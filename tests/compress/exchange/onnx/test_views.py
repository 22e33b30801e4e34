"""Places of numbers: whatever moves them is found again as a take or a permute."""

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from compress.exchange.onnx import views
from compress.model.hostops import HostOp, Layout, Shape
from sim import golden


@st.composite
def shapes(draw: st.DrawFn) -> Shape:
    return draw(st.integers(1, 4)), draw(st.integers(1, 4)), draw(st.integers(1, 4))


def ran(op: str, layout: Layout, places: np.ndarray) -> np.ndarray:
    """What the machine's operation makes of a map that holds its own places, all below 128."""
    node = HostOp("n", op, ("input",), layout=layout)  # type: ignore[arg-type]
    return golden.HOST_OPS[op](node, places[None].astype(np.int8))[0]


@given(shapes(), st.data())
def test_what_is_taken_is_found(shape: Shape, data: st.DataObject) -> None:
    lists = [
        data.draw(st.lists(st.integers(-1, size - 1), min_size=1, max_size=5)) for size in shape
    ]
    whole = views.in_order(shape)
    places = np.pad(whole, ((0, 1),) * 3)[np.ix_(*lists)]
    layout = views.taken(places, shape)
    if not places.any():
        assert layout is None
    else:
        assert layout is not None
        assert np.array_equal(ran("take", layout, whole), places)


@given(shapes(), st.data())
def test_what_is_reshaped_and_transposed_is_found(shape: Shape, data: st.DataObject) -> None:
    whole = views.in_order(shape)
    places = whole
    for _ in range(data.draw(st.integers(1, 3))):
        places = places.transpose(data.draw(st.permutations(range(places.ndim))))
        sizes = data.draw(factors(math.prod(shape)))
        places = places.reshape(sizes)
    target = (places.size, 1, 1) if data.draw(st.booleans()) else (1, places.size, 1)
    places = places.reshape(target)
    layout = views.permuted(places, shape)
    assert layout is None or np.array_equal(ran("permute", layout, whole), places)
    simple = whole.transpose(data.draw(st.permutations(range(3))))
    layout = views.permuted(simple, shape)
    assert layout is not None
    assert np.array_equal(ran("permute", layout, whole), simple)


@st.composite
def factors(draw: st.DrawFn, volume: int) -> tuple[int, ...]:
    """Sizes of up to four axes of so many numbers."""
    sizes: list[int] = []
    while volume > 1 and len(sizes) < 3:
        sizes.append(draw(st.sampled_from([n for n in range(1, volume + 1) if volume % n == 0])))
        volume //= sizes[-1]
    return (*sizes, volume)


def test_channel_shuffle_is_one_permute_or_take() -> None:
    whole = views.in_order((6, 2, 2))
    shuffled = whole.reshape(2, 3, 2, 2).transpose(1, 0, 2, 3).reshape(6, 2, 2)
    assert views.taken(shuffled, (6, 2, 2)) == ((0, 3, 1, 4, 2, 5), (0, 1), (0, 1))
    flat = whole.transpose(1, 2, 0).reshape(24, 1, 1)
    assert views.permuted(flat, (6, 2, 2)) == ((6, 4), (1, 0), (24, 1, 1))


def test_a_slice_of_a_transposed_map_takes_and_turns() -> None:
    places = views.in_order((4, 3, 3)).transpose(1, 2, 0)[::2, :, 1:3]
    both = views.taken_and_turned(places, (4, 3, 3))
    assert both is not None
    take, turn = both
    assert np.array_equal(
        ran("permute", turn, ran("take", take, views.in_order((4, 3, 3)))), places
    )


def test_no_regular_order_is_neither() -> None:
    places = views.in_order((4, 1, 1)).reshape(-1)[[0, 2, 3, 1]].reshape(1, 2, 2)
    assert views.taken(places, (4, 1, 1)) is None
    assert views.permuted(places, (4, 1, 1)) is None
    assert views.taken_and_turned(places, (4, 1, 1)) is None
