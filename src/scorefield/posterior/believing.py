"""Can a learned posterior be believed at an observation? All that held-out simulations say of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from scorefield.posterior.evaluate import MOST, draws_of
from scorefield.posterior.proof.local import Local, local_c2st
from scorefield.posterior.proof.observation import Place, place
from scorefield.posterior.proof.predictive import Predictive, nearest_simulations, predictive
from scorefield.posterior.proof.proof import Proof, drawn, prove_drawn
from scorefield.posterior.simulations import Simulations
from scorefield.posterior.trained import TrainedPosterior
from scorefield.progress import Report, part, silent

_DRAWS = 199
_LOCAL = 100  # simulations that the local test needs
_PREDICTED = 2000
_LEAST = 10  # draws whose predictions say anything


@dataclass(frozen=True, eq=False)
class Belief:
    """What simulations say of a posterior at an observation; None where they are too few to say it.

    Args:
        proof: of the calibration everywhere.
        place: where the observation lies among the simulations.
        local: the classifier test at the observation.
        predictive: whether the draws explain the observation; None too where no simulation is near the draws.
        untold: why there is no `predictive`, in a sentence; empty where there is one.
    """

    proof: Proof
    place: Place
    local: Local | None
    predictive: Predictive | None
    untold: str = ""


def believed(
    model: TrainedPosterior,
    held: Simulations,
    recorded: Simulations,
    x: np.ndarray,
    draws: np.ndarray,
    *,
    seed: int = 0,
    report: Report = silent,
) -> Belief:
    """All checks of a posterior at one observation.

    Args:
        model: the posterior.
        held: simulations that it was not fitted to.
        recorded: all that are known, with which the observation is compared.
        x: the observation `(k,)`.
        draws: given it, `(n, d)`.
        seed: of everything random.
        report: hears how far it is.
    """
    some = held.rows(np.arange(min(len(held.theta), MOST)))
    ask = draws_of(model)
    made = drawn(ask, some.x, _DRAWS, model.dim, seed, part(report, 0, 0.7))
    proof = prove_drawn(made, some.theta, some.x, names=model.names, seed=seed)
    report(0.7, "test at the observation")
    local = None
    if len(some.theta) >= _LOCAL and np.isfinite(x).any():
        local = local_c2st(some.theta, some.x, made, x, draws[:1000], seed=seed)
    report(0.95, "predictions")
    where = place(x, recorded.x, recorded.columns)
    predicted = _predicted(recorded, x, draws[:_PREDICTED])
    told = None if isinstance(predicted, str) else predicted
    return Belief(proof, where, local, told, predicted if isinstance(predicted, str) else "")


def _predicted(recorded: Simulations, x: np.ndarray, draws: np.ndarray) -> Predictive | str:
    """By the nearest recorded simulations without holes; or why not."""
    known = np.isfinite(x)
    whole = np.isfinite(recorded.x[:, known]).all(1)
    if not known.any() or not whole.any():
        return "What the posterior predicts was not compared: no recorded simulation has all that was observed."
    if len(draws) < _LEAST:
        return f"What the posterior predicts was not compared: {_LEAST} draws are needed, there are {len(draws)}."
    near = nearest_simulations(draws, recorded.theta[whole], recorded.x[whole])
    if near.coarse:
        return (
            "What the posterior predicts was not compared: the recorded simulations nearest to the draws are "
            f"{near.away:.2g} posterior standard deviations away in the median; simulate at some of the draws and look "
            "whether that resembles the observation."
        )
    return predictive(x, np.where(known, near.x, 0.0), names=recorded.columns, note=near.note)
