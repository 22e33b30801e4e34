"""Torch modules of one's own, what identifies them, and what they are compressed to."""

import itertools
import sys
from pathlib import Path

import numpy as np
import onnx_models
import pytest
import torch

from compress.__main__ import main
from compress.data import datasets
from compress.exchange import sources
from compress.file import container
from compress.model.pretrained import Pretrained
from compress.nn.network import Network, pretrained_network
from compress.train import recipes
from compress.zoo.networks import entry_of, is_foreign, recipe, spec_of
from cosign import CosignError

MODULE = """
import torch
from torch import nn

def mobile():  # what MobileNets are made of
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.ZeroPad2d((0, 1, 0, 1)), nn.Conv2d(8, 8, 3, 2, groups=8),
        nn.Hardtanh(0, 1.0), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(8, 10))
    net[1].running_mean.uniform_(-1, 1)
    return net

class Mixed(nn.Module):
    input_shape = (3, 14, 14)
    def __init__(self):
        super().__init__()
        self.bn = nn.BatchNorm2d(3)
        self.conv = nn.Conv2d(3, 4, 5, padding=2)
        self.lrn = nn.LocalResponseNorm(4)  # whose window torch and ONNX place differently
        self.fc1, self.bn1, self.fc2 = nn.Linear(4 * 49, 6), nn.BatchNorm1d(6), nn.Linear(6, 6)
        for norm in (self.bn, self.bn1):
            norm.running_mean.uniform_(-1, 1)
            norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = self.conv(self.bn(x))
        a = nn.functional.avg_pool2d(self.lrn(x), 3, 2, 1, count_include_pad=False)
        x = torch.flatten(a + nn.functional.max_pool2d(x, 3, 2, ceil_mode=True), 1)
        x = self.bn1(torch.relu(self.fc1(x)))
        return x + self.fc2(x)

def running():
    return nn.Sequential(nn.Conv2d(1, 2, 3), Running(), nn.Flatten(), nn.Linear(1352, 10))

class Running(nn.Module):
    def forward(self, x):
        return x.cumsum(1)

def wrong():
    net = mobile()
    net.input_shape = (3, 28, 28)
    return net

def six_channels():
    return nn.Conv2d(6, 2, 3)

def number():
    return 7
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The module's name; it lies in the working directory."""
    (tmp_path / "their_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "their_nets", raising=False)
    return "their_nets"


@pytest.mark.parametrize("factory", ["mobile", "Mixed"])
def test_a_torch_module_computes_the_same(module: str, factory: str) -> None:
    imported = sources.load(f"{module}:{factory}")
    torch.manual_seed(0)  # as `load` does
    theirs = getattr(sys.modules[module], factory)().eval()
    x = torch.randn(3, *imported.spec.shape)
    with torch.no_grad():
        torch.testing.assert_close(pretrained_network(imported)(x), theirs(x), atol=1e-5, rtol=1e-5)
    assert imported.spec.name == factory


def test_layers_are_called_as_their_weights(module: str) -> None:
    assert list(sources.load(f"{module}:Mixed").spec.geometries)[1:3] == ["conv", "fc1"]


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("running", r"their_nets:running: node '/1/CumSum' is of the kind CumSum, which"),
        ("wrong", r"their_nets:wrong does not compute an image of 3 x 28 x 28"),
        ("six_channels", "set the module's attribute input_shape"),
        ("number", "returns a int, must return a torch.nn.Module"),
        ("absent", "cannot be called .AttributeError"),
    ],
)
def test_factories_that_cannot_be_read(module: str, factory: str, message: str) -> None:
    with pytest.raises(CosignError, match=message):
        sources.load(f"{module}:{factory}")


def test_an_absent_module() -> None:
    with pytest.raises(CosignError, match="ModuleNotFoundError"):
        sources.load("no_such_module_at_all:net")


def test_the_digest_is_of_structure_and_weights(module: str) -> None:
    digests = set()
    for factory in ("mobile", "Mixed"):
        imported = sources.load(f"{module}:{factory}")
        digests |= {imported.digest(), imported.digest()}
        name = next(iter(imported.weights))
        imported.weights[name].reshape(-1)[0] += 1
        digests.add(imported.digest())
    assert len(digests) == 4


def test_what_names_a_foreign_network() -> None:
    assert [is_foreign(name) for name in ("lenet5", "a/b.onnx", "a.b:c")] == [False, True, True]


def test_weights_of_a_built_in_network_are_folded(tmp_path: Path) -> None:
    """It computes in evaluation what the network with batch normalisation does."""
    torch.manual_seed(3)
    built = Network(spec_of("cifar-resnet20")).eval()
    for norm in built.norms.values():
        norm.running_mean.uniform_(-0.2, 0.2)
        norm.running_var.uniform_(0.5, 2)
    torch.save(built.state_dict(), tmp_path / "own.pt")
    imported = sources.load("cifar-resnet20", str(tmp_path / "own.pt"))
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(pretrained_network(imported)(x), built(x), rtol=1e-4, atol=1e-4)
    assert imported.pixels == datasets.CIFAR10
    made = recipes.pretrained_recipe(imported, imported.digest())
    trained = recipe("cifar-resnet20")
    assert made.keep == recipes.keep_of(trained, imported.weights)
    assert (made.bits, made.prune) == (trained.bits, trained.prune)
    assert made.dense.steps == 0


@pytest.mark.parametrize("network", ["vgg16", "resnet50"])
def test_networks_without_a_recipe_have_the_rows_of_the_paper(network: str) -> None:
    entry = entry_of(network)
    spec = entry.spec.folded()
    row, densities = next(iter(entry.rows.items()))
    weights = {
        name: np.broadcast_to(np.float32(0), (g.weights,)) for name, g in spec.geometries.items()
    }
    made = recipes.pretrained_recipe(Pretrained(spec, weights, {}), "", row)
    assert made.densities == densities
    assert made.bits == entry.bits.by_layer(spec)


def test_zeros_that_stand_for_padding_are_not_kept(module: str) -> None:
    imported = sources.load(f"{module}:mobile")
    grown = imported.weights["4"]  # 3 x 3, padded below and on the right only
    assert grown.shape == (8, 1, 4, 4)
    chosen = recipes.pretrained_densities(imported, "1x")
    assert chosen["4"] == np.count_nonzero(grown) / grown.size == 9 / 16
    halved = recipes.pretrained_densities(imported, "2x")
    assert halved["4"] <= 9 / 16
    weights = {name: weight.size for name, weight in imported.weights.items()}
    assert sum(halved[name] * weights[name] for name in weights) == sum(weights.values()) / 2


def test_export_command(module: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "m.cosign"
    command = ["export", "--network", f"{module}:mobile", "--ratio", "2", "--out", str(out)]
    assert main([*command, "--mean", "0.5", "--std", "0.25"]) == 0
    model = container.load(out)
    assert model.input.mean == (0.5,)
    first, *pruned = (layer.nnz for layer in model.layers)
    assert pruned == [72, 40]
    assert 60 < first <= 72  # not pruned, but for what is nearest to zero
    assert "pruned and quantised without retraining" in capsys.readouterr().out
    assert main([*command, "--weights", "w.pt"]) == 2
    assert "has its own weights" in capsys.readouterr().err


def test_export_command_of_an_onnx_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    graph = onnx_models.Graph()
    y = graph.node("GlobalAveragePool", graph.conv("x", 3, 4, "c"), name="mean")
    graph.node("Flatten", y, name="flat")
    (tmp_path / "small.ONNX").write_bytes(graph.model().SerializeToString())
    out = tmp_path / "m.cosign"
    command = ["export", "--network", str(tmp_path / "small.ONNX"), "--out", str(out)]
    assert main([*command, "--ratio", "1"]) == 0
    assert container.load(out).name == "small"
    assert main([*command, "--ratio", "1", "--mean", "0.5", "--std", "0.25"]) == 0
    assert container.load(out).input.mean == (0.5, 0.5, 0.5)
    before = out.read_bytes()
    for wrong in (["--mean", "0.5"], ["--mean", "0", "--std", "1,1"], ["--std", "0,0,0"]):
        capsys.readouterr()
        assert main([*command, "--ratio", "1", *wrong]) == 2
        assert out.read_bytes() == before
    assert main([*command, "--alpha", str(tmp_path / "no.json")]) == 2
    assert main([*command, "--ratio", "0.5"]) == 2
    message = capsys.readouterr().err
    assert "no.json: No such file" in message
    assert "must be at least 1" in message


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        ("ends", "their_nets:ends cannot be called .SystemExit: 0."),
        ("ends_with_a_word", "their_nets:ends_with_a_word cannot be called .SystemExit: no more"),
        ("Ends", "their_nets:Ends does not compute an image of 1 x 8 x 8 .0."),
    ],
)
def test_factories_that_end_the_program(module: str, factory: str, message: str) -> None:
    Path(f"{module}.py").write_text(
        """
import itertools
import sys
from torch import nn

def ends():
    sys.exit(0)

def ends_with_a_word():
    sys.exit("no more")

class Ends(nn.Module):
    input_shape = (1, 8, 8)
    def forward(self, x):
        sys.exit(0)
"""
    )
    with pytest.raises(CosignError, match=message):
        sources.load(f"{module}:{factory}")


def test_a_module_that_ends_the_program_is_a_sentence(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(f"{module}.py").write_text("raise SystemExit(0)")
    line = ["export", "--network", f"{module}:net", "--ratio", "2", "--out", "m.cosign"]
    assert main(line) == 2
    assert "cannot be called (SystemExit: 0)" in capsys.readouterr().err
    assert not Path("m.cosign").exists()


LAYERS = """
from torch import nn

def first():
    return nn.Conv2d(1, CHANNELS, 3)
"""
NET = """
from torch import nn
from PACKAGE.layers import first

class Net(nn.Module):
    input_shape = (1, 8, 8)
    def __init__(self):
        super().__init__()
        self.first, self.last = first(), nn.Linear(3 * 36, 4)

    def forward(self, x):
        from PACKAGE import sizes  # not before it is traced
        return self.last(self.first(x).reshape(-1, sizes.FEATURES))
"""


ROOMS = ("sim", "flows", "compress", "cosign", "rtl", "synth")
KINDS = ("package", "folder", "package of a module")


@pytest.mark.parametrize(
    ("package", "kind"),
    [*itertools.product(ROOMS, KINDS), ("json", "package"), ("json", "folder")],
)
def test_packages_of_theirs_may_be_called_as_others(
    package: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not taken for ours, which are there again afterwards."""
    (tmp_path / package).mkdir()
    (tmp_path / package / "layers.py").write_text(LAYERS.replace("CHANNELS", "3"))
    (tmp_path / package / "sizes.py").write_text("FEATURES = 3 * 36")
    if kind != "folder":
        (tmp_path / package / "__init__.py").touch()
    asked = f"{package}.net"
    if kind == "package of a module":
        asked = "their_nets"
    (tmp_path / f"{asked.replace('.', '/')}.py").write_text(NET.replace("PACKAGE", package))
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "their_nets", raising=False)
    before = {name: id(module) for name, module in sys.modules.items()}
    for _ in range(2):
        spec = sources.load(f"{asked}:Net").spec
        assert [(g.kind, g.out_channels) for g in spec.geometries.values()] == [
            ("conv", 3),
            ("linear", 4),
        ]
    for name, number in before.items():
        assert id(sys.modules[name]) == number
    theirs = [m for m in sys.modules.values() if str(tmp_path) in str(getattr(m, "__file__", ""))]
    assert [module.__name__ for module in theirs] == ["their_nets"] * (asked == "their_nets")
    assert str(tmp_path) not in sys.path


def test_a_folder_of_results_hides_nothing(module: str, tmp_path: Path) -> None:
    """Nor do the rooms themselves, in the checkout."""
    (tmp_path / "compress" / "results").mkdir(parents=True)
    Path(f"{module}.py").write_text(
        "from torch import nn\nimport compress.model.nodes\n"
        "def net():\n    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten())"
    )
    assert sources.load(f"{module}:net").spec.shape == (1, 28, 28)
