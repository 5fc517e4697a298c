"""The variational bound of a ladder of noise levels: an upper bound of the negative log-likelihood."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real
from scorefield.core import Level, Levels, Model, check_estimate
from scorefield.likelihood.reference import Moment, Reference
from scorefield.numerics.random import normal


@dataclass(frozen=True, eq=False)
class VariationalBound:
    """An upper bound of `-log p(x)` in nats, by its three parts, all `(n,)` and float64.

    Args:
        value: `prior + diffusion + reconstruction`, unbiased.
        standard_error: of value over the draws; NaN for one draw.
        prior: the divergence of x at the highest level from the Gaussian that sampling starts from, exact.
        diffusion: of all the steps down.
        reconstruction: of x from the lowest level above its own.
        evaluations: of the model per point.
    """

    value: Tensor
    standard_error: Tensor
    prior: Tensor
    diffusion: Tensor
    reconstruction: Tensor
    evaluations: int

    def __repr__(self) -> str:
        return (
            f"VariationalBound({len(self.value)} points, mean {float(self.value.mean()):.4f} nats = prior "
            f"{float(self.prior.mean()):.4f} + diffusion {float(self.diffusion.mean()):.4f} + reconstruction "
            f"{float(self.reconstruction.mean()):.4f}, {self.evaluations} evaluations)"
        )


@torch.no_grad()
def variational_bound(
    model: Model,
    x: Tensor,
    levels: Levels,
    *,
    draws: int = 4,
    seed: int = 0,
    mean: Moment | None = None,
    covariance: Moment | None = None,
    condition: Tensor | int | None = None,
    first: int = 0,
) -> VariationalBound:
    """The bound of `-log p(x)` that ancestral sampling over these levels gives (Ho and others 2020).

    The sampler starts from `N(mean, covariance + s^2)`, goes down by Gaussian steps, and draws x from a Gaussian around
    its last estimate. A step's variance is what it would be for Gaussian data with this mean and covariance (after Bao
    and others 2022, the reference in place of fitted variances): right for those with any number of levels, and as that
    of Kingma and others (2021) where levels are many. The bound is never below the negative log-density of that
    sampler's law, so on average over data never below their entropy; it nears the ODE's value with many levels.

    Args:
        model: any model.
        x: `(n, *shape)`, at the last of the levels, which may be clean (sigma = 0).
        levels: K + 1 >= 2 levels of falling `sigma / alpha`, all finite, as for sampling.
        draws: of the noise of every level, >= 1.
        seed: that of point i is a pure function of (seed, first + i).
        mean: as `log_density`.
        covariance: as `log_density`.
        condition: for the model: one for all, or `(n,)`.
        first: index of the first point.

    Example:
        >>> from scorefield import levels
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(1), torch.eye(1))
        >>> x = law.sample(10_000, seed=0)
        >>> bound = variational_bound(law, x, levels.karras(10, sigma_max=80, sigma_min=0.002))
        >>> bool((bound.value + law.log_density(x)).mean().abs() < 0.03)
        True
    """
    check_batch("x", x)
    check_real("x", x)
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws must be an integer >= 1, got {draws!r}.")
    s = levels.ratio.tolist()
    if len(s) < 2 or not math.isfinite(s[0]) or not all(a > b for a, b in pairwise(s)):
        raise ValueError("the bound needs two levels or more, sigma / alpha finite and falling; give a sampling grid.")
    reference = Reference.of(model, x, mean, covariance)
    alpha = float(levels.alpha[-1])
    z = x.double() / alpha
    given = None if condition is None else torch.as_tensor(condition, device=x.device)
    r = [math.sqrt((a - s[-1]) * (a + s[-1])) for a in s[:-1]]

    def distance(k: int, draw: int) -> Tensor:
        """`z - D(z_k)` for the noise of this draw."""
        noise = normal(
            len(z), z.shape[1:], seed, f"variational bound/{draw}", first=first, row=k, dtype=z.dtype, device=z.device
        )
        noisy = z + r[k] * noise
        estimate = model(noisy, Level(1.0, s[k]), given)
        if k == draw == 0:
            check_estimate(model, noisy, Level(1.0, s[k]), estimate)
        return (z - noisy + (r[k] ** 2 / s[k]) * estimate.eps).flatten(1)

    steps, last = [], []
    for draw in range(draws):
        total = z.new_zeros(len(z))
        for k in range(len(r) - 1):
            total = total + _step(reference, distance(k, draw), r[k], r[k + 1], s[-1])
        steps.append(total)
        last.append(_reconstruction(reference, distance(len(r) - 1, draw), r[-1], s[-1]))
    diffusion, reconstruction = torch.stack(steps), torch.stack(last)
    prior = _prior(reference, z.flatten(1), r[0], s[0])
    spread = (diffusion + reconstruction).std(0) / math.sqrt(draws) if draws > 1 else torch.full_like(prior, math.nan)
    reconstruction = reconstruction.mean(0) + z[0].numel() * math.log(alpha) if len(z) else prior
    value = prior + diffusion.mean(0) + reconstruction
    return VariationalBound(value, spread, prior, diffusion.mean(0), reconstruction, draws * len(r))


def _prior(reference: Reference, z: Tensor, r: float, s: float) -> Tensor:
    """`KL(N(z, r^2) | N(mean, C + s^2))`, z `(n, d)`."""
    variances = reference.variances + s**2
    moved = reference.to_basis(z - reference.mean).square() / variances
    share = r**2 / variances
    return 0.5 * (share + moved - 1 - share.log()).sum(1)


def _step(reference: Reference, rest: Tensor, high: float, low: float, s: float) -> Tensor:
    """The divergence of the step given z from the sampler's, for rest = z - D at the noise `high`."""
    share = 1 - (low / high) ** 2  # of D in the step's mean
    variance = low**2 * share  # of the step given z
    drawn = variance + share**2 * _uncertainty(reference, high, s)
    moved = share**2 * reference.to_basis(rest).square() / drawn
    return 0.5 * (moved + variance / drawn - 1 - (variance / drawn).log()).sum(1)


def _reconstruction(reference: Reference, rest: Tensor, r: float, s: float) -> Tensor:
    """`-log N(z; D, V)` for rest = z - D, V the variance of Gaussian data given their noised point."""
    variances = _uncertainty(reference, r, s)
    turned = reference.to_basis(rest).square() / variances
    return 0.5 * (turned + variances.log() + math.log(2 * math.pi)).sum(1)


def _uncertainty(reference: Reference, r: float, s: float) -> Tensor:
    """The variance of Gaussian data, noised by s, given their point with further noise r: `(d,)`."""
    prior = reference.variances + s**2
    return prior * r**2 / (prior + r**2)
