"""The whole loop on real MNIST, with few training steps and small cores; killed and resumed."""

import dataclasses
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pages
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from compress.file import container
from compress.model.pattern import Pattern
from flows.loop import assemble, loop
from flows.loop.rundir import RunConfig, RunDir
from rtl.coreset import CoreSet
from synth.profile import HardwareProfile

ROOT = Path(__file__).parents[3]
SMALL = ROOT / "tests" / "small_cores.toml"  # their synthesis takes seconds
MILD = Path(__file__).with_name("mild.json")  # prunes fc2 by a tenth only
OPTIONS = ("--budget", "0.004", "--alpha", str(MILD), "--accuracy-loss", "0.9")
FEW = ("--images", "2", "--batch", "2")  # so few that lanes of linear layers wait


def command(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "flows" / "run_cosign.py"), *arguments]


def start_at(path: Path) -> list[str]:
    """How a run on the small cores begins; it does not need their file again."""
    return command("lenet5", *OPTIONS, *FEW, "--cores", str(SMALL), "--out", str(path))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run that nobody disturbed."""
    path = tmp_path_factory.mktemp("loop") / "run"
    subprocess.run(start_at(path), check=True, timeout=900)
    return path


@pytest.fixture(scope="module")
def results(finished) -> dict:
    return json.loads((finished / "results.json").read_text())


def test_the_rtl_agrees_bit_for_bit_and_cycle_for_cycle(results):
    check = results["verification"]
    maps, vectors = 20 * 24 * 24 + 50 * 8 * 8, 500 + 10
    assert check["values_compared"] == 2 * (2 * maps + 2 * vectors)  # cores x images or batch
    assert [layer["batch"] for layer in results["layers"]] == [1, 1, 2, 2]
    assert check["mismatches"] == 0
    assert check["cycle_counts_compared"] == 2 * 4
    assert check["cycle_mismatches"] == 0


def test_results_describe_the_file(results, finished):
    model = container.load(finished / "model.cosign")
    compression = results["compression"]
    assert compression["weights"] == 430_500
    assert compression["nonzeros"] == sum(layer.nnz for layer in model.layers)
    assert compression["file_bytes"] == (finished / "model.cosign").stat().st_size
    parts = compression["data_bytes"] + compression["index_bytes"] + compression["bias_bytes"]
    assert parts < compression["file_bytes"]
    assert [layer["name"] for layer in results["layers"]] == ["conv1", "conv2", "fc1", "fc2"]
    for row, layer in zip(results["layers"], model.layers, strict=True):
        assert (row["nonzeros"], row["bits"]) == (layer.nnz, layer.bits)


def test_hardware_was_measured(results, finished):
    for core in results["hardware"]["cores"]:
        assert core["area_um2"] > core["logic_um2"] > 1000
        assert 1e8 < core["fmax_hz"] < 5e9
    profile = HardwareProfile.read(finished / "profile.json")
    for row in results["layers"]:
        ratio = profile.break_even(row["name"])
        assert row["break_even"] == ratio
        pays = ratio is not None and row["weights"] / row["nonzeros"] >= ratio
        assert row["decision"] == ("sparse" if pays else "dense")
    assert {curve["sram_model"] for curve in results["hardware"]["curves"]} == {"openram", "flat"}
    assert {curve["weights"] for curve in results["hardware"]["curves"]} == {"streamed", "on-chip"}


def test_the_profile_steers_the_pruner(results, finished):
    """fc2 is asked for 1.1x, less than any break-even of an FC layer: it must end dense."""
    profile = HardwareProfile.read(finished / "profile.json")
    feedback = results["feedback"]
    assert feedback["break_even"] == {n: profile.break_even(n) for n in feedback["start"]["ratios"]}
    assert feedback["bound"] == pytest.approx(feedback["dense_accuracy"] - 0.9)
    for row in results["layers"]:
        ratio, needed = row["pruning_ratio"], row["break_even"]
        kept = feedback["rounds"][-1]["ratios"][row["name"]]
        assert kept == 1 or (needed is not None and kept >= needed)
        assert ratio >= kept * (1 - 1e-9)  # weights of no effect are not in the file
        pays = needed is not None and ratio >= needed
        assert row["decision"] == ("sparse" if pays else "dense")
    restored = {name for this in feedback["rounds"] for name in this["restored"]}
    assert "fc2" in restored
    assert "fc2 is dense again: it was pruned 1.1" in " ".join(feedback["rounds"][1]["why"])
    assert all(
        ratio > before for this in feedback["rounds"] for before, ratio in this["gained"].values()
    )
    page = (finished / "report.html").read_text()
    for sentence in (sentence for this in feedback["rounds"] for sentence in this["why"]):
        assert sentence in page


def test_the_run_directory_is_complete(finished):
    for name in ("sparse", "dense", "dense-scalar"):
        assert "module cosign_core" in (finished / "rtl" / name / "cosign_core.v").read_text()
    reports = list((finished / "synth").glob("*/core.json"))
    assert len(reports) == 2 + 2 + 3  # dense, and sparse of either coding
    assert not list(finished.rglob(".*.cosign.*"))  # nothing half-written


def test_a_pattern_has_no_feedback(tmp_path):
    run = tmp_path / "run"
    words = ("lenet5", "--pattern", "1:4", "--budget", "0.004", "--images", "1")
    subprocess.run(
        command(*words, "--cores", str(SMALL), "--out", str(run)), check=True, timeout=900
    )
    found = json.loads((run / "results.json").read_text())
    assert found["feedback"] is None
    assert "Break-even ratios have no part in it" in " ".join(found["remarks"])
    assert "--pattern 1:4" in found["command"]
    check = found["verification"]
    assert (check["mismatches"], check["cycle_mismatches"]) == (0, 0)
    first, *others = container.load(run / "model.cosign").layers
    assert first.nnz > 400  # of 500, of one channel
    for layer in others:
        g = layer.geometry
        assert Pattern(1, 4).holds(layer.dense_levels().reshape(g.out_channels, g.in_channels, -1))
        assert 0.5 * g.weights / 4 < layer.nnz <= g.weights / 4  # what has no effect is not there
    assert [row["nonzeros"] for row in found["layers"]] == [first.nnz, *(x.nnz for x in others)]


def test_the_run_keeps_its_cores(finished, results):
    cores = CoreSet.read(SMALL)
    assert RunDir.resume(finished).config.cores == cores
    assert CoreSet.read(finished / "cores.toml") == cores
    assert "--cores cores.toml" in results["command"]
    known = {core["name"]: core["config_hash"] for core in results["hardware"]["cores"]}
    assert {"dense-2d-2x2", "dense-scalar-5", "sparse-5"} <= set(known)
    assert results["hardware"]["multipliers"] == {"sparse": 5, "dense": 4, "dense_scalar": 5}
    each = {core["name"]: core["multipliers"] for core in results["hardware"]["cores"]}
    assert (each["dense-2d-2x2"], each["dense-scalar-5"], each["sparse-5"]) == (4, 5, 5)
    against = {curve["against"] for curve in results["hardware"]["curves"]}
    assert against == {"dense-2d-2x2"}


def test_the_report_stands_alone(finished):
    page = pages.read((finished / "report.html").read_text())
    assert page.problems == []
    assert (page.images, page.drawings) == (4, 7)  # of each layer; of the run, without energy


def test_the_logs_have_every_admm_iteration(finished, results):
    for stage in ("prune", "quantize"):
        events = EventAccumulator(str(finished / "tensorboard" / stage)).Reload()
        logged = [event.value for event in events.Scalars("W-Z/conv1")]
        found = [point["distance"]["conv1"] for point in results["admm"][stage]]
        assert logged == pytest.approx(found)
        assert {"loss", "accuracy", "rho", "Z-Zprev/fc2"} <= set(events.Tags()["scalars"])


def test_a_stage_runs_anew(finished, results, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(finished, path)
    before = {file.stem: file.stat().st_mtime_ns for file in (path / "stages").iterdir()}
    again = command("--resume", str(path), "--from", "speed", "--quiet", "--json", "-")
    done = subprocess.run(again, capture_output=True, text=True, check=True, timeout=900)
    after = {file.stem: file.stat().st_mtime_ns for file in (path / "stages").iterdir()}
    assert [stage for stage in before if after[stage] != before[stage]] == ["speedup"]
    printed = json.loads(done.stdout)
    assert printed.keys() == results.keys()
    assert {key for key in results if printed[key] != results[key]} <= {"wall_s"}
    assert done.stderr == ""


def test_killed_anywhere_it_resumes_to_the_same_result(finished, results, tmp_path):
    path = tmp_path / "run"
    start = start_at(path)
    resume = command("--resume", str(path))
    # Killed in training, between trials, in export and evaluation, and in simulation.
    for landmark in (
        "checkpoints/prune.pt",
        "checkpoints/allocate.1.pt",
        "model.cosign",
        "sim/sparse-*-conv1.json",
    ):
        process = subprocess.Popen(start, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while process.poll() is None and not list(path.glob(landmark)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        start = resume
    subprocess.run(resume, check=True, timeout=900)
    assert (path / "model.cosign").read_bytes() == (finished / "model.cosign").read_bytes()
    again = json.loads((path / "results.json").read_text())
    assert again.keys() == results.keys()
    for key in results.keys() - {"wall_s"}:
        assert again[key] == results[key], key


def test_an_area_that_no_core_fits_is_one_sentence(tmp_path):
    """Before anything is trained; a larger one is kept in the run and in its command."""
    asked = start_at(tmp_path / "run")
    done = subprocess.run([*asked, "--area", "100um2"], capture_output=True, text=True)
    assert done.returncode == 2
    last = done.stderr.splitlines()[-1]
    said = r"cosign: --area 100um2 holds no dense core .*; the smallest, .*, takes (\d+)um2\."
    found = re.fullmatch(said, last)
    assert found, last
    assert not (tmp_path / "run").exists()
    config = RunConfig("lenet5", batch=3, cores=CoreSet.read(SMALL))
    area_um2 = 2.0 * int(found[1])
    chosen = loop.within(config, None, area_um2, lambda line: None)
    faster = dataclasses.replace(config.cores.dense_scalar, core="dense-2d")  # 5 lanes, not 2 x 2
    cores = dataclasses.replace(config.cores, dense=faster)
    assert chosen == dataclasses.replace(config, area_um2=area_um2, cores=cores)
    assert f"--area={area_um2}um2" in shlex.split(assemble.command(chosen))
    done = subprocess.run([*asked, "--area", "0.1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "0.1 is an area without a unit; write 2mm2 or 2000000um2" in done.stderr


@pytest.mark.parametrize("option", ["--area=1mm2", "--batch=3"])
def test_a_run_keeps_its_chip(option, finished):
    again = command("--resume", str(finished), option)
    done = subprocess.run(again, capture_output=True, text=True)
    assert done.returncode == 2
    name = option[2:].partition("=")[0]
    assert f"a run keeps the {name} that it began with" in done.stderr
    assert f"leave out --{name}, or start a new run." in done.stderr


def test_a_damaged_model_is_one_sentence(finished, tmp_path):
    copy = tmp_path / "run"
    (copy / "stages").mkdir(parents=True)
    (copy / "config.json").write_bytes((finished / "config.json").read_bytes())
    finished_before = ("synthesize", "breakeven", "allocate", "quantize", "export")
    stages = (f"stages/{stage}.json" for stage in ("dense", "prune", "retrain", *finished_before))
    for name in (*stages, "profile.json"):
        (copy / name).write_bytes((finished / name).read_bytes())
    (copy / "model.cosign").write_bytes((finished / "model.cosign").read_bytes()[:-100])
    (copy / "checkpoints").symlink_to(finished / "checkpoints")
    done = subprocess.run(command("--resume", str(copy)), capture_output=True, text=True)
    assert done.returncode == 2
    assert "truncated or damaged" in done.stderr
    assert "Traceback" not in done.stderr
