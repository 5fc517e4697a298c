"""Is a sample from a given score? The kernel Stein discrepancy, its test, and thinning by it.

With any kernel k of a Stein class and the score s of a law p, `E[u(x, y)] = 0` for x, y from p, where

    u(x, y) = s(x) . s(y) k + s(x) . grad_y k + s(y) . grad_x k + trace of grad_x grad_y k,

so the mean of u over a sample tells whether that is from p, without p's normalising constant (Liu, Lee and Jordan 2016;
Chwialkowski, Strathmann and Gretton 2016). A score hardly says how much weight modes have that lie far apart, and nor
does this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.core import StaticScore
from scorefield.metrics.kernel import median_distance
from scorefield.metrics.samples import CHUNK, Sample, check_count, rows_of
from scorefield.numerics.random import uniform


def _check_scale(scale: float | None) -> None:
    if scale is not None and not 0 < scale < math.inf:
        raise ValueError(f"a kernel's scale must be > 0 and finite, got {scale}.")


@dataclass(frozen=True)
class InverseMultiquadric:
    """`k = (1 + |x - y|^2 / scale^2)^power`: only for p itself is the discrepancy 0 in the limit (Gorham, Mackey 2017).

    Args:
        scale: in the units of the data, > 0; None: the median distance within the sample.
        power: between -1 and 0.
    """

    scale: float | None = None
    power: float = -0.5

    def __post_init__(self) -> None:
        _check_scale(self.scale)
        if not -1 < self.power < 0:
            raise ValueError(f"InverseMultiquadric(power=...) must be between -1 and 0, got {self.power}.")

    def profile(self, t: Tensor) -> Tensor:
        """k as a function of `|x - y|^2 / scale^2`."""
        return (1 + t) ** self.power


@dataclass(frozen=True)
class SquaredExponential:
    """`k = exp(-|x - y|^2 / (2 scale^2))`, the Gaussian kernel; it may miss samples that fall apart.

    Args:
        scale: in the units of the data, > 0; None: the median distance within the sample.
    """

    scale: float | None = None

    def __post_init__(self) -> None:
        _check_scale(self.scale)

    def profile(self, t: Tensor) -> Tensor:
        """k as a function of `|x - y|^2 / scale^2`."""
        return (-t / 2).exp()


Kernel = InverseMultiquadric | SquaredExponential


class SteinTest(NamedTuple):
    """A kernel Stein discrepancy and its test.

    Args:
        value: the squared discrepancy, unbiased (U-statistic): about 0 for a sample of the score's law.
        v_statistic: with the diagonal, >= 0; what the test rejects for.
        p_value: of a sample of the score's law giving as large a one.
        scale: of the kernel.
    """

    value: float
    v_statistic: float
    p_value: float
    scale: float


def stein_test(
    score: StaticScore,
    x: Sample,
    *,
    kernel: Kernel = InverseMultiquadric(),
    memory: float = 0.0,
    bootstraps: int = 499,
    seed: int = 0,
    chunk: int = CHUNK,
) -> SteinTest:
    """Test whether x is a sample of the law with this score, by a wild bootstrap of the V-statistic.

    Args:
        score: `(n, *shape) -> (n, *shape)`.
        x: `(n, *shape)`, n >= 2.
        kernel: `InverseMultiquadric` or `SquaredExponential`.
        memory: of x, 0 for independent draws; for a Markov chain about the steps after which it has forgotten: the
            bootstrap's signs then stay the same so long (Chwialkowski, Strathmann and Gretton 2016).
        bootstraps: random signs; the p-value is a multiple of `1 / (bootstraps + 1)`.
        seed: of the signs.
        chunk: rows of the kernel matrix in memory at a time.

    Raises:
        ValueError: for a score that is not finite at a row of x, or a sample all of whose rows are equal.

    Example:
        >>> x = torch.special.ndtri(torch.linspace(0.01, 0.99, 99))[:, None]
        >>> stein_test(lambda x: -x, x).p_value > 0.5, stein_test(lambda x: -x, x + 1).p_value
        (True, 0.002)
    """
    check_count("bootstraps", bootstraps, 1)
    if not (math.isfinite(memory) and memory >= 0):
        raise ValueError(f"stein_test(memory=...) must be >= 0, got {memory}.")
    points, scores, scale = _prepared(score, x, kernel, seed)
    n = len(points)
    signs = _signs(n, bootstraps, memory, seed).to(points)
    total = trace = 0.0
    drawn = torch.zeros(bootstraps, dtype=points.dtype, device=points.device)
    for start, u in _rows(points, scores, kernel, scale, chunk):
        total += float(u.sum())
        trace += float(u.diagonal(start).sum())
        drawn += (signs[start : start + len(u)] * (u @ signs)).sum(0)
    at_least = int((drawn >= total * (1 - 1e-12)).sum())
    return SteinTest((total - trace) / (n * (n - 1)), total / n**2, (1 + at_least) / (bootstraps + 1), scale)


def stein_thinned(
    score: StaticScore, x: Sample, m: int, *, kernel: Kernel = InverseMultiquadric(), seed: int = 0
) -> Tensor:
    """Which m of the rows of x, some perhaps more than once, are together most like the score's law: `(m,)`, in order.

    Greedy Stein thinning (Riabiz and others 2022): each row is the one that makes the discrepancy of those so far
    least. It corrects what a Markov chain has not forgotten, or samples of another law, as far as x covers the law.

    Args:
        score: `(n, *shape) -> (n, *shape)`.
        x: `(n, *shape)`.
        m: how many.
        kernel: as `stein_test`.
        seed: of the rows that the kernel's scale is measured on, where there are many.

    Example:
        >>> x = torch.tensor([[-1.0], [0.0], [0.1], [1.0], [5.0]])
        >>> sorted(stein_thinned(lambda x: -x, x, 3).tolist())
        [0, 1, 3]
    """
    check_count("m", m, 1)
    points, scores, scale = _prepared(score, x, kernel, seed)
    cost = _stein(points, scores, points, scores, kernel, scale, pairs=False) / 2
    chosen = torch.empty(m, dtype=torch.int64)
    for k in range(m):
        best = int(cost.argmin())
        chosen[k] = best
        cost += _stein(points[best : best + 1], scores[best : best + 1], points, scores, kernel, scale)[0]
    return chosen


def _prepared(score: StaticScore, x: Sample, kernel: Kernel, seed: int) -> tuple[Tensor, Tensor, float]:
    """Points and scores `(n, d)` in float64, and the kernel's scale."""
    points = rows_of("x", x, 2)
    scores: object = score(points)
    if not isinstance(scores, Tensor) or scores.shape != points.shape:
        got = tuple(scores.shape) if isinstance(scores, Tensor) else type(scores).__name__
        raise ValueError(f"the score must have x's shape, {tuple(points.shape)}, got {got}.")
    points, flat = points.flatten(1), scores.detach().flatten(1).to(points)
    if not bool(torch.isfinite(flat).all()):
        row = int((~torch.isfinite(flat)).any(1).nonzero()[0])
        raise ValueError(f"the score is not finite at row {row}; leave rows out where the density is 0.")
    scale = median_distance(points, seed) if kernel.scale is None else kernel.scale
    if not 0 < scale < math.inf:
        raise ValueError(f"the kernel needs a scale > 0, got {scale:g}; give it one (are all rows of x equal?).")
    return points, flat, scale


def _rows(points: Tensor, scores: Tensor, kernel: Kernel, scale: float, chunk: int) -> Iterator[tuple[int, Tensor]]:
    """Rows of u, from which on."""
    for start in range(0, len(points), chunk):
        part = slice(start, start + chunk)
        yield start, _stein(points[part], scores[part], points, scores, kernel, scale)


def _stein(x: Tensor, s: Tensor, y: Tensor, r: Tensor, kernel: Kernel, scale: float, pairs: bool = True) -> Tensor:
    """u of each x `(a, d)`, with score s, and each y `(b, d)`, with score r: `(a, b)`; or of each x with itself."""
    d = x.shape[1]
    if pairs:
        t = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").square() / scale**2
        both, along = s @ r.T, s @ y.T - (s * x).sum(1)[:, None] + (x @ r.T - (y * r).sum(1))
    else:
        t, both, along = x.new_zeros(len(x)), s.square().sum(1), x.new_zeros(len(x))
    k, slope, curve = _derivatives(kernel.profile, t)
    # grad_x k = 2 slope (x - y) / scale^2, grad_y k minus that
    return both * k + 2 * slope * along / scale**2 - (2 * d * slope + 4 * t * curve) / scale**2


def _derivatives(profile: Callable[[Tensor], Tensor], t: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """A function of numbers, its slope and its curvature at each."""
    unit = torch.ones_like(t)

    def slope(v: Tensor) -> Tensor:
        found: Tensor = torch.func.jvp(profile, (v,), (unit,))[1]
        return found

    return profile(t), slope(t), torch.func.jvp(slope, (t,), (unit,))[1]


def _signs(n: int, bootstraps: int, memory: float, seed: int) -> Tensor:
    """Random signs `(n, bootstraps)`, each turned from the one before it with probability `1 / (2 max(1, memory))`."""
    u = uniform(bootstraps, (n,), seed, "stein signs", dtype=torch.float64).T
    turns = torch.where(u < 0.5 / max(1.0, memory), -1.0, 1.0).double()
    turns[0] = torch.where(u[0] < 0.5, -1.0, 1.0)
    return turns.cumprod(0)
