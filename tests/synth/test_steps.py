"""How far a synthesis is: its steps add up, whatever a search needs."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from synth import fmax
from synth.steps import Steps


@pytest.mark.parametrize(("search", "trials"), [(False, 0), (True, 3), (True, fmax.TRIALS - 1)])
def test_steps_rise_to_the_whole(search: bool, trials: int) -> None:
    told: list[tuple[str, float, float]] = []
    steps = Steps(lambda *step: told.append(step), search)
    for name in ("Verilog", "mapping", "sizing"):
        steps.done(name)
    opened = steps.trials(cast(fmax.OpenTimer, lambda netlist, period_ns: SimpleNamespace()))
    for _ in range(trials):
        opened(cast(Any, None), period_ns=1.0)
    steps.done("area")
    steps.done("timing")
    steps.end()
    done = [step for _, step, _ in told]
    assert done == sorted(set(done))
    assert done[0] > 0
    assert {name for name, _, _ in told} == {"synthesize"}
    assert {whole for _, _, whole in told} == {done[-1]}
