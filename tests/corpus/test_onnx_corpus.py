"""Networks of others: what becomes of each kind, and of public files where these are at hand.

Each is read or refused as expected; what is read computes what onnxruntime does, and its integers,
file and export are those of `benchmarks.onnx_corpus`. Public files are looked for in
shared/data/real/onnx of any folder above.
"""

import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import onnx
import pytest
import shortcut_a
import torch
from onnx_kinds import KINDS
from onnx_net import Kind

from benchmarks.onnx_corpus import verdict
from compress.exchange import sources
from compress.nn.network import pretrained_network


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_every_kind(kind: Kind, tmp_path: Path) -> None:
    path = tmp_path / "kind.onnx"
    onnx.save(kind.model(), path)
    found = verdict(path)
    assert kind.refused in found.refused
    assert bool(kind.refused) == bool(found.refused), found.refused
    if not kind.refused:
        assert found.difference < kind.difference
        assert found.error is not None
        assert found.error < kind.error


def real(name: str) -> Path:
    """A public file; the test is skipped without it."""
    for folder in Path(__file__).resolve().parents:
        if (path := folder / "shared" / "data" / "real" / "onnx" / name).exists():
            return path
    pytest.skip(f"no {name} in shared/data/real/onnx")


# by file: layers, weights, and the most that integers may differ at 8 bits
READ = {
    "hls4ml-conv2d-small-keras.onnx": (2, 1_298, 0.03),
    "marabou-conv-mp1-intermediate-output.onnx": (3, 4_472, 0.03),
    "marabou-conv-mp1.onnx": (3, 4_472, 0.03),
    "marabou-traffic-classifier64.onnx": (5, 5_152, 0.03),
    "mlperf-tiny-resnet8-fp16.onnx": (10, 95_280, 0.1),
    "ort-mnist-level1-opt.onnx": (3, 5_960, 0.04),
    "qonnx-tfc-2w2a.onnx": (4, 59_008, 0.08),
    "vnncomp-cifar10-small.onnx": (5, 84_992, 0.03),
    "vnncomp-resnet-2b.onnx": (8, 111_808, 0.08),
    "winml-image-classifier.onnx": (5, 50_100, 0.04),
}
LARGE = {
    "liteai-ocr-angle-net.onnx": (57, 186_896, 0.25),
    "pfld.onnx": (45, 718_976, 0.2),
    "ultraface-slim-320.onnx": (42, 254_304, 0.15),
}
REFUSED = {
    "burn-opset-13.onnx": "'nonzero_output', which node 'nonzero_node' (NonZero) gives, is no "
    "tensor of a shape that is known without an image; choose outputs that do not need it",
    "ort-conv-clip11.onnx": "has the inputs X, W, mutable_min; read are networks with one.",
}
_HALF = ("mlperf-tiny-resnet8-fp16.onnx",)  # onnxruntime rounds its sums to float16


@pytest.mark.parametrize(
    "name", [*READ, *(pytest.param(name, marks=pytest.mark.slow) for name in LARGE)]
)
def test_public_files(name: str) -> None:
    layers, weights, error = (READ | LARGE)[name]
    found = verdict(real(name))
    assert not found.refused
    operations = found.operations
    assert operations.get("conv", 0) + operations.get("linear", 0) == layers
    assert found.weights == weights
    assert found.difference < (0.01 if name in _HALF else 1e-5)
    assert found.error is not None
    assert found.error < error


@pytest.mark.parametrize("name", REFUSED)
def test_public_files_that_are_no_networks(name: str) -> None:
    assert REFUSED[name] in verdict(real(name)).refused


@pytest.mark.parametrize("factory", ["untrained", "trained"])
@pytest.mark.parametrize("form", ["module", "file"])
def test_shortcuts_without_weights(factory: str, form: str, tmp_path: Path) -> None:
    """ResNet-20 of option A, from torch's module and from its export: 19 convolutions, no other."""
    torch.manual_seed(0)
    theirs = getattr(shortcut_a, factory)().eval()
    if form == "module":
        read = sources.load(f"shortcut_a:{factory}")
    else:
        path = tmp_path / "resnet20.onnx"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(theirs, (torch.zeros(1, 3, 32, 32),), path, dynamo=False)
        read = sources.load(str(path))
    x = torch.randn(4, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(pretrained_network(read)(x), theirs(x), atol=1e-4, rtol=1e-4)
    operations = Counter(node.op for node in read.spec.nodes)
    assert operations == {"conv": 19, "add": 9, "take": 2, "avgpool": 1, "linear": 1}
    assert sum(weight.size for weight in read.weights.values()) == 268_336
