"""Is a sample from a given score? The kernel Stein discrepancy, its test, and thinning by it.

With any kernel k of a Stein class and the score s of a law p, `E[u(x, y)] = 0` for x, y from p, where

    u(x, y) = s(x) . s(y) k + s(x) . grad_y k + s(y) . grad_x k + trace of grad_x grad_y k,

so the mean of u over a sample tells whether that is from p, without p's normalising constant (Liu, Lee and Jordan 2016;
Chwialkowski, Strathmann and Gretton 2016). A score hardly says how much weight modes have that lie far apart, and nor
does this.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.core import StaticScore
from scorefield.metrics.samples import CHUNK, Sample, check_count
from scorefield.metrics.stein_kernel import (
    Diffusion,
    scale_of,
    stein_diagonal,
    stein_kernel,
    stein_points,
    stein_rows,
)
from scorefield.numerics.kernels import InverseMultiquadric, RadialKernel
from scorefield.numerics.random import uniform

IMQ = InverseMultiquadric()
"""The default kernel: of the median distance, power -1/2."""


class SteinTest(NamedTuple):
    """A kernel Stein discrepancy and its test.

    Args:
        value: the squared discrepancy, unbiased (U-statistic): about 0 for a sample of the score's law.
        v_statistic: with the diagonal, >= 0.
        p_value: of a sample of the score's law giving as large a one, of either statistic: signs of size 1 leave the
            diagonal as it is, so that both reject the same samples.
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
    kernel: RadialKernel = IMQ,
    diffusion: Diffusion | None = None,
    memory: float = 0.0,
    bootstraps: int = 499,
    seed: int = 0,
    chunk: int = CHUNK,
) -> SteinTest:
    """Test whether x is a sample of the law with this score, by a wild bootstrap of the V-statistic.

    Args:
        score: `(n, *shape) -> (n, *shape)`.
        x: `(n, *shape)`, n >= 2.
        kernel: `InverseMultiquadric`, `SquaredExponential`, or any radial kernel.
        diffusion: matrices m(x), `(n, *shape) -> (n, d, d)`, of the diffusion Stein discrepancy (Gorham and others
            2019): one that grows with |x| tells laws with heavy tails apart. None: the identity.
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
    check_count("chunk", chunk, 1)
    points = stein_points(score, x, diffusion)
    n, scale = len(points), scale_of(kernel, points.x, seed)
    signs = _signs(n, bootstraps, memory, seed).to(points.x)
    total = trace = 0.0
    drawn = torch.zeros(bootstraps, dtype=points.x.dtype, device=points.x.device)
    for start, u in stein_rows(points, kernel, scale, chunk):
        total += float(u.sum())
        trace += float(u.diagonal(start).sum())
        drawn += (signs[start : start + len(u)] * (u @ signs)).sum(0)
    at_least = int((drawn >= total * (1 - 1e-12)).sum())
    return SteinTest((total - trace) / (n * (n - 1)), total / n**2, (1 + at_least) / (bootstraps + 1), scale)


def stein_thinned(score: StaticScore, x: Sample, m: int, *, kernel: RadialKernel = IMQ, seed: int = 0) -> Tensor:
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
    points = stein_points(score, x)
    scale = scale_of(kernel, points.x, seed)
    cost = stein_diagonal(points, kernel, scale) / 2
    chosen = torch.empty(m, dtype=torch.int64)
    for k in range(m):
        best = int(cost.argmin())
        chosen[k] = best
        cost += stein_kernel(points[best : best + 1], points, kernel, scale)[0]
    return chosen


def _signs(n: int, bootstraps: int, memory: float, seed: int) -> Tensor:
    """Random signs `(n, bootstraps)`, each turned from the one before it with probability `1 / (2 max(1, memory))`."""
    u = uniform(bootstraps, (n,), seed, "stein signs", dtype=torch.float64).T
    turns = torch.where(u < 0.5 / max(1.0, memory), -1.0, 1.0).double()
    turns[0] = torch.where(u[0] < 0.5, -1.0, 1.0)
    return turns.cumprod(0)
