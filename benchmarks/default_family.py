"""Random mixtures by which the plans of `plans.default` are fitted and judged, many of one shape in one tensor.

All have mean 0 and mean variance 1, modes of low rank plus a small sphere, 1 to 256 dimensions and 2 to 20 modes. What
differs is the share of the variance that lies within the modes, and its form: `KINDS`.

Many dimensions cost no more than few: across the span of all means and axes every mode is a sphere, so that the flow,
and any plan, moves a point there along its own ray. One coordinate, the distance from the span, stands for all of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.plans import FLOW, unipc
from scorefield.plans.default import logistic_levels

F64 = torch.float64
HIGHS = (80.0, 160.0)
LOW = 0.002
DIMENSIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Kind(NamedTuple):
    """Ranges of the share of variance within the modes, of the sphere's std over the modes', and of their sizes."""

    within: tuple[float, float]
    floor: tuple[float, float]
    size: tuple[float, float]


KINDS = {
    "any": Kind((0.03, 0.9), (0.02, 0.3), (0.7, 1.4)),
    "ring": Kind((0.01, 0.5), (0.2, 1.0), (1.0, 1.0)),
    "nearly discrete": Kind((4e-4, 1e-2), (0.2, 1.0), (1.0, 1.0)),
    "blend of scales": Kind((0.02, 0.8), (0.02, 0.3), (0.1, 2.0)),
    "overlapping": Kind((0.4, 0.95), (0.02, 0.3), (0.7, 1.4)),
    "near surfaces": Kind((0.1, 0.95), (0.005, 0.05), (1.0, 1.0)),
    "heavy": Kind((0.7, 0.99), (0.2, 1.0), (0.1, 2.0)),
}
"""A ring has its means on a circle or a sphere."""
UNEQUAL = 0.4
"""How many of the cases have weights that differ by up to a factor of 50, in place of 4."""


@dataclass(frozen=True, eq=False)
class Mixtures:
    """M mixtures of K modes in d dimensions, `x (M, n, D)`, with trajectories of their probability flow.

    D is d, or less by the dimensions across the span of means and axes, of which the last coordinate is the norm.

    Args:
        kind: a key of `KINDS`.
        weights: log, `(M, K)`.
        means: `(M, K, D)`.
        axes: orthonormal, `(M, K, D, r)`.
        along: variance along the axes beyond the sphere's, `(M, K, r)`.
        floor: variance of the sphere, `(M, K)`.
        high: the first sigma.
        dimensions: d.
    """

    kind: str
    weights: Tensor
    means: Tensor
    axes: Tensor
    along: Tensor
    floor: Tensor
    high: float
    dimensions: int

    def x0(self, x: Tensor, sigma: Tensor) -> Tensor:
        """E[x0 | x] at alpha = 1."""
        count, K, D, r = self.axes.shape
        n = x.shape[1]
        round_ = self.floor + sigma**2
        along = self.along + round_[..., None]
        flat = self.axes.permute(0, 2, 1, 3).reshape(count, D, K * r)
        centre = torch.einsum("mkd,mkdr->mkr", self.means, self.axes)
        place = (x @ flat).view(count, n, K, r) - centre[:, None]
        square = x.square().sum(-1)[..., None] - 2 * x @ self.means.mT + self.means.square().sum(-1)[:, None]
        distance = square / round_[:, None]
        distance = distance + (place.square() * (1 / along - 1 / round_[..., None])[:, None]).sum(-1)
        size = along.log().sum(-1) + (self.dimensions - r) * round_.log()
        share = torch.softmax(self.weights[:, None] - 0.5 * (distance + size[:, None]), dim=2)
        keep = self.floor / round_
        more = (self.along + self.floor[..., None]) / along - keep[..., None]
        x0 = (share * (1 - keep)[:, None]) @ self.means + (share * keep[:, None]).sum(-1, keepdim=True) * x
        return x0 + (share[..., None] * more[:, None] * place).flatten(2) @ flat.mT

    def starts(self, n: int, seed: int) -> Tensor:
        """Of the variance that the noised mixtures have at `high`, `(M, n, D)`."""
        count, _, D = self.means.shape
        draw = torch.Generator().manual_seed(seed)
        x = torch.randn(count, n, D, generator=draw, dtype=F64)
        if self.dimensions > D:
            across = torch.randn(count, n, self.dimensions - D, generator=draw, dtype=F64)
            x[..., -1] = torch.cat([x[..., -1:], across], -1).norm(dim=-1)
        return math.hypot(1, self.high) * x


def mixtures(seed: int, kind: str, d: int, high: float, count: int = 16) -> Mixtures:
    """As many mixtures of a kind from a seed."""
    draw = torch.Generator().manual_seed(seed)
    K = int(torch.randint(2, 13 if d < 16 else 11, (1,), generator=draw))
    if kind == "nearly discrete" and seed % 2:
        K = 20
    rank = min(d if d < 3 else d - 1, int(torch.randint(1, 7, (1,), generator=draw)))
    within, floor, size = (_between(draw, *ranges, shape) for ranges, shape in _shapes(KINDS[kind], count, K))
    means = _means(draw, kind, count, K, d)
    axes = torch.linalg.qr(torch.randn(count, K, d, rank, generator=draw, dtype=F64))[0]
    along = size[..., None] ** 2 * (0.05 - torch.rand(count, K, rank, generator=draw, dtype=F64).log()) * d / rank
    sphere = (size * floor) ** 2
    weights = torch.rand(count, K, generator=draw, dtype=F64) + 0.3
    if float(torch.rand(1, generator=draw)) < UNEQUAL:
        weights = _between(draw, 0.02, 1.0, (count, K))
    weights = weights / weights.sum(1, keepdim=True)
    means = means - (weights[..., None] * means).sum(1, keepdim=True)
    between = (weights[..., None] * means**2).sum((1, 2)) / d
    inner = (weights * (along.sum(-1) + d * sphere)).sum(1) / d
    shrink = within[:, 0] / inner
    means = means * ((1 - within[:, 0]) / between).sqrt()[:, None, None]
    means, axes = _within_span(means, axes)
    return Mixtures(kind, weights.log(), means, axes, along * shrink[:, None, None], sphere * shrink[:, None], high, d)


def _within_span(means: Tensor, axes: Tensor) -> tuple[Tensor, Tensor]:
    """Coordinates in the span of both, and one for the distance from it, where these are fewer than all."""
    count, K, d, r = axes.shape
    if d <= K * (r + 1) + 1:
        return means, axes
    basis = torch.linalg.qr(torch.cat([means.mT, axes.permute(0, 2, 1, 3).reshape(count, d, K * r)], 2))[0]
    basis = torch.cat([basis, basis.new_zeros(count, d, 1)], 2)
    return means @ basis, torch.einsum("mkdr,mde->mker", axes, basis)


def _shapes(kind: Kind, count: int, K: int) -> list[tuple[tuple[float, float], tuple[int, int]]]:
    return [(kind.within, (count, 1)), (kind.floor, (count, 1)), (kind.size, (count, K))]


def _between(draw: torch.Generator, low: float, high: float, shape: tuple[int, int]) -> Tensor:
    """Log-uniform."""
    return low * (high / low) ** torch.rand(shape, generator=draw, dtype=F64)


def _means(draw: torch.Generator, kind: str, count: int, K: int, d: int) -> Tensor:
    means = torch.randn(count, K, d, generator=draw, dtype=F64)
    if kind != "ring" or d == 1:
        return means
    if d != 2:
        return means / means.norm(dim=-1, keepdim=True)
    turn = 0.15 * _between(draw, 0.05, 3.0, (count, 1)) * torch.randn(count, K, generator=draw, dtype=F64)
    angle = 2 * math.pi / K * (torch.arange(K, dtype=F64) + turn)
    away = 0.1 * torch.rand(count, 1, generator=draw, dtype=F64) * torch.randn(count, K, generator=draw, dtype=F64)
    return torch.stack([angle.cos(), angle.sin()], dim=-1) * (1 + away)[..., None]


class Case(NamedTuple):
    """Mixtures, starts `(M, n, D)`, where the probability flow takes them, and the RMS norm of these `(M, 1, 1)`."""

    mixtures: Mixtures
    start: Tensor
    end: Tensor
    rms: Tensor

    def errors(self, end: Tensor, part: Tensor | slice = slice(None)) -> Tensor:
        """Squared distances from the true end points over their mean square, `(M, n)`."""
        return ((end - self.end[:, part]) / self.rms).square().sum(2)


def cases(seed: int, rounds: int = 1, count: int = 16, n: int = 64) -> list[Case]:
    """Mixtures of every kind in each of `DIMENSIONS`, so many times over."""
    made = []
    for index in range(rounds * len(KINDS) * len(DIMENSIONS)):
        kind, d = list(KINDS)[index // len(DIMENSIONS) % len(KINDS)], DIMENSIONS[index % len(DIMENSIONS)]
        made.append(case(seed + index, kind, d, HIGHS[(index + index // len(DIMENSIONS)) % 2], count, n))
    return made


def case(seed: int, kind: str, d: int, high: float, count: int, n: int) -> Case:
    """Mixtures from a seed with their trajectories."""
    made = mixtures(seed, kind, d, high, count)
    x = made.starts(n, seed)
    end = follow(made, x)
    return Case(made, x, end, end.square().sum(2).mean(1).sqrt()[:, None, None])


def follow(mixtures: Mixtures, x: Tensor, count: int = 320) -> Tensor:
    """End points of the probability flow, to about 1e-6."""
    plan = unipc(logistic_levels(count, mixtures.high, 0.001, 0.5, 0.3), 4, FLOW)
    data, noise = [], []
    for k in range(count):
        sigma = plan.levels.sigma[k]
        data.append(mixtures.x0(x, sigma))
        noise.append((x - data[-1]) / sigma)
        first = max(0, k - 5)
        x = sum(plan.P[k, j] * data[j] + plan.E[k, j] * noise[j] for j in range(first, k + 1))
    return x
