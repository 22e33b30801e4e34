"""ONNX files, each read, compared with onnxruntime, compressed to 8 bits, written and exported.

    python benchmarks/onnx_corpus.py models more/model.onnx --out corpus.md --json corpus.json

For each file: whether it is read; the largest difference of its outputs from onnxruntime's, of the
largest; the error of the integer model's outputs without any training, on noise, of those of the
float network (by norms); the nodes that it becomes; the bytes of its `model.cosign`, read back
equal. Its export as QDQ must compute the integers in onnxruntime, bit for bit. What is refused is
listed with the reason. Networks of more weights than --integers are compared as floats alone.
"""

import argparse
import importlib.metadata
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from compress.data.pixels import normalised
from compress.exchange.convert import FORMATS
from compress.exchange.executed import check_qdq
from compress.exchange.onnx import reader
from compress.exchange.onnx.clean import cleaned, load
from compress.exchange.onnx_writer import scales_of
from compress.file import container
from compress.model.pretrained import Pretrained
from compress.nn.network import pretrained_network
from compress.posttrain import pipeline
from compress.posttrain.integers import input_spec
from compress.train.recipes import without_zeros
from cosign import CosignError, atomic_write, exit_status, streams
from cosign.kinds import count
from cosign.options import add_json, publish
from sim import golden

BITS = 8
SAME = 1e-4
"""Up to this difference, of the largest output, float sums are the same but for their order."""
_CALIBRATION, _TRIED = 16, 4  # images
_BATCH = 2  # where the file leaves it open
_HEADS = ("Softmax", "LogSoftmax", "Hardmax", "Sigmoid", "ArgMax")
Running = tuple[
    dict[str, tuple[str, Sequence[int | str]]],
    Callable[[dict[str, np.ndarray]], list[np.ndarray]],
]
"""Type and shape of each input, and what computes the outputs."""
Runner = Callable[[onnx.ModelProto], Running]
_PASSING = ("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose")


@dataclass(frozen=True)
class Verdict:
    """What became of one file.

    Parameters
    ----------
    file : its name
    refused : the sentence that refuses it; "" when it is read
    nodes, weights : of the network
    operations : how many nodes of each
    difference : largest of an output, of the largest magnitude of that output
    against : what computed the other side
    error : of the integer outputs, norm of the difference of the norm; None where not measured
    bytes : of `model.cosign`; None where not measured
    notes : what was said in reading it
    """

    file: str
    refused: str = ""
    nodes: int = 0
    weights: int = 0
    operations: Mapping[str, int] = field(default_factory=dict)
    difference: float = 0.0
    against: str = ""
    error: float | None = None
    bytes: int | None = None
    notes: tuple[str, ...] = ()


def verdict(path: Path, largest: float = np.inf) -> Verdict:
    """The verdict on one file; networks of more weights than `largest` have no integers.

    Raises AssertionError where file or export are not what they were made of.
    """
    try:
        network = reader.read(path)
    except CosignError as error:
        sentence = str(error).replace(f"{path.parent}/", "")
        return Verdict(path.name, sentence.removeprefix(path.name).lstrip(": "))
    difference, against = _difference(path, network)
    weights = sum(weight.size for weight in network.weights.values())
    error, size = _integers(network) if weights <= largest else (None, None)
    operations = [node.op for node in network.spec.nodes]
    return Verdict(
        path.name,
        nodes=len(operations),
        weights=weights,
        operations={op: operations.count(op) for op in sorted(set(operations))},
        difference=difference,
        against=against,
        error=error,
        bytes=size,
        notes=network.notes,
    )


def _difference(path: Path, network: Pretrained) -> tuple[float, str]:
    """Of the float network's outputs from those of the file, and what computed these."""
    against, inputs, wanted = _executed(path, network)
    with torch.no_grad():
        values: dict[str, np.ndarray] = {}
        images = torch.from_numpy(_images(inputs, network.spec.shape))
        pretrained_network(network)(
            images, observe=lambda name, value: values.update({name: value.numpy()})
        )
    worst = 0.0
    for node, one in zip(network.spec.outputs, wanted, strict=True):
        one = np.asarray(one, np.float64).reshape(len(images), -1)
        distance = np.abs(values[node].reshape(one.shape) - one).max()
        worst = max(worst, float(distance / (np.abs(one).max() or 1.0)))
    return worst, against


def _images(inputs: np.ndarray, shape: Sequence[int]) -> np.ndarray:
    """float32 [N, C, H, W] of what the file reads: pixels, rows of them, or vectors."""
    channels, height, width = shape
    if inputs.ndim == 4 and inputs.shape[1:] not in ((channels, height, width), (1, 1, 1)):
        inputs = inputs.transpose(0, 3, 1, 2)
    return np.ascontiguousarray(inputs, np.float32).reshape(-1, channels, height, width)


def _executed(path: Path, network: Pretrained) -> tuple[str, np.ndarray, list[np.ndarray]]:
    """(by what, inputs, outputs) of the file itself in onnxruntime, or else of its plain form.

    The plain form stands for quantised files too, whose activations are not rounded when read, and
    the reference of ONNX itself for what onnxruntime takes in no form.
    """
    plain = cleaned(load(path), path.name)
    ways: list[tuple[str, onnx.ModelProto, Runner]] = [
        ("file", load(path), _session),
        ("plain form", plain.model, _session),
        ("plain form by ONNX's reference", plain.model, _reference),
    ]
    for by, model, runner in ways[1:] if plain.scales else ways:
        try:
            names = [value.name for value in model.graph.output]
            inputs, outputs = _run(runner(_without_heads(model, network)))
            kept = zip(names, outputs, strict=True)  # two that are one but for a head are one
            return by, inputs, [output for name, output in kept if name in network.outputs]
        except Exception as error:  # onnxruntime raises many kinds on what it does not take
            failed = error
    raise failed


def _without_heads(model: onnx.ModelProto, network: Pretrained) -> onnx.ModelProto:
    """`model` without the softmax and the like that were left out in reading it."""
    left_out = {
        name
        for name in network.outputs
        if any(note.startswith(f"{name}: ") and note.endswith("left out") for note in network.notes)
    }
    made = {name: node for node in model.graph.node for name in node.output}
    for number, value in enumerate(model.graph.output):
        at, named = value.name, value.name in left_out
        while named and at in made and made[at].op_type in _HEADS + _PASSING:
            node = made[at]
            at = node.input[0]
            if node.op_type == "ArgMax":
                model.graph.output[number].CopyFrom(onnx.ValueInfoProto(name=at))
            elif node.op_type in _HEADS:
                node.op_type = "Identity"
                del node.attribute[:]
    return model


def _session(model: onnx.ModelProto) -> Running:
    """In onnxruntime, on one thread."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    inputs = {value.name: (value.type[7:-1], value.shape) for value in session.get_inputs()}
    return inputs, lambda feeds: session.run(None, feeds)


def _reference(model: onnx.ModelProto) -> Running:
    """In ONNX's own evaluator, of a plain model."""
    evaluator = ReferenceEvaluator(model, new_ops=[LRN])
    inputs = {
        value.name: ("float", [axis.dim_value for axis in value.type.tensor_type.shape.dim])
        for value in model.graph.input
    }
    return inputs, lambda feeds: evaluator.run(None, feeds)


class LRN(OpRun):  # type: ignore[misc]
    """ONNX's reference goes through as many channels as there are images."""

    op_domain = ""

    def _run(
        self, x: np.ndarray, alpha: float, beta: float, bias: float, size: int
    ) -> tuple[np.ndarray]:
        before, after = (size - 1) // 2, size // 2
        total = np.zeros_like(x)
        for channel in range(x.shape[1]):
            window = x[:, max(0, channel - before) : channel + after + 1]
            total[:, channel] = (window**2).sum(axis=1)
        return (x / (bias + alpha / size * total) ** beta,)


def _run(running: Running) -> tuple[np.ndarray, list[np.ndarray]]:
    """Inputs by a seed, of the kind that the model reads, and its outputs."""
    inputs, execute = running
    rng = np.random.default_rng(0)
    feeds = {}
    for name, (kind, axes) in inputs.items():
        shape = [size if isinstance(size, int) and size > 0 else _BATCH for size in axes]
        dtype = {"float": "float32", "double": "float64"}.get(kind, kind)
        drawn = rng.normal(size=shape) if "float" in dtype else rng.integers(0, 128, shape)
        feeds[name] = drawn.astype(dtype)
    read = max(feeds.values(), key=lambda given: given.size)  # others are not used
    return read, execute(feeds)


def _integers(network: Pretrained) -> tuple[float, int]:
    """(error, bytes) of the integer model without pruning, its file and its export checked."""
    channels = network.spec.shape[0]
    pixels = network.pixels or ((0.5,) * channels, (0.25,) * channels)
    source = input_spec(network.spec.shape, *pixels)
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (_CALIBRATION, *network.spec.shape), np.uint8)
    float_network = pretrained_network(network)
    wanted: dict[str, np.ndarray] = {}
    with torch.no_grad():
        float_network(
            normalised(source, images[:_TRIED]),
            observe=lambda name, value: wanted.update({name: value.numpy().copy()}),
        )
    layers = network.spec.geometries
    densities = without_zeros(network, dict.fromkeys(layers, 1.0))
    model = pipeline.compress(float_network, source, densities, dict.fromkeys(layers, BITS), images)
    content = container.to_bytes(model, "ans")
    back = container.from_bytes(content)
    assert container.to_bytes(back, "ans") == content
    check_qdq(FORMATS["qdq"](back), model, golden.trace)
    units, scales = golden.trace(back, back.input.quantize(images[:_TRIED])), scales_of(back)
    worst = 0.0
    for node, made in zip(network.spec.outputs, back.outputs, strict=True):
        one = wanted[node].astype(np.float64).reshape(_TRIED, -1)
        distance = np.linalg.norm(units[made].reshape(one.shape) * scales[made] - one)
        worst = max(worst, float(distance / (np.linalg.norm(one) or 1.0)))
    return worst, len(content)


def files_of(arguments: Iterable[Path]) -> list[Path]:
    """ONNX files, and those in folders; raises CosignError where there are none."""
    found: list[Path] = []
    for path in arguments:
        inside = sorted(q for q in path.rglob("*") if q.suffix.lower() == ".onnx")
        if path.is_dir() and not inside:
            raise CosignError(f"{path} holds no ONNX file.")
        found += inside if path.is_dir() else [path]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE|DIR")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table there, too")
    parser.add_argument(
        "--integers",
        type=count,
        default=2_000_000,
        metavar="N",
        help="measure integers of networks of up to so many weights (default: 2,000,000)",
    )
    add_json(parser, "the verdicts")
    options = parser.parse_args()
    torch.set_num_threads(1)
    verdicts = []
    with streams.alone(options.json):
        for path in files_of(options.files):
            print(path, file=sys.stderr, flush=True)
            verdicts.append(verdict(path, options.integers))
            print(line(verdicts[-1]), flush=True)
        if options.out:
            with atomic_write(options.out) as file:
                file.write(table(verdicts).encode())
        publish(
            {"versions": versions(), "bits": BITS, "verdicts": [asdict(one) for one in verdicts]},
            options.json,
        )
    return 0


def versions() -> dict[str, str]:
    """Of what computes both sides."""
    return {name: importlib.metadata.version(name) for name in ("onnx", "onnxruntime", "torch")}


def line(one: Verdict) -> str:
    """A row of the table."""
    if one.refused:
        return f"| `{one.file}` | refused | | | | | {one.refused} |"
    error, size = (
        "" if value is None else form(value)
        for value, form in ((one.error, "{:.2%}".format), (one.bytes, "{:,}".format))
    )
    notes = "; ".join(one.notes)
    if one.against != "file":
        notes = "; ".join(filter(None, (f"compared with its {one.against}", notes)))
    return (
        f"| `{one.file}` | read | {one.difference:.0e} | {error} | {one.nodes} | {size} | {notes} |"
    )


def table(verdicts: Sequence[Verdict]) -> str:
    """All rows, with a heading."""
    return "\n".join(
        (
            "| file | verdict | difference | error, 8 bits | nodes | bytes | what is said |",
            "| --- | --- | --: | --: | --: | --: | --- |",
            *map(line, verdicts),
            "",
        )
    )


if __name__ == "__main__":
    sys.exit(exit_status(main))
