"""Graphs at falling penalties, each begun at the one before, and which of them a criterion takes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield._columns import column_named
from scorefield.graphs import solver
from scorefield.graphs.models import Interactions, gaussian
from scorefield.graphs.moments import Sample, quadratic, sample_of
from scorefield.graphs.slopes import pair_variance
from scorefield.progress import Report, silent


@dataclass(frozen=True, eq=False)
class Path:
    """Matrices of interactions at falling penalties, of the scaled data.

    Args:
        sample: the data.
        problem: the loss and its multiplier.
        penalties: `(l,)`, falling.
        matrices: K of `x / scale`, `(l, d, d)`: rows and columns j, times `scale_j^-a`, are K of x.
    """

    sample: Sample
    problem: solver.Problem
    penalties: Tensor
    matrices: Tensor

    @property
    def edges(self) -> Tensor:
        """Their number at each penalty, `(l,)`."""
        return ((self.matrices != 0).sum((1, 2)) - self.sample.d) // 2

    @property
    def violation(self) -> Tensor:
        """How far each matrix is from the conditions of the minimum, in units of the largest penalty, `(l,)`."""
        far = [
            float(solver.violation(self.problem, K, float(penalty)).max())
            for penalty, K in zip(self.penalties, self.matrices, strict=True)
        ]
        return torch.tensor(far, dtype=torch.float64) / solver.largest_penalty(self.problem)

    def ebic(self, gamma: float = 0.25) -> Tensor:
        """The extended information criterion of each graph, `(l,)`: less is better, infinite where none can be had.

        `2 n loss + sum over edges of w (log n + 4 gamma log d)`, the loss at the minimum on the graph's edges without
        a penalty or a multiplier, and w the variance of an edge's slope over its curvature, which is 1 in a
        likelihood and about 2 here. With w = 1 it is the criterion of Yu, Drton and Shojaie (2019), after Foygel and
        Drton (2010); w is that of composite likelihoods (Varin and Vidoni 2005).

        Args:
            gamma: from 0 (BIC) to 1: the larger, the fewer false edges among many columns.
        """
        _ranges.real(0, 1)("ebic(gamma=...)", gamma)
        whole = solver.Problem(self.problem.loss, 1.0, self.problem.bound)
        factor = math.log(self.sample.n) + 4 * gamma * math.log(self.sample.d)
        found: list[float] = []
        for k, K in enumerate(self.matrices):
            known = k > 0 and torch.equal(K != 0, self.matrices[k - 1] != 0)
            found.append(found[-1] if known else self._criterion(whole, K, factor))
        return torch.tensor(found, dtype=torch.float64)

    def _criterion(self, whole: solver.Problem, K: Tensor, factor: float) -> float:
        graph, n = K != 0, self.sample.n
        if int(graph.sum(1).max()) >= n - 1:
            return math.inf
        try:
            refitted = solver.minimum_on(whole, graph, K)
        except ValueError:
            return math.inf
        share = pair_variance(self.sample, refitted) / (whole.loss.curvature + whole.loss.curvature.T)
        return 2 * n * whole.loss.value(refitted) + factor * float(share[graph.triu(1)].sum())


def default_multiplier(n: int, d: int) -> float:
    """The diagonal multiplier of Yu, Drton and Shojaie (2019), with which the loss of n < d rows has a minimum.

    `2 - 1 / (1 + 4 e max(6 log(d) / n, sqrt(6 log(d) / n)))`: between 1 and 2.
    """
    rate = 6 * math.log(d) / n
    return 2 - 1 / (1 + 4 * math.e * max(rate, math.sqrt(rate)))


def path(
    x: Any,
    model: Interactions | None = None,
    *,
    penalties: Sequence[float] | Tensor | None = None,
    count: int = 30,
    smallest: float = 0.05,
    multiplier: float | None = None,
    tolerance: float = solver.TOLERANCE,
    report: Report = silent,
) -> Path:
    """The graphs of l1-penalised score matching at falling penalties.

    Args:
        x: `(n, d)`, n >= 3 and d >= 2, n < d too: a data frame, an array or a tensor of numbers.
        model: of `graphs.models`; default: Gaussian.
        penalties: falling, >= 0, of the scaled data; default: `count` of them, evenly in the logarithm, from the least
            one without an edge.
        count: >= 2.
        smallest: the last penalty over the first, 0 < smallest < 1.
        multiplier: of the loss's diagonal, >= 1; default: 1 for n > 2 d, else `default_multiplier(n, d)`.
        tolerance: of the conditions of the minimum, in units of the largest penalty, > 0.
        report: is told the share done.

    Raises:
        ValueError: for data that are no numbers within the model's support, constant columns, penalties out of order.

    Source: Lin, Drton and Shojaie (2016); Yu, Drton and Shojaie (2019).

    Example:
        >>> x = torch.special.ndtri(torch.rand(400, 3, generator=torch.Generator().manual_seed(0)).double())
        >>> x[:, 1] += x[:, 0]
        >>> path(x, count=5).edges.tolist()
        [0, 1, 1, 3, 3]
    """
    sample = sample_of(x, model or gaussian())
    return path_of(sample, penalties, count, smallest, multiplier, tolerance, report)


def path_of(
    sample: Sample,
    penalties: Sequence[float] | Tensor | None = None,
    count: int = 30,
    smallest: float = 0.05,
    multiplier: float | None = None,
    tolerance: float = solver.TOLERANCE,
    report: Report = silent,
) -> Path:
    """`path` of a sample that is there."""
    if multiplier is None:
        multiplier = 1.0 if sample.n > 2 * sample.d else default_multiplier(sample.n, sample.d)
    if not (math.isfinite(multiplier) and multiplier >= 1):
        raise ValueError(f"path(multiplier=...) must be >= 1 and finite, got {multiplier}.")
    if not tolerance > 0:
        raise ValueError(f"path(tolerance=...) must be > 0, got {tolerance}.")
    if multiplier == 1:
        _check_dependent(sample)
    problem = solver.problem(quadratic(sample), multiplier)
    largest = solver.largest_penalty(problem)
    grid = _grid(penalties, largest, count, smallest)
    found = []
    for k, K in enumerate(following(problem, grid, tolerance * largest)):
        found.append(K)
        report((k + 1) / len(grid), f"{int((K != 0).sum() - len(K)) // 2:,} edges")
    return Path(sample, problem, grid, torch.stack(found))


def _check_dependent(sample: Sample) -> None:
    """Raise for columns that are combinations of each other, of which no interactions are the least loss."""
    length = sample.t.norm(dim=1)
    values, vectors = torch.linalg.eigh(sample.t @ sample.t.T / length[:, None] / length)
    null = vectors[:, values <= 1e-12 * values[-1]]
    if sample.n >= sample.d and null.shape[1]:
        share = null.square().sum(1)
        which = [column_named(int(k), sample.names) for k in (share > 1e-6 * share.max()).nonzero()[:, 0]]
        raise ValueError(
            f"these columns follow from each other: {', '.join(which)}; leave one out, or give a multiplier > 1."
        )


def following(problem: solver.Problem, penalties: Tensor, tolerance: float) -> Iterator[Tensor]:
    """K at falling penalties, one after the other."""
    K = solver.empty(problem)
    largest = before = solver.largest_penalty(problem)
    for penalty in penalties.tolist():
        if penalty < largest:
            K = solver.solve(problem, penalty, K, before, tolerance)
            before = penalty
        yield K


def _grid(penalties: Sequence[float] | Tensor | None, largest: float, count: int, smallest: float) -> Tensor:
    if penalties is None:
        _ranges.whole(2, 10_000)("path(count=...)", count)
        _ranges.PROBABILITY("path(smallest=...)", smallest)
        return largest * torch.logspace(0, math.log10(smallest), count, dtype=torch.float64)
    grid = torch.as_tensor(penalties, dtype=torch.float64)
    falling = grid.ndim == 1 and len(grid) > 0 and bool((grid >= 0).all()) and bool((grid.diff() < 0).all())
    if not falling or not bool(torch.isfinite(grid).all()):
        raise ValueError(f"path(penalties=...) must fall and be >= 0, got {grid.tolist()}.")
    return grid
