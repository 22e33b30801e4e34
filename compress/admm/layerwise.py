"""Layer-wise ADMM: prune and quantise one layer so that its answers change the least.

With the layer's inputs in the rows of X and the answers of the dense network in those of Y, the
weights Z [out, columns] shall minimise

    ||Y - X Zt||^2 / n + damping * ||Z - W||^2    over Z with `keep` non-zeros, or on levels.

Y = X Wt gives the reconstruction error ||XW - XZ||^2; taking Y from the dense network and X from
the compressed one also makes up for what the layers before have lost. X and Y have their means
taken off, which the bias returns, and the columns of X are scaled to a variance of 1, or less where
they hardly vary: magnitudes of weights then say what they contribute, and one rho fits every layer.
Errors of a filter may count more than those of another: its rows of W, Y and Z are then multiplied
by its importance, and all the rest stays as it is.

All tensors but levels are float32 and have a leading axis of groups, [g, out / g, columns].
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compress.admm.constraints import largest
from compress.model.levels import max_level

Choice = Callable[[Tensor, int], Tensor]
"""(values, number) to a bool mask of so many that shall stay."""
DAMPING = 0.1
LEAST_DEVIATION = 0.1  # of a column, over the root mean square of all
RHO = 1.0
ITERATIONS = 12
_RISE = 0.75  # of the iterations, over which the pruning grows to its ratio
DESCENTS = 6
_SWEEPS = 1
_BLOCK = 128
_TRIES = 20
# log2 of how far below its largest weight a filter's largest level is looked for, by bits
_RANGE = dict(enumerate((0, 2.5, 2.5, 2.0, 1.5, 1.2, 1.0, 0.9, 0.8)))


@dataclass(frozen=True)
class Problem:
    """min over Z of energy + <Z, Z H - 2 goal>.

    H = XtX / n + damping * I, goal = YtX / n + damping * W.

    Parameters
    ----------
    weight : [g, out, columns], W in scaled columns
    goal : [g, out, columns]
    energy : the objective of Z = 0
    scale : [g, 1, columns], deviation of each column, or [g, out, columns], that times the
        importance of each filter; the layer's weights are Z / scale
    gram : [g, columns, columns], H; None where X has fewer rows than columns
    rows : [g, n, columns], X / sqrt(n), for that case
    damping : of the objective
    """

    weight: Tensor
    goal: Tensor
    energy: float
    scale: Tensor
    gram: Tensor | None
    rows: Tensor | None
    damping: float

    def times(self, z: Tensor) -> Tensor:
        """Z H."""
        if self.gram is not None:
            return z @ self.gram
        assert self.rows is not None
        return (z @ self.rows.mT) @ self.rows + self.damping * z

    def gram_columns(self, part: slice) -> Tensor:
        """H[:, part], [g, columns, width]."""
        if self.gram is not None:
            return self.gram[:, :, part]
        assert self.rows is not None
        block = self.rows.mT @ self.rows[:, :, part]
        torch.diagonal(block[:, part], dim1=1, dim2=2).add_(self.damping)
        return block

    def solver(self, rho: float) -> Callable[[Tensor], Tensor]:
        """B to B (H + rho I)^-1, by one Cholesky of the smaller of XtX and XXt."""
        if self.gram is not None:
            identity = torch.eye(self.gram.shape[-1])
            inverse = torch.cholesky_inverse(torch.linalg.cholesky(self.gram + rho * identity))
            return lambda b: b @ inverse
        assert self.rows is not None
        rows, total = self.rows, rho + self.damping
        inner = rows @ rows.mT + total * torch.eye(rows.shape[1])
        factor = torch.linalg.cholesky(inner)
        # Woodbury: (XtX + t I)^-1 = (I - Xt (XXt + t I)^-1 X) / t
        return lambda b: (b - torch.cholesky_solve(rows @ b.mT, factor).mT @ rows) / total

    def loss(self, z: Tensor) -> float:
        """The objective."""
        return self.energy + float((z * (self.times(z) - 2 * self.goal)).sum(dtype=torch.float64))


def problem(
    weight: Tensor,
    rows: Tensor | None,
    second: Tensor | None,
    cross: Tensor,
    square: Tensor,
    importance: Tensor | None = None,
    damping: float = DAMPING,
) -> Problem:
    """Scale the columns of a layer's moments.

    weight : [g, out, columns]
    rows, second : centred X / sqrt(n) [g, n, columns], or XtX / n [g, columns, columns]
    cross : centred (Y - X Wt)t X / n [g, out, columns]: what the answers lack with W itself
    square : ||Y||^2 / n, centred, of each filter: float64 [g, out]
    importance : what the errors of a filter are multiplied by, [g, out, 1], above 0; None for 1
    damping : of the objective
    """
    if second is not None:
        variance = torch.diagonal(second, dim1=1, dim2=2)
    else:
        assert rows is not None
        variance = rows.square().sum(1)
    deviation = variance.clamp(min=0).sqrt()[:, None]
    # What hardly ever changes in few images may in others: its weights must not grow for nothing.
    least = LEAST_DEVIATION * float(deviation.square().mean().sqrt()) or 1.0
    scale = deviation.clamp(min=least)
    if second is not None:
        second = second / scale / scale.mT
        torch.diagonal(second, dim1=1, dim2=2).add_(damping)
    else:
        assert rows is not None
        rows = rows / scale
    cross = cross / scale
    if importance is not None:
        scale, cross = scale * importance, cross * importance
        square = square * importance[:, :, 0].square()
    scaled = weight * scale
    energy = float(square.sum()) + damping * float(scaled.square().sum(dtype=torch.float64))
    made = Problem(scaled, scaled, energy, scale, second, rows, damping)
    return replace(made, goal=cross + made.times(scaled))


def prune(
    task: Problem, keep: int, choose: Choice = largest, iterations: int = ITERATIONS
) -> Tensor:
    """Z with `keep` non-zeros: ADMM finds the support, conjugate gradients the values on it.

    choose : the support of so many, from `keep` on, for values like the weights
    """
    total = task.weight.numel()
    if keep == total:
        return least_squares(task, torch.ones_like(task.weight, dtype=torch.bool), task.weight)
    solve = task.solver(RHO)
    mask = choose(task.weight, keep)
    z, u = task.weight, torch.zeros_like(task.weight)
    for step in range(1, iterations + 1):
        left = max(0.0, 1 - step / (_RISE * iterations))
        w = solve(task.goal + RHO * (z - u))
        mask = choose(w + u, keep + round((total - keep) * left**3))
        z = torch.where(mask, w + u, 0.0)
        u += w - z
    return least_squares(task, mask, w)


def least_squares(task: Problem, mask: Tensor, start: Tensor, descents: int = DESCENTS) -> Tensor:
    """Conjugate gradients from `start` on the support; the loss decreases at every step."""
    z = torch.where(mask, start, 0.0)
    residual = torch.where(mask, task.goal - task.times(z), 0.0)
    direction, square = residual, residual.square().sum(-1, keepdim=True)
    for _ in range(descents):
        image = torch.where(mask, task.times(direction), 0.0)
        curvature = (direction * image).sum(-1, keepdim=True)
        step = torch.where(curvature > 0, square / curvature, 0.0)
        z = z + step * direction
        residual = residual - step * image
        before, square = square, residual.square().sum(-1, keepdim=True)
        direction = residual + torch.where(before > 0, square / before, 0.0) * direction
    return z


def quantize(
    task: Problem, z: Tensor, mask: Tensor, q: float | Tensor, bits: int, zeros: bool = False
) -> tuple[Tensor, Tensor]:
    """(levels, q): Z where `mask` holds on levels of `bits`, int8, and their interval.

    From the nearest levels, every sweep gives each column in turn the levels that minimise the
    loss with all others as they are, then q its least square: the loss never grows.

    q : where to start, of the layer or of each filter, [g, out, 1]; float32 of the same shape comes
        back
    zeros : whether zero is a level where `mask` holds, too
    """
    q = torch.as_tensor(q, dtype=torch.float32)
    levels = nearest(z / (q * task.scale), bits, mask, zeros)
    for _ in range(_SWEEPS):
        sweep(task, levels, mask, q, bits, zeros)
        q = fitted(task, levels, q)
    return levels, q


def fitted(task: Problem, levels: Tensor, q: Tensor) -> Tensor:
    """The interval of least loss for these levels, of the shape of `q`; q where there is none."""
    unit = levels * task.scale
    curvature = (unit * task.times(unit)).sum(-1, keepdim=True, dtype=torch.float64)
    slope = (unit * task.goal).sum(-1, keepdim=True, dtype=torch.float64)
    if not q.dim():
        curvature, slope = curvature.sum(), slope.sum()
    best = (slope / curvature.clamp(min=1e-30)).float()
    return torch.where((best > 0) & torch.isfinite(best), best, q)


def nearest(values: Tensor, bits: int, mask: Tensor, zeros: bool = False) -> Tensor:
    """Nearest level where `mask` holds, zero elsewhere, int8; `values` are in units of q."""
    top = max_level(bits)
    if zeros:
        return torch.where(mask, values.round().clamp_(-top, top), 0.0).to(torch.int8)
    magnitude = (values.abs() + 0.5).floor_().clamp_(1, top)
    return torch.where(mask, torch.where(values < 0, -magnitude, magnitude), 0.0).to(torch.int8)


def sweep(
    task: Problem, levels: Tensor, mask: Tensor, q: Tensor, bits: int, zeros: bool = False
) -> None:
    """One round of coordinate descent over the columns, in place; the rest as for `quantize`."""
    columns = levels.shape[-1]
    each = q[:, :, 0] if q.dim() else q
    z = levels * (q * task.scale)
    for start in range(0, columns, _BLOCK):
        part = slice(start, min(start + _BLOCK, columns))
        gram = task.gram_columns(part)
        gradient = z @ gram - task.goal[:, :, part]
        inner = gram[:, part]
        for at in range(inner.shape[-1]):
            column = start + at
            unit = each * task.scale[:, :, column]
            best = z[:, :, column] - gradient[:, :, at] / inner[:, at, at, None]
            new = nearest(best / unit, bits, mask[:, :, column], zeros)
            change = new * unit - z[:, :, column]
            gradient += change[:, :, None] * inner[:, None, at]
            levels[:, :, column] = new
            z[:, :, column] += change


def intervals(weights: Tensor, scale: Tensor | float, bits: int, least: float) -> Tensor:
    """For each filter the interval whose nearest levels, zero among them, are nearest to it.

    That is a layer's loss with H taken as diagonal: its columns have a variance of `scale` squared.

    weights : [..., columns]
    scale : what the error of a column is multiplied by
    least : no interval is smaller

    Returns float32 [..., 1].
    """
    top = max_level(bits)
    largest = weights.abs().amax(-1, keepdim=True)
    unit = torch.where(largest > 0, largest, 1.0)
    weights, lowest = weights / unit, least / unit  # so that squares of any weights are numbers
    best, found = torch.full_like(unit, torch.inf), torch.full_like(unit, least)
    for share in torch.logspace(0, -_RANGE[bits], _TRIES, 2).tolist():
        q = lowest.clamp(min=share / top)
        error = (weights / q).round_().clamp_(-top, top).mul_(q).sub_(weights).mul_(scale)
        error = error.square_().sum(-1, keepdim=True)
        found = torch.where((error < best) & (largest > 0), q * unit, found)
        best = torch.minimum(error, best)
    return found
