"""What a layer reads and what it shall answer, as the moments that layer-wise ADMM works on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from compress.admm import layerwise
from compress.model.graph import Geometry
from compress.model.nodes import NodeSpec
from compress.nn.network import Network, rectified

POSITIONS = 1 << 14  # outputs of a layer that are looked at, over all images


@dataclass(frozen=True)
class Aim:
    """How errors count, how far weights may go to avoid them, and how long they are looked for.

    Parameters
    ----------
    importance : what errors of each filter are multiplied by, float32 [out] above 0, by layer; all
        filters of a layer count alike where none is given
    coherence : what share of what outputs feel of a layer's errors all places of an image have in
        common, 0..1, by layer; 0 where none is given. Behind an average of all places, only the
        sum of their errors counts
    least_damping : a layer's damping is its columns over its positions, since many positions need
        no prior, but no less than this and no more than layerwise.DAMPING
    iterations : of ADMM
    """

    importance: Mapping[str, Tensor] = field(default_factory=dict)
    coherence: Mapping[str, float] = field(default_factory=dict)
    least_damping: float = layerwise.DAMPING
    iterations: int = layerwise.ITERATIONS


ANY = Aim()


class Moments:
    """What a layer reads, and what its answers lack, over sampled positions.

    Sums are taken in float64 of products in float32; where there are fewer positions than columns,
    the rows themselves are kept. Of every image as many positions are looked at.

    With a coherence c of P places, slopes by two different places have c of a place's mean square
    in common, and the mean square error of a sum over all places so weighted is, over P,

        (1 - c) mean of e^2 + c P (mean of e)^2

    The second mean is that of an image: one more row for each, which stands for all its places.
    """

    def __init__(
        self,
        geometry: Geometry,
        dense: Network,
        node: NodeSpec,
        images: int,
        stops: tuple[float, float] | None = None,
        aim: Aim = ANY,
    ) -> None:
        """Nothing is taken in yet.

        stops : where the ReLU behind the answers begins and ends to rise; None without one
        aim : how errors count, and how long weights are looked for
        """
        g = self.geometry = geometry
        self._stops = stops
        self.shape = (g.groups, g.out_channels // g.groups, g.columns)
        worth = aim.importance.get(node.name)
        self._importance = None if worth is None else worth.reshape(*self.shape[:2], 1)
        self._least_damping = aim.least_damping
        self._dense, self._node = dense, replace(node, relu=False)
        self._relu = node.relu
        self._weight = dense.weights[node.name].detach().reshape(self.shape)
        places = g.out_height * g.out_width
        coherence = aim.coherence.get(node.name, 0.0)
        self._apart, self._together = 1 - coherence, coherence * places
        self._sample = min(places, max(1, POSITIONS // images))
        self._wide = images * self._sample < g.columns
        self._rows: list[Tensor] = []
        self._lacks: list[Tensor] = []
        self._wanted: list[Tensor] = []  # answers before a ReLU, what they are added to included
        self._image_rows: list[Tensor] = []  # means over all places, with a coherence
        self._image_lacks: list[Tensor] = []
        self._image_wanted: list[Tensor] = []
        self._second = torch.zeros(g.groups, 0 if self._wide else g.columns, g.columns).double()
        self._cross = torch.zeros(self.shape).double()
        self._x_sum = torch.zeros(g.groups, g.columns).double()
        self._origin: Tensor | None = None
        self._lack_sum = torch.zeros(g.groups, self.shape[1]).double()
        self._more_sum = torch.zeros(g.groups, self.shape[1]).double()  # of `rectified`
        self._y_sum = torch.zeros(g.groups, self.shape[1]).double()
        self._y_square = torch.zeros(g.groups, self.shape[1]).double()
        self._count = 0

    def add(
        self,
        wanted: Tensor,
        got: Tensor,
        rng: torch.Generator,
        joined: tuple[Tensor, Tensor] | None = None,
    ) -> Tensor:
        """Take in one batch of inputs, [N, C, H, W]; returns the dense network's output.

        joined : what that output is added to, in the dense and in the compressed network
        """
        g = self.geometry
        answers = self._dense.compute(self._node, wanted)
        chosen = torch.randperm(g.out_height * g.out_width, generator=rng)[: self._sample]
        down, right = chosen // g.out_width, chosen % g.out_width
        rows = columns_at(got.reshape(len(got), g.in_channels, g.in_height, -1), g, down, right)

        def sampled(maps: Tensor) -> Tensor:
            some = maps.reshape(len(answers), *self.shape[:2], g.out_height, g.out_width)
            some = some[:, :, :, down, right]
            return some.permute(1, 0, 3, 2).reshape(g.groups, -1, self.shape[1])

        y = sampled(answers)
        if joined is not None:
            other = sampled(joined[1])
            y += sampled(joined[0]) - other
            self._wanted.append(y + other)
        elif self._stops is not None:
            self._wanted.append(y)
        # what the answers lack, beyond the bias: Y - X Wt
        lacks = y - rows @ self._weight.mT
        if self._origin is None:  # near the means, so that little is lost when they are taken off
            self._origin = rows.mean(1, keepdim=True)
        rows -= self._origin
        self._count += rows.shape[1]
        self._y_sum += y.sum(1, dtype=torch.float64)
        self._y_square += y.square().sum(1, dtype=torch.float64)
        self._x_sum += rows.sum(1, dtype=torch.float64)
        self._lack_sum += lacks.sum(1, dtype=torch.float64)
        if self._wide or self._stops is not None:
            self._rows.append(rows)
            self._lacks.append(lacks)
        if not self._wide:
            self._second += rows.mT @ rows
            self._cross += lacks.mT @ rows
        if self._together:
            self._add_images(got, answers if joined is None else answers + joined[0] - joined[1])
        return rectified(answers, self._node.top) if self._relu else answers

    def _add_images(self, got: Tensor, wanted: Tensor) -> None:
        g = self.geometry
        rows = mean_columns(got.reshape(len(got), g.in_channels, g.in_height, -1), g)
        y = wanted.flatten(2).mean(2).reshape(len(got), *self.shape[:2]).transpose(0, 1)
        self._image_rows.append(rows)
        self._image_lacks.append(y - rows @ self._weight.mT)
        self._image_wanted.append(y)

    def problem(self, weight: Tensor) -> layerwise.Problem:
        x_mean, lack_mean = self._x_sum / self._count, self._lack_sum / self._count
        square = self._y_square / self._count - (self._y_sum / self._count).square()
        square = self._apart * square
        how = self._importance, self._damping()
        means, short = self._images()
        if self._together:
            square += self._together * _centred(self._image_wanted).double().square().mean(1)
        if self._wide:
            each = (self._apart / self._count) ** 0.5
            rows = (torch.cat(self._rows, 1) - x_mean[:, None].float()) * each
            lacks = (torch.cat(self._lacks, 1) - lack_mean[:, None].float()) * each
            rows, lacks = torch.cat([rows, means], 1), torch.cat([lacks, short], 1)
            return layerwise.problem(weight, rows, None, lacks.mT @ rows, square, *how)
        second = self._second / self._count - x_mean[:, :, None] * x_mean[:, None]
        cross = self._cross / self._count - lack_mean[:, :, None] * x_mean[:, None]
        second = self._apart * second + means.mT @ means
        cross = self._apart * cross + short.mT @ means
        return layerwise.problem(weight, None, second.float(), cross.float(), square, *how)

    def _images(self) -> tuple[Tensor, Tensor]:
        """Rows and lacks of images as a whole, centred, times the root of what each counts; none
        without a coherence."""
        if not self._together:
            g, out, columns = self.shape
            return torch.zeros(g, 0, columns), torch.zeros(g, 0, out)
        rows, lacks = _centred(self._image_rows), _centred(self._image_lacks)
        each = (self._together / rows.shape[1]) ** 0.5
        return rows * each, lacks * each

    def _damping(self) -> float:
        share = self.shape[-1] / self._count
        return min(layerwise.DAMPING, max(self._least_damping, share))

    def rectified(self, task: layerwise.Problem, weight: Tensor) -> layerwise.Problem:
        """The problem `task` behind a ReLU, near `weight`; `bias` is its from then on.

        Where the dense network's answer and what `weight` makes of it are both below zero, or both
        above where the ReLU stops, there is nothing to make up for: what is made is wanted.
        """
        if self._stops is None:
            return task
        mean = self._lack_sum / self._count
        rows = torch.cat(self._rows, 1) - (self._x_sum / self._count)[:, None].float()
        lacks, wanted = torch.cat(self._lacks, 1), torch.cat(self._wanted, 1)
        more = rows @ (weight - self._weight).mT - (lacks - mean[:, None].float())
        made = wanted + more
        low, high = self._stops
        free = (wanted < low) & (made < low) | (wanted > high) & (made > high)
        more *= free
        self._more_sum = more.sum(1, dtype=torch.float64)
        more -= more.mean(1, keepdim=True)
        made_up = self._apart * (more.mT @ rows) / self._count
        if self._together:
            means = _centred(self._image_rows)
            images = means.shape[1]
            # of the places that were looked at: none else are known
            each = more.reshape(len(more), images, -1, more.shape[-1]).mean(2)
            made_up += self._together * (each.mT @ means) / images
        made_up /= task.scale
        if self._importance is not None:
            made_up *= self._importance.square()
        return replace(task, goal=task.goal + made_up)

    def bias(self, weight: Tensor) -> Tensor:
        """The bias that with `weight` gives the mean answers of the dense network: [out]."""
        assert self._origin is not None
        x_mean = self._x_sum / self._count + self._origin[:, 0]
        lack_mean = (self._lack_sum + self._more_sum) / self._count
        moved = ((self._weight - weight).double() @ x_mean[:, :, None])[:, :, 0] + lack_mean
        return moved.reshape(-1).float()


def _centred(parts: list[Tensor]) -> Tensor:
    """[g, n, columns], the mean over n taken off."""
    whole = torch.cat(parts, 1)
    return whole - whole.mean(1, keepdim=True)


def mean_columns(x: Tensor, g: Geometry) -> Tensor:
    """im2col's mean over all output positions: [N, C, H, W] to [groups, N, columns]."""
    (top, left), (height, width) = g.padding, g.kernel
    padded = torch.nn.functional.pad(x, (left, left, top, top))
    down, right = (
        [slice(first, first + (count - 1) * stride + 1, stride) for first in range(0, taps * d, d)]
        for taps, d, count, stride in (
            (height, g.dilation[0], g.out_height, g.stride[0]),
            (width, g.dilation[1], g.out_width, g.stride[1]),
        )
    )
    taps = [padded[:, :, rows, columns].mean((2, 3)) for rows in down for columns in right]
    return torch.stack(taps, 2).reshape(len(x), g.groups, g.columns).transpose(0, 1)


def columns_at(x: Tensor, g: Geometry, down: Tensor, right: Tensor) -> Tensor:
    """im2col at some output positions: [N, C, H, W] to [groups, N * positions, columns]."""
    (top, left), (height, width) = g.padding, g.kernel
    padded = torch.nn.functional.pad(x, (left, left, top, top))
    taps = [
        padded[
            :, :, down * g.stride[0] + r * g.dilation[0], right * g.stride[1] + s * g.dilation[1]
        ]
        for r in range(height)
        for s in range(width)
    ]  # each [N, C, positions]
    stacked = torch.stack(taps, 2)  # N, C, taps, positions
    split = stacked.reshape(len(x), g.groups, -1, len(taps), len(down))
    return split.permute(1, 0, 4, 2, 3).reshape(g.groups, -1, g.columns)
