"""Plans measured on trajectories that nothing was fitted to, and the choice among them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.plans.endloss import end_loss
from scorefield.plans.plan import Plan
from scorefield.plans.run import run
from scorefield.plans.trajectories import Errors
from scorefield.plans.trajectory_set import TrajectorySet

_MANY = 128
"""Held-out trajectories from which on a larger RMS error may be put down to chance."""
_CHANCE = 2.0
"""Standard errors."""


class Candidate(NamedTuple):
    """A plan and its errors on held-out trajectories.

    Args:
        plan: that was run.
        errors: over all trajectories.
        each: trajectory's error, `(n,)`.
        weight: how many trajectories each represents.
        loss: `end_loss`.
    """

    plan: Plan
    errors: Errors
    each: Tensor
    weight: Tensor
    loss: float


def best_of(candidates: list[Candidate], strict: bool = False) -> Candidate:
    """The least loss among the plans that are no worse than the first in either error.

    Where there is none (and `strict` is off), among those with a lower median whose mean error and mean square are not
    larger by more than two standard errors, on 128 trajectories or more: a few that change basin must not decide for
    the untuned plan.
    """
    first = candidates[0]
    lower = [one for one in candidates[1:] if one.errors.median <= first.errors.median]
    no_worse = [one for one in lower if one.errors.rms <= first.errors.rms]
    close = []
    if not strict and len(first.each) >= _MANY:
        close = [one for one in lower if max(_excess(one, first, power) for power in (1, 2)) <= _CHANCE]
    return min(no_worse or close or [first], key=lambda one: one.loss)


def _excess(one: Candidate, other: Candidate, power: int) -> float:
    """By how many standard errors the mean of a power of the errors is greater than another's on these trajectories."""
    more = one.weight * (one.each**power - other.each**power)
    return float(more.sum() / more.square().sum().sqrt().clamp(min=1e-300))


def evaluate_plan(plan: Plan, held: TrajectorySet) -> Candidate:
    """Run a plan on held-out trajectories."""
    each = held.trajectories.errors(run(plan, held.model, held.trajectories.start, condition=held.condition))
    weight = torch.ones_like(each) if held.weight is None else held.weight.to(each)
    return Candidate(plan, Errors.of(each, weight), each, weight, float(end_loss(each**2, weight)))
