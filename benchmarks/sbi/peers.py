"""NPE, NPSE and FMPE of the library sbi, with its own defaults for everything that is not named here."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from methods import Fitted, Method, spent
from sbi.inference import FMPE, NPE, NPSE
from tasks import Task
from torch import Tensor
from torch.distributions import Distribution, Independent, LogNormal, Normal

PATIENCE = 300.0
"""Seconds for the draws of one observation, most of which can fall outside the prior."""


def in_logarithms(prior: Distribution) -> Distribution | None:
    """The normal law of log theta under a log-normal prior, else None: sbi is given the unconstrained parameters."""
    if isinstance(prior, Independent) and isinstance(prior.base_dist, LogNormal):
        return Independent(Normal(prior.base_dist.loc, prior.base_dist.scale), 1)
    return None


class Silent:
    """Keeps none of what sbi would log to files."""

    log_dir = None

    def log_metric(self, name: str, value: float, step: int | None = None) -> None: ...

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None: ...

    def log_params(self, params: Mapping[str, Any]) -> None: ...

    def add_figure(self, name: str, figure: Any, step: int | None = None) -> None: ...

    def flush(self) -> None: ...


def trained(trainer: Any, seconds: float, started: float) -> str:
    """Trains until sbi's own rule stops it or the time is over; either way its best network by validation is taken."""
    over = trainer._converged

    def converged(epoch: int, patience: int) -> bool:
        if over(epoch, patience):
            return True
        if spent(started) > seconds:
            trainer._neural_net.load_state_dict(trainer._best_model_state_dict)
            return True
        return False

    trainer._converged = converged
    trainer.train()
    late = ", stopped by the time" if trainer._epochs_since_last_improvement < 20 else ""
    return f"{trainer.epoch} epochs{late}"


def fit(make: Any, settings: str, task: Task, theta: Tensor, x: Tensor, seconds: float, seed: int) -> Fitted:
    torch.manual_seed(seed)
    started = time.process_time()
    logarithms = in_logarithms(task.prior)
    prior = logarithms or task.prior
    trainer = make(prior=prior, show_progress_bars=False, tracker=Silent())
    trainer.append_simulations(theta.log() if logarithms else theta, x)
    how = trained(trainer, seconds, started)
    posterior = trainer.build_posterior()

    def sample(x: Tensor, n: int, seed: int) -> Tensor:
        torch.manual_seed(seed)
        found = posterior.sample((n,), x=x[None], show_progress_bars=False, max_sampling_time=PATIENCE)
        return found.exp() if logarithms else found

    return Fitted(sample, spent(started), f"{settings}, {how}" + (", in logarithms" if logarithms else ""))


METHODS: Mapping[str, Method] = {
    "NPE": partial(fit, partial(NPE, density_estimator="nsf"), "neural spline flow"),
    "NPE maf": partial(fit, partial(NPE, density_estimator="maf"), "masked autoregressive flow"),
    "NPSE": partial(fit, NPSE, "variance exploding"),
    "FMPE": partial(fit, FMPE, "flow matching"),
}
