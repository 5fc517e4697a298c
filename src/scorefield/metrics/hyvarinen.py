"""Comparing Bayesian models by how they predict, without normalising constants: the sequential Hyvarinen score.

Each observation is scored by the predictive law given those before it: `H = 2 laplacian log q(y) + |grad log q(y)|^2`,
less is better. Constants of q cancel, so that priors need not integrate to 1, where marginal likelihoods are arbitrary
(Dawid and Musio 2015; Shao, Jacob, Ding and Tarokh 2019). The difference of two models' totals is the H-factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from scorefield._ranges import real, whole
from scorefield.metrics.samples import Sample

LogLikelihood: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`(parameters (m, p), one observation) -> (m,)`, differentiable in the observation by `torch.func`."""
_RANK = 1e-10  # of a precision matrix, relative


@dataclass(frozen=True, eq=False)
class SequentialScore:
    """The scores of a model's predictions, one observation after another.

    Args:
        each: H of each observation, `(n,)`; 0 where it is not scored.
        log_each: log predictive density, `(n,)`, up to the constant of an improper prior; 0 where it is not scored.
        scored: `(n,)` bool: whether the predictive law was one (an improper prior needs some observations first).
        effective: particles' effective number, `(n,)`; None for closed forms.
    """

    each: Tensor
    log_each: Tensor
    scored: Tensor
    effective: Tensor | None = None

    @property
    def total(self) -> float:
        """The Hyvarinen score of the model: less is better."""
        return float(self.each.sum())

    def factor(self, other: SequentialScore) -> float:
        """The H-factor: the other's score less this one's, over observations that both score; > 0: for this model."""
        if len(self.each) != len(other.each):
            raise ValueError(f"both must be of the same observations, got {len(self.each)} and {len(other.each)}.")
        both = self.scored & other.scored
        return float((other.each - self.each)[both].sum())

    def __repr__(self) -> str:
        return f"SequentialScore({int(self.scored.sum())} of {len(self.each)} observations scored, {self.total:.4g})"


# ----------------------------------------------------------------------------------------------------- closed form


def linear_model_score(
    y: Sample,
    design: Sample,
    *,
    variance: float | None = None,
    prior_mean: Tensor | None = None,
    prior_precision: Tensor | float = 0.0,
    shape: float = 0.0,
    rate: float = 0.0,
) -> SequentialScore:
    """The exact score of `y = design theta + noise`, normal noise of known or unknown variance.

    `theta | variance ~ N(prior_mean, variance / prior_precision)`, `variance ~ InverseGamma(shape, rate)`. Precision 0
    is a flat prior of theta, shape = rate = 0 the density `1 / variance`. Predictions are normal, or Student's t:
    `log q = -(a + 1/2) log(2 b (1 + l) + (y - mean)^2)` with the leverage l and the updated a and b.

    Args:
        y: `(n,)`, in the order in which they are predicted.
        design: `(n, p)`, p >= 0; a column of ones is the model of a mean.
        variance: of the noise; None: unknown.
        prior_mean: `(p,)`; None: 0.
        prior_precision: `(p, p)`, positive semidefinite, or a number on its diagonal.
        shape: >= 0, of the variance's prior.
        rate: >= 0.

    Raises:
        ValueError: for what does not fit together, or an observation that a law without spread predicts.

    Example:
        >>> found = linear_model_score(torch.tensor([1.0, 2.0, 4.0]), torch.ones(3, 1), variance=1.0)
        >>> [round(v, 4) for v in found.each.tolist()]  # flat; N(1, 2); N(1.5, 1.5)
        [0.0, -0.75, 1.4444]
    """
    y, design = _numbers("y", y, 1), _numbers("design", design, 2)
    n, p = design.shape
    if len(y) != n:
        raise ValueError(f"y and design must have as many rows, got {len(y)} and {n}.")
    precision = torch.as_tensor(prior_precision).to(y)
    precision = precision * torch.eye(p).to(y) if precision.ndim == 0 else precision
    mean = torch.zeros(p).to(y) if prior_mean is None else prior_mean.detach().to(y)
    if precision.shape != (p, p) or mean.shape != (p,):
        raise ValueError(f"prior_mean and prior_precision must be ({p},) and ({p}, {p}) for this design.")
    for name, value in (("shape", shape), ("rate", rate)):
        real(0, 1e300)(name, value)
    if variance is not None:
        real(0, 1e300, open_low=True)("variance", variance)
    state = _State(precision, precision @ mean, shape, rate)
    rows = [_predicted(state, float(y[t]), design[t], variance) for t in range(n)]
    found = torch.tensor(rows, dtype=torch.float64).reshape(n, 3)
    return SequentialScore(found[:, 0], found[:, 1], found[:, 2] > 0)


@dataclass
class _State:
    """What is known after some observations; the flat directions are those of no precision."""

    precision: Tensor
    shift: Tensor  # precision times mean
    a: float
    b: float


def _predicted(state: _State, y: float, row: Tensor, variance: float | None) -> tuple[float, float, float]:
    """H, log density and whether these count of one observation, which then is taken in."""
    mean, leverage = _at(state, row)
    e, known = y - mean, math.isfinite(leverage)
    found = (0.0, 0.0, 0.0)
    if known and variance is not None:
        v = variance * (1 + leverage)
        found = (-2 / v + (e / v) ** 2, -0.5 * (math.log(2 * math.pi * v) + e * e / v), 1.0)
    elif known and state.a > 0 and state.b > 0:
        c, power = 2 * state.b * (1 + leverage), 2 * state.a + 1
        size = c + e * e
        constant = math.lgamma(state.a + 0.5) - math.lgamma(state.a) + state.a * math.log(c) - 0.5 * math.log(math.pi)
        h = -2 * power * (c - e * e) / size**2 + (power * e / size) ** 2
        found = (h, constant - 0.5 * power * math.log(size), 1.0)
    if known:  # an observation of a flat direction says nothing of the noise
        state.a, state.b = state.a + 0.5, state.b + e * e / (2 * (1 + leverage))
    state.precision, state.shift = state.precision + torch.outer(row, row), state.shift + row * y
    return found


def _at(state: _State, row: Tensor) -> tuple[float, float]:
    """Of the prediction at a row its mean and leverage, infinite where a flat direction takes part."""
    if not len(row):
        return 0.0, 0.0
    values, vectors = torch.linalg.eigh(state.precision)
    kept = values > _RANK * values.abs().max()
    inside = vectors.T @ row
    if float(inside[~kept].square().sum()) > _RANK * float(row.square().sum()):
        return 0.0, math.inf
    weights = inside[kept] / values[kept]
    return float(weights @ (vectors[:, kept].T @ state.shift)), float((inside[kept] * weights).sum())


# ------------------------------------------------------------------------------------------------------ particles


def particle_score(
    y: Sample,
    log_likelihood: LogLikelihood,
    first: Tensor,
    *,
    log_prior: Callable[[Tensor], Tensor],
    log_first: Callable[[Tensor], Tensor] | None = None,
    unscored: int = 0,
    moves: int = 5,
    seed: int = 0,
) -> SequentialScore:
    """The score of any model of independent observations given parameters, by weighted particles (Chopin 2002).

    `H_t = 2 E[laplacian log p(y_t | theta) + |grad log p(y_t | theta)|^2] - |E[grad log p(y_t | theta)]|^2`, the means
    over the posterior given observations up to t (Shao and others 2019): particles are reweighted by each observation,
    and resampled and moved where fewer than half are effective.

    Args:
        y: `(n, *shape)`.
        log_likelihood: `log p(y_t | theta)`, `((m, p), (*shape)) -> (m,)`.
        first: draws of the prior, `(m, p)`, m >= 8.
        log_prior: `(m, p) -> (m,)`, up to any constant, improper ones too; -inf outside the support.
        log_first: log-density of the law that `first` is drawn from, where that is not the prior.
        unscored: first observations that only update, such as an improper prior needs.
        moves: Metropolis steps of each particle after resampling.
        seed: of all noise.

    Raises:
        ValueError: when no particle explains an observation.

    Example:
        >>> from scorefield.numerics.random import normal
        >>> theta, y = normal(4000, (1,), 0, "prior", dtype=torch.float64), torch.tensor([0.5, -0.2])
        >>> def log_likelihood(theta, y): return -0.5 * (y - theta[:, 0]) ** 2
        >>> found = particle_score(y, log_likelihood, theta, log_prior=lambda theta: -0.5 * theta[:, 0] ** 2)
        >>> exact = linear_model_score(y, torch.ones(2, 1), variance=1.0, prior_precision=1.0)
        >>> abs(found.total - exact.total) < 0.05
        True
    """
    from scorefield.mcmc.tempered import resampled  # here alone: metrics are loaded by all that trains

    observed, theta = _numbers("y", y, None), first.detach().double()
    n, m = len(observed), len(theta)
    whole(0, n)("unscored", unscored)
    whole(1, 10_000)("moves", moves)
    if theta.ndim != 2 or m < 8:
        raise ValueError(f"first must hold at least 8 particles (m, p), got shape {tuple(theta.shape)}.")
    weight = torch.zeros(m).to(theta) if log_first is None else log_prior(theta) - log_first(theta)
    rows = []
    for t in range(n):
        before = weight - weight.logsumexp(0)
        h, like = _scored(log_likelihood, theta, observed[t], before)
        weight = before + like
        density = float(weight.logsumexp(0))
        effective = float((2 * weight.logsumexp(0) - (2 * weight).logsumexp(0)).exp())
        rows.append((h, density, float(t >= unscored), effective))
        if effective < m / 2:
            theta = theta[resampled(weight, seed, t)]
            theta = _moved(theta, log_likelihood, log_prior, observed[: t + 1], moves, seed, t)
            weight = torch.zeros(m).to(theta)
    found = torch.tensor(rows, dtype=torch.float64).reshape(n, 4)
    counts = found[:, 2] > 0
    return SequentialScore(found[:, 0] * counts, found[:, 1] * counts, counts, found[:, 3])


def _scored(log_likelihood: LogLikelihood, theta: Tensor, y: Tensor, before: Tensor) -> tuple[float, Tensor]:
    """H of an observation, and its log-likelihood under each particle."""

    def of(flat: Tensor) -> Tensor:
        return log_likelihood(theta, flat.reshape(y.shape))

    flat = y.reshape(-1)
    like = of(flat).detach()
    after = before + like
    if not bool(torch.isfinite(after.logsumexp(0))):
        raise ValueError("no particle explains an observation: start from a wider law, or from more particles.")
    weight = after.softmax(0)
    slope = torch.func.jacfwd(of)(flat)
    curve = torch.func.jacfwd(torch.func.jacfwd(of))(flat).diagonal(dim1=1, dim2=2).sum(1)
    here = weight > 0
    mean = weight[here] @ (curve + slope.square().sum(1))[here]
    return float(2 * mean - (weight[here] @ slope[here]).square().sum()), like


def _moved(
    theta: Tensor,
    log_likelihood: LogLikelihood,
    log_prior: Callable[[Tensor], Tensor],
    seen: Tensor,
    moves: int,
    seed: int,
    step: int,
) -> Tensor:
    def total(particles: Tensor) -> Tensor:
        return torch.stack([log_likelihood(particles, y) for y in seen]).sum(0)

    from scorefield.mcmc.tempered import Mover

    mover = Mover(total, log_prior, 1.0, seed, step)
    return mover.moved(theta, total(theta), log_prior(theta), moves)[0]


def _numbers(name: str, value: Sample, dim: int | None) -> Tensor:
    found = torch.as_tensor(value) if isinstance(value, np.ndarray) else value
    if not isinstance(found, Tensor) or found.is_complex() or not found.ndim or (dim and found.ndim != dim):
        raise ValueError(
            f"{name} must be numbers with {dim or 'at least 1'} dimension(s), got {getattr(found, 'shape', found)}."
        )
    found = found.detach().double()
    bad = ~torch.isfinite(found.reshape(len(found), -1)).all(1)
    if bool(bad.any()):
        raise ValueError(f"{name} has NaN or infinite values, first in row {int(bad.nonzero()[0])}.")
    return found
