"""Does a method's posterior hold the truth as often as it says? TARP (Lemos et al. 2023) on fresh simulations."""

from __future__ import annotations

import references
import torch
from methods import Fitted
from tasks import Task

from scorefield.posterior.proof.coverage import distance_ranks

SEED, SIMULATIONS, DRAWS = 78, 200, 199


def tarp(task: Task, fitted: Fitted) -> float:
    """The p-value of the coverage curve: at least 0.05 where all of it lies within its 95 % band."""
    fresh = references.observations(task, SEED, SIMULATIONS)
    draws = torch.stack([fitted.sample(one.x, DRAWS, number).double() for number, one in enumerate(fresh)])
    theta, x = torch.stack([one.theta for one in fresh]).double(), torch.stack([one.x for one in fresh]).double()
    if in_logarithms(task):
        theta, draws = theta.log(), draws.log()
    return float(distance_ranks(theta.numpy(), x.numpy(), draws.numpy(), 0).test.p)


def in_logarithms(task: Task) -> bool:
    """Whether parameters are positive: distances are then of their logarithms."""
    return bool(task.prior.support.check(torch.full((len(task.parameters),), -1e-3)).logical_not())
