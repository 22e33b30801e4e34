"""The search for the highest clock: its bracket, and a small core through the real tools."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cosign import CosignError
from rtl.config import CoreConfig
from synth.fmax import RESOLUTION, TRIALS, FmaxSearch, Trial, next_target
from synth.pdk import find_pdk
from synth.report import FASTEST, KEPT, CoreReport, synthesize
from synth.sta import sign_off

TINY = CoreConfig("dense-scalar", lanes=1, act_depth=32, weight_depth=8, act_banks=1, acc_bits=16)


@given(floor=st.floats(0.45, 1.5))
def test_bracket(floor: float) -> None:
    """A machine that meets any period above `floor`, and `floor` when asked for less."""
    trials = [Trial(1.0, 1.0 - max(1.0, floor), 1.0)]
    while (target := next_target(trials)) is not None:
        trials.append(Trial(target, target - max(target, floor), 1.0))
    best = min(trial.achieved_ns for trial in trials)
    assert best == pytest.approx(floor, rel=RESOLUTION + 1e-9)
    assert max(t.target_ns for t in trials if t.slack_ns < 0) >= (1 - RESOLUTION) * best - 1e-9
    assert len(trials) <= TRIALS


def test_a_miss_from_afar_is_tried_from_near() -> None:
    trials = [Trial(1.0, 0.0, 1.0), Trial(0.8, -0.1, 1.0)]
    assert next_target(trials) == pytest.approx(0.99 * 0.9)
    trials.append(Trial(0.891, 0.001, 1.0))  # met after all
    assert next_target(trials) == pytest.approx(0.99 * 0.89)
    trials.append(Trial(0.8811, -0.02, 1.0))
    assert next_target(trials) is None


def test_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COSIGN_CACHE", str(tmp_path / "cache"))
    plain = synthesize(TINY)
    report = synthesize(TINY, tmp_path / "out", search_fmax=True)
    found = report.fmax_search
    assert found is not None
    # What the report says without the search does not change with it.
    assert plain.fmax_search is None
    for field in ("logic_um2", "fmax_hz", "slack_ns", "critical_path", "cells", "blocks_um2"):
        assert getattr(plain, field) == getattr(report, field)
    assert found.trials[0].target_ns == TINY.clock_ns
    assert found.trials[0].logic_um2 == pytest.approx(report.logic_um2)
    assert next_target(list(found.trials)) is None or len(found.trials) == TRIALS
    assert found.fmax_hz >= report.fmax_hz
    assert found.logic_um2 >= report.logic_um2
    best = min(trial.achieved_ns for trial in found.trials)
    assert found.fmax_hz == pytest.approx(1e9 / best, rel=2e-3)
    # The kept netlist, timed by a fresh OpenSTA, has that Fmax.
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(KEPT + FASTEST)
    shutil.copytree(tmp_path / "out", tmp_path / "again")
    netlist, macros = tmp_path / "again" / FASTEST[0], tmp_path / "again" / "cosign_sram.lib"
    record = sign_off(netlist, "cosign_core", find_pdk(), macros, 1e9 / found.fmax_hz)
    assert abs(record.slack_ns) < 2e-3
    assert CoreReport.from_json(json.loads((tmp_path / "out" / "core.json").read_text())) == report
    assert synthesize(TINY, search_fmax=True) == report


def test_damaged_search() -> None:
    with pytest.raises(CosignError, match="Fmax search is damaged"):
        FmaxSearch.from_json({"fmax_hz": 1e9, "logic_um2": 1.0, "trials": []})
