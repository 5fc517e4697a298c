"""One posterior given several observations: the scores given each are put together (Geffner and others 2023).

At noise s the law of v0 given v and one observation is taken for normal, with precision `P_i = C_i^-1 + s^-2` of the
normal law given that observation, and that of the prior likewise, P. Then (Linhart and others 2024)

    E[v0 | v, all] = (sum P_i + (1 - n) P)^-1 (sum P_i E[v0 | v, i] + (1 - n) P E[v0 | v]),

which is exact at every noise for normal posteriors, and for any as s goes to 0: fresh noise at every level lets
the points forget what was wrong at more noise.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scorefield import levels
from scorefield.core import Estimate, Level
from scorefield.numerics.random import normal
from scorefield.plans import Plan, dpmpp, run
from scorefield.posterior.conditional import SIGMA_MAX, SIGMA_MIN, BoundScore, Noised, Whitening
from scorefield.posterior.prior import Prior
from scorefield.progress import Report, counted, silent

_LEVELS = 40  # of noise, each one evaluation
_NUMBERS = 1 << 20  # points times observations at once
_LEAST = 1e-6  # by how much an observation adds to the prior's precision, at least, as a share of it


class Normal(NamedTuple):
    """A normal law in v, by its precision `(d, d)` and the product of precision and mean, `(d,)`."""

    precision: Tensor
    pull: Tensor

    @property
    def mean(self) -> Tensor:
        """`(d,)`."""
        return torch.linalg.solve(self.precision, self.pull)


class ComposedScore:
    """The law of v given all of the observations that a model is bound to, in units of its own normal law.

    A point x stands for `v = mean + root x`, with the mean and the covariance `root root^T` of the normal law given all
    observations.

    Args:
        bound: the model given each observation.
        prior: of the parameters.
        prior_normal: the normal law in v that stands for the prior.
    """

    def __init__(self, bound: BoundScore, prior: Prior, prior_normal: Normal) -> None:
        self.bound, self.prior, self.prior_normal = bound, prior, prior_normal
        laws = bound.laws
        self.precisions = (laws.basis / laws.variances[:, None]) @ laws.basis.mT
        self.together = _together(self.precisions, laws.mean, prior_normal)
        inverse, basis = torch.linalg.eigh(self.together.precision)
        self.mean, self.basis, self.variances = self.together.mean, basis, 1 / inverse
        self.scale = float(self.variances.log().mean().div(2).exp())

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The estimate at x `(n, d)`, x in units of `scale` from `mean`."""
        alpha, s = float(level.alpha), float(level.ratio) * self.scale
        v = self.mean + self.scale * x.double() / alpha
        v0 = self._denoised(v, s)
        x0 = ((v0 - self.mean) / self.scale).to(x)
        return Estimate(x0, (x - alpha * x0) / float(level.sigma))

    def _denoised(self, v: Tensor, s: float) -> Tensor:
        n = len(self.precisions)
        eye = torch.eye(v.shape[1], dtype=v.dtype) / s**2
        each = self._given_each(v, s)
        pulled = torch.einsum("kij,pkj->pi", self.precisions + eye, each)
        prior = (self.prior_normal.precision + eye) @ self._given_none(v, s).T
        total = self.precisions.sum(0) + (1 - n) * self.prior_normal.precision + eye
        total = _positive(total, self.together.precision + eye)
        return torch.linalg.solve(total, (pulled + (1 - n) * prior.T).T).T

    def _given_each(self, v: Tensor, s: float) -> Tensor:
        """`E[v0 | v, i]` `(points, observations, d)`."""
        k, d = self.bound.laws.mean.shape
        row = torch.arange(k).repeat(len(v))
        laws = self.bound.laws.rows(row)
        points = v.repeat_interleave(k, 0)
        noised = Noised.of(laws, points, torch.full((len(points),), s, dtype=v.dtype))
        ratio = (s / laws.scale).clamp(SIGMA_MIN, SIGMA_MAX)
        f = laws.into(self.bound.correction(noised.seen(laws), ratio.log(), row).to(v))
        return (laws.mean + noised.denoised(laws, f)).reshape(len(v), k, d)

    def _given_none(self, v: Tensor, s: float) -> Tensor:
        """`E[v0 | v]` under the prior: of its normal law, and of what the true score at that point adds to it."""
        law = self.prior_normal
        eye = torch.eye(v.shape[1], dtype=v.dtype) / s**2
        v0 = torch.linalg.solve(law.precision + eye, (law.pull + v / s**2).T).T
        if self.prior.covariance is not None:
            return v0
        with torch.enable_grad():
            point = v0.detach().requires_grad_()
            u = self.bound.score.whitening.outward(point)
            (slope,) = torch.autograd.grad(self.prior.log_density_inward(u).sum(), point)
        return v0 + torch.linalg.solve(law.precision + eye, (slope + v0 @ law.precision - law.pull).T).T


def prior_in_v(prior: Prior, whitening: Whitening) -> Normal:
    """The normal law in v that stands for a prior: its own where it is normal, else of mean 0 and variance 1 in u."""
    covariance = prior.covariance
    covariance = torch.eye(prior.dim, dtype=torch.float64) if covariance is None else covariance
    inverse = torch.linalg.inv(whitening.root)
    precision = torch.linalg.inv(inverse @ covariance @ inverse.T)
    return Normal(precision, precision @ (inverse @ -whitening.mean))


def _together(precisions: Tensor, means: Tensor, prior: Normal) -> Normal:
    """The normal law given all observations; one that seems to say less than the prior says nothing."""
    pulls = (precisions @ means[..., None])[..., 0] - prior.pull
    root = torch.linalg.cholesky(prior.precision)
    inverse = torch.linalg.inv(root)
    values, vectors = torch.linalg.eigh(inverse @ (precisions - prior.precision) @ inverse.T)
    kept = (vectors * values.clamp(min=_LEAST)[:, None]) @ vectors.mT
    added = root @ kept @ root.T
    return Normal(prior.precision + added.sum(0), prior.pull + pulls.sum(0))


def _positive(matrix: Tensor, instead: Tensor) -> Tensor:
    """The matrix where it is a precision, else another."""
    _, failed = torch.linalg.cholesky_ex(matrix)
    return instead if int(failed) else matrix


def plan() -> Plan:
    """Of second order, with fresh noise at every level: what the scores at more noise have wrong is forgotten."""
    return dpmpp(levels.karras(_LEVELS, SIGMA_MAX, 2 * SIGMA_MIN, rho=5.0), order=2, eta=1.0)


@torch.no_grad()
def draws_together(bound: BoundScore, prior: Prior, n: int, seed: int, report: Report = silent) -> Tensor:
    """n draws of y given all observations that a model is bound to, `(n, d)` float64; draw i depends on (seed, i)."""
    model = ComposedScore(bound, prior, prior_in_v(prior, bound.score.whitening))
    way, d = plan(), bound.score.dim
    at_once = max(1, _NUMBERS // len(bound.laws.mean))
    starts = range(0, n, at_once)
    found = []
    for first in counted(starts, len(starts), report, "draws"):
        noise = normal(min(at_once, n - first), (d,), seed, "together", first=first, dtype=torch.float64)
        spread = (model.variances / model.scale**2 * way.levels[0].alpha ** 2 + way.levels[0].sigma ** 2).sqrt()
        x = run(way, model, (spread * noise) @ model.basis.T, seed=seed, first=first)
        found.append(bound.score.whitening.outward(model.mean + model.scale * x))
    return torch.cat(found) if found else torch.empty(0, d, dtype=torch.float64)
