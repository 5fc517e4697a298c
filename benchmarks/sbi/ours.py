"""The posterior estimator of this library, with its defaults. Its budget of time is on the clock, not of the CPU."""

from __future__ import annotations

import time

from methods import Fitted, spent
from tasks import Task
from torch import Tensor

from scorefield.posterior import PosteriorEstimator


def fit(task: Task, theta: Tensor, x: Tensor, seconds: float, seed: int) -> Fitted:
    started = time.process_time()
    estimator = PosteriorEstimator(prior=task.prior, seconds=seconds, seed=seed).fit(theta, x)

    def sample(x: Tensor, n: int, seed: int) -> Tensor:
        return estimator.sample(x, n, seed=seed)

    return Fitted(sample, spent(started), "defaults")
