"""What a run of a network of one's own starts from."""

import argparse
import dataclasses
import json
import shlex
from pathlib import Path

import numpy as np
import onnx
import onnx_models
import pytest
import torch
from PIL import Image

from compress.data import datasets
from compress.exchange import sources
from compress.model.pretrained import Pretrained
from compress.nn.network import Network, pretrained_network
from compress.train import stages
from compress.train.stages import identity
from compress.zoo.lenet5 import LENET5
from compress.zoo.networks import spec_of
from cosign import CosignError, command
from flows.__main__ import main
from flows.commands import training
from flows.loop import assemble, inputs
from flows.loop.rundir import RunConfig, RunDir
from rtl.coreset import CoreSet


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """An ONNX file with three outputs that reads 3 x 8 x 8 pixels."""
    graph = onnx_models.Graph()
    y = graph.node("GlobalAveragePool", graph.conv("x", 3, 3, "c"), name="mean")
    graph.node("Flatten", y, name="flat")
    onnx.save(graph.model(), tmp_path / "three.onnx")
    return tmp_path / "three.onnx"


def photographs(root: Path, classes: int) -> Path:
    """An ImageNet folder of 40 x 30 images, of one colour by class."""
    for split in ("train", "val"):
        for number in range(classes):
            folder = root / split / f"class{number}"
            folder.mkdir(parents=True)
            for index in range(3):
                Image.new("RGB", (40, 30), (80 * number, index, 0)).save(folder / f"{index}.png")
    return root


def config(network: Path, **changes: object) -> RunConfig:
    digest = sources.load(str(network)).digest()
    return dataclasses.replace(RunConfig(str(network), digest=digest), **changes)


def asked_by(words: list[str]) -> tuple[RunConfig, Pretrained | None]:
    return training.training_config(command.parse("cosign", "flows.commands", ["run", *words]))


def test_an_imagenet_folder_is_scaled_to_what_the_network_reads(
    network: Path, tmp_path: Path
) -> None:
    asked = config(
        network, data=str(photographs(tmp_path / "photos", 3)), mean=[0.0] * 3, std=[1.0] * 3
    )
    dataset = inputs.dataset(asked, inputs.pretrained(asked))
    assert dataset.shape == (3, 8, 8)
    assert (dataset.mean, dataset.std) == ((0.0,) * 3, (1.0,) * 3)
    pixels = dataset.test.images(np.arange(len(dataset.test.labels)))
    assert pixels.shape == (9, 3, 8, 8)
    np.testing.assert_array_equal(pixels[:, 0, 4, 4], dataset.test.labels * 80)


def test_options_of_the_method_reach_recipe_and_command() -> None:
    asked = RunConfig("lenet5", alpha="20x", rate=0.5, targets=3, distill=0.5, bits="auto")
    recipe = inputs.recipe(asked, None, 10)
    assert (recipe.densities, recipe.rate, recipe.targets) == (1 / 20, 0.5, 3)
    assert recipe.distill == 0.5
    assert recipe.bits is None
    four = inputs.recipe(dataclasses.replace(asked, bits=4), None, 10).bits
    assert four == dict.fromkeys(recipe.spec.geometries, 4)
    _, script, *words = shlex.split(assemble.command(asked))
    assert script == "flows/run_cosign.py"
    again, _ = asked_by(words)
    assert again == asked


def test_activations_reach_the_command_and_the_cores_follow() -> None:
    config, _ = asked_by(["lenet5", "--act-bits", "6"])
    assert config == RunConfig("lenet5", act_bits=6)
    config = dataclasses.replace(config, cores=CoreSet().for_activations(6))
    words = shlex.split(assemble.command(config))
    assert "--act-bits=6" in words
    assert "--cores" not in words  # the same that the run finds by itself
    assert "--act-bits" not in assemble.command(RunConfig("lenet5"))


def test_weights_of_a_built_in_network_are_part_of_a_run(tmp_path: Path) -> None:
    own = tmp_path / "own.pt"
    torch.save(Network(spec_of("lenet5")).state_dict(), own)
    words = ["lenet5-85x", "--weights", str(own), "--seed=0", "--images=16", "--batch=16"]
    asked, network = asked_by(words)
    assert network is not None
    again = inputs.pretrained(asked)  # as on --resume
    assert again is not None
    assert again.digest() == network.digest() == asked.digest
    recipe, dataset = inputs.recipe(asked, network, 10), inputs.dataset(asked, network)
    assert recipe.densities == LENET5.rows["85x"]
    own_network = pretrained_network(network)
    dense = stages.run_stage("dense", recipe, dataset, tmp_path, 0, start=own_network).network
    for name, weight in dense.weights.items():  # not trained
        np.testing.assert_array_equal(weight.detach(), network.weights[name])
    _, _, *words = shlex.split(assemble.command(asked))
    assert asked_by(words)[0] == asked
    torch.save(Network(spec_of("lenet5")).state_dict(), own)
    with pytest.raises(CosignError, match="lenet5 is another network than this run began with"):
        inputs.pretrained(asked)


@pytest.fixture
def convolutions(tmp_path: Path) -> Path:
    """Some of AlexNet's shapes, of small random numbers."""
    rng = np.random.default_rng(1)
    arrays = {}
    for name, g in list(spec_of("alexnet-conv").geometries.items())[:-1]:
        shape = (g.out_channels, g.in_channels, *g.kernel)
        arrays[f"{name}.weight"] = rng.standard_normal(shape, np.float32) / g.columns**0.5
        arrays[f"{name}.bias"] = rng.standard_normal(g.out_channels, np.float32) / 10
    np.savez(tmp_path / "own.npz", **arrays)
    return tmp_path / "own.npz"


def test_a_run_begins_with_convolutions_and_a_new_classifier(
    convolutions: Path, tmp_path: Path
) -> None:
    data = str(photographs(tmp_path / "photos", 3))
    asked, own = asked_by(["alexnet", "--weights", str(convolutions), "--data", data])
    assert own is None
    assert (asked.network, asked.weights) == ("alexnet-conv", str(convolutions))
    dataset = inputs.dataset(asked, None)
    assert (dataset.shape, dataset.mean, dataset.std) == ((3, 224, 224), *datasets.IMAGENET)
    recipe = inputs.recipe(asked, None, len(dataset.classes))
    assert (recipe.classes, recipe.digest) == (3, asked.digest)
    network = inputs.begun(asked, recipe, dataset)
    assert network is not None
    with np.load(convolutions) as arrays:
        for name in list(network.weights)[:-1]:
            np.testing.assert_array_equal(network.weights[name].detach(), arrays[f"{name}.weight"])
    assert tuple(network.weights["fc"].shape) == (3, 9216)
    _, _, *words = shlex.split(assemble.command(asked))
    assert asked_by(words)[0] == asked
    with np.load(convolutions) as arrays:
        changed = {name: array + 1 for name, array in arrays.items()}
    np.savez(convolutions, **changed)
    with pytest.raises(CosignError, match="has other weights than this run began with"):
        inputs.begun(asked, recipe, dataset)


def test_what_is_not_said_of_the_method_is_the_networks() -> None:
    asked = RunConfig("alexnet-conv")
    own = spec_of("alexnet-conv", 3)
    recipe = inputs.recipe(asked, None, 3)
    assert recipe.spec.geometries == own.geometries
    assert (recipe.targets, recipe.distill) == (6, 0.5)
    said = inputs.recipe(dataclasses.replace(asked, targets=1, distill=0.0), None, 3)
    assert (said.targets, said.distill) == (1, 0.0)
    command = assemble.command(dataclasses.replace(asked, targets=1, distill=0.0))
    assert "--targets=1 --distill=0 " in command
    assert "--targets" not in assemble.command(asked)


def test_pixels_of_convolutions_of_ones_own(convolutions: Path, tmp_path: Path) -> None:
    data = str(photographs(tmp_path / "photos", 3))
    words = ["alexnet-conv", "--weights", str(convolutions), "--data", data]
    asked, _ = asked_by([*words, "--mean", "0.5", "--std", "0.25"])
    dataset = inputs.dataset(asked, None)
    assert (dataset.mean, dataset.std) == ((0.5,) * 3, (0.25,) * 3)


def test_other_networks_begin_with_nothing() -> None:
    asked = RunConfig("lenet5")
    assert not asked.learns_classifier
    assert inputs.begun(asked, inputs.recipe(asked, None, 10), None) is None


def test_as_many_classes_as_outputs(network: Path, tmp_path: Path) -> None:
    asked = config(network, data=str(photographs(tmp_path / "photos", 2)))
    with pytest.raises(CosignError, match=r"three\.onnx has 3 outputs, but photos has 2 classes"):
        inputs.dataset(asked, inputs.pretrained(asked))


def test_a_run_keeps_the_order_of_classes_that_it_began_with(network: Path, tmp_path: Path) -> None:
    folder = photographs(tmp_path / "photos", 3)
    for split in ("train", "val"):
        (folder / split / "class2").rename(folder / split / "class10")
        (folder / split / "class1").rename(folder / split / "class9")
    words = [str(network), "--data", str(folder)]
    with pytest.raises(CosignError, match="class0, class10, class9 as text"):
        asked_by(words)
    asked, own = asked_by([*words, "--classes", "numeric"])
    assert asked.classes == ["class0", "class9", "class10"]
    (folder / "classes.txt").write_text("class10\nclass9\nclass0\n")
    assert inputs.dataset(asked, own).classes == ("class0", "class9", "class10")
    text, _ = asked_by([*words, "--classes", "text"])
    assert text.classes is None
    assert inputs.dataset(text, own).classes == ("class0", "class10", "class9")
    listed, _ = asked_by(words)
    assert listed.classes == ["class10", "class9", "class0"]
    again = shlex.split(assemble.command(listed))
    assert again[again.index("--classes") + 1] == "classes.txt"
    (folder / "train" / "class10").rename(folder / "train" / "class11")
    with pytest.raises(CosignError, match="are others than this run began with"):
        inputs.dataset(asked, own)


@pytest.mark.parametrize("own", [False, True])
def test_a_damaged_image_is_told_before_anything_runs(
    own: bool, network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = photographs(tmp_path / "photos", 3)
    (folder / "train" / "class1" / "2.png").write_bytes(b"")
    words = [str(network) if own else "alexnet", "--data", str(folder)]
    assert main(["run", *words, "--out", str(tmp_path / "run")]) == 2
    error = capsys.readouterr().err
    assert "1 of 18 images in" in error
    assert "train/class1/2.png (it is empty); repair or remove it." in error
    assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_images_of_another_size(network: Path) -> None:
    asked = config(network)
    with pytest.raises(CosignError, match="reads 3 x 8 x 8 images, MNIST's are 1 x 28 x 28"):
        inputs.dataset(asked, inputs.pretrained(asked))


def test_normalisation_by_channel(tmp_path: Path) -> None:
    folder = str(photographs(tmp_path / "photos", 2))
    with pytest.raises(CosignError, match="the mean of pixels has 1 numbers, the input 3 channels"):
        datasets.load_for((3, 8, 8), folder, 0, ((0.5,), (0.5,)))
    with pytest.raises(CosignError, match="standard deviation of pixels is 0, 0, 0, must be pos"):
        datasets.load_for((3, 8, 8), folder, 0, ((0.5,) * 3, (0.0,) * 3))
    with pytest.raises(CosignError, match="photographs have 1 or 3 channels"):
        datasets.load_for((4, 8, 8), folder, 0)
    assert datasets.load_for((1, 20, 10), folder, 0).test.images(np.arange(2)).shape == (
        2,
        1,
        20,
        10,
    )


def test_a_changed_file_is_not_continued(network: Path, tmp_path: Path) -> None:
    asked = config(network)
    graph = onnx_models.Graph(seed=1)
    y = graph.node("GlobalAveragePool", graph.conv("x", 3, 3, "c"), name="mean")
    graph.node("Flatten", y, name="flat")
    onnx.save(graph.model(), network)
    with pytest.raises(CosignError, match="is another network than this run began with"):
        inputs.pretrained(asked)


def test_checkpoints_belong_to_the_weights(network: Path, tmp_path: Path) -> None:
    asked = config(network, data=str(photographs(tmp_path / "photos", 3)))
    own = inputs.pretrained(asked)
    dataset = inputs.dataset(asked, own)
    recipe = inputs.recipe(asked, own, 3)
    other = dataclasses.replace(recipe, digest="0" * 64)
    assert identity("dense", recipe, dataset, 0) != identity("dense", other, dataset, 0)


def test_command_line_refuses_in_one_sentence(
    network: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = tmp_path / "cut.onnx"
    cut.write_bytes(network.read_bytes()[:40])
    for arguments, message in (
        ([str(cut)], "cut.onnx is not a whole ONNX model"),
        ([str(tmp_path / "no.onnx")], "cannot read"),
        ([str(network), "--mean", "0,0,0"], "--mean and --std belong together"),
        ([str(network), "--mean", "0", "--std", "1,1"], "--std has 2 numbers, but the network"),
        (["lenet5", "--mean", "0", "--std", "1"], "are for a network of your own"),
        (["no_such_module:net"], "cannot be called"),
        ([str(network), "--out", str(tmp_path / "run")], "MNIST's are 1 x 28 x 28"),
    ):
        assert main(["run", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_run_starts_with_branches_of_one_range(tmp_path: Path) -> None:
    """What reads the concat weighs its small branch as much more: the same function, balanced."""
    graph = onnx_models.Graph()
    small, large = (graph.conv("x", 3, 4, name, kernel=1) for name in ("small", "large"))
    small = graph.node("Mul", small, graph.constant("factor", [2.0**-16]), name="scaled")
    joint = graph.node("Concat", small, large, name="joint", axis=1)
    head = graph.conv(joint, 8, 3, "head", kernel=1)
    graph.node("Flatten", graph.node("GlobalAveragePool", head, name="mean"), name="flat")
    for constant in graph.constants:
        if constant.name == "head.weight":
            weight = np.array(onnx.numpy_helper.to_array(constant))
            weight[:, :4] *= 2.0**16
            constant.CopyFrom(onnx.numpy_helper.from_array(weight, "head.weight"))
    onnx.save(graph.model(), tmp_path / "apart.onnx")
    asked = config(tmp_path / "apart.onnx", data=str(photographs(tmp_path / "data", 3)))
    own = inputs.pretrained(asked)
    assert own is not None
    data, lines = inputs.dataset(asked, own), []
    started = inputs.start(own, data, lines.append)
    assert len(lines) == 1
    assert "'joint': its branch 'small' is scaled by 65536" in lines[0]
    x = torch.randn(2, 3, 8, 8)
    assert torch.equal(started(x), pretrained_network(own)(x))
    ranges = started.weights["head"].detach().abs().amax(dim=(0, 2, 3))
    assert ranges.max() < 8 * ranges.min()


@pytest.fixture
def heads(tmp_path: Path) -> Path:
    """An ONNX file with a map and two vectors, of three and of five numbers."""
    graph = onnx_models.Graph()
    graph.conv("x", 3, 3, "map")
    for name, numbers in (("three", 3), ("five", 5)):
        y = graph.node("GlobalAveragePool", "map", name=f"{name}.mean")
        y = graph.node("Flatten", y, name=f"{name}.flat")
        graph.node("MatMul", y, graph.random(f"{name}.w", 3, numbers), name=name)
    model = graph.model("map")
    for name in ("three", "five"):
        found = onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None)
        model.graph.output.append(found)
    onnx.save(model, tmp_path / "heads.onnx")
    return tmp_path / "heads.onnx"


def asked(*arguments: str) -> tuple[RunConfig, Pretrained | None]:
    parser = argparse.ArgumentParser()
    training.add_training_options(parser)
    return training.training_config(parser.parse_args(arguments))


def test_an_output_is_chosen_for_a_run_and_kept(heads: Path, tmp_path: Path) -> None:
    data = photographs(tmp_path / "data", 3)
    config, network = asked(str(heads), "--data", str(data), "--output", "three")
    assert config.outputs == ["three"]
    assert len(inputs.dataset(config, network).classes) == 3
    run = RunDir.create(tmp_path / "run", config)
    again = RunDir.resume(run.path).config
    assert again == config
    resumed = inputs.pretrained(again)
    assert resumed is not None
    assert resumed.spec.classes == 3
    assert "--output three" in assemble.command(config)
    other = dataclasses.replace(config, outputs=["five"])
    with pytest.raises(CosignError, match="is another network than this run began with"):
        inputs.pretrained(other)


def test_a_run_begun_before_outputs_were_chosen_goes_on(tmp_path: Path) -> None:
    run = RunDir.create(tmp_path / "run", RunConfig("lenet5"))
    file = run.path / "config.json"
    content = json.loads(file.read_text())
    del content["outputs"]
    file.write_text(json.dumps(content))
    assert RunDir.resume(run.path).config == RunConfig("lenet5")


@pytest.mark.parametrize(
    ("outputs", "given"),
    [
        ((), r"map \(3 x 6 x 6\), three \(3\), five \(5\), and what is trained gives one vector"),
        (("map",), r"map \(3 x 6 x 6\), and what is trained"),
        (("five", "three"), r"five \(5\), three \(3\), and what"),
    ],
)
def test_what_is_no_classifier_is_not_trained(
    outputs: tuple[str, ...], given: str, heads: Path
) -> None:
    config, network = asked(str(heads), *(f"--output={name}" for name in outputs))
    with pytest.raises(CosignError, match=f"gives {given}.*--output NAME, or compress"):
        inputs.dataset(config, network)


def test_outputs_of_a_built_in_network_are_not_chosen() -> None:
    with pytest.raises(CosignError, match="--output is for a network of your own"):
        asked("lenet5", "--output", "fc2")
