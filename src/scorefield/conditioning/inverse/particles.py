"""Draws from the posterior by twisted sequential Monte Carlo: exact in the limit of particles and steps."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.conditioning.inverse.covariance import Covariance, tweedie
from scorefield.conditioning.inverse.large import LargeMeasurement
from scorefield.conditioning.inverse.measurement import Measurement
from scorefield.core import Level, Model, check_model
from scorefield.likelihood.reference import Reference
from scorefield.numerics.random import normal, uniform
from scorefield.progress import Report, silent

Observations = Measurement | LargeMeasurement
Point = tuple[float, float]
"""alpha and sigma."""


@dataclass(frozen=True, eq=False)
class Problem:
    """What the particles of all systems share.

    Args:
        model: of x0.
        shape: of a point.
        prior: the data's mean and covariance: where sampling starts.
        jacobian: whether to take the model's Jacobian; else the prior stands in for it.
        levels: falling, the last one without noise, none without data.
        slack: how far off the model's x0 may be, as a share of what noise leaves open of it: added to the noise of y
            at each level, so that it vanishes with the level; 0 for exact models.
        particles: in each system.
        seed: of all noise.
    """

    model: Model
    shape: tuple[int, ...]
    prior: Reference
    jacobian: bool
    levels: tuple[Point, ...]
    slack: float
    particles: int
    seed: int

    def inflated(self, y: Observations, at: Point | None) -> Observations:
        """The observations as the particles see them at a level, or before the first."""
        variance = self.prior.scale**2
        share = 1.0 if at is None else at[1] ** 2 / (at[1] ** 2 + variance * at[0] ** 2)
        return y.inflated(self.slack**2 * variance * share)


class LocalGaussian(NamedTuple):
    """The law of x0 at the particles: normal, with the model's two moments, or the data's at the start.

    Args:
        mean: `(b, P, d)`, b systems or 1, P particles or 1.
        spread: its covariance.
        columns: `A basis`, None where all goes by coordinates.
    """

    mean: Tensor
    spread: Covariance
    columns: Tensor | None

    @staticmethod
    def of(mean: Tensor, spread: Covariance, y: Observations) -> LocalGaussian:
        return LocalGaussian(mean, spread, y.columns(spread.basis))

    def log_evidence(self, y: Observations) -> Tensor:
        """`log p(y)` under this law, `(b, P)`; 0 where it is not known."""
        if isinstance(y, LargeMeasurement):
            return self.mean.new_zeros(()).expand(self.mean.shape[:-1])
        law = y.law(self.spread.variances, self.columns)
        return law.log_density(y.residual(self.mean), self.columns is None)

    def draw(self, y: Observations, z: Tensor, noise: Tensor) -> Tensor:
        """x0 given y, `(R, P, d)`: a draw of x0 and of y, moved by the gain (Matheron's rule)."""
        v = self.spread.variances
        x0 = self.mean + self.spread.from_basis(v.sqrt() * z)
        if isinstance(y, LargeMeasurement):
            return x0 + y.moved(x0, self.spread, noise)
        law = y.law(v, self.columns)
        weights = law.solve(y.perturbed(x0, noise), self.columns is None)
        if self.columns is None:
            back = torch.zeros_like(x0).index_copy(-1, y.A, weights)
        else:
            back = (weights[..., None, :] @ self.columns).squeeze(-2)
        return x0 + self.spread.from_basis(v * back)

    def given_state(self, x: Tensor, gain: float, noise: float) -> LocalGaussian:
        """The law of x0 given also `x = gain * x0 + noise * z`, for x `(R, P, d)`."""
        v = self.spread.variances
        total = gain**2 * v + noise**2
        mean = self.mean + self.spread.from_basis(gain * v / total * self.spread.to_basis(x - gain * self.mean))
        return LocalGaussian(mean, Covariance(v * noise**2 / total, self.spread.basis), self.columns)


class Systems(NamedTuple):
    """The result of R systems of P particles.

    Args:
        x0: `(R, P, d)`, equally weighted, in random order.
        effective: `(R,)`, the least effective number of particles on the way.
        log_evidence: `(R,)`, log of an unbiased estimate of p(y) under the chain.
        relative_variance: `(R,)`, an estimate of that estimate's variance over its square.
    """

    x0: Tensor
    effective: Tensor
    log_evidence: Tensor
    relative_variance: Tensor


class Particles(NamedTuple):
    """Weighted particles: the law of x0 at them, states `(R, P, d)`, log-weights `(R, P)`, and the record so far."""

    local: LocalGaussian
    x: Tensor
    log_weights: Tensor
    log_evidence: Tensor
    effective: Tensor
    variance: Tensor


def run_systems(
    problem: Problem, y: Observations, index: Tensor, condition: Tensor | None, report: Report = silent
) -> Systems:
    """Particle systems, each with its own y, from noise to data.

    Between two levels x0 given x counts as normal with the model's mean and covariance. Under that law x at the next
    level given x and y is normal too, and is drawn; the weight is the ratio of p(y | x) as the model sees it there to
    p(y | x) as foreseen. The products of these weights are those of twisted sequential Monte Carlo (Wu and others
    2023), with a reverse chain of matched covariance. At the last step, to data without noise, the ratio is 1 for any
    noise of y, so exact observations need no limit. For normal data all weights are equal.

    Args:
        problem: what all systems share.
        y: one row for each system.
        index: `(R,)`, int64: each system's own noise.
        condition: `(R, ...)`, or None.
        report: hears of every level.
    """
    R, P, given = len(index), problem.particles, y
    y = problem.inflated(given, None)
    root = LocalGaussian.of(
        problem.prior.mean[None, None], Covariance(problem.prior.variances[None, None], problem.prior.basis), y
    )
    zero = problem.prior.mean.new_zeros(R, P)
    particles = Particles(
        root, zero.new_zeros(R, P, y.d), zero,
        root.log_evidence(y).expand(R, 1)[:, 0], zero.new_full((R,), P), zero.new_zeros(R),
    )  # fmt: skip
    for row, (start, end) in enumerate(steps(problem.levels)):
        last = end[1] == 0
        report(row / len(problem.levels), "draws")
        particles = _resampled(particles, problem.seed, index, row, 1 - 1e-6 if last else 0.5)
        shrink = (end[1] / end[0]) / (start[1] / start[0]) if start else 0.0
        gain, noise = end[0] * (1 - shrink**2), end[1] * math.sqrt(1 - shrink**2)
        kept = end[0] / start[0] * shrink**2 if start else 0.0
        x0 = _drawn(particles.local, problem, y, index, row)
        if last:
            order = uniform(R, (P,), problem.seed, "posterior order", first=index, dtype=zero.dtype, device=zero.device)
            x0 = x0.gather(1, order.argsort(1)[..., None].expand_as(x0))
            return Systems(
                x0, particles.effective, particles.log_evidence, particles.variance + excess(particles.log_weights)
            )
        z = normal(R, (P, y.d), problem.seed, "posterior step", first=index, row=row, dtype=x0.dtype, device=x0.device)
        fresh = gain * x0 + noise * z
        foreseen = particles.local.given_state(fresh, gain, noise).log_evidence(y)
        x = fresh + kept * particles.x
        y = problem.inflated(given, end)
        local = _local(problem, y, x, end, condition, first=row == 0)
        particles = _weighted(particles, local, x, local.log_evidence(y) - foreseen)
    raise AssertionError("the last level has no noise")


def steps(levels: tuple[Point, ...]) -> Iterator[tuple[Point | None, Point]]:
    """From nothing to the first level, then from each level to the next."""
    yield None, levels[0]
    yield from pairwise(levels)


def _drawn(local: LocalGaussian, problem: Problem, y: Observations, index: Tensor, row: int) -> Tensor:
    """x0 given x and y at every particle, `(R, P, d)`."""
    R, P = len(index), problem.particles
    z, noise = (
        normal(R, (P, k), problem.seed, name, first=index, row=row, dtype=torch.float64, device=index.device)
        for k, name in ((y.d, "posterior data"), (y.y.shape[1], "posterior measurement"))
    )
    return local.draw(y, z, noise)


def _local(
    problem: Problem, y: Observations, x: Tensor, at: Point, condition: Tensor | None, first: bool
) -> LocalGaussian:
    """The model's two moments at the particles, checked at the first states of a run."""
    R, P, d = x.shape
    states = x.reshape(R * P, *problem.shape)
    given = None if condition is None else condition.repeat_interleave(P, 0)
    if first:
        check_model(problem.model, states, Level(*at), given)
    if not problem.jacobian:
        answer = problem.model(states, Level(*at), given)
        one = Covariance.gaussian(problem.prior, *at)
        return LocalGaussian.of(answer.x0.reshape(x.shape).double(), Covariance(one.variances[None], one.basis), y)
    answer, spread = tweedie(problem.model, states, *at, given)
    variances, basis = spread.variances.reshape(R, P, d), spread.basis
    spread = Covariance(variances, None if basis is None else basis.reshape(R, P, d, d))
    return LocalGaussian.of(answer.x0.reshape(x.shape).double(), spread, y)


def _weighted(particles: Particles, local: LocalGaussian, x: Tensor, log_ratio: Tensor) -> Particles:
    """The particles one level on: weights are kept with a mean of 1."""
    log_weights = particles.log_weights + log_ratio
    if not bool(torch.isfinite(log_weights.logsumexp(1)).all()):
        raise ValueError("an observation is impossible under the model (all weights are 0); give it more noise.")
    step = log_weights.logsumexp(1) - math.log(x.shape[1])
    weights = log_weights.softmax(1)
    effective = torch.minimum(particles.effective, 1 / weights.square().sum(1))
    return Particles(
        local, x, log_weights - step[:, None], particles.log_evidence + step, effective, particles.variance
    )


def _resampled(particles: Particles, seed: int, index: Tensor, row: int, least: float) -> Particles:
    """Systematic resampling of the systems whose effective number of particles fell below a share of all."""
    R, P = particles.log_weights.shape
    weights = particles.log_weights.softmax(1)
    poor = 1 / weights.square().sum(1) < least * P
    if not bool(poor.any()):
        return particles
    u = uniform(R, (1,), seed, "posterior resampling", first=index, row=row, dtype=weights.dtype, device=weights.device)
    chosen = systematic(weights, u, P)
    chosen = torch.where(poor[:, None], chosen, torch.arange(P, device=weights.device))

    def take(v: Tensor) -> Tensor:
        """The chosen particles' rows of what each has of its own."""
        if v.shape[:2] != (R, P):
            return v
        return v.gather(1, chosen.reshape(R, P, *[1] * (v.ndim - 2)).expand(v.shape))

    mean, (variances, basis), columns = particles.local
    spread = Covariance(take(variances), None if basis is None else take(basis))
    return particles._replace(
        local=LocalGaussian(take(mean), spread, None if columns is None else take(columns)),
        x=take(particles.x),
        log_weights=torch.where(poor[:, None], 0.0, particles.log_weights),
        variance=particles.variance + torch.where(poor, excess(particles.log_weights), 0.0),
    )


def systematic(weights: Tensor, u: Tensor, n: int) -> Tensor:
    """Systematic resampling: n of the P places of each row, as often as weights `(R, P)` say, `(R, n)`.

    Args:
        weights: they sum to 1 in each row.
        u: uniform numbers `(R, 1)`.
        n: how many.
    """
    places = (torch.arange(n, device=weights.device) + u) / n
    return torch.searchsorted(weights.cumsum(1), places).clamp(max=weights.shape[1] - 1)


def excess(log_weights: Tensor) -> Tensor:
    """What weights since the last resampling add to the relative variance of the estimate of p(y), `(R,)`."""
    return log_weights.softmax(1).square().sum(1) - 1 / log_weights.shape[1]
