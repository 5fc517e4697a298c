"""The Stein kernel of a score: a kernel whose mean over the score's own law is 0, in either argument.

With the diffusion Stein operator `T g = (1 / p) div(p m g)` of a matrix field m (Gorham, Duncan, Vollmer and Mackey
2019; m = 1: Langevin's) applied to a kernel k in both arguments,

    u(x, y) = w(x) . w(y) k + w(x) . m(y)^T grad_y k + w(y) . m(x)^T grad_x k + tr(m(x)^T [grad_x grad_y^T k] m(y)),

where `w = m^T s + div m`, `(div m)_j = sum_i d_i m_ij` and s is the score of p.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from scorefield.core import StaticScore
from scorefield.metrics.kernel import median_distance
from scorefield.metrics.samples import Sample, rows_of
from scorefield.numerics.kernels import RadialKernel, squared_distances

Diffusion: TypeAlias = Callable[[Tensor], Tensor]
"""m: points `(n, *shape)` to matrices `(n, d, d)`, each point by itself, differentiable by `torch.func`."""


@dataclass(frozen=True, eq=False)
class SteinPoints:
    """Points with what a Stein kernel needs of the score at them.

    Args:
        x: `(n, d)`, float64.
        w: `m^T score + div m`, `(n, d)`: the score itself without a diffusion.
        m: `(n, d, d)`; None: the identity.
    """

    x: Tensor
    w: Tensor
    m: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, part: slice | Tensor) -> SteinPoints:
        return SteinPoints(self.x[part], self.w[part], None if self.m is None else self.m[part])


def stein_points(
    score: StaticScore, x: Sample, diffusion: Diffusion | None = None, *, least: int = 2, name: str = "x"
) -> SteinPoints:
    """Points with the score at them, checked.

    Args:
        score: `(n, *shape) -> (n, *shape)`.
        x: `(n, *shape)`.
        diffusion: m; None: the identity.
        least: rows that there must be.
        name: of x, for messages.

    Raises:
        ValueError: for a score of another shape than x, or one that is not finite, with its row.
    """
    points = rows_of(name, x, least)
    flat = scores_at(score, points)
    if diffusion is None:
        return SteinPoints(points.flatten(1), flat)
    matrices, divergence = _matrices(diffusion, points)
    return SteinPoints(points.flatten(1), torch.einsum("nij,ni->nj", matrices, flat) + divergence, matrices)


def scores_at(score: StaticScore, points: Tensor) -> Tensor:
    """The score at points `(n, *shape)`, `(n, d)` in their dtype."""
    scores: object = score(points)
    if not isinstance(scores, Tensor) or scores.shape != points.shape:
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"the score must have x's shape, {tuple(points.shape)}, got {got}.")
    flat = scores.detach().flatten(1).to(points)
    if not bool(torch.isfinite(flat).all()):
        row = int((~torch.isfinite(flat)).any(1).nonzero()[0])
        raise ValueError(f"the score is not finite at row {row}; leave rows out where the density is 0.")
    return flat


def _matrices(diffusion: Diffusion, points: Tensor) -> tuple[Tensor, Tensor]:
    """m `(n, d, d)` and its divergence `(n, d)`."""
    d = points[0].numel()
    m: object = diffusion(points)
    if not isinstance(m, Tensor) or m.shape != (len(points), d, d):
        got = tuple(m.shape) if isinstance(m, Tensor) else type(m).__name__
        raise ValueError(f"diffusion must give matrices of shape {(len(points), d, d)}, got {got}.")

    def divergence(one: Tensor) -> Tensor:
        slopes = torch.func.jacfwd(lambda z: diffusion(z[None])[0])(one).reshape(d, d, d)
        return torch.einsum("iji->j", slopes)

    b = torch.func.vmap(divergence)(points).detach().to(points)
    matrices = m.detach().to(points)
    if not bool(torch.isfinite(matrices).all() and torch.isfinite(b).all()):
        row = int((~torch.isfinite(torch.cat([matrices.flatten(1), b], 1))).any(1).nonzero()[0])
        raise ValueError(f"the diffusion or its derivative is not finite at row {row}.")
    return matrices, b


def scale_of(kernel: RadialKernel, points: Tensor, seed: int) -> float:
    """A kernel's own scale, else the median distance within points `(n, d)`."""
    scale = median_distance(points, seed) if kernel.scale is None else kernel.scale
    if not 0 < scale < math.inf:
        raise ValueError(f"the kernel needs a scale > 0, got {scale:g}; give it one (are all rows of x equal?).")
    return scale


def stein_rows(points: SteinPoints, kernel: RadialKernel, scale: float, chunk: int) -> Iterator[tuple[int, Tensor]]:
    """Rows of the matrix of u, chunk of them at a time, each part with the index of its first row."""
    if points.m is not None:
        chunk = max(1, chunk // points.x.shape[1])
    for start in range(0, len(points), chunk):
        yield start, stein_kernel(points[start : start + chunk], points, kernel, scale)


def stein_kernel(a: SteinPoints, b: SteinPoints, kernel: RadialKernel, scale: float) -> Tensor:
    """u of each point of a and each of b, `(a, b)`."""
    k, slope, curve = kernel.derivatives(squared_distances(a.x, b.x) / scale**2, 2)
    # grad_x k = 2 slope (x - y) / scale^2, grad_y k minus that; ahead = m(x)^T (x - y), behind = m(y)^T (x - y)
    if a.m is None or b.m is None:
        along = a.w @ b.x.T - (a.w * a.x).sum(1)[:, None] + (a.x @ b.w.T - (b.x * b.w).sum(1))
        both: Tensor | int = a.x.shape[1]
        product = squared_distances(a.x, b.x)
    else:
        ahead = torch.einsum("aij,ai->aj", a.m, a.x)[:, None] - torch.einsum("aij,bi->abj", a.m, b.x)
        behind = torch.einsum("bij,ai->abj", b.m, a.x) - torch.einsum("bij,bi->bj", b.m, b.x)
        along = torch.einsum("abj,bj->ab", ahead, b.w) - torch.einsum("abj,aj->ab", behind, a.w)
        both, product = a.m.flatten(1) @ b.m.flatten(1).T, (ahead * behind).sum(2)
    return a.w @ b.w.T * k + 2 * slope * along / scale**2 - 2 * slope * both / scale**2 - 4 * curve * product / scale**4


def stein_diagonal(a: SteinPoints, kernel: RadialKernel, scale: float) -> Tensor:
    """u of each point with itself, `(n,)`."""
    k, slope = kernel.derivatives(a.x.new_zeros(()), 1)
    both = a.x.shape[1] if a.m is None else a.m.flatten(1).square().sum(1)
    return a.w.square().sum(1) * k - 2 * slope * both / scale**2
