"""Finetuning a pruned network on images without labels."""

import copy
import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch.nn import functional

from compress.__main__ import main
from compress.admm import reconstruct
from compress.data.pixels import normalised
from compress.nn import checkpoint
from compress.nn.network import Network, fold
from compress.posttrain import finetune as room
from compress.posttrain import pipeline
from compress.posttrain.calibration import scales
from compress.posttrain.finetune import Finetuning, batch_of, finetune, steps
from compress.posttrain.integers import input_spec
from compress.posttrain.samples import Pool
from compress.zoo.density import kept_weights
from compress.zoo.networks import spec_of
from cosign import CosignError
from sim import golden

SOURCE = input_spec((3, 12, 12), (0.5,) * 3, (0.25,) * 3)


def images(count: int, seed: int) -> np.ndarray:
    """Smooth ones, uint8 [N, 3, 12, 12]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = (torch.rand(count, 3, 4, 4, generator=generator) - 0.5) * 150
    coarse += torch.rand(count, 3, 1, 1, generator=generator) * 255
    coarse.clamp_(0, 255)
    return functional.interpolate(coarse, (12, 12), mode="bilinear").byte().numpy()


def pruned(small: ModuleType) -> tuple[Network, Network, dict[str, float]]:
    """A network, the dense one, and units of activations."""
    dense = fold(small.trained(small.residual_spec()))
    x = normalised(SOURCE, images(64, 0))
    units = scales(dense, lambda: [x], SOURCE)
    network = copy.deepcopy(dense)
    keep = kept_weights(dense.spec, dict.fromkeys(dense.weights, 0.2))
    reconstruct.prune(network, keep, x.split(16), units=units)
    return network, dense, units


def error(network: Network, dense: Network, pixels: np.ndarray) -> float:
    x = normalised(SOURCE, pixels)
    with torch.no_grad():
        wanted = dense(x)
        return float((network(x) - wanted).square().mean() / wanted.var(0).mean())


def minutes(network: Network, count: int) -> float:
    """Of which `steps` makes `count`."""
    return count / steps(network.spec, 1.0)


def test_zeros_stay_and_new_images_are_answered_better(small: ModuleType) -> None:
    network, dense, units = pruned(small)
    zeros = {name: weight.detach() == 0 for name, weight in network.weights.items()}
    held = images(64, 9)
    before = error(network, dense, held)
    lines: list[str] = []
    how = Finetuning(minutes(network, 100), Pool.of(images(256, 1)))
    finetune(network, dense, SOURCE, units, how, lines.append)
    assert error(network, dense, held) < 0.6 * before
    for name, weight in network.weights.items():
        assert not weight[zeros[name]].any()
        assert torch.count_nonzero(weight) == torch.count_nonzero(~zeros[name])
    shown = [float(line.split("error ")[1].split(" %")[0]) for line in lines]
    assert len(shown) == 20
    assert shown[-1] < 0.8 * shown[0]
    assert "100 of 100 steps of 64 images" in lines[-1]


def test_interrupted_it_goes_on_to_the_same_bits(
    tmp_path: Path, small: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, dense, units = pruned(small)
    monkeypatch.setattr(room, "_CHECKPOINT_S", 0.0)
    how = Finetuning(minutes(network, 20), Pool.of(images(100, 1)), 3, tmp_path / "ft.pt")
    whole = copy.deepcopy(network)
    finetune(whole, dense, SOURCE, units, how)
    assert not (tmp_path / "ft.pt").exists()

    def stop(line: str) -> None:
        if " 13 of 20 " in line:
            raise KeyboardInterrupt

    before = copy.deepcopy(network.state_dict())
    with pytest.raises(KeyboardInterrupt):
        finetune(network, dense, SOURCE, units, how, stop)
    assert all(torch.equal(now, before[name]) for name, now in network.state_dict().items())
    lines: list[str] = []
    finetune(network, dense, SOURCE, units, how, lines.append)
    assert not lines[0].startswith("finetuning: 1 of 20 ")
    for name, found in network.state_dict().items():
        assert torch.equal(found, whole.state_dict()[name]), name


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, small: ModuleType) -> None:
    network, dense, units = pruned(small)
    file = tmp_path / "ft.pt"
    checkpoint.save(file, {}, "another")
    how = Finetuning(minutes(network, 2), Pool.of(images(20, 1)), 0, file)
    with pytest.raises(CosignError, match=r"ft\.pt was made with another"):
        finetune(network, dense, SOURCE, units, how)


@pytest.mark.parametrize("value", ["images", "seed", "minutes", "weights"])
def test_a_checkpoint_is_of_all_that_decides(value: str, small: ModuleType) -> None:
    network, dense, _ = pruned(small)
    first = room._identity(network, dense, Finetuning(1, Pool.of(images(20, 1)), 0), 7)
    changed = {"images": images(20, int(value == "images") + 1), "seed": int(value == "seed")}
    if value == "weights":
        with torch.no_grad():
            dense.biases["fc"][0] += 1
    how = Finetuning(1, Pool.of(changed["images"]), changed["seed"])  # type: ignore[arg-type]
    assert room._identity(network, dense, how, 8 if value == "minutes" else 7) != first


def test_filters_of_any_size_learn_alike(small: ModuleType) -> None:
    """A thousandfold filter, read by weights a thousandth as large, is the same network."""
    results = []
    for factor in (1.0, 1024.0):
        network, dense, units = pruned(small)
        units = dict(units)
        for one in (network, dense):
            with torch.no_grad():
                one.weights["layer1.0.conv1"].mul_(factor)
                one.biases["layer1.0.conv1"].mul_(factor)
                one.weights["layer1.0.conv2"].div_(factor)
        units["layer1.0.conv1"] *= factor
        finetune(
            network, dense, SOURCE, units, Finetuning(minutes(network, 30), Pool.of(images(99, 1)))
        )
        results.append(error(network, dense, images(64, 9)))
    assert results[1] == pytest.approx(results[0], rel=0.02)


def test_every_image_is_seen_once_in_a_round() -> None:
    how = Finetuning(1, Pool.of(images(40, 0)))
    seen = [room._indices(how, step, 8) for step in range(10)]
    for part in (seen[:5], seen[5:]):
        assert sorted(np.concatenate(part)) == list(range(40))
    assert not np.array_equal(np.concatenate(seen[:5]), np.concatenate(seen[5:]))


def test_steps_are_of_nominal_speed() -> None:
    spec = spec_of("resnet50")
    macs = sum(geometry.macs for geometry in spec.geometries.values())
    expected = 10 * 60 * room.SPEED / (4 * macs * batch_of(spec))
    assert abs(steps(spec, 10) - expected) <= 0.5
    assert 8 <= batch_of(spec) < batch_of(spec_of("lenet5")) == 64
    assert steps(spec, 1e-9) == 1


def test_outputs_that_are_constant_have_an_error(small: ModuleType) -> None:
    """Their variance is zero, by which nothing is divided."""
    wanted = torch.ones(4, 3)
    assert room._error(wanted + 0.5, wanted) == 0.25
    x = torch.randn(50, 7)
    assert math.isclose(float(room._error(x + 1, x)), 1 / float(x.var(correction=0)), rel_tol=1e-5)


def test_integers_are_nearer_to_the_dense_network(small: ModuleType) -> None:
    errors = []
    held = images(64, 9)
    for finetuned in (False, True):
        network = fold(small.trained(small.residual_spec()))
        with torch.no_grad():
            wanted = network(normalised(SOURCE, held)).numpy()
        how = Finetuning(minutes(network, 100), Pool.of(images(256, 1))) if finetuned else None
        layers = list(network.weights)
        model = pipeline.compress(
            network,
            SOURCE,
            dict.fromkeys(layers, 0.2),
            dict.fromkeys(layers, 8),
            images(128, 0),
            "oneshot",
            finetuning=how,
        )
        assert all(layer.nnz <= round(layer.geometry.weights / 5) for layer in model.layers)
        scores = golden.run(model, SOURCE.quantize(held)).reshape(64, -1)
        errors.append(((scores * model.layers[-1].out_scale - wanted) ** 2).mean())
    assert errors[1] < 0.7 * errors[0]


@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_minutes_must_be_positive(value: float) -> None:
    with pytest.raises(CosignError, match=r"minutes of finetuning are .*, must be above 0"):
        Finetuning(value, Pool.of(images(20, 0)))


def test_few_images_are_refused() -> None:
    with pytest.raises(CosignError, match="needs 16 images or more to learn from, there are 15"):
        Finetuning(1.0, Pool.of(images(15, 0)))


def test_divergence_is_told(small: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    network, dense, units = pruned(small)
    monkeypatch.setattr(room, "LEARNING_RATE", 1e30)
    how = Finetuning(minutes(network, 20), Pool.of(images(20, 1)))
    with pytest.raises(CosignError, match="finetuning small diverges at step"):
        finetune(network, dense, SOURCE, units, how)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--finetune", "1"], "--finetune is for --method oneshot; choose that"),
        (["--finetune", "1", "--method", "oneshot"], "learns from images; give a folder"),
        (["--finetune", "0", "--method", "oneshot"], "0"),
        (
            ["--finetune", "1", "--method", "oneshot", "--images", __file__],
            "--finetune learns from a trained network; give its weights",
        ),
    ],
)
def test_options_that_do_not_fit(
    arguments: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.cosign"
    command = ["export", "--network", "lenet5", "--ratio", "4", "--out", str(out), *arguments]
    try:
        status = main(command)
    except SystemExit as stop:  # of argparse
        status = int(stop.code or 0)
    assert status == 2
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_the_command_finetunes(
    tmp_path: Path, small: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    network = small.trained(spec_of("lenet5"))
    torch.save(network.state_dict(), tmp_path / "lenet5.pt")
    np.save(tmp_path / "images.npy", images(40, 0)[:, :1].repeat(3, 2).repeat(3, 3)[..., :28, :28])
    arguments = ["export", "--network", "lenet5", "--ratio", "4", "--method", "oneshot"]
    arguments += ["--images", str(tmp_path / "images.npy"), "--finetune", "0.003"]
    arguments += ["--weights", str(tmp_path / "lenet5.pt")]
    assert main([*arguments, "--out", str(tmp_path / "model.cosign")]) == 0
    printed = capsys.readouterr()
    assert "pruned, finetuned without labels, and quantised. Calibrated on" in printed.out
    assert "finetuning: " in printed.err
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["images.npy", "lenet5.pt", "model.cosign"]
