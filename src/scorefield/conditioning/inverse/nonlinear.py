"""Draws given any differentiable measurement: twisted sequential Monte Carlo with Laplace's local laws."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.conditioning.inverse.covariance import Covariance, tweedie
from scorefield.conditioning.inverse.laplace import Laplace
from scorefield.conditioning.inverse.likelihoods import LogLikelihood
from scorefield.conditioning.inverse.particles import Point, Problem, Systems, excess, systematic
from scorefield.conditioning.inverse.particles import steps as level_steps
from scorefield.conditioning.inverse.sampling import PosteriorDraws, check_counts, problem_for, standard_error
from scorefield.core import Level, Levels, Model, check_model
from scorefield.likelihood.reference import Moment
from scorefield.numerics.random import normal, uniform
from scorefield.plans import Plan
from scorefield.progress import Report, counted, silent


class Cloud(NamedTuple):
    """One system: the local laws at its particles, their states `(P, d)`, log-weights `(P,)`, and the record so far."""

    local: Laplace
    x: Tensor
    log_weights: Tensor
    log_evidence: float
    effective: float
    variance: float


@torch.no_grad()
def likelihood_samples(
    model: Model,
    log_likelihood: LogLikelihood,
    n: int = 1,
    *,
    shape: Sequence[int],
    steps: int = 50,
    plan: Plan | Levels | None = None,
    particles: int = 64,
    seed: int = 0,
    jacobian: bool = True,
    mean: Moment | None = None,
    covariance: Moment | None = None,
    condition: Tensor | None = None,
    report: Report = silent,
) -> PosteriorDraws:
    """Draws of x0 given any measurement with a log-likelihood, exact in the limit of particles and steps.

    As `posterior_samples`, but where that takes `y = A x0 + noise` this takes `log p(y | x0)`: phase retrieval,
    saturation, counts (`likelihoods.Normal`, `Poisson`, or any callable). At every particle x0 counts as normal with
    the model's mean and covariance; Newton's method finds the mode given y (gradients of the log-likelihood, none of
    the model), a normal step leads towards it, and the weights of twisted sequential Monte Carlo (Wu and others 2023)
    correct what Laplace's law leaves out, the last one by the log-likelihood itself. Where a measurement leaves several
    modes (a sign that is lost), each particle goes to one of them: take many.

    Args:
        model: any; its mean and covariance (or sigma_data) are where sampling starts.
        log_likelihood: points `(n, *shape)` to `(n,)`, differentiable twice.
        n: draws, from as many systems of particles as it takes, weighed against each other.
        shape: of a point.
        steps: levels, as `posterior_samples`; so are the options that follow.
        plan: levels.
        particles: in each system.
        seed: of all noise.
        jacobian: whether to take the model's Jacobian.
        mean: of the data.
        covariance: of the data.
        condition: for the model, one for all.
        report: hears how far the work is.

    Raises:
        ValueError: for what does not fit, or a likelihood that is 0 for all particles.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> from scorefield.conditioning.inverse.likelihoods import Normal
        >>> law = Gaussian(torch.zeros(1), torch.eye(1))
        >>> square = Normal(lambda x: x.square(), torch.tensor([1.0]), 0.01)  # x is 1 or -1
        >>> draws = likelihood_samples(law, square, 64, shape=(1,), steps=20).x0
        >>> round(float(draws.abs().mean()), 1)
        1.0
    """
    check_counts(n=n, particles=particles, steps=steps)
    problem = problem_for(
        model, shape, torch.device("cpu"), 0.0, jacobian, mean, covariance, steps, plan, particles, seed
    )
    blocks = -(-n // particles)
    clouds = [
        _system(problem, log_likelihood, block, condition) for block in counted(range(blocks), blocks, report, "draws")
    ]
    found = _joined(clouds)
    weights = torch.cat([c.log_weights.log_softmax(0) + c.log_evidence for c in clouds]).softmax(0)
    u = uniform(1, (1 + n,), seed, "likelihood pool", dtype=weights.dtype)
    chosen = systematic(weights[None], u[:, :1], n)[0][u[0, 1:].argsort()]
    return PosteriorDraws(
        found.x0[0].flatten(0, 1)[chosen].to(torch.get_default_dtype()).reshape(n, *shape),
        found.effective.sum(),
        found.log_evidence.logsumexp(1)[0] - math.log(blocks),
        standard_error(found)[0],
        blocks * particles * (len(problem.levels) - 1),
    )


def _joined(clouds: Sequence[Cloud]) -> Systems:
    """What all systems found, `(1, blocks, ...)`."""
    numbers = (
        torch.tensor([values], dtype=torch.float64)
        for values in (
            [c.effective for c in clouds],
            [c.log_evidence for c in clouds],
            [c.variance + float(excess(c.log_weights[None])) for c in clouds],
        )
    )
    return Systems(torch.stack([c.x for c in clouds])[None], *numbers)


def _system(problem: Problem, log_likelihood: LogLikelihood, block: int, condition: Tensor | None) -> Cloud:
    """One system from noise to data; its states at the end are x0."""
    P, d = problem.particles, math.prod(problem.shape)
    prior = Covariance(problem.prior.variances[None], problem.prior.basis)
    local = Laplace.of(log_likelihood, problem.prior.mean[None], prior, problem.shape)
    if not bool(torch.isfinite(local.log_evidence).all()):
        raise ValueError("the likelihood is 0, or not a number, near the data's mean; give the measurement more noise.")
    local = local.take(torch.zeros(P, dtype=torch.int64))
    zero = local.mean.new_zeros(P)
    cloud = Cloud(local, local.mean.new_zeros(P, d), zero, float(local.log_evidence[0]), float(P), 0.0)
    for row, (start, end) in enumerate(level_steps(problem.levels)):
        cloud = _resampled(cloud, problem, block, row)
        z, fresh = (
            normal(1, (P, d), problem.seed, name, first=block, row=row, dtype=torch.float64)[0]
            for name in ("likelihood data", "likelihood step")
        )
        _, x0, ratio = cloud.local.draw(z)
        if end[1] == 0:
            exact = log_likelihood(x0.reshape(P, *problem.shape)).double()
            return _weighted(cloud, cloud.local, x0, ratio + exact - cloud.local.log_evidence)
        shrink = (end[1] / end[0]) / (start[1] / start[0]) if start else 0.0
        gain, noise = end[0] * (1 - shrink**2), end[1] * math.sqrt(1 - shrink**2)
        moved = gain * x0 + noise * fresh
        x = moved + (end[0] / start[0] * shrink**2 if start else 0.0) * cloud.x
        local = _local(problem, log_likelihood, x, end, condition, first=row == 0)
        ratio = cloud.local.log_ratio(moved, gain, noise)
        cloud = _weighted(cloud, local, x, ratio + local.log_evidence - cloud.local.log_evidence)
    raise AssertionError("the last level has no noise")


def _local(
    problem: Problem, log_likelihood: LogLikelihood, x: Tensor, at: Point, condition: Tensor | None, first: bool
) -> Laplace:
    """The law of x0 given y at the particles, from the model's two moments."""
    states = x.reshape(len(x), *problem.shape)
    given = None if condition is None else condition.expand(len(x), *condition.shape)
    if first:
        check_model(problem.model, states, Level(*at), given)
    if problem.jacobian:
        answer, spread = tweedie(problem.model, states, *at, given)
    else:
        answer, spread = problem.model(states, Level(*at), given), Covariance.gaussian(problem.prior, *at)
    return Laplace.of(log_likelihood, answer.x0.reshape(x.shape).double(), spread, problem.shape)


def _weighted(cloud: Cloud, local: Laplace, x: Tensor, log_ratio: Tensor) -> Cloud:
    """The particles one level on, weights with a mean of 1."""
    log_weights = cloud.log_weights + log_ratio
    step = log_weights.logsumexp(0) - math.log(len(x))
    if not bool(torch.isfinite(step)):
        raise ValueError("the likelihood is 0, or not a number, at all particles; give the measurement more noise.")
    effective = min(cloud.effective, 1 / float(log_weights.softmax(0).square().sum()))
    return Cloud(local, x, log_weights - step, cloud.log_evidence + float(step), effective, cloud.variance)


def _resampled(cloud: Cloud, problem: Problem, block: int, row: int) -> Cloud:
    """Systematic resampling where the effective number of particles fell below half."""
    P = len(cloud.x)
    weights = cloud.log_weights.softmax(0)
    if 1 / float(weights.square().sum()) >= 0.5 * P:
        return cloud
    u = uniform(1, (1,), problem.seed, "likelihood resampling", first=block, row=row, dtype=weights.dtype)
    chosen = systematic(weights[None], u, P)[0]
    return Cloud(
        cloud.local.take(chosen),
        cloud.x[chosen],
        torch.zeros_like(cloud.log_weights),
        cloud.log_evidence,
        cloud.effective,
        cloud.variance + float(excess(cloud.log_weights[None])),
    )
