"""Hamiltonian Monte Carlo: proposals along trajectories, `exp(-energy)` exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.core import StaticScore
from scorefield.mcmc.adapting import Adapted
from scorefield.mcmc.chains import Chains, Count, EnergyFunction, check_start, check_whole
from scorefield.mcmc.driving import Walk, drive
from scorefield.mcmc.metric import Metric
from scorefield.numerics.random import uniform

__all__ = ["hmc"]


def hmc(
    energy: EnergyFunction,
    x: Tensor,
    step: float | Tensor,
    steps: int,
    *,
    seed: int,
    leaps: int = 8,
    score: StaticScore | None = None,
    covariance: Tensor | Metric | None = None,
    adapt: Adapted | None = None,
    acceptance: float = 0.8,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
) -> Chains:
    """Hamiltonian Monte Carlo (Duane and others 1987; Neal 2011): the density `exp(-energy)` exactly, at any step.

    A proposal is the end of a leapfrog trajectory of `H(x, p) = energy(x) + |p|^2 / 2` from a fresh momentum p, taken
    with probability `min(1, exp(-change of H))`. How many leaps it has is drawn for each step from 1 to 2 leaps - 1, so
    that no period of the target is met for ever.

    Args:
        energy: `x -> -log p(x) + const`, `(n, *shape) -> (n,)`; +inf outside of the support.
        x: `(n, *shape)`, where the chains start: of finite energy.
        step: of the leapfrog, > 0, in units of x over those of covariance's root; one for all, or `(n,)`.
        steps: proposals per chain, burn_in included.
        seed: of everything random; what chain i does is a function of (seed, first + i).
        leaps: of a trajectory, on average: evaluations of the gradient per step.
        score: minus the gradient of energy; default: by automatic differentiation.
        covariance: variances of x's shape without n, or a matrix `(d, d)`: of the target, as far as known.
        adapt: as `langevin.adjusted`.
        acceptance: that the adapted step aims at.
        burn_in: steps that are not kept.
        thin: of the steps after burn_in, every thin-th is kept.
        first: index of the first chain.
        start: index of the first step, to go on from another run's `state`, `step` and `metric`.

    Raises:
        ValueError: as `langevin.adjusted`.

    Example:
        >>> scales = torch.tensor([0.1, 10.0])
        >>> energy = lambda x: (x / scales).square().sum(1) / 2
        >>> chains = hmc(energy, torch.zeros(20, 2), 1.0, 300, seed=0, burn_in=200, leaps=6, adapt="diagonal")
        >>> bool(((chains.pooled.std(0) / scales - 1).abs() < 0.2).all())
        True
    """
    h = check_start(x, step, "units of x over those of covariance's root")
    check_whole("leaps", leaps, 1)
    return drive(
        Walk("hmc", lambda k: lengths(seed, leaps, k), torch.zeros_like),
        energy,
        x,
        h,
        Count(steps, burn_in, thin, first, start),
        seed,
        score=score,
        covariance=covariance,
        momentum=None,
        adapt=adapt,
        target=acceptance,
    )


def lengths(seed: int, leaps: int, row: int) -> int:
    """Leaps of step row, uniform from 1 to 2 leaps - 1: the same for all chains, whose laws it leaves independent."""
    u = float(uniform(1, (), seed, "hmc-leaps", row=row, dtype=torch.float64))
    return 1 + int(u * (2 * leaps - 1))
