"""Underdamped Langevin: chains with a momentum that friction damps and noise renews, unadjusted and adjusted.

    dx = L p dt, dp = L^T score(x) dt - friction p dt + sqrt(2 friction) dW

with `C = L L^T` (the identity unless given) is stepped by its parts: B, the momentum by half a step of the score; A, x
by half a step of the momentum; O, the exact law of friction and noise (Leimkuhler and Matthews 2013).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, TypeAlias, get_args

import torch
from torch import Tensor

from scorefield._tensor import expand
from scorefield.core import StaticScore
from scorefield.mcmc.adapting import Adapted
from scorefield.mcmc.chains import Chains, Count, EnergyFunction, check_start, check_whole, field
from scorefield.mcmc.driving import Walk, check_momentum, drive, friction_keep, noise
from scorefield.mcmc.langevin import check_finite, known
from scorefield.mcmc.metric import Metric, metric_of

__all__ = ["Splitting", "adjusted", "unadjusted"]

Splitting: TypeAlias = Literal["BAOAB", "OBABO"]
_UNIT = "units of x over those of covariance's root"


class Moving(NamedTuple):
    """Of n chains.

    Args:
        x: `(n, *shape)`.
        p: momenta in the metric's coordinates, `(n, *shape)`.
        force: `L^T score(x)`, `(n, *shape)`.
    """

    x: Tensor
    p: Tensor
    force: Tensor


def unadjusted(
    score: StaticScore,
    x: Tensor,
    step: float | Tensor,
    steps: int,
    *,
    seed: int,
    friction: float = 1.0,
    splitting: Splitting = "BAOAB",
    covariance: Tensor | Metric | None = None,
    momentum: Tensor | None = None,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
) -> Chains:
    """Underdamped Langevin without correction: one evaluation of the score per step, a bias of O(step^2) in x.

    BAOAB has no bias at all in x where the target is Gaussian, at any stable step (`step < 2` standard deviations of
    the narrowest direction); OBABO has the variance `s^2 / (1 - step^2 / (4 s^2))` on N(0, s^2).

    Args:
        score: `x -> grad log p(x)`, both `(n, *shape)`.
        x: `(n, *shape)`, where the n chains start.
        step: > 0, in units of x over those of covariance's root; one for all, or `(n,)`.
        steps: per chain, burn_in included.
        seed: of the noise; what chain i does is a function of (seed, first + i).
        friction: > 0: of the momentum `exp(-friction * step)` is left after a step.
        splitting: the order of the parts.
        covariance: C: variances of x's shape without n, or a matrix `(d, d)`.
        momentum: to go on from another run's `state`; default: drawn.
        burn_in: steps that are not kept.
        thin: of the steps after burn_in, every thin-th is kept.
        first: index of the first chain.
        start: index of the first step, to go on from another run's `state` and `momentum`.

    Raises:
        ValueError: when a chain leaves the finite numbers: the step is too large.

    Example:
        >>> chains = unadjusted(lambda x: -x, torch.zeros(200, 1), step=1.0, steps=400, seed=0, burn_in=50)
        >>> round(float(chains.pooled.var()), 1)  # exact, where langevin.unadjusted has 2.0
        1.0
    """
    if splitting not in get_args(Splitting):
        raise ValueError(f"splitting must be one of {', '.join(get_args(Splitting))}, got {splitting!r}.")
    each = check_start(x, step, _UNIT)
    friction_keep(friction)
    count = Count(steps, burn_in, thin, first, start)
    count.check()
    C = metric_of(covariance, x)
    p = check_momentum(momentum, x, seed, "underdamped", count)
    x = x.detach()
    now, kept = Moving(x, p, C.inward(known(field(score, x), x, start))), []
    for k in range(steps):
        draws = [noise(x, seed, f"underdamped-{i}", first, start + k) for i in range(splitting.count("O"))]
        now = split_step(splitting, score, now, expand(each, x), friction, C, draws)
        check_finite(now.x, each, start + k)
        known(now.force, now.x, start + k)
        if count.keeps(k):
            kept.append(now.x)
    return Chains(torch.stack(kept), now.x, None, now.p, each, C)


def split_step(
    parts: str, score: StaticScore, now: Moving, h: Tensor, friction: float, C: Metric, draws: Sequence[Tensor]
) -> Moving:
    """One step by its parts, each of its share of h `(n, 1, ...)`: a letter that stands twice has half of it each time.

    Args:
        parts: a word of the letters A, B, O that is the same from both ends; if a B is its last letter, the score is
            evaluated once.
        score: `x -> grad log p(x)`.
        now: the state.
        h: the step.
        friction: as `unadjusted`.
        C: the metric.
        draws: standard normal, of x's shape, one for each O.
    """
    x, p, force = now
    left, known = iter(draws), True
    for letter in parts:
        part = h / parts.count(letter)
        if letter == "A":
            x, known = x + part * C.outward(p), False
        elif letter == "B":
            force, known = force if known else C.inward(field(score, x)), True
            p = p + part * force
        else:
            c = (-friction * part).exp()
            p = c * p + (1 - c.square()).sqrt() * next(left)
    return Moving(x, p, force)


def adjusted(
    energy: EnergyFunction,
    x: Tensor,
    step: float | Tensor,
    steps: int,
    *,
    seed: int,
    friction: float = 1.0,
    leaps: int = 1,
    score: StaticScore | None = None,
    covariance: Tensor | Metric | None = None,
    momentum: Tensor | None = None,
    adapt: Adapted | None = None,
    acceptance: float = 0.9,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
) -> Chains:
    """Underdamped Langevin with Metropolis's correction, or generalised HMC (Horowitz 1991): exact at any step.

    O of a whole step, then BAB, whose end is taken with probability `min(1, exp(-change of H))`; else the momentum
    turns round. So few proposals may be refused: the default aims at 0.9.

    Args:
        energy: `x -> -log p(x) + const`, `(n, *shape) -> (n,)`; +inf outside of the support.
        x: `(n, *shape)`, where the chains start: of finite energy.
        step: as `unadjusted`.
        steps: as `unadjusted`.
        seed: as `unadjusted`.
        friction: as `unadjusted`, per leap.
        leaps: of BAB before it is judged.
        score: minus the gradient of energy; default: by automatic differentiation.
        covariance: as `unadjusted`.
        momentum: as `unadjusted`.
        adapt: as `langevin.adjusted`.
        acceptance: that the adapted step aims at.
        burn_in: as `unadjusted`.
        thin: as `unadjusted`.
        first: as `unadjusted`.
        start: as `unadjusted`.

    Raises:
        ValueError: as `langevin.adjusted`.

    Example:
        >>> chains = adjusted(lambda x: x.square().sum(1) / 2, torch.zeros(100, 1), step=0.7, steps=300, seed=0)
        >>> float(chains.acceptance.mean()) > 0.9, 0.9 < float(chains.pooled.var()) < 1.1
        (True, True)
    """
    h = check_start(x, step, _UNIT)
    check_whole("leaps", leaps, 1)
    keep = friction_keep(friction)
    return drive(
        Walk("underdamped", lambda k: leaps, lambda s: keep(leaps * s)),
        energy,
        x,
        h,
        Count(steps, burn_in, thin, first, start),
        seed,
        score=score,
        covariance=covariance,
        momentum=momentum,
        adapt=adapt,
        target=acceptance,
    )
