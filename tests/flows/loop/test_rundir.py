"""A run continues where it was, and refuses what it cannot continue."""

import argparse
import dataclasses
import errno
import json
import os
import shlex
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from made_values import made

from cosign import CosignError, atomic_write, consoles
from cosign.progress import Reporter
from flows.loop import assemble, findings, logs, loop, trained
from flows.loop.rundir import RunConfig, RunDir
from rtl.coreset import CoreSet
from synth.place.options import Placement, add_options, placement_of


def test_a_finished_stage_is_not_run_again(tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5", seed=3))
    calls = []

    def work():
        calls.append(1)
        return {"accuracy": 0.5}

    assert run.run("dense", work) == {"accuracy": 0.5}
    again = RunDir.resume(tmp_path / "run")
    assert again.config == RunConfig("lenet5", seed=3)
    assert again.run("dense", work) == {"accuracy": 0.5}
    assert len(calls) == 1
    assert set(again.wall_s()) == {"dense"}


@pytest.mark.parametrize("liberty", [None, "kit.lib", ["gates.lib", "flip flops.lib.gz"]])
def test_all_files_of_a_cell_library_are_kept(liberty, tmp_path):
    """Of older runs the one, as text; the command to repeat a run has each."""
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5", liberty=liberty))
    config = RunDir.resume(run.path).config
    files = [liberty] if isinstance(liberty, str) else liberty or []
    assert [str(path) for path in config.liberty_files] == files
    words = shlex.split(assemble.command(config))
    assert [words[i + 1] for i, word in enumerate(words) if word == "--liberty"] == files


def test_a_placement_is_kept_and_repeated(tmp_path):
    place = Placement(utilisation=0.6, seeds=3, lef=("/kit/tech.lef", "/kit/my cells.lef"))
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5", place=place))
    config = RunDir.resume(run.path).config
    assert config.place == place
    parser = argparse.ArgumentParser(allow_abbrev=False)
    add_options(parser)
    words = shlex.split(assemble.command(config))
    asked = placement_of(parser.parse_known_args(words)[0])
    assert asked == place
    assert "--place" not in assemble.command(RunConfig("lenet5"))


def test_placements_that_are_there_are_shown(tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5", place=Placement()))
    with logs.opened("tensorboard", run) as log:
        found = trained.Trained(run, Reporter(consoles.standard_error()), log, None)
    assert found.placed == {}
    cores = run.config.cores
    for core in (cores.sparse, cores.candidates[0]):  # that one executes nothing
        (run.path / "synth" / core.hash / "placed").mkdir(parents=True)
    assert found.placed == {cores.sparse.name: run.path / "synth" / cores.sparse.hash / "placed"}
    # What was begun before placements were had none.
    content = json.loads((run.path / "config.json").read_text())
    del content["place"]
    (run.path / "config.json").write_text(json.dumps(content))
    assert RunDir.resume(run.path).config.place is None


def test_cores_are_kept_by_content(tmp_path):
    cores = CoreSet(rows=(), candidates=())
    RunDir.create(tmp_path / "run", RunConfig("lenet5", cores=cores))
    assert RunDir.resume(tmp_path / "run").config.cores == cores
    file = tmp_path / "run" / "config.json"
    config = json.loads(file.read_text())
    newer = ("cores", "written_by", "method", "speedup", "size", "loss", "finetune")
    old = {name: value for name, value in config.items() if name not in newer}
    file.write_text(json.dumps(old | {"schema": 2}))
    assert RunDir.resume(tmp_path / "run").config == RunConfig("lenet5")
    del old["batch"]  # of older runs it was as many images as the RTL executed
    file.write_text(json.dumps(old | {"schema": 2, "images": 3}))
    assert RunDir.resume(tmp_path / "run").config == RunConfig("lenet5", images=3, batch=3)
    config["cores"]["sparse"]["lanes"] = 3
    file.write_text(json.dumps(config))
    with pytest.raises(CosignError, match="sparse has 3 multipliers, dense_scalar 61"):
        RunDir.resume(tmp_path / "run")


def test_a_stage_that_failed_is_run_again(tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))

    def broken():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run.run("dense", broken)
    assert run.result("dense") is None
    assert run.run("dense", lambda: 1) == 1


def test_a_forgotten_stage_is_run_again(tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))
    for stage in ("simulate", "synthesize"):
        run.run(stage, lambda: 1)
    (run.path / "synth" / "abc").mkdir(parents=True)
    run.forget("synthesize", "synth/*")
    assert set(run.wall_s()) == {"simulate"}
    assert not list((run.path / "synth").iterdir())
    assert run.run("synthesize", lambda: 2) == 2


def test_restarting_forgets_a_stage_and_all_later_ones(tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))
    for stage in trained.STAGES:
        run.run(stage, lambda: 1)
    for name in (
        "checkpoints/prune.pt",
        "checkpoints/retrain.pt",
        "checkpoints/quantize.pt",
        "checkpoints/quantize.checkpoint.pt",
        "sim/sparse-abc-conv1.json",
        "synth/abc/core.json",
    ):
        (run.path / name).parent.mkdir(parents=True, exist_ok=True)
        (run.path / name).touch()
    loop.restart(run, "quant")
    stages = list(trained.STAGES)
    assert set(run.wall_s()) == set(stages[: stages.index("quantize")])
    left = {file.name for file in (run.path / "checkpoints").iterdir()}
    assert left == {"prune.pt", "retrain.pt"}
    assert not list((run.path / "sim").iterdir())
    assert (run.path / "synth" / "abc" / "core.json").exists()
    loop.restart(run, "retrain")
    assert set(run.wall_s()) == {"dense", "prune"}
    assert [file.name for file in (run.path / "checkpoints").iterdir()] == ["prune.pt"]
    assert not list((run.path / "synth").iterdir())
    for nothing in ("s", "", "breakfast"):
        with pytest.raises(CosignError, match="is no stage; choose one of: dense, prune"):
            loop.restart(run, nothing)


def test_cores_must_take_the_levels(tmp_path):
    """Told before anything is trained."""
    narrow = dataclasses.replace(CoreSet().sparse, weight_bits=2)
    cores = CoreSet(sparse=narrow, candidates=())
    for bits, widest in ((None, 4), (3, 3), ("auto", 8)):
        with pytest.raises(CosignError, match=f"sparse-61 takes levels of 2 .* of {widest};"):
            loop.preflight(RunConfig("lenet5", bits=bits, cores=cores), tmp_path / "run", None)
    loop.preflight(RunConfig("lenet5", bits=2, cores=cores), tmp_path / "run", None)
    assert not (tmp_path / "run").exists()


def test_what_a_core_cannot_execute_is_told_before_training(tmp_path):
    narrow = dataclasses.replace(CoreSet().sparse, mul_bits=8)
    cores = CoreSet(sparse=narrow, candidates=())
    with pytest.raises(CosignError, match=r"'conv1' does not fit the core: mul .* mul_bits = 8"):
        loop.preflight(RunConfig("lenet5", cores=cores), tmp_path / "run", None)
    assert not (tmp_path / "run").exists()


def test_refusals(tmp_path):
    with pytest.raises(CosignError, match="not a run directory"):
        RunDir.resume(tmp_path)
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))
    with pytest.raises(CosignError, match="not empty"):
        RunDir.create(run.path, RunConfig("lenet5"))
    with (
        run.held(),
        pytest.raises(CosignError, match="another process"),
        RunDir.resume(run.path).held(),
    ):
        pass


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"schema": 1, "written_by": None}, "schema 1 of an earlier version"),
        ({"schema": 9, "written_by": "7.1"}, "schema 9 of cosign 7.1, this version reads"),
        ({"colour": 2}, "colour is unknown"),
        ({"bits": 9}, "bits is 9, must be int <= 8"),
        ({"bits": "few"}, "bits is 'few', which is none of"),
        ({"distill": 1.5}, r"distill is 1.5, must be float <= 1"),
        ({"images": 0}, "images is 0, must be int >= 1"),
        ({"seed": True}, "seed is True, must be int"),
        ({"batch": 0}, "batch is 0, must be int >= 1"),
        ({"mean": [0.5, "x"]}, r"mean\[1\] is 'x', must be float"),
    ],
)
def test_a_wrong_config_is_named(change, sentence, tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))
    file = run.path / "config.json"
    config = json.loads(file.read_text())
    file.write_text(json.dumps(config | change))
    with pytest.raises(CosignError, match=f"config.json.*{sentence}.*; start a new run"):
        RunDir.resume(run.path)
    del config["rounds"]
    file.write_text(json.dumps(config))
    with pytest.raises(CosignError, match="rounds is missing"):
        RunDir.resume(run.path)


def test_a_damaged_stage_is_named(tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))
    run.run("dense", lambda: 1)
    file = run.path / "stages" / "dense.json"
    for content, sentence in (
        ('{"result": 1}', "dense.json: wall_s is missing"),
        ('{"result": 1, "wall_s": -1}', "wall_s is -1, must be float >= 0"),
        ("[]", "dense.json: the whole is"),
        ("{", "dense.json is not valid JSON"),
    ):
        file.write_text(content)
        with pytest.raises(CosignError, match=sentence):
            run.result("dense")


@given(config=made(RunConfig))
@settings(max_examples=30, deadline=None)
def test_any_config_makes_the_round_trip(tmp_path_factory, config):
    path = tmp_path_factory.mktemp("any") / "run"
    RunDir.create(path, config)
    assert RunDir.resume(path).config == config


def _no_space():
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _fails(run):
    raise CosignError("the data are of another kind.")


@pytest.mark.parametrize("there", ["", "runs", "runs/a"])
def test_a_run_that_fails_at_once_leaves_nothing(there, tmp_path):
    """But folders that were there before it."""
    (tmp_path / there).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    with (
        pytest.raises(CosignError, match="another kind"),
        RunDir.begun(tmp_path / "runs" / "a", RunConfig("lenet5")) as run,
    ):
        (run.path / "tensorboard" / "dense").mkdir(parents=True)
        _fails(run)
    assert sorted(tmp_path.rglob("*")) == before


def _after_a_stage(run):
    run.run("dense", dict)
    _fails(run)


def _after_a_checkpoint(run):
    (run.path / "checkpoints").mkdir()
    _fails(run)


def _on_a_full_disk(run):
    with atomic_write(run.path / "stages" / "dense.json"):
        _no_space()


def _by_ctrl_c(run):
    raise KeyboardInterrupt


@pytest.mark.parametrize("end", [_after_a_stage, _after_a_checkpoint, _on_a_full_disk, _by_ctrl_c])
def test_what_can_go_on_stays(end, tmp_path):
    path = tmp_path / "run"
    with (
        pytest.raises((CosignError, KeyboardInterrupt)),
        RunDir.begun(path, RunConfig("lenet5", seed=7)) as run,
    ):
        end(run)
    assert RunDir.resume(path).config.seed == 7


def test_runs_that_start_at_once_have_a_folder_each(tmp_path):
    """All of them are there before the first one ends."""
    count = 8
    together = threading.Barrier(count)

    def begin(seed):
        together.wait()
        config = RunConfig("lenet5", seed=seed)
        with RunDir.begun(tmp_path / "runs" / "lenet5", config, numbered=True) as run:
            together.wait()
            return run.path.name, RunDir.resume(run.path).config.seed

    with ThreadPoolExecutor(count) as pool:
        found = dict(pool.map(begin, range(count)))
    assert set(found) == {f"lenet5-{number}" for number in range(count)}
    assert set(found.values()) == set(range(count))


def test_the_second_to_begin_in_a_folder_is_refused(tmp_path):
    path = tmp_path / "run"
    with (
        RunDir.begun(path, RunConfig("lenet5", seed=1)),
        pytest.raises(CosignError, match=r"not empty|another process"),
        RunDir.begun(path, RunConfig("lenet5", seed=2)),
    ):
        pass
    assert RunDir.resume(path).config.seed == 1


FOUND = {
    "dense": {"val_accuracy": 0.9, "history": [{"step": 1, "loss": 0.5, "accuracy": 0.9}]},
    "breakeven": {"conv1": 2.5, "fc1": None},
    "evaluate": {"dense": 0.9, "pruned": 0.9, "integer": 0.89},
}


@pytest.mark.parametrize(
    ("stage", "changes", "sentence"),
    [
        ("dense", {"val_accuracy": "high"}, "val_accuracy is 'high', must be float"),
        ("dense", {"val_accuracy": 2}, "val_accuracy is 2, must be float <= 1"),
        ("dense", {"history": [None]}, r"history\[0\] is None, must be object"),
        ("dense", {"history": [{"loss": 1}]}, r"history\[0\].accuracy is missing"),
        ("breakeven", {"conv1": "2"}, r"\[...\]: must be float"),
        ("evaluate", {"integer": None}, "integer is None, must be float"),
    ],
)
def test_what_a_stage_left_is_looked_at_before_the_next(stage, changes, sentence, tmp_path):
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))
    for name, result in FOUND.items():
        run.run(name, lambda result=result: result)
    findings.check(run)
    file = run.path / "stages" / f"{stage}.json"
    content = json.loads(file.read_text())
    content["result"] |= changes
    file.write_text(json.dumps(content))
    with pytest.raises(CosignError, match=rf"stages/{stage}\.json: {sentence}.*--from {stage}\.$"):
        findings.check(run)
    file.write_text("[" * 100_000)
    with pytest.raises(CosignError, match=rf"stages/{stage}\.json is not valid JSON"):
        findings.check(run)
