"""Simulation-based inference: p(parameters | observation) from simulations, with proof of calibration.

What may enter: a way from simulations, a prior and observations to laws of parameters, and what shows that they hold.
"""

from scorefield.posterior.estimator import PosteriorEstimator
from scorefield.posterior.mixed import MixedPosterior, fit_mixed
from scorefield.posterior.prior import Prior, box, from_samples, gaussian, log_normal, of
from scorefield.posterior.proof.predictive import predictive
from scorefield.posterior.proof.proof import prove
from scorefield.posterior.simulating import SimulatorError, simulate
from scorefield.posterior.trained import OutsideWarning, TrainedPosterior

__all__ = [
    "MixedPosterior",
    "OutsideWarning",
    "PosteriorEstimator",
    "Prior",
    "SimulatorError",
    "TrainedPosterior",
    "box",
    "fit_mixed",
    "from_samples",
    "gaussian",
    "log_normal",
    "of",
    "predictive",
    "prove",
    "simulate",
]
