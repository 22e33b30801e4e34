"""A little training of a pruned network on images without labels, before its levels are found.

The pruned network learns to answer as the dense one does: the loss is the mean squared error of
every output, over the variance of the dense network's, plus a share of the same for every map that
an `add` makes. Weights that are zero stay zero.

Filters of folded networks differ a thousandfold in size, and no learning rate fits all. So each
weight is w0 + s v, where s is the root mean square of the filter's weights, and Adam works on v:
its rate is relative, and one serves every layer of every network.
"""

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compress.data.pixels import normalised
from compress.model import activations
from compress.model.graph import InputSpec
from compress.model.nodes import NetworkSpec
from compress.nn.checkpoint import Checkpoint
from compress.nn.network import Network, channels_last
from compress.posttrain.samples import Pool, spread
from cosign import CosignError

SPEED = 40e9
"""Multiply-accumulates a second, of two ordinary cores: a step of ResNet-20 takes one 0.3 s."""
LEARNING_RATE = 0.02
BETAS = (0.9, 0.99)
ADDS = 0.3  # weight of the error of a sum's map, where that of an output has 1
LEAST = 16  # images, fewer than which teach nothing
_PASSES = 4  # of the network: the dense one forward, the pruned one forward and twice back
_BATCH = 64
_SMALLEST_BATCH = 8
_VALUES = 1 << 28  # of all nodes, for all images of a batch: 1 GiB
_WARMUP = 0.05  # of the steps
_LINES = 20
_CHECKPOINT_S = 30.0
_DIGESTED = 64  # images that tell a pool from another
_INPUT_RMS = 1 / 4  # of what a layer reads, about, as a share of the largest that it can
_SHIFT = 8  # sides of an image in a shift


@dataclass(frozen=True)
class Finetuning:
    """What to do between pruning and levels.

    Parameters
    ----------
    minutes : nominal ones of an ordinary machine; the steps depend on nothing else
    pool : images that it learns from
    seed : of their order
    checkpoint : file from which an interrupted one goes on; removed at the end
    """

    minutes: float
    pool: Pool
    seed: int = 0
    checkpoint: Path | None = None

    def __post_init__(self) -> None:
        if not 0 < self.minutes < math.inf:
            raise CosignError(f"minutes of finetuning are {self.minutes:g}, must be above 0.")
        if self.pool.total < LEAST:
            raise CosignError(
                f"finetuning needs {LEAST} images or more to learn from, there are "
                f"{self.pool.total}; give more."
            )


def batch_of(spec: NetworkSpec) -> int:
    """Images of a step: fewer where maps are so large that memory would not hold them."""
    values = sum(math.prod(shape) for shape in spec.shapes.values())
    return max(_SMALLEST_BATCH, min(_BATCH, _VALUES // values))


def steps(spec: NetworkSpec, minutes: float) -> int:
    """Of training in so many minutes, if a machine does `SPEED` multiply-accumulates in a second.

    The clock has no part in it, so that a result depends on no load of the machine.
    """
    macs = sum(geometry.macs for geometry in spec.geometries.values())
    return max(1, round(minutes * 60 * SPEED / (_PASSES * macs * batch_of(spec))))


def finetune(
    network: Network,
    dense: Network,
    source: InputSpec,
    units: Mapping[str, float],
    how: Finetuning,
    progress: Callable[[str], None] = lambda _: None,
) -> None:
    """Train the weights of `network` that are not zero, and its biases, in place.

    network, dense : folded, in evaluation; pruned, and not
    units : real value of one unit of every node's output, and of the input
    progress : receives a line now and then

    Raises CosignError when the loss becomes infinite, and on the checkpoint of something else.
    """
    total = steps(network.spec, how.minutes)
    teacher, student = copy.deepcopy(dense), copy.deepcopy(network)
    for one in (teacher, student):
        channels_last(one)
        one.requires_grad_(one is student)
    trained = _Relative(student, units, source.act_bits)
    state = None
    if how.checkpoint is not None:
        owner = _identity(network, dense, how, total)
        checkpoint = Checkpoint(how.checkpoint, owner, _CHECKPOINT_S)
        state = checkpoint.load()
    first, before = 0, 0.0
    if state is not None:
        trained.load_state_dict(state["trained"])
        first, before = state["step"], state["seconds"]
    began = time.monotonic() - before
    every = max(1, total // _LINES)
    size = min(batch_of(network.spec), how.pool.total)
    losses: list[float] = []
    for step in range(first, total):
        x = normalised(source, _batch(how, step, size))
        loss = _loss(student, teacher, x.contiguous(memory_format=torch.channels_last))
        trained.step(loss, LEARNING_RATE * _share(step, total))
        losses.append(loss.item())
        if not math.isfinite(losses[-1]):
            raise CosignError(
                f"finetuning {network.spec.name} diverges at step {step + 1}; leave it out."
            )
        done = step + 1
        if done % every == 0 or done == total:
            taken = time.monotonic() - began
            progress(
                f"finetuning: {done:,} of {total:,} steps of {size} images, error "
                f"{100 * sum(losses) / len(losses):.2f} %, {taken / 60:.1f} minutes"
            )
            losses.clear()
        if how.checkpoint is not None:
            checkpoint.save(
                lambda done=done: {  # type: ignore[misc]
                    "step": done,
                    "seconds": time.monotonic() - began,
                    "trained": trained.state_dict(),
                }
            )
    with torch.no_grad():
        for mine, found in zip(network.parameters(), student.parameters(), strict=True):
            mine.copy_(found)
    if how.checkpoint is not None:
        how.checkpoint.unlink(missing_ok=True)


class _Relative:
    """Weights and biases of a network as w0 + s v, and Adam on v.

    s is 0 where a weight is, so that it stays.
    """

    def __init__(self, network: Network, units: Mapping[str, float], act_bits: int) -> None:
        share = -activations.lowest(act_bits) * _INPUT_RMS
        self._tensors: list[Tensor] = []
        self._sizes: list[Tensor] = []
        for node in network.spec.nodes:
            if node.geometry is None:
                continue
            weight, bias = network.weights[node.name], network.biases[node.name]
            kept = weight.detach() != 0
            axes = tuple(range(1, weight.dim()))
            square = weight.detach().square().sum(axes, keepdim=True)
            size = (square / kept.sum(axes, keepdim=True).clamp(min=1)).sqrt()
            self._tensors += [weight, bias]
            read = units[node.input] * share
            self._sizes += [size * kept, square.flatten().sqrt() * read]
        self._start = [tensor.detach().clone() for tensor in self._tensors]
        self._moves = [torch.zeros_like(tensor) for tensor in self._tensors]
        self._optimizer = torch.optim.Adam(self._moves, betas=BETAS, foreach=True)

    def step(self, loss: Tensor, rate: float) -> None:
        """One of Adam, down the loss of the network."""
        gradients = torch.autograd.grad(loss, self._tensors)
        for move, gradient, size in zip(self._moves, gradients, self._sizes, strict=True):
            move.grad = gradient * size
        self._optimizer.param_groups[0]["lr"] = rate
        self._optimizer.step()
        self._put()

    @torch.no_grad()
    def _put(self) -> None:
        for tensor, start, size, move in zip(
            self._tensors, self._start, self._sizes, self._moves, strict=True
        ):
            torch.addcmul(start, size, move, out=tensor)

    def state_dict(self) -> dict[str, Any]:
        return {"moves": self._moves, "optimizer": self._optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for move, found in zip(self._moves, state["moves"], strict=True):
            move.copy_(found)
        self._optimizer.load_state_dict(state["optimizer"])
        self._put()


def _loss(student: Network, teacher: Network, x: Tensor) -> Tensor:
    """Errors over variances, of outputs and of sums."""
    wanted: dict[str, Tensor] = {}
    got: dict[str, Tensor] = {}
    with torch.no_grad():
        teacher(x, observe=wanted.__setitem__)
    student(x, observe=got.__setitem__)
    spec = student.spec
    outputs = set(spec.outputs)
    weights = {node.name: ADDS for node in spec.nodes if node.op == "add"}
    return sum(
        (
            weight * _error(got[name], wanted[name])
            for name, weight in (weights | dict.fromkeys(outputs, 1.0)).items()
        ),
        torch.zeros(()),
    )


def _error(got: Tensor, wanted: Tensor) -> Tensor:
    variance = wanted.var(correction=0)
    return (got - wanted).square().mean() / torch.where(variance > 0, variance, 1.0)


def _share(step: int, total: int) -> float:
    """Of the learning rate: a short rise, then a cosine to zero."""
    rise = max(1.0, _WARMUP * total)
    return min(1.0, (step + 1) / rise) * (1 + math.cos(math.pi * step / total)) / 2


def _batch(how: Finetuning, step: int, size: int) -> np.ndarray:
    """Images of a step, shifted a little, colour ones mirrored at random: uint8 [size, C, H, W].

    They depend on seed and step alone. Every image is seen once before any is seen again.
    """
    rng = np.random.default_rng([how.seed, step])
    images = how.pool.images(np.sort(_indices(how, step, size)))
    _, channels, height, width = images.shape
    down, right = height // _SHIFT, width // _SHIFT
    padded = np.pad(images, ((0, 0), (0, 0), (down, down), (right, right)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    top = rng.integers(0, 2 * down + 1, len(images))
    left = rng.integers(0, 2 * right + 1, len(images))
    chosen = windows[np.arange(len(images)), :, top, left]
    if channels == 3:
        mirrored = rng.random(len(images)) < 0.5
        chosen[mirrored] = chosen[mirrored][..., ::-1]
    return chosen


def _indices(how: Finetuning, step: int, size: int) -> np.ndarray:
    per_round = how.pool.total // size
    order = np.random.default_rng([how.seed, step // per_round, 1]).permutation(how.pool.total)
    at = step % per_round * size
    return order[at : at + size]


def _identity(network: Network, dense: Network, how: Finetuning, total: int) -> str:
    """Digest of all that the result depends on."""
    digest = hashlib.sha256(f"{network.spec} {how.pool.total} {how.seed} {total}".encode())
    for part in _content(network, dense, how):
        digest.update(np.ascontiguousarray(part).tobytes())
    return digest.hexdigest()


def _content(network: Network, dense: Network, how: Finetuning) -> Iterator[np.ndarray]:
    for one in (network, dense):
        for parameter in one.parameters():
            yield parameter.detach().numpy()
    yield how.pool.images(spread(how.pool.total, _DIGESTED))
