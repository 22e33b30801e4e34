"""Training curves arrive where they are watched, through the clients themselves."""

import resource
import signal
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cosign import CosignError
from flows.loop import logs
from flows.loop.rundir import RunConfig, RunDir

POINT = {
    "step": 20,
    "loss": 0.5,
    "accuracy": 0.75,
    "rho": 0.01,
    "primal": {"conv1": 2.0, "fc1": 3.0},
    "dual": {"conv1": 0.25, "fc1": 0.125},
}


@pytest.fixture
def run(tmp_path) -> RunDir:
    return RunDir.create(tmp_path / "run", RunConfig("lenet5"))


def test_a_point_becomes_flat_names():
    assert logs.scalars(POINT) == {
        "loss": 0.5,
        "accuracy": 0.75,
        "rho": 0.01,
        "W-Z/conv1": 2.0,
        "W-Z/fc1": 3.0,
        "Z-Zprev/conv1": 0.25,
        "Z-Zprev/fc1": 0.125,
    }


def read(run: RunDir, stage: str, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(run.path / "tensorboard" / stage)).Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_gets_each_stage(run):
    with logs.opened("tensorboard", run) as log:
        for step in (10, 20):
            log.write("dense", step, {"loss": 1 / step})
        log.write("prune", 5, logs.scalars(POINT))
    assert read(run, "dense", "loss") == [(10, pytest.approx(0.1)), (20, pytest.approx(0.05))]
    assert read(run, "prune", "W-Z/fc1") == [(5, 3.0)]


def test_what_a_resumed_stage_repeats_counts_once(run):
    for start in (10, 20):  # the second process goes on from the checkpoint after step 10
        with logs.opened("tensorboard", run) as log:
            for step in range(start, 40, 10):
                log.write("dense", step, {"loss": float(start)})
    assert read(run, "dense", "loss") == [(10, 10.0), (20, 20.0), (30, 20.0)]


@pytest.mark.parametrize("kind", ["mlflow", "wandb"])
def test_a_missing_client_is_one_sentence(kind, run, monkeypatch):
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(CosignError, match=f"run `pip install {kind}`"), logs.opened(kind, run):
        pass


def test_mlflow_gets_the_points(run, monkeypatch):
    mlflow = pytest.importorskip("mlflow", reason="the optional client mlflow is not installed")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    mlflow.set_tracking_uri(f"file:{run.path}/mlruns")
    with logs.opened("mlflow", run) as log:
        log.write("prune", 20, logs.scalars(POINT))
        found = mlflow.active_run().info.run_id
    stored = mlflow.get_run(found).data
    assert stored.metrics["prune/W-Z/fc1"] == 3.0
    assert stored.params["network"] == "lenet5"


def test_wandb_gets_the_points(run, monkeypatch):
    pytest.importorskip("wandb", reason="the optional client wandb is not installed")
    monkeypatch.setenv("WANDB_MODE", "offline")
    with logs.opened("wandb", run) as log:
        log.write("prune", 20, logs.scalars(POINT))
    assert list((run.path / "wandb").glob("offline-run-*/*.wandb"))


def test_a_full_disk_is_a_sentence_and_the_curves_go_on(run, capfd):
    """Files cannot grow for a while; what was written before and comes after is read."""
    with logs.opened("tensorboard", run) as log:
        log.write("dense", 10, {"loss": 0.5})
        (file,) = (run.path / "tensorboard" / "dense").iterdir()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (file.stat().st_size + 20, limits[1]))
        try:
            with pytest.raises(CosignError, match=r"--log tensorboard .*File too large; free some"):
                log.write("dense", 20, logs.scalars(POINT))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, before)
        log.write("dense", 30, {"loss": 0.25})
    assert read(run, "dense", "loss") == [(10, 0.5), (30, 0.25)]
    assert capfd.readouterr().err == ""
