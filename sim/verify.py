"""A network on the RTL, compared value by value with the golden model.

What a layer computed on the RTL flows through the host operations into the next layer. Every layer
is compared with the golden model on the same inputs, so that a fault is counted where it happens
and not in every layer behind it; without a mismatch the values are those of `golden.trace`.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from compress.model.activations import bounds
from compress.model.graph import CompressedModel, Layer
from cosign import CosignError, read_json, values, write_json
from cosign.names import file_name
from rtl.config import CoreConfig
from rtl.program.pack import pack_layer
from sim import golden
from sim.build import simulator_name
from sim.run import model_cycles, run_layer

SCHEMA = 2
_CHUNK = 250  # images that the golden model computes at once, fewer of large maps
_OPERANDS = 1 << 26


@dataclass(frozen=True)
class LayerVerification:
    """Comparison of one layer; `first_mismatch` tells where, and both values, or is empty.

    `model_cycles` are the cycle model's, None where streams stall at random.
    """

    name: str
    images: int
    values_compared: int
    mismatches: int
    first_mismatch: str
    cycles: int
    model_cycles: int | None
    stalls: int
    wall_s: float

    @property
    def agrees(self) -> bool:
        """Whether values and cycles are what they must be."""
        return not self.mismatches and self.model_cycles in (None, self.cycles)


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

    @property
    def agrees(self) -> bool:
        return all(layer.agrees for layer in self.layers)

    def to_json(self) -> dict[str, Any]:
        return {
            **dataclasses.asdict(self),
            "values_compared": self.values_compared,
            "mismatches": self.mismatches,
        }


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How the simulations are run.

    Parameters
    ----------
    batch : images of one run of a linear layer, None for as many as there are and fit
    maps : images of which convolutions are executed, the first ones; of the others the golden model
        computes them; None for all
    stall_seed : random idle cycles and back-pressure on all streams
    waves : FST file, of one layer
    processes : simulators that share the images of a layer
    bytes_per_cycle : of a channel that all streams share (`sim.channel`), None for no limit
    """

    batch: int | None = None
    maps: int | None = None
    stall_seed: int | None = None
    waves: Path | None = None
    processes: int = 1
    bytes_per_cycle: float | None = None


def verify(
    model: CompressedModel,
    images: np.ndarray,
    config: CoreConfig,
    work: Path | None = None,
    layers: Iterable[str] | None = None,
    report: Callable[[LayerVerification], None] = lambda layer: None,
    simulators: Path | None = None,
    execution: Execution | None = None,
) -> Verification:
    """Run accelerated layers on the RTL, each on what the ones before it computed.

    images : int8 [N, C, H, W], quantised (`model.input.quantize`)
    work : keeps one result file per core and layer; a layer that agreed, and whose file matches
        the model, the images and the core, is not run again
    layers : names, all accelerated layers by default; the golden model computes the others
    report : called after each layer

    Raises CosignError when a layer does not fit the core, or a tool is missing.
    """
    known = {layer.name: layer for layer in model.layers}
    wanted = list(known) if layers is None else list(layers)
    unknown = [name for name in wanted if name not in known]
    if unknown:
        raise CosignError(
            f"{model.name} has no accelerated layer {unknown[0]!r}; it has {', '.join(known)}."
        )
    ranges = input_ranges(model)
    for name in wanted:  # refuse what does not fit before anything runs
        pack_layer(known[name], config, input_range=ranges[name])
    machine = _Machine(config, work, simulators, execution or Execution())
    readers: dict[str, int] = dict.fromkeys(["input", *(node.name for node in model.nodes)], 0)
    for node in model.nodes:
        for name in node.inputs:
            readers[name] += 1
    values = {"input": images}
    done: list[LayerVerification] = []
    for node in model.nodes:
        if len(done) == len(wanted):
            break
        inputs = [values[name] for name in node.inputs]
        if isinstance(node, Layer) and node.name in wanted:
            values[node.name], verification = machine.compare(node, inputs[0], ranges[node.name])
            report(verification)
            done.append(verification)
        elif isinstance(node, Layer):
            values[node.name] = _golden(node, inputs[0])
        else:
            values[node.name] = golden.HOST_OPS[node.op](node, *inputs)
        for name in node.inputs:  # a map that nobody reads any more is forgotten
            readers[name] -= 1
            if not readers[name]:
                del values[name]
    by_name = {layer.name: layer for layer in done}
    return Verification(config.core, len(images), tuple(by_name[name] for name in wanted))


@dataclass(frozen=True)
class _Machine:
    """A core, and where its results and simulators are kept."""

    config: CoreConfig
    work: Path | None
    simulators: Path | None
    execution: Execution

    def compare(
        self, layer: Layer, inputs: np.ndarray, input_range: tuple[int, int]
    ) -> tuple[np.ndarray, LayerVerification]:
        """(the layer's output, comparison); what agreed before is not run again."""
        how = self.execution
        if how.maps is not None and layer.geometry.kind == "conv" and len(inputs) > how.maps:
            few, result = self.compare(layer, inputs[: how.maps], input_range)
            return np.concatenate([few, _golden(layer, inputs[how.maps :])]), result
        predicted = None
        if how.stall_seed is None:
            predicted = model_cycles(
                layer, self.config, len(inputs), how.batch, how.bytes_per_cycle
            )
        expected = _golden(layer, inputs)
        file, fingerprint = self._file(layer), self._fingerprint(layer, inputs)
        stored = _stored(file, fingerprint)
        if stored and how.waves is None:
            result = LayerVerification(**{**stored, "model_cycles": predicted})
            if result.agrees:
                return expected, result
        run = run_layer(
            layer,
            inputs,
            self.config,
            self.simulators,
            input_range=input_range,
            stall_seed=how.stall_seed,
            waves=how.waves,
            batch=how.batch,
            processes=how.processes,
            bytes_per_cycle=how.bytes_per_cycle,
        )
        wrong = np.argwhere(run.outputs != expected)
        first = ""
        if len(wrong):
            at = tuple(wrong[0].tolist())
            first = (
                f"image, filter, row, column {at}: RTL {run.outputs[at]}, golden model "
                f"{expected[at]}"
            )
        result = LayerVerification(
            name=layer.name,
            images=len(inputs),
            values_compared=expected.size,
            mismatches=len(wrong),
            first_mismatch=first,
            cycles=run.cycles,
            model_cycles=predicted,
            stalls=run.stalls,
            wall_s=round(run.wall_s, 3),
        )
        if file is not None:
            content = {"fingerprint": fingerprint, "result": dataclasses.asdict(result)}
            write_json(file, {"schema": SCHEMA, **content})
        return run.outputs, result

    def _file(self, layer: Layer) -> Path | None:
        if self.work is None:
            return None
        name = f"{self.config.core}-{self.config.hash}-{file_name(layer.name)}.json"
        return Path(self.work) / name

    def _fingerprint(self, layer: Layer, inputs: np.ndarray) -> str:
        """Hash of everything that the result of a layer depends on."""
        digest = hashlib.sha256(simulator_name(self.config).encode())
        how = self.execution
        digest.update(repr((how.batch, how.stall_seed, how.bytes_per_cycle)).encode())
        for field in dataclasses.fields(layer):
            value = getattr(layer, field.name)
            data = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
            digest.update(field.name.encode() + data)
        digest.update(repr(inputs.shape).encode() + np.ascontiguousarray(inputs).tobytes())
        return digest.hexdigest()


class _Kept(values.Value, frozen=True, kw_only=True):
    """A layer's result, and what it is the result of."""

    fingerprint: str
    result: LayerVerification


def _stored(file: Path | None, fingerprint: str) -> dict[str, Any] | None:
    if file is None or not file.exists():
        return None
    stored = read_json(file)
    if not isinstance(stored, dict) or stored.get("schema") != SCHEMA:
        return None
    kept = values.parse(stored, _Kept, str(file), "delete it and run again", (SCHEMA,))
    return dataclasses.asdict(kept.result) if kept.fingerprint == fingerprint else None


def _golden(layer: Layer, inputs: np.ndarray) -> np.ndarray:
    g = layer.geometry
    size = max(1, min(_CHUNK, _OPERANDS // (g.groups * g.columns * g.out_height * g.out_width)))
    parts = [inputs[n : n + size] for n in range(0, len(inputs), size)]
    return np.concatenate([golden.layer_output(layer, part) for part in parts])


def input_ranges(model: CompressedModel) -> dict[str, tuple[int, int]]:
    """Smallest and largest input of each layer: behind a ReLU no activation is negative.

    Host operations never turn the sign, so that one whose inputs all are positive is too.
    """
    positive: dict[str, bool] = {"input": False}
    for node in model.nodes:
        relu = node.relu if isinstance(node, Layer) else bool(node.attrs.get("relu"))
        kept = not isinstance(node, Layer) and all(positive[name] for name in node.inputs)
        positive[node.name] = relu or kept
    return {layer.name: bounds(layer.act_bits, positive[layer.input]) for layer in model.layers}
