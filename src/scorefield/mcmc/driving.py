"""The one loop of Metropolis-adjusted chains with momenta: langevin, hmc, underdamped are settings of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield._tensor import expand, sum_rest
from scorefield.core import StaticScore
from scorefield.mcmc.adapting import Adapted, Adapter, check_adapted
from scorefield.mcmc.chains import Chains, Count, EnergyFunction, energy_and_score, field, slope, start_of
from scorefield.mcmc.metric import Metric, metric_of
from scorefield.numerics.random import normal, uniform


class State(NamedTuple):
    """Of n chains.

    Args:
        x: `(n, *shape)`.
        p: momenta in the metric's coordinates, `(n, *shape)`.
        u: energies, `(n,)`.
        s: scores, `(n, *shape)`.
    """

    x: Tensor
    p: Tensor
    u: Tensor
    s: Tensor


@dataclass(frozen=True)
class Walk:
    """What distinguishes the samplers of this loop.

    Args:
        purpose: of the random streams.
        leaps: of the leapfrog before a proposal is judged, at step k.
        keep: of a momentum from one step to the next, at the step size `(n,)`: 0 draws it anew.
    """

    purpose: str
    leaps: Callable[[int], int]
    keep: Callable[[Tensor], Tensor]


def leapfrog(
    score: StaticScore, x: Tensor, p: Tensor, step: Tensor, leaps: int, metric: Metric, s: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Half a step of p, `p <- p + (step / 2) L^T s(x)`, one of `x <- x + step L p`, half a step of p, so many times.

    Reversible and of volume 1 for any field s; its energy error is O(step^2) where s is minus a gradient. The last
    half step of p is the caller's, who evaluates s there with the energy.

    Args:
        score: s.
        x: `(n, *shape)`.
        p: `(n, *shape)`, standard normal in equilibrium.
        step: `(n,)`.
        leaps: >= 1.
        metric: with its root L.
        s: of x, where it is known.
    """
    h = expand(step, x)
    s = field(score, x) if s is None else s
    for k in range(leaps):
        p = p + (h / 2 if k == 0 else h) * metric.inward(s)
        x = x + h * metric.outward(p)
        if k < leaps - 1:
            s = field(score, x)
    return x, p


def drive(
    walk: Walk,
    energy: EnergyFunction,
    x: Tensor,
    step: Tensor,
    count: Count,
    seed: int,
    *,
    score: StaticScore | None,
    covariance: Tensor | Metric | None,
    momentum: Tensor | None,
    adapt: Adapted | None,
    target: float,
) -> Chains:
    """Chains of `exp(-energy)`; `step` is the leapfrog's, of each chain."""
    count.check()
    check_adapted(adapt, target, count.burn_in)
    metric = metric_of(covariance, x)
    adapter = Adapter(x, step, metric, adapt, target, count.burn_in) if adapt else None
    judge = Judge(walk, energy, score, seed, count)
    x = x.detach()
    state = State(x, check_momentum(momentum, x, seed, walk.purpose, count), *start_of(energy, score, x, count.start))
    kept, accepted = [], torch.zeros_like(state.u)
    for k in range(count.steps):
        if adapter is not None and k <= count.burn_in:
            step, metric = adapter.step, adapter.metric
        state, probability, taken = judge.moved(state, step, metric, count.start + k)
        if adapter is not None and k < count.burn_in:
            adapter.hear(k, state.x, probability)
        if k >= count.burn_in:
            accepted += taken
        if count.keeps(k):
            kept.append(state.x)
    share = accepted / (count.steps - count.burn_in)
    return Chains(torch.stack(kept), state.x, share, state.p, step, metric)


class Judge:
    """One step of all chains: a new or partly new momentum, a trajectory, Metropolis's choice."""

    def __init__(self, walk: Walk, energy: EnergyFunction, score: StaticScore | None, seed: int, count: Count) -> None:
        self.walk, self.energy, self.score, self.seed, self.count = walk, energy, score, seed, count

    def moved(self, state: State, step: Tensor, metric: Metric, row: int) -> tuple[State, Tensor, Tensor]:
        """The next state, the probability `(n,)` of its proposal, and whether that was taken."""
        x, p = state.x, self._refreshed(state.p, step, row)
        y, half = leapfrog(self._field, x, p, step, self.walk.leaps(row), metric, state.s)
        v, t = self._answers(x, y, row)
        q = half + expand(step, x) / 2 * metric.inward(t)
        gain = state.u - v + sum_rest(p.square()) / 2 - sum_rest(q.square()) / 2
        probability = torch.nan_to_num(gain, nan=-torch.inf).clamp(max=0).exp()
        u = uniform(
            len(x), (), self.seed, self.walk.purpose + "-accept", first=self.count.first, row=row, dtype=x.dtype
        )
        taken = u.to(x.device).log() < gain  # never where the gain is NaN: a proposal of no density
        wide = expand(taken, x).bool()
        after = State(
            torch.where(wide, y, x),
            torch.where(wide, q, -p),
            torch.where(taken, v, state.u),
            torch.where(wide, t, state.s),
        )
        return after, probability, taken

    def _refreshed(self, p: Tensor, step: Tensor, row: int) -> Tensor:
        z = noise(p, self.seed, self.walk.purpose, self.count.first, row)
        c = expand(self.walk.keep(step), p)
        return c * p + (1 - c.square()).sqrt() * z

    def _field(self, x: Tensor) -> Tensor:
        if self.score is not None:
            return field(self.score, x)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            return slope(self.energy(x), x)

    def _answers(self, x: Tensor, y: Tensor, row: int) -> tuple[Tensor, Tensor]:
        """At proposals; one that left the finite numbers has no density, and is not asked about."""
        there = torch.isfinite(y.reshape(len(y), -1)).all(1)
        v, t = energy_and_score(self.energy, self.score, torch.where(expand(there, y).bool(), y, x), row)
        return torch.where(there, v, torch.inf), t


def noise(x: Tensor, seed: int, purpose: str, first: int, row: int) -> Tensor:
    """Standard normal, of x's shape."""
    return normal(len(x), x.shape[1:], seed, purpose, first=first, row=row, dtype=x.dtype, device=x.device)


def check_momentum(momentum: Tensor | None, x: Tensor, seed: int, purpose: str, count: Count) -> Tensor:
    """The momentum that chains start with: the given one, or a drawn one."""
    if momentum is None:
        return noise(x, seed, purpose + "-start", count.first, count.start)
    if momentum.shape != x.shape or not bool(torch.isfinite(momentum).all()):
        raise ValueError(f"momentum must be finite, of x's shape {tuple(x.shape)}; it is a run's `momentum`.")
    return momentum.detach().to(x)


def friction_keep(friction: float) -> Callable[[Tensor], Tensor]:
    """`exp(-friction step)`, what friction leaves of a momentum."""
    if not (math.isfinite(friction) and friction > 0):
        raise ValueError(f"friction must be positive and finite, got {friction}; it is one over a time.")
    return lambda step: (-friction * step).exp()
