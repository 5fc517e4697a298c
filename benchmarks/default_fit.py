"""Gauss and Newton through plans: how the end points of many mixtures' trajectories move with levels and weights.

Each step solves least squares of all distances from the true end points, weighted by the derivative of the mixtures'
`end_loss` (iteratively reweighted), with Levenberg's and Marquardt's damping.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from default_family import F64, Case
from torch import Tensor

from scorefield.plans.endloss import end_loss, end_weights, without_steepest

LAGS = 4


class Table(NamedTuple):
    """`u = sigma / (1 + sigma)` of the levels `(n + 1,)`, and how much x0 and eps of the last estimates, the newest
    first, weigh in the increments of `x / (1 + sigma)`, `(n, LAGS + 1)`."""

    u: Tensor
    data: Tensor
    noise: Tensor

    @property
    def flat(self) -> Tensor:
        return torch.cat([v.flatten() for v in self])


class _Path(NamedTuple):
    """What a run leaves: by row, the states (which record gradients), the answers to them, and the end `(M, n, D)`."""

    x: list[Tensor]
    x0: list[Tensor]
    eps: list[Tensor]
    end: Tensor


def _through(case: Case, table: Table, part: Tensor | slice, grad: bool) -> _Path:
    u, data, noise = table
    y = case.start[:, part] * (1 - u[0])
    path = _Path([], [], [], y)
    for k in range(len(u) - 1):
        x = (y / (1 - u[k])).requires_grad_(grad)
        with torch.set_grad_enabled(grad):
            x0 = case.mixtures.x0(x, u[k] / (1 - u[k]))
        path.x.append(x)
        path.x0.append(x0)
        path.eps.append((x.detach() - x0.detach()) * (1 - u[k]) / u[k])
        for lag in range(min(k, LAGS) + 1):
            y = y + noise[k, lag] * path.eps[k - lag] - data[k, lag] * path.x0[k - lag].detach()
    return path._replace(end=y)


@torch.no_grad()
def arrive(case: Case, table: Table, part: Tensor | slice = slice(None)) -> Tensor:
    """Squared errors of end points, over the mixtures' mean square, `(M, n)`."""
    return case.errors(_through(case, table, part, grad=False).end, part)


@torch.no_grad()
def slopes(case: Case, table: Table, part: Tensor) -> tuple[Tensor, Tensor]:
    """Errors `(M, n)`, and their derivatives in every number of the table, `(M, n, len(table.flat))`."""
    u, data, noise = table
    n = len(u) - 1
    path = _through(case, table, part, grad=True)
    left = (path.end - case.end[:, part]) / case.rms
    error = left.square().sum(2).sqrt()
    back: dict[int, Tensor] = {n: left / error.clamp(min=1e-30)[..., None] / case.rms}
    found = error.new_zeros(*error.shape, len(table.flat))
    places, by_data, by_noise = found.split([n + 1, data.numel(), noise.numel()], -1)
    for k in range(n - 1, -1, -1):
        for lag in range(min(k, LAGS) + 1):
            by_data[..., k * (LAGS + 1) + lag] = -(back[k + 1] * path.x0[k - lag].detach()).sum(2)
            by_noise[..., k * (LAGS + 1) + lag] = (back[k + 1] * path.eps[k - lag]).sum(2)
        if k:
            rows = range(k, min(n, k + LAGS + 1))
            of_x0 = sum((-data[r, r - k] * back[r + 1] for r in rows), torch.zeros_like(left))
            of_eps = sum((noise[r, r - k] * back[r + 1] for r in rows), torch.zeros_like(left))
            moved, places[..., k] = _one_level(case, u[k], path, k, of_x0, of_eps)
            back[k] = back[k + 1] + moved
    return error, found


def _one_level(
    case: Case, u: Tensor, path: _Path, k: int, of_x0: Tensor, of_eps: Tensor, step: float = 1e-5
) -> tuple[Tensor, Tensor]:
    """From derivatives in the answers of row k: those in `x / (1 + sigma)`, and in the level's place u."""
    sigma = u / (1 - u)
    x, x0 = path.x[k].detach(), path.x0[k].detach()
    total = of_x0 - of_eps / sigma
    by_x = torch.autograd.grad(path.x0[k], path.x[k], total)[0] + of_eps / sigma
    rate = (case.mixtures.x0(x, sigma * (1 + step)) - x0) / (sigma * step)
    by_sigma = (total * rate).sum(2) - (of_eps * path.eps[k]).sum(2) / sigma
    return by_x / (1 - u), (by_x * x).sum(2) / (1 - u) + by_sigma / (1 - u) ** 2


class Family(NamedTuple):
    """Plans by parameters `(knots, size)`, of which each number of dimensions takes a mean.

    Args:
        table: `(parameters (size,), high) -> Table`.
        shares: of the knots in a number of dimensions, `(knots,)`.
        possible: whether parameters of all knots give falling levels.
    """

    table: Callable[[Tensor, float], Table]
    shares: Callable[[int], Tensor]
    possible: Callable[[Tensor], bool]

    def of(self, at: Tensor, case: Case) -> Table:
        return self.table(self.shares(case.mixtures.dimensions) @ at, case.mixtures.high)


def _equations(family: Family, at: Tensor, batch: Sequence[Case], part: Tensor) -> tuple[Tensor, Tensor, float]:
    """Gram matrix, right side and loss at the parameters."""
    knots, size = at.shape
    gram, right, total = at.new_zeros(knots, size, knots, size), torch.zeros_like(at), 0.0
    slope_of: dict[tuple[int, float], Tensor] = {}
    for case in batch:
        high, shares = case.mixtures.high, family.shares(case.mixtures.dimensions)
        key = (case.mixtures.dimensions, high)
        if key not in slope_of:
            slope_of[key] = torch.func.jacfwd(lambda p, high=high: family.table(p, high).flat)(shares @ at)
        error, by_table = slopes(case, family.of(at, case), part)
        total += float(end_loss(error.square()).mean())
        by = by_table.flatten(0, 1) @ slope_of[key]
        weight = without_steepest((end_weights(error.square()) / len(error)).flatten(), by)
        inner, outer = (weight[:, None] * by).T @ by, (weight[:, None] * by).T @ error.flatten()
        for k in shares.nonzero()[:, 0].tolist():
            right[k] += shares[k] * outer
            for m in shares.nonzero()[:, 0].tolist():
                gram[k, :, m] += shares[k] * shares[m] * inner
    count = knots * size
    return gram.view(count, count) / len(batch), right.view(count) / len(batch), total / len(batch)


def mean_loss(family: Family, at: Tensor, batch: Sequence[Case], part: Tensor | slice = slice(None)) -> float:
    value = float(torch.stack([end_loss(arrive(case, family.of(at, case), part)).mean() for case in batch]).mean())
    return value if value == value else float("inf")


def fit(
    family: Family,
    seen: Sequence[Case],
    at: Tensor,
    steps: int,
    batch: int = 21,
    part: int = 32,
    seed: int = 0,
    damping: float = 0.3,
    say: Callable[[str], object] = lambda text: None,
) -> Tensor:
    """Parameters after so many steps, each on other mixtures; one that does not help on these is not made."""
    draw = torch.Generator().manual_seed(seed)
    left: list[int] = []
    eye = 1e-4 * torch.eye(at.numel(), dtype=F64)
    for index in range(steps):
        if len(left) < batch:
            left = torch.randperm(len(seen), generator=draw).tolist()
        chosen, left = [seen[i] for i in left[:batch]], left[batch:]
        some = torch.randperm(seen[0].start.shape[1], generator=draw)[:part]
        gram, right, before = _equations(family, at, chosen, some)
        for _ in range(4):
            step = torch.linalg.solve(gram + damping * torch.diag(gram.diagonal()) + eye, right)
            new = at - step.view_as(at)
            after = mean_loss(family, new, chosen, some) if family.possible(new) else float("inf")
            if after < before:
                at, damping = new, max(damping / 3, 1e-4)
                break
            damping = min(4 * damping, 1e3)
        say(f"    step {index}: {before:.3f} to {after:.3f}, damping {damping:.1e}")
    return at
