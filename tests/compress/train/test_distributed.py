"""Two processes train what one does: the same masks, the same weights but for rounding."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from compress.train import distributed, stages

SCRIPT = Path(__file__).parents[1] / "processes.py"


def trained(folder: Path, *start: str) -> dict[str, dict[str, Any]]:
    """Files of the stages of the toy task."""
    environment = dict(os.environ, OMP_NUM_THREADS="1", PYTHONPATH=str(SCRIPT.parents[2]))
    subprocess.run(
        [sys.executable, *start, str(SCRIPT), str(folder)], check=True, env=environment, timeout=600
    )
    folder = folder / "stages"
    # Only rank 0 writes: nothing else is left there.
    assert sorted(path.stem for path in folder.iterdir()) == sorted(stages.STAGES)
    return {stage: torch.load(folder / f"{stage}.pt") for stage in stages.STAGES}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def runs(folders: tuple[Path, Path]) -> tuple[dict[str, Any], dict[str, Any]]:
    together = ("-m", "torch.distributed.run", "--nproc-per-node", "2")
    return trained(folders[0]), trained(folders[1], *together)


def test_masks_are_equal_and_weights_differ_by_rounding(
    runs: tuple[dict[str, Any], dict[str, Any]],
) -> None:
    """Float64's 1e-16 grows: Adam divides by gradients near zero, projections cut between
    magnitudes that are nearly equal. Before the first projection it stays near 1e-15."""
    for stage, limit in {"dense": 1e-12, "prune": 1e-3, "retrain": 1e-3, "quantize": 1e-3}.items():
        alone, together = (run[stage] for run in runs)
        assert alone["accuracy"] == together["accuracy"]
        for name, one in alone["weights"].items():
            two = together["weights"][name]
            if stage != "dense":
                assert torch.equal(one["mask"], two["mask"]), (stage, name)
            weight, other = (
                each["dense"] if stage == "dense" else each["kept"] * each.get("q", 1.0)
                for each in (one, two)
            )
            error = torch.linalg.vector_norm(weight - other)
            assert error <= limit * torch.linalg.vector_norm(weight), (stage, name)


def test_the_state_of_admm_is_the_same_bits_in_both_processes(
    runs: tuple[dict[str, Any], dict[str, Any]], folders: tuple[Path, Path]
) -> None:
    first, second = (json.loads((folders[1] / f"rank-{n}.json").read_text()) for n in range(2))
    assert first["world"] == second["world"] == 2
    assert first["states"] == second["states"]
    points = sum("rho" in record for stage in runs[1].values() for record in stage["history"])
    assert len(first["states"]) == len(set(first["states"])) == points > 0
    alone = json.loads((folders[0] / "rank-0.json").read_text())
    assert alone["world"] == 1
    assert len(alone["states"]) == points


def test_a_process_alone_is_the_first_of_one() -> None:
    with distributed.joined(), distributed.first():
        assert (distributed.rank(), distributed.world()) == (0, 1)
        assert distributed.total(0.1) == 0.1
        assert distributed.agreed(True)
        assert not distributed.agreed(False)
        network = torch.nn.Linear(2, 2)
        assert distributed.data_parallel(network) is network
