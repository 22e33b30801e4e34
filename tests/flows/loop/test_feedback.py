"""What the report says of the rounds."""

import pytest
from rich.console import Console

from compress.zoo.networks import spec_of
from flows.loop import feedback
from flows.report import tables
from flows.report.rounds import Feedback
from synth.profile import HardwareProfile, LayerCost

GEOMETRIES = spec_of("lenet5").geometries
BASIS = {"against": "dense", "sram_model": "openram", "weights": "streamed"}


def profile(**ratios: float | None) -> HardwareProfile:
    costs = tuple(LayerCost(name, {"sparse": 9}, ratio) for name, ratio in ratios.items())
    return HardwareProfile("lenet5", (), costs, (), BASIS, {})


def rounds(*points: tuple[dict, list[tuple[dict, float, bool]], dict, float]) -> list[dict]:
    """(restored, trials, kept weights, accuracy) of each round, as the stage leaves them."""
    return [
        {
            "bound": 0.98,
            "restored": restored,
            "trials": [{"keep": k, "accuracy": a, "taken": t} for k, a, t in trials],
            "keep": keep,
            "accuracy": accuracy,
        }
        for restored, trials, keep, accuracy in points
    ]


START = {"conv1": 200, "conv2": 2500, "fc1": 200_000, "fc2": 2500}
LESS = START | {"conv2": 2000, "conv1": 190}
DENSE = LESS | {"fc1": 400_000, "fc2": 5000}
LAST = DENSE | {"conv2": 1000}
HISTORY = rounds(
    ({}, [(LESS, 0.981, True)], LESS, 0.981),
    ({"fc1": 2.0, "fc2": 2.0}, [(DENSE, 0.985, True), (LAST, 0.98, True)], LAST, 0.98),
    ({}, [(LAST | {"conv2": 500}, 0.97, False), (LAST | {"conv2": 750}, 0.975, False)], LAST, 0.98),
)


@pytest.fixture
def section() -> Feedback:
    hardware = profile(conv1=1.0, conv2=1.2, fc1=4.08, fc2=None)
    return feedback.record(
        GEOMETRIES,
        hardware,
        START,
        0.99,
        HISTORY,
        0.99,
        lambda keep: {"time_s": keep["conv2"] * 1e-6, "sparse_s": None},
    )


def test_every_round_says_what_and_why(section) -> None:
    first, second, third = section.rounds
    assert first.gained == {"conv1": (2.5, 500 / 190), "conv2": (10.0, 12.5)}
    assert first.why == ("conv1 2.50× to 2.63×, conv2 10.00× to 12.50×: 98.10% after 1 trial.",)
    assert second.why == (
        "fc1 is dense again: it was pruned 2.00×, and sparse hardware wins from 4.08× on.",
        "fc2 is dense again: it was pruned 2.00×, and sparse hardware never wins.",
        "With that the accuracy is 98.50%.",
        "conv2 12.50× to 25.00×: 98.00% after 1 trial.",
    )
    assert third.why == ("Nothing more was pruned: 2 trials reached 97.50% at most.",)
    assert third.gained == {}
    assert second.ratios["fc1"] == 1
    assert third.time_s == second.time_s == 1e-3


def test_nothing_to_spend_is_said() -> None:
    history = rounds(({}, [], START, 0.5))
    no_time = {"time_s": None, "sparse_s": None}
    found = feedback.record(GEOMETRIES, profile(), START, 0.5, history, 0.99, lambda keep: no_time)
    assert found.rounds[0].why == (
        "Nothing more was pruned: 50.00% is below the bound already.",
        "No layer was pruned less than its break-even ratio.",
    )


def test_the_table_has_a_row_for_every_round(section) -> None:
    console = Console(width=120, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(tables.feedback_table(section, 500))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert ["break-even", "1.00×", "1.20×", "4.08×", "never", "≥", "98.00%"] in lines
    assert ["start", "2.50×", "10.00×", "2.00×", "2.00×", "2.1×", "99.00%", "2.5"] in lines
    assert ["round", "2", "2.63×", "25.00×", "dense", "dense", "1.1×", "98.00%", "1"] in lines
    assert ["Round", "3:", "Nothing", "more", "was", "pruned:"] in [line[:6] for line in lines]
