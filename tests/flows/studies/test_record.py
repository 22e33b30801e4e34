"""The record's schedule at a small scale: its files, and going on after a kill."""

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from compress.file import container
from compress.tiny import stored
from compress.tiny.run import Run
from compress.tiny.schedule import SCHEDULES
from cosign import CosignError
from flows.studies import record


@pytest.fixture(scope="module")
def whole(toy: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """An uninterrupted run: its folder and records."""
    folder = tmp_path_factory.mktemp("whole")
    return folder, record.run_seed("tiny", toy.dataset(), 0, folder)


def test_files_hold_the_targets(whole: tuple[Path, list[Any]], toy: ModuleType) -> None:
    folder, records = whole
    assert [found["target"] for found in records] == list(SCHEDULES["tiny"].targets)
    for found, bits in zip(records, SCHEDULES["tiny"].bits, strict=True):
        model = container.load(folder / found["file"])
        # Neurons that read nothing are folded into biases: a few weights may go beyond the target.
        assert 0.95 * found["target"] <= found["nonzeros"] <= found["target"]
        assert found["nonzeros"] == sum(layer.nnz for layer in model.layers)
        assert [layer.bits for layer in model.layers] == list(bits)
        assert found["test"] == record.accuracy(model, toy.dataset().test)
        assert found["test"] > 0.5


def test_killed_run_goes_on_to_the_same_result(
    whole: tuple[Path, list[Any]], toy: ModuleType, tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    seen: list[str] = []

    def kill_at_third(step: str, facts: dict[str, Any]) -> None:
        seen.append(step)
        if len(seen) % 3 == 0:
            raise Killed

    for _ in range(20):
        try:
            shared = tmp_path / "teacher"
            run = Run(SCHEDULES["tiny"], toy.dataset(), 0, tmp_path, shared, kill_at_third)
            reached = list(run.targets())
            break
        except Killed:
            continue
    else:
        raise AssertionError("never done")
    assert len(seen) > 10
    kept = sorted((whole[0] / "tiny" / "seed0").glob("*.npz"))
    assert len(kept) == len(sorted((tmp_path / "seed0").glob("*.npz")))
    for path in kept:
        expected, found = stored.load(path), stored.load(tmp_path / "seed0" / path.name)
        np.testing.assert_array_equal(expected.theta, found.theta)
        np.testing.assert_array_equal(expected.moment2, found.moment2)
    assert [part.target for part in reached] == list(SCHEDULES["tiny"].targets)


def test_folders_of_another_run_are_refused(
    whole: tuple[Path, list[Any]], toy: ModuleType, tmp_path: Path
) -> None:
    shared = whole[0] / "teacher"
    for folder, change in ((whole[0] / "tiny", {"cycles": 2}), (tmp_path, {"copies": 3})):
        changed = dataclasses.replace(SCHEDULES["tiny"], **change)
        refusing = "teacher" if "copies" in change else "tiny"
        with pytest.raises(CosignError, match=f"{refusing} holds a run with another schedule"):
            Run(changed, toy.dataset(), 0, folder, shared, lambda *_: None)


def test_a_damaged_step_is_named(tmp_path: Path) -> None:
    path = tmp_path / "001.npz"
    path.write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(CosignError, match=r"001\.npz is damaged"):
        stored.load(path)
