"""The whole loop without training: LeNet-5 on digits in class folders, on small cores."""

import json
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pages
import pytest
from oneshot_words import asked
from PIL import Image

from compress.file import container
from compress.model.pattern import Pattern
from cosign import command
from flows.__main__ import main
from flows.commands.training import training_config
from flows.loop import budgets
from flows.loop.rundir import RunDir
from sim import golden

ROOT = Path(__file__).parents[3]


def cosign(*arguments: str) -> list[str]:
    return [sys.executable, str(ROOT / "flows" / "run_cosign.py"), *arguments]


@pytest.fixture(scope="module")
def finished(weights: Path, data: Path) -> Path:
    path = data.parent / "run"
    words = asked(weights, data, "--speedup", "3x", "--out", str(path))
    subprocess.run(cosign(*words), check=True, timeout=900)
    return path


@pytest.fixture(scope="module")
def results(finished: Path) -> dict:
    return json.loads((finished / "results.json").read_text())


def test_the_rtl_computes_what_was_written(results: dict, finished: Path) -> None:
    check = results["verification"]
    assert (check["mismatches"], check["cycle_mismatches"]) == (0, 0)
    maps, vectors = 20 * 24 * 24 + 50 * 8 * 8, 500 + 10
    assert check["values_compared"] == 2 * (maps + 16 * vectors)
    model = container.load(finished / "model.cosign")
    assert [row["nonzeros"] for row in results["layers"]] == [layer.nnz for layer in model.layers]


def test_the_speedup_is_had(results: dict) -> None:
    """By the cycles of the file's own masks too; the plan met it by those of random ones."""
    found = results["allocation"]
    assert found["budget"] == "--speedup 3x"
    assert found["chosen"]["time_s"] <= found["dense_time_s"] / 3
    dense = sum(row["cycles"]["dense"] for row in results["layers"])
    sparse = sum(
        row["cycles"]["dense"] / (row["speedup"] if found["ratios"][row["name"]] > 1 else 1)
        for row in results["layers"]
    )
    assert dense / sparse > 2.9  # weights of no effect are not in the file


def test_layers_are_dense_or_beyond_break_even(results: dict, finished: Path) -> None:
    profile = json.loads((finished / "profile.json").read_text())
    needed = {layer["name"]: layer["break_even"] for layer in profile["layers"]}
    assert results["allocation"]["break_even"] == needed
    for name, ratio in results["allocation"]["ratios"].items():
        assert ratio == 1 or (needed[name] is not None and ratio >= needed[name])


def test_accuracy_is_of_images_that_nothing_was_chosen_by(
    results: dict, finished: Path, data: Path
) -> None:
    assert results["method"] == "oneshot"
    told, accuracy = results["dataset"], results["accuracy"]
    assert (told["classes"], told["train"], told["val"], told["test"]) == (10, 80, 40, 40)
    assert accuracy["pruned"] is None
    assert accuracy["dense"] > 0.8
    assert accuracy["integer"] >= accuracy["dense"] - 0.1
    share = accuracy["integer"]
    assert accuracy["standard_error"] == pytest.approx((share * (1 - share) / 40) ** 0.5)
    (output,) = results["fidelity"]["outputs"]
    assert 0 < output["relative_rms_error"] < 0.3
    every = [(path, label) for label in range(10) for path in sorted((data / str(label)).iterdir())]
    tested = np.sort(np.random.default_rng([0, 2]).permutation(160)[120:])
    pixels = np.stack([np.asarray(Image.open(every[index][0])) for index in tested])[:, None]
    model = container.load(finished / "model.cosign")
    right = golden.correct(
        model, lambda some: pixels[some], np.array([every[index][1] for index in tested])
    )
    assert right / 40 == share


def test_the_trade_off_is_shown(results: dict, finished: Path) -> None:
    found = results["allocation"]
    points = [*found["points"], found["chosen"]]
    measured = [point for point in points if point["measured"]]
    assert len(measured) >= 3
    assert found["chosen"]["measured"]
    for point in points:
        assert (point["accuracy"] is not None) == (point["error"] is not None) == point["measured"]
    points.sort(key=lambda point: point["time_s"])
    losses = [point["expected_loss"] for point in points]
    assert losses == sorted(losses, reverse=True)
    page = pages.read((finished / "report.html").read_text())
    assert page.problems == []
    assert page.drawings == 7  # the trade-off is there, ADMM is not
    assert "Where pruning hurts least" in page.text
    for sentence in found["why"]:
        assert sentence in page.text


def test_the_command_repeats_the_run(results: dict, finished: Path) -> None:
    words = shlex.split(results["command"])[2:]
    words[words.index("cores.toml")] = str(finished / "cores.toml")
    again = command.parse("cosign", "flows.commands", ["run", *words])
    config, _ = training_config(again, oneshot=True)
    first = RunDir.resume(finished).config
    for name in ("network", "weights", "data", "alpha", "bits", "seed", "digest"):
        assert getattr(config, name) == getattr(first, name)
    assert (again.method, again.speedup) == ("oneshot", 3.0)


def test_killed_anywhere_it_resumes_to_the_same_result(
    tiny: Path, data: Path, tmp_path: Path
) -> None:
    whole, path = tmp_path / "whole", tmp_path / "run"
    words = asked(tiny, data, "--ratio", "3x", "--out")
    subprocess.run(cosign(*words, str(whole)), check=True, timeout=900)
    start, resume = cosign(*words, str(path)), cosign("--resume", str(path))
    for landmark in ("stages/curves.json", "checkpoints/*.cosign", "checkpoints/*.json"):
        process = subprocess.Popen(start, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 600
        while process.poll() is None and not list(path.glob(landmark)):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        start = resume
    subprocess.run(resume, check=True, timeout=900)
    assert (path / "model.cosign").read_bytes() == (whole / "model.cosign").read_bytes()
    first, again = (json.loads((run / "results.json").read_text()) for run in (whole, path))
    for key in first.keys() - {"wall_s"}:
        assert again[key] == first[key], key
    ratio = first["allocation"]["chosen"]["pruning_ratio"]
    assert 3 <= ratio < 3.2


def test_a_size_is_met_and_nearly_used(tiny: Path, data: Path, tmp_path: Path) -> None:
    """Of the same images without classes."""
    flat = tmp_path / "flat"
    flat.mkdir()
    for path in data.rglob("*.png"):
        (flat / path.name).symlink_to(path)
    run = tmp_path / "run"
    assert main(["run", *asked(tiny, flat, "--size", "3KB", "--out", str(run), "--quiet")]) == 0
    found = json.loads((run / "results.json").read_text())
    assert 0.93 * 3000 < found["compression"]["file_bytes"] <= 3000
    assert found["accuracy"] is None
    assert found["allocation"]["dense_accuracy"] is None
    assert found["dataset"]["note"] == "images without labels"
    assert all(point["accuracy"] is None for point in found["allocation"]["points"])
    page = pages.read((run / "report.html").read_text())
    assert "from the float network's (images without labels)" in page.text
    stage = json.loads((run / "stages" / "compress.json").read_text())["result"]
    assert found["compression"]["file_bytes"] in stage["file_bytes"]
    assert len(stage["file_bytes"]) <= budgets._SIZES


def test_a_pattern_runs_on_the_sparse_core(tiny: Path, data: Path, tmp_path: Path) -> None:
    """It is in the file and in what the RTL computes; other networks around it obey none."""
    run = tmp_path / "run"
    words = asked(tiny, data, "--pattern", "2:4", "--out", str(run))
    assert main(["run", *words, "--quiet"]) == 0
    found = json.loads((run / "results.json").read_text())
    first, *others = container.load(run / "model.cosign").layers
    assert first.nnz > 190  # of 200, of one channel
    for layer in others:
        g = layer.geometry
        assert Pattern(2, 4).holds(layer.dense_levels().reshape(g.out_channels, g.in_channels, -1))
        assert 0.9 * g.weights / 2 < layer.nnz <= g.weights / 2
    check = found["verification"]
    assert (check["mismatches"], check["cycle_mismatches"]) == (0, 0)
    allocation = found["allocation"]
    assert allocation["budget"] == "--pattern 2:4"
    assert allocation["why"][-2].startswith("2:4 leaves 3,080 of 5,960 weights; dense: ")
    assert "--pattern 2:4" in found["command"]
    assert "Break-even ratios have no part in it" in " ".join(found["remarks"])


def test_a_loss_is_kept_in_validation(tiny: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    assert main(["run", *asked(tiny, data, "--loss", "5", "--out", str(run), "--quiet")]) == 0
    found = json.loads((run / "results.json").read_text())["allocation"]
    assert found["chosen"]["accuracy"] >= found["dense_accuracy"] - 0.05
    trials = json.loads((run / "stages" / "allocate.json").read_text())["result"]["trials"]
    for trial in trials:
        assert trial["taken"] == (trial["accuracy"] >= found["dense_accuracy"] - 0.05)
    taken = [sum(trial["plan"]["keep"].values()) for trial in trials if trial["taken"]]
    weights = sum(curve["weights"] for curve in _curves(run).values())
    assert weights / found["chosen"]["pruning_ratio"] in [pytest.approx(kept) for kept in taken]


def test_the_chosen_network_alone_is_finetuned(tiny: Path, data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    words = asked(tiny, data, "--ratio", "8x", "--finetune", "0.001", "--batch", "1")
    assert main(["run", *words, "--out", str(run), "--quiet"]) == 0
    found = json.loads((run / "results.json").read_text())
    (file,) = (run / "checkpoints").glob("*-finetuned.cosign")
    assert (run / "model.cosign").read_bytes() == file.read_bytes()
    plain = file.with_name(file.name.replace("-finetuned", ""))
    assert not plain.exists()
    assert len(list((run / "checkpoints").glob("*.cosign"))) > 1
    assert not list((run / "checkpoints").glob("*.pt"))
    assert found["allocation"]["chosen"]["file_bytes"] == file.stat().st_size
    assert "The chosen network alone was finetuned" in " ".join(found["allocation"]["why"])
    assert "for 0.001 nominal minutes" in " ".join(found["remarks"])
    assert "--finetune=0.001" in found["command"]


def _curves(run: Path) -> dict:
    return json.loads((run / "stages" / "curves.json").read_text())["result"]["layers"]
