"""Layers and networks on the RTL, compared value by value with the golden model."""

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.container import CompressedModel, Layer
from cosign import CosignError, cache_dir, read_json, write_json
from rtl.config import CoreConfig
from rtl.pack import largest_batch, pack_layer
from sim.build import simulator_name
from sim.golden import layer_output, trace
from sim.simulate import Job, simulate

SCHEMA = 1
_INT8 = (-128, 127)


@dataclass(frozen=True, eq=False)
class LayerRun:
    """A layer as the RTL computed it.

    Parameters
    ----------
    outputs : int8 [N, K, Ho, Wo]
    cycles : clock cycles of all images together, busy counter
    stalls : those of them in which an entry waited for weights, bias or drain
    wall_s : seconds that the simulation took, compiling included when it was needed
    """

    outputs: np.ndarray
    cycles: int
    stalls: int
    wall_s: float


@dataclass(frozen=True)
class LayerVerification:
    """Comparison of one layer; `first_mismatch` tells where, and both values, or is empty."""

    name: str
    images: int
    values_compared: int
    mismatches: int
    first_mismatch: str
    cycles: int
    stalls: int
    wall_s: float


@dataclass(frozen=True)
class Verification:
    """Comparison of a network's accelerated layers on one core."""

    core: str
    images: int
    layers: tuple[LayerVerification, ...]

    @property
    def values_compared(self) -> int:
        return sum(layer.values_compared for layer in self.layers)

    @property
    def mismatches(self) -> int:
        return sum(layer.mismatches for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "values_compared": self.values_compared,
            "mismatches": self.mismatches,
        }


def simulators_dir() -> Path:
    """Where compiled simulators are kept between runs."""
    return cache_dir() / "simulators"


def run_layer(
    layer: Layer,
    inputs: np.ndarray,
    config: CoreConfig,
    simulators: Path | None = None,
    *,
    input_range: tuple[int, int] = _INT8,
    stall_seed: int | None = None,
    waves: Path | None = None,
) -> LayerRun:
    """Execute `layer` on the RTL for `inputs`, int8 [N, C, H, W].

    Images of a convolution follow one another; those of a linear layer are computed together, as
    many as the activation memory holds. `input_range` bounds the activations for the
    overflow proof. `simulators` is the folder for compiled simulators. `stall_seed` makes all
    streams stutter, `waves` writes an FST wave. Raises CosignError when the layer does not fit the
    core, or a tool is missing.
    """
    began = time.perf_counter()
    g = layer.geometry
    if inputs.dtype != np.int8 or inputs.shape[1:] != (g.in_channels, g.in_height, g.in_width):
        raise CosignError(
            f"layer {layer.name!r} takes int8 maps of {(g.in_channels, g.in_height, g.in_width)}, "
            f"not {inputs.dtype} of {inputs.shape[1:]}."
        )
    if g.kind == "conv":
        program = pack_layer(layer, config, input_range=input_range)
        jobs = [Job(program, x) for x in inputs]
    else:
        size = largest_batch(layer, config)
        batches = [inputs[n : n + size, :, 0, 0] for n in range(0, len(inputs), size)]
        programs = {
            length: pack_layer(layer, config, length, input_range)
            for length in {len(batch) for batch in batches}
        }
        jobs = [Job(programs[len(batch)], batch) for batch in batches]
    results = simulate(
        jobs, config, simulators or simulators_dir(), stall_seed=stall_seed, waves=waves
    )
    outputs = [result.outputs for result in results]
    return LayerRun(
        outputs=np.stack(outputs) if g.kind == "conv" else np.concatenate(outputs)[..., None, None],
        cycles=sum(result.cycles for result in results),
        stalls=sum(result.stalls for result in results),
        wall_s=time.perf_counter() - began,
    )


def verify(
    model: CompressedModel,
    images: np.ndarray,
    config: CoreConfig,
    work: Path,
    layers: Iterable[str] | None = None,
    report: Callable[[LayerVerification], None] = lambda layer: None,
    simulators: Path | None = None,
) -> Verification:
    """Run each accelerated layer on the RTL with the golden model's inputs and compare all values.

    images : int8 [N, C, H, W], quantised (`model.input.quantize`)
    work : keeps one result file per core and layer; a layer whose file matches the model, the
        images and the core is not run again
    layers : names, all accelerated layers by default
    report : called after each layer

    Raises CosignError when a layer does not fit the core, or a tool is missing.
    """
    wanted = [layer.name for layer in model.layers] if layers is None else list(layers)
    known = {layer.name: layer for layer in model.layers}
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise CosignError(
            f"{model.name} has no accelerated layer {unknown[0]!r}; it has {', '.join(known)}."
        )
    values = trace(model, images)
    for name in wanted:  # refuse what does not fit before anything runs
        pack_layer(known[name], config, input_range=_range(model, known[name]))
    done = []
    for name in wanted:
        layer = known[name]
        verification = _verify_layer(
            layer, values[layer.input], config, work, _range(model, layer), simulators
        )
        report(verification)
        done.append(verification)
    return Verification(config.core, len(images), tuple(done))


def _verify_layer(
    layer: Layer,
    inputs: np.ndarray,
    config: CoreConfig,
    work: Path,
    input_range: tuple[int, int],
    simulators: Path | None,
) -> LayerVerification:
    file = Path(work) / f"{config.core}-{config.hash}-{layer.name.replace('/', '_')}.json"
    fingerprint = _fingerprint(layer, inputs, config)
    if file.exists():
        stored = read_json(file)
        if stored.get("schema") == SCHEMA and stored.get("fingerprint") == fingerprint:
            return LayerVerification(**stored["result"])
    run = run_layer(layer, inputs, config, simulators, input_range=input_range)
    expected = layer_output(layer, inputs)
    wrong = np.argwhere(run.outputs != expected)
    first = ""
    if len(wrong):
        at = tuple(wrong[0].tolist())
        first = (
            f"image, filter, row, column {at}: RTL {run.outputs[at]}, golden model {expected[at]}"
        )
    result = LayerVerification(
        name=layer.name,
        images=len(inputs),
        values_compared=expected.size,
        mismatches=len(wrong),
        first_mismatch=first,
        cycles=run.cycles,
        stalls=run.stalls,
        wall_s=round(run.wall_s, 3),
    )
    write_json(
        file,
        {"schema": SCHEMA, "fingerprint": fingerprint, "result": dataclasses.asdict(result)},
    )
    return result


def _range(model: CompressedModel, layer: Layer) -> tuple[int, int]:
    """Bounds of a layer's inputs: behind a ReLU no activation is negative.

    Host operations never turn the sign, so that one whose inputs all are positive is too.
    """
    positive: dict[str, bool] = {"input": False}
    for node in model.nodes:
        relu = node.relu if isinstance(node, Layer) else bool(node.attrs.get("relu"))
        kept = not isinstance(node, Layer) and all(positive[name] for name in node.inputs)
        positive[node.name] = relu or kept
    return (0, 127) if positive[layer.input] else _INT8


def _fingerprint(layer: Layer, inputs: np.ndarray, config: CoreConfig) -> str:
    """Hash of everything that the result of a layer depends on."""
    digest = hashlib.sha256(simulator_name(config).encode())
    for field in dataclasses.fields(layer):
        value = getattr(layer, field.name)
        data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
        digest.update(field.name.encode() + data)
    digest.update(repr(inputs.shape).encode() + np.ascontiguousarray(inputs).tobytes())
    return digest.hexdigest()
