"""The log-density of a model that corrects a base law whose density is known: only the correction is integrated.

Let p_m be the base law, noised, with `E[eps | z] = eps_m` at the level (1, s), and let the model answer
`E[x0 | z] = x0_m + change`. Along the model's probability flow, with t = log s,

    d (log q - log p_m) / dt = div(change) - change . eps_m / s.

Where the correction is small so is what is integrated, and the base law is never differentiated: the trace of the
Jacobian is that of the correction alone. The trajectories, which need no more accuracy than that, are solved in the
coordinates of `flow`, in which Gaussian data stand still.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scorefield import progress
from scorefield.likelihood.density import LogDensity
from scorefield.likelihood.reference import Reference
from scorefield.numerics.divergence import Field, jacobian_trace
from scorefield.numerics.ode import integrate, integrate_on
from scorefield.progress import Report, silent

_FIRST_STEP = 0.2  # of t


class CorrectedLaw(Protocol):
    """A base law and a correction of its answers, for points `(n, d)` that belong to rows of an index."""

    def split(self, z: Tensor, s: Tensor, index: Tensor) -> tuple[Tensor, Field]:
        """`E[eps | z]` of the base law at the level (1, s), s `(n, 1)`, and `z -> change of E[x0 | z]`."""
        ...

    def log_density(self, z: Tensor, s: Tensor, index: Tensor) -> Tensor:
        """Of the base law noised with s `(n, 1)`: `(n,)`."""
        ...


@dataclass(frozen=True, eq=False)
class _Flow:
    """The ODE of a state `(n, 2 d + 1)`: w, the integral for the log-density, and that of change / s for `measure`."""

    model: CorrectedLaw
    reference: Reference
    tolerance: float

    def __call__(self, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
        s, d = t.exp()[:, None], len(self.reference.mean)
        root = self._root(s)
        w = y[:, :d]
        z = self.reference.from_basis(w * root)
        eps, correction = self.model.split(z, s, index)
        change, trace = jacobian_trace(correction, z)
        slope = self.reference.to_basis(eps - change / s) - s * w / root
        integral = trace - (change * eps).sum(1) / s[:, 0]
        return torch.cat([s * slope / root, integral[:, None], change / s], 1)

    def measure(self, t: Tensor, y: Tensor, slope: Tensor, error: Tensor) -> Tensor:
        """What errors of a step do to the log-density, in units of the tolerance, `(n,)`.

        An error of z counts by the difference of the two scores, `change / s^2`; the parts add as squares.
        """
        s, d = t.exp()[:, None], len(self.reference.mean)
        away = self._root(s) * error[:, :d]
        by_place = self.reference.to_basis(slope[:, d + 1 :]) / s * away
        return (by_place.square().sum(1) + error[:, d].square()).sqrt() / self.tolerance

    def _root(self, s: Tensor) -> Tensor:
        return (self.reference.variances + s**2).sqrt()

    def end(self, w: Tensor, s: Tensor, counted: Tensor) -> Tensor:
        """The log-density of the Gaussian at the noise's end, over the coordinates that count."""
        each = -0.5 * (w.square() + math.log(2 * math.pi)) - self._root(s).log()
        return each.sum(1) if self.reference.basis is not None else torch.where(counted, each, 0.0).sum(1)


def corrected_log_density(
    model: CorrectedLaw,
    z: Tensor,
    counted: Tensor,
    reference: Reference,
    low: float,
    high: float,
    tolerance: float,
    evaluations: int | None = None,
    batch: int = 512,
    report: Report = silent,
) -> LogDensity:
    """`log p` of points z at the level (1, low), of the law that the flow carries from the Gaussian at (1, high).

    Args:
        model: the base law and its correction.
        z: `(n, d)` float64, the reference's mean taken off.
        counted: `(n, d)` bool: the coordinates that a point has; the others stay 0, with answers of 0.
        reference: N(0, C): at (1, high) the law is N(0, C + high^2).
        low: least noise, > 0.
        high: most.
        tolerance: error of one step, in nats.
        evaluations: instead of a tolerance, at most this many (>= 7) in fixed steps.
        batch: points solved at a time.
        report: hears how far the work is.
    """
    flow = _Flow(model, reference, tolerance)
    pieces = torch.arange(len(z)).split(batch)
    parts = [
        _solved(flow, z, counted, rows, low, high, evaluations)
        for rows in progress.counted(pieces, len(pieces), report, "log-densities")
    ]
    value, solver, count = (torch.cat(v) for v in zip(*parts, strict=True))
    return LogDensity(value, torch.zeros_like(value), value[:, None].expand(-1, 2).clone(), solver, count)


def _solved(
    flow: _Flow, z: Tensor, counted: Tensor, rows: Tensor, low: float, high: float, evaluations: int | None
) -> tuple[Tensor, Tensor, Tensor]:
    d, one = z.shape[1], z.new_ones(len(rows), 1)
    start, end, ends = math.log(low), math.log(high), (low * one, high * one)
    w = flow.reference.to_basis(z[rows]) / flow._root(ends[0])
    y0 = torch.cat([w, w.new_zeros(len(rows), d + 1)], 1)

    def rate(t: Tensor, y: Tensor, index: Tensor) -> Tensor:
        return flow(t, y, rows[index])

    if evaluations is None:
        loose = 0.1 * math.sqrt(flow.tolerance)
        atol = torch.cat([torch.full((d,), loose), torch.full((d + 1,), 1e30)]).to(y0)  # the rest is measured in nats
        found = integrate(rate, y0, start, end, rtol=loose, atol=atol, first_step=_FIRST_STEP, measure=flow.measure)
    else:
        grid = torch.linspace(start, end, (evaluations - 1) // 6 + 1, dtype=torch.float64)
        found = integrate_on(rate, y0, grid, flow.measure)
    w, integral = found.y[:, :d], found.y[:, d]
    here = flow.model.log_density(z[rows], ends[0], rows)
    there = flow.model.log_density(flow.reference.from_basis(w * flow._root(ends[1])), ends[1], rows)
    value = here + flow.end(w, ends[1], counted[rows]) - there - integral
    return value, found.measured * flow.tolerance, found.evaluations
