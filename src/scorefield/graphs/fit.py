"""A graph fitted to a table: `ScoreGraph(frame, model).fit().summary()`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.graphs import solver
from scorefield.graphs.edges import EdgeTests, edge_tests
from scorefield.graphs.models import Interactions, gaussian
from scorefield.graphs.moments import Sample, location, quadratic, sample_of
from scorefield.graphs.path import Path, path_of
from scorefield.graphs.stability import stability_of
from scorefield.progress import Report, part, silent

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class GraphFit:
    """A graph and its interactions.

    Args:
        sample: the data.
        graph: the edges, `(d, d)` of truth values, symmetric, its diagonal false.
        scaled: K of `x / scale`, `(d, d)`.
        chosen: by what, in words.
    """

    sample: Sample
    graph: Tensor
    scaled: Tensor
    chosen: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns."""
        return self.sample.names

    @property
    def interaction(self) -> Tensor:
        """K in the units of the data, `(d, d)`: of a Gaussian the precision matrix."""
        unit = self.sample.scale**-self.sample.model.a
        return self.scaled * unit[:, None] * unit

    @property
    def location(self) -> Tensor:
        """Eta in the units of the data, `(d,)`; 0 in models without it. A Gaussian's mean is `K^-1 eta`."""
        eta = location(self.sample, self.scaled)
        if self.sample.model.location:
            eta = eta + self.scaled @ self.sample.shift
        return eta * self.sample.scale**-self.sample.model.b

    @property
    def partial(self) -> Tensor:
        """`-K_jk / sqrt(K_jj K_kk)`, `(d, d)`, 1 on the diagonal: of a Gaussian the partial correlations."""
        root = self.scaled.diagonal().clamp(min=torch.finfo(torch.float64).tiny).sqrt()
        return (-self.scaled / root[:, None] / root).fill_diagonal_(1)

    def refit(self) -> GraphFit:
        """The same graph with interactions that no penalty shrinks: the least loss on its edges.

        Raises:
            ValueError: for a graph with too many edges for its rows.
        """
        K = solver.minimum_on(solver.Problem(quadratic(self.sample), 1.0, math.nan), self.graph, self.scaled)
        return GraphFit(self.sample, self.graph, K, self.chosen)

    def tests(self) -> EdgeTests:
        """Tests of every edge, also those left out: d^2 n numbers in memory, and time d^3 n but for Gaussians."""
        return edge_tests(self.sample, self.refit().scaled)

    def edges(self) -> pd.DataFrame:
        """The edges, the strongest first: from, to, interaction, partial."""
        import pandas as pd

        i, j = self.graph.triu(1).nonzero().T
        columns: dict[str, Any] = {"from": [self.names[k] for k in i], "to": [self.names[k] for k in j]}
        columns |= {"interaction": self.interaction[i, j].numpy(), "partial": self.partial[i, j].numpy()}
        frame = pd.DataFrame(columns)
        order = frame["partial"].abs().sort_values(ascending=False, kind="stable").index
        return frame.loc[order].reset_index(drop=True)

    def summary(self, *, tests: bool = True, most: int = 40) -> str:
        """A table of the edges.

        Args:
            tests: whether each has its estimate without the penalty's bias, standard error, z and p of no edge, these
                also adjusted for all pairs; see `tests` for what that costs.
            most: edges that are shown, >= 1.
        """
        _ranges.whole(1, 10**6)("summary(most=...)", most)
        d, count = len(self.names), int(self.graph.sum()) // 2
        lines = [
            f"{self.sample.model.name}, {self.sample.n:,} rows, {d:,} columns, score matching",
            f"{count:,} edges of {d * (d - 1) // 2:,}, by {self.chosen}",
        ]
        if not count:
            return "\n".join(lines)
        table = self.edges()
        if tests:
            refitted, keys = self.refit(), ["from", "to"]
            table = refitted.edges()[[*keys, "partial"]].merge(refitted.tests().table(), on=keys, sort=False)
        lines.append(table.head(most).to_string(index=False, float_format=lambda v: f"{v:.4g}"))
        if count > most:
            lines.append(f"and {count - most:,} more")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"GraphFit({self.sample.model.name}, {len(self.names)} columns, {int(self.graph.sum()) // 2} edges)"


@dataclass(frozen=True, eq=False)
class ScoreGraph:
    """An undirected graphical model of a table, to be fitted by l1-penalised score matching.

    Args:
        x: `(n, d)`, n >= 3 and d >= 2, n < d too: a data frame, an array or a tensor of numbers.
        model: of `graphs.models`; default: Gaussian.

    Source: Lin, Drton and Shojaie (2016); Yu, Drton and Shojaie (2019).

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> x = torch.randn(300, 4, generator=g)
        >>> x[:, 1] += x[:, 0]
        >>> ScoreGraph(x).fit()
        GraphFit(Gaussian, 4 columns, 1 edges)
    """

    x: Any
    model: Interactions | None = None

    def path(self, **options: Any) -> Path:
        """Graphs at falling penalties; options as those of `graphs.path`."""
        return path_of(sample_of(self.x, self.model or gaussian()), **options)

    def fit(
        self,
        choose: Literal["ebic", "tests", "stability"] = "ebic",
        *,
        penalty: float | None = None,
        gamma: float = 0.25,
        rate: float = 0.05,
        share: float = 0.75,
        multiplier: float | None = None,
        seed: int = 0,
        report: Report = silent,
    ) -> GraphFit:
        """Choose a graph and fit its interactions.

        Args:
            choose: "ebic", the least criterion along the path; "tests", the edges whose adjusted p-value is at most
                `rate` (see `GraphFit.tests` for the cost); "stability", edges found in many halves of the data.
            penalty: instead, of the scaled data: this one, > 0.
            gamma: of the criterion, from 0 to 1.
            rate: of false edges among those found, > 0 and < 1, as far as the tests' normal law holds: many rows.
            share: of the halves, > 0.5 and <= 1.
            multiplier: see `graphs.path`.
            seed: of the halves.
            report: is told the share done.

        Raises:
            ValueError: see `graphs.path`; for a choice that there is not.
        """
        sample = sample_of(self.x, self.model or gaussian())
        if penalty is not None:
            found = path_of(sample, [penalty], multiplier=multiplier)
            return _of(sample, found.matrices[0], f"penalty {penalty:.4g}")
        if choose == "stability":
            graph = stability_of(sample, seed=seed, report=report).graph(share)
            words = f"stability selection, {100 * share:g} % of the halves"
            return _refitted(sample, graph, words)
        if choose not in ("ebic", "tests"):
            raise ValueError(f"fit(choose=...) must be 'ebic', 'tests' or 'stability', got {choose!r}.")
        found = path_of(sample, multiplier=multiplier, report=part(report, 0.0, 0.7))
        criterion = found.ebic(gamma)
        best = int(criterion.argmin())
        words = f"eBIC, gamma {gamma:g}, penalty {float(found.penalties[best]):.4g}"
        chosen = _of(sample, found.matrices[best], words)
        if choose == "tests":
            chosen = _refitted(sample, chosen.tests().graph(rate), f"tests, adjusted p at most {rate:g}")
        report(1.0, "chosen")
        return chosen


def _refitted(sample: Sample, graph: Tensor, chosen: str) -> GraphFit:
    start = solver.empty(solver.Problem(quadratic(sample), 1.0, math.nan))
    return GraphFit(sample, graph, start, chosen).refit()


def _of(sample: Sample, K: Tensor, chosen: str) -> GraphFit:
    return GraphFit(sample, (K != 0).fill_diagonal_(False), K, chosen)
