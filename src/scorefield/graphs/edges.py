"""Tests of single edges, whatever the number of columns: estimates rid of the penalty's bias, with sandwich errors.

Row j of K solves `G_j k = g_j`. From an estimate k near it, one step

    k' = k - M_j (G_j k - g_j),    rows of M_j by l1-penalised regressions, so that M_j G_j is near the identity,

is normal about the truth with the variance of `M_j` times the slope of a row of the data (van de Geer and others 2014;
Jankova and van de Geer 2017 for Gaussian graphs, whose estimate this is there). An edge's estimate is the mean of its
two entries.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.graphs import slopes
from scorefield.graphs.moments import Quadratic, Sample, quadratic

if TYPE_CHECKING:
    import pandas as pd

_MOST = 1 << 28  # numbers d * d * n that are kept
_STEPS = 1000


@dataclass(frozen=True, eq=False)
class EdgeTests:
    """Of each pair of columns, in the units of the data.

    Args:
        names: of the columns.
        estimate: of `K_jk`, `(d, d)`, free of the penalty's bias.
        error: its standard error.
        rows: of the data, n.
    """

    names: tuple[str, ...]
    estimate: Tensor
    error: Tensor
    rows: int

    @property
    def z(self) -> Tensor:
        """Estimates in units of their errors, `(d, d)`."""
        return self.estimate / self.error

    @property
    def p(self) -> Tensor:
        """Two-sided p-values of no edge, `(d, d)`; 1 on the diagonal."""
        return self.p_of(self.z).fill_diagonal_(1)

    def p_of(self, z: Tensor) -> Tensor:
        """Two-sided p-values of estimates in units of their errors.

        Those of `z / sqrt(1 + z^2 / n)` by the normal law: the mean of the rows' parts over the root of their mean
        square about 0, where no edge puts it, in place of about their own mean. For symmetric parts its tails are at
        most about those of signs, whatever the parts' own (Efron 1969); those of z are heavier with few rows.
        """
        return torch.erfc((z / (1 + z.square() / self.rows).sqrt()).abs() / math.sqrt(2))

    def adjusted(self) -> Tensor:
        """P-values adjusted for the number of pairs, `(d, d)` (Benjamini and Hochberg 1995).

        Of the edges below 0.05 at most 5 % are false on average where p-values are right far in their tails, which
        takes many rows: hundreds for tens of columns (benchmarks/graphs.md).
        """
        from scipy.stats import false_discovery_control

        i, j = torch.triu_indices(len(self.names), len(self.names), 1)
        adjusted = torch.ones_like(self.error)
        adjusted[i, j] = torch.from_numpy(false_discovery_control(self.p[i, j].numpy()))
        return torch.minimum(adjusted, adjusted.T)

    def graph(self, rate: float = 0.05) -> Tensor:
        """The pairs whose adjusted p-value is at most `rate`, `(d, d)` of truth values."""
        _ranges.PROBABILITY("graph(rate=...)", rate)
        return self.adjusted() <= rate

    def table(self) -> pd.DataFrame:
        """All pairs, the clearest first: estimate, error, z, p and adjusted p."""
        import pandas as pd

        i, j = torch.triu_indices(len(self.names), len(self.names), 1)
        columns: dict[str, Any] = {"from": [self.names[k] for k in i], "to": [self.names[k] for k in j]}
        for name, values in (("interaction", self.estimate), ("std err", self.error), ("z", self.z), ("p", self.p)):
            columns[name] = values[i, j].numpy()
        columns["p adjusted"] = self.adjusted()[i, j].numpy()
        return pd.DataFrame(columns).sort_values(["p", "from", "to"], kind="stable", ignore_index=True)


def edge_tests(sample: Sample, K: Tensor) -> EdgeTests:
    """Test every edge.

    Args:
        sample: the data.
        K: an estimate of the interactions of the scaled data, `(d, d)`, near the truth: as `GraphFit.refit` has it.

    Raises:
        ValueError: where d * d * n numbers are too many to keep.
    """
    loss, d = quadratic(sample), sample.d
    if d * d * sample.n > _MOST:
        raise ValueError(
            f"{d:,} columns and {sample.n:,} rows are too many for edge tests (d * d * n is at most {_MOST:,}); test "
            "the columns about the edges of interest."
        )
    b, u, e = slopes.parts(sample, K)
    step = torch.empty(d, d, dtype=torch.float64)
    influence = torch.empty(d, d, sample.n, dtype=torch.float64)
    plain = loss.gram if loss.gram is not None else loss.t @ loss.t.T / loss.n
    inverse = torch.zeros(d, d, dtype=torch.float64)
    for j in range(d):
        if j == 0 or not sample.model.plain:
            G = plain if sample.model.plain else _block(loss, j)
            inverse = near_inverse(G, math.sqrt(2 * math.log(d) / sample.n), inverse)
        slope = sample.t * b[j] + u[j][:, None] * e[j]
        slope[j] -= sample.own[j]
        influence[j] = inverse @ slope
        step[j] = influence[j].mean(1)
    fitted = K - (step + step.T) / 2
    variance = ((influence + influence.transpose(0, 1)) / 2 - ((step + step.T) / 2)[:, :, None]).square().mean(2)
    unit = sample.scale**-sample.model.a
    units = unit[:, None] * unit
    return EdgeTests(sample.names, fitted * units, (variance / sample.n).sqrt() * units, sample.n)


def near_inverse(G: Tensor, penalty: float, start: Tensor | None = None) -> Tensor:
    """Rows m_k with `|m_k G - e_k|` small: a lasso of each column on the others (Meinshausen and Buhlmann 2006).

    With `B` of zero diagonal that minimises `tr((I - B) G (I - B)^T) / 2 + penalty |B|_1`, for G scaled to a diagonal
    of 1, rows are those of I - B over `t_k = ((I - B) G)_kk`.

    Args:
        G: `(d, d)`, positive semi-definite, without a zero on its diagonal.
        penalty: > 0.
        start: an inverse of a similar matrix.
    """
    root = G.diagonal().sqrt()
    R = G / root[:, None] / root
    step = 1 / float(torch.linalg.matrix_norm(R, 2))
    B = torch.zeros_like(R)
    if start is not None and bool((start.diagonal() > 0).all()):
        B = -(start * root / root[:, None]) / (start * root / root[:, None]).diagonal()[:, None]
        B = B.fill_diagonal_(0)
    ahead, pace = B, 1.0
    for _ in range(_STEPS):
        moved = ahead + step * (R - ahead @ R)
        new = (moved.sign() * (moved.abs() - step * penalty).clamp(min=0)).fill_diagonal_(0)
        change = float((new - ahead).abs().max()) / step
        pace = 1.0 if float(((ahead - new) * (new - B)).sum()) > 0 else pace
        following = (1 + math.sqrt(1 + 4 * pace**2)) / 2
        ahead, B, pace = new + (pace - 1) / following * (new - B), new, following
        if change < 1e-3 * penalty:
            break
    rows = torch.eye(len(R), dtype=R.dtype) - B
    rows = rows / (rows @ R).diagonal()[:, None]
    return rows / root[:, None] / root


def _block(loss: Quadratic, j: int) -> Tensor:
    """G_j, `(d, d)`."""
    whole = (loss.t * loss.weight[j]) @ loss.t.T / loss.n
    return whole - torch.outer(loss.cross[j], loss.cross[j]) / loss.inner[j]
