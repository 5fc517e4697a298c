"""Which edges are found again in random halves of the data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.graphs import solver
from scorefield.graphs.models import Interactions, gaussian
from scorefield.graphs.moments import Sample, quadratic, sample_of
from scorefield.graphs.path import default_multiplier, following
from scorefield.numerics.random import uniform
from scorefield.progress import Report, silent


@dataclass(frozen=True, eq=False)
class Stability:
    """How often each edge was among the first found in halves of the data.

    Args:
        names: of the columns.
        frequency: `(d, d)`, from 0 to 1.
        edges: that were taken from a half on average.
    """

    names: tuple[str, ...]
    frequency: Tensor
    edges: float

    def graph(self, share: float = 0.75) -> Tensor:
        """The edges found in at least this share of the halves, `(d, d)` of truth values."""
        _check_share(share)
        return self.frequency >= share

    def false_edges(self, share: float = 0.75) -> float:
        """A bound of the expected number of false edges in `graph(share)`: `edges^2 / ((2 share - 1) d (d - 1) / 2)`.

        It holds where false edges are alike and no method would find them more often than others (Meinshausen and
        Buhlmann 2010).
        """
        _check_share(share)
        d = len(self.names)
        return self.edges**2 / ((2 * share - 1) * d * (d - 1) / 2)

    def __repr__(self) -> str:
        return f"Stability({len(self.names)} columns, {self.edges:.3g} edges of each half)"


def stability(
    x: Any,
    model: Interactions | None = None,
    *,
    edges: int | None = None,
    pairs: int = 25,
    seed: int = 0,
    report: Report = silent,
) -> Stability:
    """Stability selection by complementary pairs of halves.

    Args:
        x: `(n, d)`: a data frame, an array or a tensor.
        model: of `graphs.models`; default: Gaussian.
        edges: that a half gives, the first on its path; default: d.
        pairs: of halves, >= 1.
        seed: of the halves.
        report: is told the share done.

    Source: Meinshausen and Buhlmann (2010); Shah and Samworth (2013).

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(200, 5, generator=g)
        >>> x[:, 1] += x[:, 0]
        >>> stability(x, edges=1, pairs=3).graph().nonzero().tolist()
        [[0, 1], [1, 0]]
    """
    return stability_of(sample_of(x, model or gaussian()), edges, pairs, seed, report)


def stability_of(
    sample: Sample, edges: int | None = None, pairs: int = 25, seed: int = 0, report: Report = silent
) -> Stability:
    """`stability` of a sample that is there."""
    d, half = sample.d, sample.n // 2
    _ranges.whole(1, 10_000)("stability(pairs=...)", pairs)
    most = d * (d - 1) // 2
    edges = min(d, most) if edges is None else edges
    _ranges.whole(1, most)("stability(edges=...)", edges)
    if half < 3:
        raise ValueError(f"stability needs at least 6 rows, got {sample.n}.")
    frequency, taken = torch.zeros(d, d, dtype=torch.float64), 0
    for k in range(pairs):
        order = uniform(sample.n, (1,), seed, "graphs.stability", row=k)[:, 0].argsort()
        for rows in (order[:half], order[half : 2 * half]):
            graph = _first_edges(sample.rows(rows), edges)
            frequency += graph
            taken += int(graph.sum()) // 2
        report((k + 1) / pairs, f"{k + 1} pairs of halves")
    return Stability(sample.names, frequency / (2 * pairs), taken / (2 * pairs))


def _first_edges(sample: Sample, edges: int) -> Tensor:
    """The largest graph of at most so many edges on a path, `(d, d)` of truth values."""
    multiplier = 1.0 if sample.n > 2 * sample.d else default_multiplier(sample.n, sample.d)
    problem = solver.problem(quadratic(sample), multiplier)
    largest = solver.largest_penalty(problem)
    penalties = largest * torch.logspace(0, -2, 80, dtype=torch.float64)
    best = torch.zeros(sample.d, sample.d, dtype=torch.bool)
    for K in following(problem, penalties, 1e-4 * largest):
        graph = (K != 0).fill_diagonal_(False)
        if int(graph.sum()) // 2 > edges:
            break
        best = graph
    return best


def _check_share(share: float) -> None:
    _ranges.real(0.5, 1, open_low=True)("share", share)
