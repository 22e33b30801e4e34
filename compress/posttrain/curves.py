"""What pruning a layer costs, before anything is pruned: a curve of loss over density for each.

One factorisation of a layer's inputs serves all densities (compress.admm.layerwise): ADMM goes from
one to the next as its pruning ramp does, a few steps of conjugate gradients end it, and what the
layer's answers lack then on other images is its error there: a late layer has more columns than few
images have pixels, and fits those almost whatever is pruned. How much an error matters to the
network's answers is measured: at two densities the network runs with this layer alone pruned, from
it on.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from compress.admm import layerwise, projections, reconstruct
from compress.admm.constraints import largest
from compress.admm.moments import Aim
from compress.model.levels import max_level
from compress.model.nodes import NetworkSpec
from compress.nn.network import Network, channels_last
from compress.posttrain import importance
from compress.posttrain.expected import PORTIONS, SENSED, Curve, Curves

IMAGES = 128
HELD = 4  # one of so many is for what is lost
_SENSED_ON = 8
_SENSED_BYTES = 1 << 29  # of one image's values, over which fewer are taken
_STEPS = 1  # of ADMM from one density to the next
_DESCENTS = 2
_SAMPLE = 1 << 12  # weights, of which the bits of a level are estimated
_INTERVALS = np.geomspace(0.25, 1, 8)
Progress = Callable[[int, int], None]


@torch.no_grad()
def measure(
    network: Network,
    bits: Mapping[str, int],
    batches: Sequence[Tensor],
    held: Sequence[Tensor],
    progress: Progress = lambda done, of: None,
) -> Curves:
    """The curves of a folded network, which is left with the weights that it has.

    bits : of the levels of each layer
    batches : float32 [N, C, H, W] each, normalised calibration images
    held : others, likewise, on which what layers have lost is measured
    progress : gets the layers that are done, and how many there are
    """
    spec = network.spec
    channels_last(network)  # twice as fast
    sensed = _some(torch.cat(list(held)), spec)
    run = _Run(network, sensed.contiguous(memory_format=torch.channels_last))
    coherence = importance.aim(network, torch.cat(list(batches))).coherence
    aim = Aim(coherence=coherence)  # filters weighted, too, tell networks apart no better
    layers = zip(
        reconstruct.layers(network, batches, aim=aim),
        reconstruct.layers(network, held, aim=aim),
        strict=True,
    )
    curves: dict[str, Curve] = {}
    for node in spec.nodes:
        if node.geometry is not None:
            curves[node.name] = _curve(*next(layers), run, bits[node.name])
            progress(len(curves), len(spec.geometries))
        run.step()
    return Curves(layers=curves)


def _curve(layer: reconstruct.Turn, elsewhere: reconstruct.Turn, run: "_Run", bits: int) -> Curve:
    """elsewhere : the layer's turn on other images"""
    task, other, weight = layer.task, elsewhere.task, run.network.weights[layer.name]
    bias = run.network.biases[layer.name]
    dense, before = weight.detach().clone(), bias.detach().clone()
    kept = int(torch.count_nonzero(dense))
    errors, entropies, sensed = [], [], []
    for portion, z in zip(PORTIONS, _pruned(task, kept), strict=True):
        lost = other.loss(z / task.scale * other.scale)
        errors.append(max(0.0, lost) / (other.energy or 1.0))
        entropies.append(_entropy((z / task.scale)[z != 0].numpy(), bits))
        if portion in SENSED:
            layer.put(z / task.scale)
            sensed.append(run.change())
            weight.copy_(dense)
            bias.copy_(before)
    return Curve(
        weights=dense.numel(),
        nonzeros=kept,
        filters=len(before),
        errors=tuple(errors),
        sensed=tuple(sensed),
        entropies=tuple(entropies),
    )


def _pruned(task: layerwise.Problem, kept: int) -> list[Tensor]:
    """Z at each of PORTIONS, of a layer in which `kept` weights are not zero."""
    solve = task.solver(layerwise.RHO)
    total = task.weight.numel()
    z, u = task.weight, torch.zeros_like(task.weight)
    found = []
    for portion in PORTIONS:
        keep = min(kept, max(1, total - round(portion * total)))
        for _ in range(_STEPS):
            w = solve(task.goal + layerwise.RHO * (z - u))
            mask = largest(w + u, keep)
            z = torch.where(mask, w + u, 0.0)
            u += w - z
        found.append(layerwise.least_squares(task, mask, w, _DESCENTS))
    return found


def _entropy(weights: np.ndarray, bits: int) -> float:
    """Bits of a level of these weights: the entropy of the nearest levels of some of them.

    Of a few intervals the best one is taken, which is near enough to count bits.
    """
    some = weights[:: max(1, len(weights) // _SAMPLE)]
    if not len(some):
        return 0.0
    largest_q = float(np.abs(some).max()) / max_level(bits)
    tried = []
    for q in largest_q * _INTERVALS:
        levels = projections.levels_of(some, float(q), bits)
        tried.append((float(np.square(some - q * levels).sum()), levels))
    levels = min(tried, key=lambda one: one[0])[1]
    counts = np.unique(levels, return_counts=True)[1] / len(some)
    return float(-(counts * np.log2(counts)).sum())


def _some(x: Tensor, spec: NetworkSpec) -> Tensor:
    """As many of the images as their values leave room for, evenly spread."""
    values = 4 * sum(int(np.prod(shape)) for shape in spec.shapes.values())
    count = max(1, min(_SENSED_ON, _SENSED_BYTES // values, len(x)))
    return x[torch.linspace(0, len(x) - 1, count).long()]


class _Run:
    """The dense network up to some node, and what its outputs become from there on."""

    def __init__(self, network: Network, x: Tensor) -> None:
        self.network = network
        self._nodes = network.spec.nodes
        self._last = {name: place for place, node in enumerate(self._nodes) for name in node.inputs}
        self._last |= dict.fromkeys(network.spec.outputs, len(self._nodes))
        self._live = {"input": x}
        self._at = 0
        found = self._outputs()
        self._dense = [found[name].flatten(1).double() for name in network.spec.outputs]

    def step(self) -> None:
        """Past one node."""
        node = self._nodes[self._at]
        self._live[node.name] = self.network.compute(node, *(self._live[n] for n in node.inputs))
        self._at += 1
        for name in [name for name in self._live if self._last.get(name, -1) < self._at]:
            del self._live[name]

    def change(self) -> float:
        """Of the outputs, with the next node's layer as it is now: their mean square change over
        their variance, the mean over outputs.

        The divergence of a classifier's answers says too little: where it is sure of them, as of
        images that it was trained on, logits move far before probabilities do (docs/method.md).
        """
        found = self._outputs()
        errors = []
        for name, dense in zip(self.network.spec.outputs, self._dense, strict=True):
            change = float((found[name].flatten(1).double() - dense).square().mean())
            spread = float((dense - dense.mean(0)).square().mean())
            errors.append(change / (spread or float(dense.square().mean()) or 1.0))
        return sum(errors) / len(errors)

    def _outputs(self) -> dict[str, Tensor]:
        """The outputs by node, from what is live on."""
        values = dict(self._live)
        for place, node in enumerate(self._nodes[self._at :], self._at):
            values[node.name] = self.network.compute(node, *(values[n] for n in node.inputs))
            for name in {*node.inputs, node.name}:
                if self._last.get(name, -1) <= place:
                    del values[name]
        return values
