"""Posterior draws in the shapes that users have: samples given y, and tables with holes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from scorefield._tensor import check_batch
from scorefield.conditioning.inverse.large import LargeMeasurement
from scorefield.conditioning.inverse.measurement import Measurement
from scorefield.conditioning.inverse.operators import Operator, as_operator, flat_measurements, is_large, resolved
from scorefield.conditioning.inverse.particles import Observations, Problem, Systems, run_systems, systematic
from scorefield.core import Levels, Model
from scorefield.levels import flow
from scorefield.likelihood.reference import Moment, Reference
from scorefield.numerics.random import uniform
from scorefield.plans import Plan
from scorefield.progress import Report, silent
from scorefield.progress import part as within

_NUMBERS = 1 << 22
"""Numbers in the covariances of all particles that are moved at once."""
_CENTRE = 0.3
"""Half of the default levels are below this share of the data's deviation: best of a few grids on random mixtures."""
_SLACK = 0.1
"""Default for trained networks."""
_SYSTEMS = 1 << 20
"""Particle systems that one row of y may have: the noise of system b of row i has the index i * this + b."""


@dataclass(frozen=True, eq=False)
class PosteriorDraws:
    """Draws of x0 given y, and how sure they are.

    Args:
        x0: `(n, *shape)`; for several y `(n, rows, *shape)`.
        effective: the least effective number of particles on the way, summed over the systems of a y; `()` or
            `(rows,)`. Far below the number of particles, draws share ancestors: take more particles.
        log_evidence: `log p(y)` in nats, of the entries that are observed; as effective. NaN where no matrix of A was
            written out (images of more than about 76 x 76 pixels).
        standard_error: of log_evidence, Monte Carlo alone (a few steps more show the rest); as effective.
        evaluations: states at which the model was evaluated, in all; by default each has its Jacobian, d
            backward passes.
    """

    x0: Tensor
    effective: Tensor
    log_evidence: Tensor
    standard_error: Tensor
    evaluations: int

    def __repr__(self) -> str:
        return (
            f"PosteriorDraws(x0 {tuple(self.x0.shape)}, effective particles >= {float(self.effective.min()):.1f}, "
            f"{self.evaluations} evaluations)"
        )


@torch.no_grad()
def posterior_samples(
    model: Model,
    A: Tensor | Operator | Any,
    y: Tensor,
    noise_covariance: float | Tensor = 0.0,
    n: int = 1,
    *,
    steps: int = 50,
    plan: Plan | Levels | None = None,
    particles: int = 64,
    seed: int = 0,
    slack: float | None = None,
    jacobian: bool = True,
    mean: Moment | None = None,
    covariance: Moment | None = None,
    condition: Tensor | None = None,
    shape: Sequence[int] | None = None,
    first: int = 0,
    batch: int | None = None,
    pooled: bool = False,
    report: Report = silent,
) -> PosteriorDraws:
    """Draws of x0 given `y = A x0 + noise`, exact in the limit of particles and steps; for normal data at any number.

    Twisted sequential Monte Carlo (Wu and others 2023): particles go down the levels by the reverse chain of the model
    given y, a normal step with the mean of `posterior` and Tweedie's covariance; their weights correct what that
    normal law leaves out; systems whose effective number of particles falls below half are resampled. The last step
    gives data without noise, where exact observations (noise 0) hold exactly.

    Each y has particle systems of its own, each gives `particles` draws: draw k of row i is a function of
    (seed, first + i, k) and of `particles`. Draws of one system have the same law, but share ancestors where weights
    were uneven.

    Args:
        model: any; its mean and covariance (or sigma_data) are where sampling starts.
        A: as `posterior`; so are y and noise_covariance.
        y: `(m,)` or `(rows, m)`; of operators also in the shape that they measure; NaN: not observed.
        noise_covariance: 0: exact observations.
        n: draws for each y.
        steps: levels from the model's sigma_max to its sigma_min, `levels.flow` about a third of the data's standard
                deviation; each is one evaluation per particle.
        plan: instead of steps: levels with falling `sigma / alpha`, or a plan whose levels are taken (its coefficients
            are not: the steps are those of the ancestral chain).
        particles: in each system. The bias of a draw falls as one over their number. 1: independent draws without
            weights, by the steps alone: not exact, but for images, with far more pixels than particles, the choice.
        seed: of all noise.
        slack: how far off a network's x0 may be, as a share of what the noise leaves open: so much noise is added to y
            at every level, vanishing with it. It keeps weights bounded where a network is sure and wrong, and makes
            no difference in the limit. Default: 0.1 for a model with a least noise level, 0 for an exact one.
        jacobian: as `posterior`; without Jacobians a state costs one forward pass, and more particles are needed.
        mean: of the data, where sampling starts; default: the model's, or 0.
        covariance: of the data, likewise: a number, one per coordinate or `(d, d)`; default: the model's, or
            sigma_data^2. Without Jacobians it stands in for them.
        condition: for the model: one for all, or `(rows, ...)`.
        shape: of a point, where neither a mask A, a matrix A nor the model's mean tells it.
        first: index of the first row of y.
        batch: systems at once; default: by memory. A system's result does not depend on the others.
        pooled: weigh the systems of a y against each other by their estimates of p(y), and take as many draws of each
            as it weighs: a draw's bias falls as one over the particles of all systems, and draws depend on n too.
        report: hears how far the work is.

    Raises:
        ValueError: for what does not fit, or an observation that is impossible under the model.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.8], [0.8, 1.0]]))
        >>> draws = posterior_samples(law, torch.tensor([0]), torch.tensor([1.0]), n=1000, steps=5, particles=1000)
        >>> draws.x0[:, 0].unique().tolist(), round(float(draws.x0[:, 1].mean()), 1)
        ([1.0], 0.8)
    """
    check_counts(n=n, particles=particles, steps=steps)
    y = torch.as_tensor(y)
    shape = _shape(model, A, shape)
    measurement, y = _observations(A, y, noise_covariance, shape, independent=particles == 1 and not jacobian)
    problem = problem_for(model, shape, y.device, slack, jacobian, mean, covariance, steps, plan, particles, seed)
    ids = torch.arange(len(measurement.y), device=y.device) + first
    result = _systems(problem, measurement, ids, n, condition, batch, report)
    result = _pooled(result, seed, ids) if pooled else result
    if isinstance(measurement, LargeMeasurement):
        result = result._replace(log_evidence=result.log_evidence * math.nan)
    x0 = _points(result, measurement, n).to(y.dtype if y.is_floating_point() else torch.float32)
    blocks = result.log_evidence.shape[1]
    log_evidence = result.log_evidence.logsumexp(1) - math.log(blocks)
    effective, error = result.effective.sum(1), standard_error(result)
    if y.ndim == 1:
        x0, effective, log_evidence, error = x0.squeeze(1), effective[0], log_evidence[0], error[0]
    evaluations = len(ids) * blocks * particles * (len(problem.levels) - 1)
    return PosteriorDraws(x0.reshape(*x0.shape[:-1], *shape), effective, log_evidence, error, evaluations)


@torch.no_grad()
def impute(
    model: Model,
    x: Tensor,
    draws: int = 1,
    *,
    steps: int = 50,
    plan: Plan | Levels | None = None,
    particles: int = 32,
    seed: int = 0,
    slack: float | None = None,
    jacobian: bool = True,
    mean: Moment | None = None,
    covariance: Moment | None = None,
    condition: Tensor | None = None,
    first: int = 0,
    batch: int | None = None,
) -> Tensor:
    """Draws of the missing entries given the observed ones, row by row: multiple imputation.

    Observed entries come back bit for bit, rows without holes unchanged; rows without any observation are samples of
    the model. Draw k of row i is a function of (seed, first + i, k), and of `particles`.

    Args:
        model: of the rows, complete.
        x: `(n, *shape)`, NaN where missing.
        draws: for each row.
        steps: as `posterior_samples`; so are the options that follow.
        plan: levels.
        particles: in each system; a row has one for every so many draws.
        seed: of all noise.
        slack: of y.
        jacobian: whether to take Jacobians.
        mean: of the data.
        covariance: of the data.
        condition: for the model: one for all, or `(n, ...)`.
        first: index of the first row.
        batch: systems at once.

    Returns:
        `(draws, n, *shape)`, without NaN.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.999], [0.999, 1.0]]))
        >>> impute(law, torch.tensor([[1.0, torch.nan]]), steps=5).round(decimals=0).tolist()
        [[[1.0, 1.0]]]
    """
    check_batch("x", x)
    check_counts(draws=draws, particles=particles, steps=steps)
    if bool(torch.isinf(x).any()):
        raise ValueError("x has infinite entries; give finite numbers, or NaN where a value is missing.")
    flat = x.reshape(len(x), -1)
    filled = flat.expand(draws, *flat.shape).clone()
    holes = flat.isnan().any(1).nonzero().reshape(-1)
    if not len(holes):
        return filled.reshape(draws, *x.shape)
    problem = problem_for(model, x.shape[1:], x.device, slack, jacobian, mean, covariance, steps, plan, particles, seed)
    everything = torch.arange(flat.shape[1], device=x.device)
    measurement = Measurement.of(everything, flat[holes], 0.0, flat.shape[1])
    given = condition if condition is None or condition.ndim == 0 else condition[holes]
    result = _systems(problem, measurement, holes + first, draws, given, batch)
    drawn = _points(result, measurement, draws).to(x.dtype)
    filled[:, holes] = torch.where(flat[holes].isnan(), drawn, flat[holes])
    return filled.reshape(draws, *x.shape)


def _systems(
    problem: Problem,
    measurement: Observations,
    ids: Tensor,
    n: int,
    condition: Tensor | None,
    batch: int | None,
    report: Report = silent,
) -> Systems:
    """The results for each row of y and each of its systems, `(rows, blocks, ...)`."""
    P, d = problem.particles, measurement.d
    rows, blocks = len(ids), -(-n // P)
    row = torch.arange(rows, device=ids.device).repeat_interleave(blocks)
    index = ids[row] * _SYSTEMS + torch.arange(blocks, device=ids.device).repeat(rows)
    size = batch or max(1, _NUMBERS // (P * d * (d if problem.jacobian else 8)))
    if condition is not None and condition.ndim == 0:
        condition = condition.expand(rows)
    parts = []
    for done, part in enumerate(pieces := torch.arange(len(row), device=ids.device).split(size)):
        given = None if condition is None else condition[row[part]]
        share = within(report, done / len(pieces), (done + 1) / len(pieces), "draws")
        parts.append(run_systems(problem, measurement.rows(row[part]), index[part], given, share))
    return Systems(*(torch.cat(v).unflatten(0, (rows, blocks)) for v in zip(*parts, strict=True)))


def _observations(
    A: Any, y: Tensor, noise_covariance: float | Tensor, shape: tuple[int, ...], independent: bool
) -> tuple[Observations, Tensor]:
    """The measurement, and y as `(m,)` or `(rows, m)`; large ones without a matrix, for independent draws."""
    operator = as_operator(A, shape)
    if independent and not isinstance(operator, Tensor) and is_large(operator):
        y = flat_measurements(operator, y)
        return LargeMeasurement.of(operator, y, noise_covariance), y
    A, y = resolved(operator, y, shape)
    return Measurement.of(A, y, noise_covariance, math.prod(shape)), y


def _pooled(result: Systems, seed: int, ids: Tensor) -> Systems:
    """Particles of all systems of a row, each system's as often as its estimate of p(y) says, in random order."""
    rows, blocks, P, d = result.x0.shape
    if blocks == 1:
        return result
    weights = (result.log_evidence.softmax(1) / P).repeat_interleave(P, 1)
    u = uniform(rows, (1 + blocks * P,), seed, "posterior pool", first=ids, dtype=weights.dtype, device=weights.device)
    chosen = systematic(weights, u[:, :1], blocks * P).gather(1, u[:, 1:].argsort(1))
    x0 = result.x0.reshape(rows, blocks * P, d).gather(1, chosen[..., None].expand(-1, -1, d))
    return result._replace(x0=x0.reshape(rows, blocks, P, d))


def standard_error(result: Systems) -> Tensor:
    """Of the log of the mean of the systems' estimates, `(rows,)`.

    The larger of two estimates: from uneven weights, which leaves out shared ancestors, and from the systems' spread.
    """
    shares = result.log_evidence.softmax(1)
    within = (result.relative_variance * shares.square()).sum(1)
    blocks = shares.shape[1]
    between = shares.var(1) * blocks if blocks > 1 else torch.zeros_like(within)
    return torch.maximum(within, between).clamp(min=0).sqrt()


def _points(result: Systems, measurement: Observations, n: int) -> Tensor:
    """The first n draws of each row, `(n, rows, d)`; what was observed exactly is what it was observed to be."""
    x0 = result.x0.flatten(1, 2)[:, :n].movedim(1, 0)
    if isinstance(measurement, LargeMeasurement) or not measurement.at_coordinates:
        return x0
    variance = measurement.noise if measurement.noise.ndim == 1 else measurement.noise.diagonal()
    exact = (variance == 0) & (measurement.observed > 0)
    x0 = x0.clone()
    x0[..., measurement.A] = torch.where(exact, measurement.y, x0[..., measurement.A])
    return x0


def problem_for(
    model: Model,
    shape: Sequence[int],
    device: torch.device,
    slack: float | None,
    jacobian: bool,
    mean: Moment | None,
    covariance: Moment | None,
    steps: int,
    plan: Plan | Levels | None,
    particles: int,
    seed: int,
) -> Problem:
    """What all particles share, from what users give."""
    like = torch.zeros(1, *shape, dtype=torch.float64, device=device)
    prior = Reference.of(model, like, mean, covariance)
    if plan is None:
        high, low = (float(getattr(model, f"sigma_{end}", k * prior.scale)) for end, k in (("max", 80), ("min", 0.002)))
        plan = flow(steps, high, low, _CENTRE * prior.scale)
    slack = (_SLACK if hasattr(model, "sigma_min") else 0.0) if slack is None else slack
    if not 0 <= slack < math.inf:
        raise ValueError(f"slack must be >= 0 and finite, got {slack}.")
    levels = plan.levels if isinstance(plan, Plan) else plan
    points = [(a, s) for a, s in zip(levels.alpha.tolist(), levels.sigma.tolist(), strict=True) if a > 0]
    if points and points[-1][1] > 0:
        points.append((1.0, 0.0))
    ratios = [s / a for a, s in points]
    if len(points) < 2 or any(b >= a for a, b in pairwise(ratios)):
        raise ValueError("posterior draws need levels with falling sigma / alpha, the first one with noise.")
    return Problem(model, tuple(shape), prior, jacobian, tuple(points), float(slack), particles, seed)


def _shape(model: Model, A: Any, shape: Sequence[int] | None) -> tuple[int, ...]:
    """The shape of a point: as given, else what A or the model's mean tells."""
    if shape is not None:
        return tuple(shape)
    if not isinstance(A, Tensor) and isinstance(A, Operator):
        return A.shape
    mean = getattr(model, "mean", None)
    if isinstance(mean, Tensor) and not (isinstance(A, Tensor) and A.dtype == torch.bool):
        return tuple(mean.shape)
    A = as_operator(A, None)
    if A.dtype == torch.bool:
        return tuple(A.shape)
    if A.ndim == 2:
        return (A.shape[1],)
    raise ValueError("neither A nor the model tells the shape of a point; give shape=..., for example shape=(2,).")


def check_counts(**counts: int) -> None:
    """Raise unless each is a whole number >= 1."""
    for name, value in counts.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be a whole number >= 1, got {value!r}.")
