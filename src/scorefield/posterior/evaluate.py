"""A learned posterior held against simulations that it has not seen."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from scorefield.posterior.proof.proof import Proof, prove
from scorefield.posterior.simulations import Simulations
from scorefield.posterior.trained import OutsideWarning, TrainedPosterior
from scorefield.progress import Report, silent

MOST = 300
"""Simulations that a proof takes, unless told otherwise."""


@dataclass(frozen=True, eq=False)
class Proved:
    """The proof of a posterior, and by which simulations.

    Args:
        proof: what they say.
        source: of the simulations.
    """

    proof: Proof
    source: str

    def table(self) -> str:
        """The verdict and the figures as text."""
        return str(self.proof)

    def to_json(self) -> dict[str, Any]:
        """Likewise, JSON-able."""
        return {"source": self.source, **self.proof.to_json()}


def evaluate(
    model: TrainedPosterior,
    sims: Simulations,
    *,
    n: int | None = None,
    draws: int = 199,
    seed: int = 0,
    report: Report = silent,
) -> Proof:
    """The proof of a posterior by simulations that are new to it.

    Args:
        model: the posterior.
        sims: parameters from the prior, and what was simulated with them; at least 20.
        n: of them, the first n; default: at most 300.
        draws: for each.
        seed: of the draws.
        report: hears how far it is.
    """
    some = np.arange(min(len(sims.theta), MOST if n is None else n))
    chosen = sims.rows(some)
    return prove(draws_of(model), chosen.theta, chosen.x, names=sims.parameters, n=draws, seed=seed, report=report)


def draws_of(model: TrainedPosterior) -> Any:
    """A posterior as a proof takes it; simulations a little outside those of training are no warning there."""

    def draws(x: Any, n: int, seed: int) -> torch.Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutsideWarning)
            return model.sample_many(torch.as_tensor(x), n, seed=seed)

    return draws
