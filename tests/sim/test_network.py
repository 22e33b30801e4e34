"""Whole networks through `python -m sim run`: every value, every cycle, on real simulators."""

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from narrowing import with_act_bits
from random_layers import obeying, random_layer

import sim.verify
from compress.file import container
from compress.model.graph import CompressedModel, Geometry, InputSpec, Layer
from compress.model.hostops import HostOp
from cosign import command
from rtl.config import CoreConfig
from sim import golden
from sim.__main__ import main
from sim.build import TOP
from sim.commands.run import fitted

CORES = {
    "sparse": ("--core", "sparse", "--lanes", "13", "--drain", "4"),
    "sparse-bitmask": ("--lanes", "13", "--coding", "bitmask", "--mask-bits", "10", "--tiles", "2"),
    "dense-2d": ("--core", "dense-2d", "--lanes", "6", "--filters", "2", "--drain", "2"),
}


def residual_model(seed: int = 3) -> CompressedModel:
    """Two convolutions beside a shortcut, added, pooled over the whole map, and a linear layer."""

    def layer(name: str, source: str, geometry: Geometry, relu: bool) -> Layer:
        made = random_layer(geometry, 0.4, seed=seed, name=name, input=source)
        return dataclasses.replace(made, relu=relu)

    same = Geometry("conv", 6, 6, 9, 9, (3, 3), (1, 1), (1, 1))
    total = {"mul0": 30000, "mul1": 25000, "shift": 16, "relu": 1}
    mean = {"kernel": 0, "stride": 1, "padding": 0, "mul0": 40000, "shift": 20}
    return CompressedModel(
        "residual",
        InputSpec((3, 18, 18), 0.01, (0.5,) * 3, (0.5,) * 3),
        (
            layer("stem", "input", Geometry("conv", 3, 6, 18, 18, (4, 4), (2, 2), (1, 1)), True),
            layer("inner.1", "stem", same, True),
            layer("inner.2", "inner.1", same, False),
            HostOp("add", "add", ("inner.2", "stem"), total),
            HostOp("mean", "avgpool", ("add",), mean),
            layer("fc", "mean", Geometry("linear", 6, 10), False),
        ),
    )


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "residual.cosign"
    container.save(residual_model(), path)
    return path


def run(model: Path, *arguments: object) -> int:
    return main(["run", str(model), *map(str, arguments)])


@pytest.mark.parametrize("core", CORES)
def test_every_layer_of_a_residual_network_agrees(core, model, tmp_path, capsys):
    """The bitmask core has the activations of its network, which are of five bits."""
    bits = 5 if core == "sparse-bitmask" else 8
    container.save(with_act_bits(container.load(model), bits), model)
    file = tmp_path / "result.json"
    assert run(model, "--images", 3, "--seed", 7, "--json", file, *CORES[core]) == 0
    result = json.loads(file.read_text())
    assert [layer["name"] for layer in result["layers"]] == ["stem", "inner.1", "inner.2", "fc"]
    assert result["values_compared"] == 3 * (3 * 6 * 81 + 10)
    assert result["mismatches"] == 0
    assert result["agrees"]
    assert result["config"]["act_bits"] == bits
    for layer in result["layers"]:
        assert layer["cycles"] == layer["model_cycles"] > 0
    printed = capsys.readouterr()
    assert "3 x random pixels (seed 7)" in printed.err
    assert "[4/4] fc" in printed.err
    assert "total" in printed.out


def test_a_network_must_obey_the_pattern_of_its_core(model, tmp_path, capsys):
    core = CoreConfig("sparse-nm", act_banks=512)
    options = ("--core", "sparse-nm", "--lanes", 2, "--filters", 3)
    assert run(model, *options) == 2
    said = capsys.readouterr().err
    assert "layer 'stem' does not fit the core: filter 0 keeps more than 2 of the input" in said
    network = residual_model()
    nodes = [obeying(n, core) if isinstance(n, Layer) else n for n in network.nodes]
    pruned = tmp_path / "pruned.cosign"
    container.save(dataclasses.replace(network, nodes=tuple(nodes)), pruned)
    file = tmp_path / "result.json"
    assert run(pruned, *options, "--json", file) == 0
    assert all(
        row["cycles"] == row["model_cycles"] for row in json.loads(file.read_text())["layers"]
    )


def test_each_layer_reads_what_the_rtl_computed(model, tmp_path, monkeypatch, capsys):
    """A channel that changes on the way is counted where it changed, and flows on."""

    def tampered(layer, inputs, *rest, **options):
        result = run_layer(layer, inputs, *rest, **options)
        received[layer.name] = inputs
        if layer.name == "inner.2":
            result.outputs[0, 1] ^= 64
        return result

    run_layer, received = sim.verify.run_layer, {}
    monkeypatch.setattr(sim.verify, "run_layer", tampered)
    file = tmp_path / "result.json"
    assert run(model, "--json", file, "--seed", 7, *CORES["sparse"]) == 1
    layers = {layer["name"]: layer for layer in json.loads(file.read_text())["layers"]}
    assert [layer["mismatches"] for layer in layers.values()] == [0, 0, 81, 0]
    assert "(0, 1, 0, 0)" in layers["inner.2"]["first_mismatch"]
    assert "DIFFERS" in capsys.readouterr().err
    network = residual_model()
    pixels = np.random.default_rng(7).integers(0, 256, (1, 3, 18, 18), np.uint8)
    values = golden.trace(network, network.input.quantize(pixels))
    assert np.array_equal(received["inner.2"], values["inner.1"])
    assert not np.array_equal(received["fc"], values["mean"])
    bent = values["inner.2"].copy()
    bent[0, 1] ^= 64
    add, mean = network.nodes[3], network.nodes[4]
    flowed = golden.HOST_OPS["add"](add, bent, values["stem"])
    assert np.array_equal(received["fc"], golden.HOST_OPS["avgpool"](mean, flowed))


def test_a_cycle_count_that_differs_fails(model, monkeypatch):
    def off_by_one(*arguments):
        return counted(*arguments) + 1

    counted = sim.verify.model_cycles
    monkeypatch.setattr(sim.verify, "model_cycles", off_by_one)
    assert run(model, "--layers", "fc", *CORES["sparse"]) == 1


def test_it_goes_on_where_it_was_stopped(model, tmp_path, monkeypatch, capsys):
    def stopped(layer, *rest, **options):
        if layer.name == "inner.2":
            raise KeyboardInterrupt
        return run_layer(layer, *rest, **options)

    def counted(layer, *rest, **options):
        executed.append(layer.name)
        return run_layer(layer, *rest, **options)

    run_layer, executed = sim.verify.run_layer, []
    out = tmp_path / "out"
    monkeypatch.setattr(sim.verify, "run_layer", stopped)
    assert run(model, "--out", out, *CORES["sparse"]) == 130
    assert capsys.readouterr().err.endswith("stopped.\n")
    monkeypatch.setattr(sim.verify, "run_layer", counted)
    assert run(model, "--out", out, *CORES["sparse"]) == 0
    assert executed == ["inner.2", "fc"]
    container.save(residual_model(seed=4), model)  # other weights: nothing of it is done
    assert run(model, "--out", out, *CORES["sparse"]) == 0
    assert executed[2:] == ["stem", "inner.1", "inner.2", "fc"]


def test_a_layer_that_disagreed_is_run_again(model, tmp_path, monkeypatch):
    def broken(*arguments, **options):
        result = run_layer(*arguments, **options)
        result.outputs[...] += 1
        return result

    run_layer = sim.verify.run_layer
    options = ("--layers", "fc", "--out", tmp_path / "out", *CORES["sparse"])
    monkeypatch.setattr(sim.verify, "run_layer", broken)
    assert run(model, *options) == 1
    monkeypatch.setattr(sim.verify, "run_layer", run_layer)
    assert run(model, *options) == 0


def test_stalls_change_cycles_but_no_value(model, tmp_path):
    file = tmp_path / "result.json"
    options = ("--images", 2, "--stall-seed", 5, "--json", file, *CORES["sparse"])
    assert run(model, *options) == 0
    assert {layer["model_cycles"] for layer in json.loads(file.read_text())["layers"]} == {None}


def test_a_channel_takes_the_cycles_of_its_model(model, tmp_path):
    """What was found without one is not taken for it."""
    file, out = tmp_path / "result.json", tmp_path / "out"
    cycles = []
    for channel in ((), ("--bytes-per-cycle", 2), ("--bytes-per-cycle", 0.5)):
        options = ("--images", 2, *channel, "--out", out, "--json", file, *CORES["sparse"])
        assert run(model, *options) == 0
        found = json.loads(file.read_text())
        assert all(layer["cycles"] == layer["model_cycles"] for layer in found["layers"])
        assert found["bytes_per_cycle"] == (channel[1] if channel else None)
        cycles.append(sum(layer["cycles"] for layer in found["layers"]))
    assert cycles[0] < cycles[1] < cycles[2]


@pytest.mark.parametrize("kind", [np.uint8, np.int8])
def test_given_images_are_shared_by_several_simulators(kind, model, tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 3, 18, 18), np.uint8)
    np.save(tmp_path / "images.npy", pixels.view(kind))
    given = ("--input", tmp_path / "images.npy", "--json", tmp_path / "result.json")
    assert run(model, *given, "--jobs", 2, "--batch", 2, *CORES["sparse"]) == 0
    assert json.loads((tmp_path / "result.json").read_text())["images"] == 5


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--layers", "stem,conv9"), "there is no 'conv9'; choose from stem"),
        (("--layers", ","), "--layers: , has a name that is empty"),
        (("--waves", "w.fst"), "name it with --layers"),
        (("--input", "nothing.npy"), "cannot read nothing.npy"),
        (("--input", __file__), "is not a NumPy array"),
        (("--input", "small.npy"), "reads images [N, 3, 18, 18]"),
        (("--input", "float.npy"), "must hold uint8 pixels or int8"),
        (("--input", "two.npy", "--images", "3"), "holds 2 images, --images asks for 3"),
        (("--weight-bits", "2"), "raise weight_bits"),
        (("--weight-depth", "8"), "raise weight_depth"),
        (("--act-depth", "2"), "raise act_depth"),
        (("--acc-bits", "12"), "raise acc_bits"),
        (("--lanes", "0"), "lanes is 0"),
    ],
)
def test_bad_input_is_one_sentence(arguments, sentence, model, tmp_path, monkeypatch, capsys):
    np.save(tmp_path / "small.npy", np.zeros((1, 1, 4, 4), np.uint8))
    np.save(tmp_path / "float.npy", np.zeros((1, 3, 18, 18)))
    np.save(tmp_path / "two.npy", np.zeros((2, 3, 18, 18), np.uint8))
    monkeypatch.chdir(tmp_path)
    assert run(model, "--out", "out", *arguments) == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert sentence in message
    assert not Path("out").exists()


def test_a_missing_or_damaged_model_is_one_sentence(model, capsys):
    model.write_bytes(model.read_bytes()[:-3])
    assert run(model) == 2
    assert "truncated or damaged" in capsys.readouterr().err
    assert run(model.with_name("none.cosign")) == 2
    assert "cannot read" in capsys.readouterr().err


def test_a_tampered_core_is_found_out(model, tmp_path):
    """Verilog that saturates one too early computes other values."""
    network = residual_model()
    steep = dataclasses.replace(network.nodes[0], mul=65535, shift=16)
    network = dataclasses.replace(network, nodes=(steep, *network.nodes[1:]))
    options = command.parse("sim", "sim.commands", ["run", str(model), *CORES["sparse"]])
    config = fitted(network, options, 1)
    pixels = np.random.default_rng(0).integers(0, 256, (1, 3, 18, 18), np.uint8)
    images = network.input.quantize(pixels)
    assert golden.trace(network, images)["stem"].max() == 127
    folder = tmp_path / "simulators"
    with pytest.MonkeyPatch.context() as patch:
        generate = sim.build.verilog.generate
        patch.setattr(sim.build.verilog, "generate", lambda c: _saturating_early(generate(c)))
        found = sim.verify.verify(network, images, config, layers=["stem"], simulators=folder)
    assert len(list(folder.glob(f"*/{TOP}"))) == 1
    assert found.mismatches > 0
    assert not found.agrees


def _saturating_early(sources: dict[str, str]) -> dict[str, str]:
    """Where 127 is chosen as an output, 126 is."""
    top = re.compile(r"\? (\d+)'h0*7f\b")
    changed = {name: top.sub(r"? \1'h7e", text) for name, text in sources.items()}
    assert changed != sources
    return changed


def test_64_test_images_of_lenet5(tmp_path):
    """Real MNIST digits through all layers, on the core of the loop."""
    file = tmp_path / "lenet5.cosign"
    images, result = tmp_path / "digits.npy", tmp_path / "result.json"
    digits = ("--network", "lenet5", "--data", "mnist", "--count", 64)
    for line in (
        ("compress", "export", "--network", "lenet5", "--alpha", "default", "--out", file),
        ("compress", "images", *digits, "--out", images),
        ("sim", "run", file, "--input", images, "--lanes", 61, "--drain", 8, "--json", result),
    ):
        subprocess.run([sys.executable, "-m", *map(str, line)], check=True, capture_output=True)
    lenet5 = container.load(file)
    assert all(np.any(layer.bias) for layer in lenet5.layers)
    found = json.loads(result.read_text())
    assert found["values_compared"] == 64 * (20 * 24 * 24 + 50 * 8 * 8 + 500 + 10)
    assert found["agrees"]
