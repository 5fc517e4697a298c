"""Langevin chains for a static score or an energy: unadjusted, and Metropolis-adjusted (no bias at any step).

One step is `x + step * C score(x) + sqrt(2 * step) * L z`, `C = L L^T` a preconditioner, the identity unless given or
adapted. The noise of chain i at step k is a pure function of (seed, first + i, start + k): more chains, or a run in two
parts, give the same numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield._tensor import expand
from scorefield.core import StaticScore
from scorefield.mcmc.adapting import Adapted
from scorefield.mcmc.chains import Chains, Count, EnergyFunction, check_start, field, first_of
from scorefield.mcmc.diagnostics import effective_sample_size, split_r_hat
from scorefield.mcmc.driving import Walk, drive, noise
from scorefield.mcmc.metric import Metric, metric_of

__all__ = ["Chains", "EnergyFunction", "Metric", "adjusted", "effective_sample_size", "split_r_hat", "unadjusted"]

_WALK = Walk("langevin", leaps=lambda step: 1, keep=torch.zeros_like)


def unadjusted(
    score: StaticScore,
    x: Tensor,
    step: float | Tensor,
    steps: int,
    *,
    seed: int,
    covariance: Tensor | Metric | None = None,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
) -> Chains:
    """Unadjusted Langevin (Roberts and Tweedie 1996): `x <- x + step * C score(x) + sqrt(2 * step) * L z`, C = L L^T.

    Its stationary law is off by O(step): on N(0, s^2) the variance is `s^2 / (1 - step / (2 s^2))`.

    Args:
        score: `x -> grad log p(x)`, both `(n, *shape)`.
        x: `(n, *shape)`, where the n chains start.
        step: > 0, in squared units of x; one for all, or `(n,)`.
        steps: steps per chain, burn_in included.
        seed: of the noise.
        covariance: C, the preconditioner: variances of x's shape without n, or a matrix `(d, d)`, best the target's own
            covariance; then step has no unit. Default: the identity.
        burn_in: steps that are not kept.
        thin: of the steps after burn_in, every thin-th is kept.
        first: index of the first chain.
        start: index of the first step, to go on from another run's `state`.

    Raises:
        ValueError: when a chain leaves the finite numbers: the step is too large.

    Example:
        >>> chains = unadjusted(lambda x: -x, torch.zeros(100, 1), step=0.1, steps=400, seed=0, burn_in=100)
        >>> chains
        Chains(100 chains, 300 samples each of shape (1,))
        >>> round(float(chains.pooled.var()), 1)  # 1 / (1 - step / 2) = 1.05
        1.1
    """
    each = check_start(x, step)
    count = Count(steps, burn_in, thin, first, start)
    count.check()
    C, h = metric_of(covariance, x), expand(each, x)
    x = x.detach()
    kept = []
    for k in range(steps):
        s = known(field(score, x), x, start + k)
        drift = h * C.inward(s)
        x = x + C.outward(drift + (2 * h).sqrt() * noise(x, seed, "langevin", first, start + k))
        check_finite(x, each, start + k)
        if count.keeps(k):
            kept.append(x)
    return Chains(torch.stack(kept), x, None, None, each, C)


def adjusted(
    energy: EnergyFunction,
    x: Tensor,
    step: float | Tensor,
    steps: int,
    *,
    seed: int,
    score: StaticScore | None = None,
    covariance: Tensor | Metric | None = None,
    adapt: Adapted | None = None,
    acceptance: float = 0.574,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
) -> Chains:
    """Metropolis-adjusted Langevin (Roberts and Tweedie 1996): the density `exp(-energy)` exactly, at any step.

    A proposal is a step of `unadjusted`; it is taken with probability `min(1, p(y) q(x | y) / (p(x) q(y | x)))`. An
    acceptance near 0.57 is the most efficient in many dimensions (Roberts and Rosenthal 1998).

    Args:
        energy: `x -> -log p(x) + const`, `(n, *shape) -> (n,)`; +inf outside the support.
        x: `(n, *shape)`, where the chains start: of finite energy.
        step: as `unadjusted`.
        steps: as `unadjusted`.
        seed: as `unadjusted`.
        score: the drift of the proposals; default minus the gradient of energy. Any other field leaves the law exact.
        covariance: as `unadjusted`.
        adapt: what each chain finds by itself during burn_in, after which it is fixed: its 'step', with it the
            variances of a 'diagonal' preconditioner, or a 'dense' one. `step` and `covariance` are where it begins.
        acceptance: that the adapted step aims at.
        burn_in: as `unadjusted`.
        thin: as `unadjusted`.
        first: as `unadjusted`.
        start: as `unadjusted`.

    Raises:
        ValueError: when energy does not answer `(n,)` (a score alone cannot be adjusted), is NaN, or is not finite at
            the start.

    Example:
        >>> chains = adjusted(lambda x: x.square().sum(1) / 2, torch.zeros(100, 1), step=0.5, steps=200, seed=0)
        >>> 0.8 < float(chains.acceptance.mean()) < 1, 0.9 < float(chains.pooled.var()) < 1.1
        (True, True)
    """
    h = (2 * check_start(x, step)).sqrt()
    count = Count(steps, burn_in, thin, first, start)
    found = drive(
        _WALK,
        energy,
        x,
        h,
        count,
        seed,
        score=score,
        covariance=covariance,
        momentum=None,
        adapt=adapt,
        target=acceptance,
    )
    size = None if found.step is None else found.step.square() / 2
    return Chains(found.samples, found.state, found.acceptance, None, size, found.metric)


def known(s: Tensor, x: Tensor, k: int) -> Tensor:
    """A score at finite points x, which is not NaN there."""
    lost = torch.isnan(s.reshape(len(s), -1)).any(1)
    if bool(lost.any()):
        chain = first_of(lost)
        raise ValueError(
            f"the score is NaN at step {k} in chain {chain}, at x of size {float(x[chain].abs().max()):.3g}; see to "
            "the score there, or lower the step where x is farther out than the data lie."
        )
    return s


def check_finite(x: Tensor, step: Tensor, k: int) -> None:
    """Raise where a chain left the finite numbers at step k; step: of each chain."""
    there = torch.isfinite(x.reshape(len(x), -1)).all(1)
    if not bool(there.all()):
        chain = first_of(~there)
        raise ValueError(
            f"chain {chain} left the finite numbers at step {k}: step = {float(step[chain]):g} is too large for this "
            "score; lower it, or use adjusted chains."
        )
