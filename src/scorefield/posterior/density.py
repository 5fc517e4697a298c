"""Log-densities of a conditional law: what the networks add to the normal law, integrated along the flow."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from scorefield.likelihood import LogDensity
from scorefield.likelihood.corrected import CorrectedLaw, Points, corrected_log_densities
from scorefield.likelihood.reference import Reference
from scorefield.numerics.divergence import jacobian_trace
from scorefield.posterior.conditional import SIGMA_MAX, SIGMA_MIN, BoundScore, Laws, Noised
from scorefield.progress import Report, silent

TOLERANCE = 0.01
"""Nats, by default."""
_AT_ONCE = 2048


class _Corrected:
    """Points `(n, d)` in the basis of each one's normal law: its correction by the networks."""

    def __init__(self, bound: BoundScore, row: Tensor, laws: Laws) -> None:
        self.bound, self.row, self.laws = bound, row, laws

    def base(self, z: Tensor, s: float) -> Tensor:
        """`E[eps | z]` of the normal law."""
        return s * z / (self.laws.variances + s**2)

    def change(self, z: Tensor, s: float) -> Tensor:
        """What the networks add to `E[x0]`."""
        total = self.laws.variances + s**2
        weight = s * (self.laws.variances / total).sqrt()
        level = torch.full((len(z),), math.log(s), dtype=torch.float64)
        seen = Noised(z, total, z.new_full((len(z), 1), s)).seen(self.laws)
        return weight * self.laws.into(self.bound.correction(seen, level, self.row).to(z))

    def change_and_divergence(self, z: Tensor, s: float) -> tuple[Tensor, Tensor]:
        """The same, and its divergence."""
        return jacobian_trace(lambda z: self.change(z, s), z)

    def log_density(self, z: Tensor, s: float) -> Tensor:
        """Of the normal law."""
        total = self.laws.variances + s**2
        return -0.5 * (z.square() / total + total.log() + math.log(2 * math.pi)).sum(1)


@torch.no_grad()
def log_density(
    bound: BoundScore, y: Tensor, row: Tensor, tolerance: float = TOLERANCE, report: Report = silent
) -> LogDensity:
    """`log p(y | condition)` in nats for y `(n, d)` and the condition of each, `(n,)`.

    Of the law noised by 0.2 % of the condition's own scale. The divergence is exact: there is no standard error, and
    `solver_error` says how far the integral is known.
    """
    x = bound.inward(y, row)

    def law_of(rows: Tensor) -> tuple[CorrectedLaw, Points]:
        laws = bound.unit(row[rows], x)
        z = laws.into(x[rows])
        reference = Reference(torch.zeros_like(laws.variances), laws.variances)
        return _Corrected(bound, row[rows], laws), Points(z, torch.ones_like(z, dtype=torch.bool), reference)

    found, _ = corrected_log_densities(law_of, len(x), _AT_ONCE, SIGMA_MIN, SIGMA_MAX, tolerance, report=report)
    slope = bound.log_slope(row)
    return LogDensity(
        found.value + slope,
        found.standard_error,
        found.interval + slope[:, None],
        found.solver_error,
        found.evaluations,
    )
