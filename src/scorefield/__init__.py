"""scorefield: score matching in PyTorch, from a data file to a trained score model, samples and log-densities.

A noise level is a pair `Level(alpha, sigma)` with `x = alpha * x0 + sigma * eps`. A model answers one question,
`model(x, level, condition=None) -> Estimate(x0, eps)`, and the score is `-eps / sigma`.

Importing the package imports neither torch nor any other library: each public name is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorefield._lazy import on_first_use

if TYPE_CHECKING:  # the two tables below, for type checkers and editors; a test holds them together
    from scorefield import analytic as analytic
    from scorefield import check as check
    from scorefield import data as data
    from scorefield import discrete as discrete
    from scorefield import graphs as graphs
    from scorefield import interop as interop
    from scorefield import levels as levels
    from scorefield import likelihood as likelihood
    from scorefield import manifolds as manifolds
    from scorefield import mcmc as mcmc
    from scorefield import metrics as metrics
    from scorefield import nets as nets
    from scorefield import nonparametric as nonparametric
    from scorefield import objectives as objectives
    from scorefield import plans as plans
    from scorefield import posterior as posterior
    from scorefield import schedules as schedules
    from scorefield.conditioning import editing as editing
    from scorefield.conditioning import guidance as guidance
    from scorefield.conditioning import inverse as inverse
    from scorefield.core import Estimate as Estimate
    from scorefield.core import Level as Level
    from scorefield.core import Levels as Levels
    from scorefield.denoiser import Denoiser as Denoiser
    from scorefield.denoiser import Energy as Energy
    from scorefield.denoiser import at as at
    from scorefield.estimators.density import ScoreDensity as ScoreDensity
    from scorefield.estimators.imputer import ScoreImputer as ScoreImputer
    from scorefield.estimators.outlier import ScoreOutlier as ScoreOutlier
    from scorefield.estimators.regressor import ScoreRegressor as ScoreRegressor
    from scorefield.interop.export import export_model as export_model
    from scorefield.likelihood.bound import variational_bound as variational_bound
    from scorefield.likelihood.density import log_density as log_density
    from scorefield.mcmc import langevin as langevin
    from scorefield.objectives import closed_form as closed_form
    from scorefield.plans.calibrate import calibrate as calibrate
    from scorefield.plans.run import run as run
    from scorefield.posterior.estimator import PosteriorEstimator as PosteriorEstimator
    from scorefield.records.codec import fit_codec as fit_codec
    from scorefield.records.fit import fit as fit
    from scorefield.records.forecast import forecast as forecast
    from scorefield.records.restore import restore as restore
    from scorefield.records.trained import TrainedModel as TrainedModel
    from scorefield.runs import evaluate as evaluate
    from scorefield.runs import write_report as write_report
    from scorefield.tables.fit import fit_frame as fit_frame
    from scorefield.tables.trained import TrainedTable as TrainedTable
    from scorefield.training.checkpoint import Settings as Settings
    from scorefield.training.loop import train as train

__version__ = "0.1.0"

_MODULES = {  # public name: the module's place
    "analytic": "analytic",
    "check": "check",
    "closed_form": "objectives.closed_form",
    "data": "data",
    "discrete": "discrete",
    "editing": "conditioning.editing",
    "graphs": "graphs",
    "guidance": "conditioning.guidance",
    "interop": "interop",
    "inverse": "conditioning.inverse",
    "langevin": "mcmc.langevin",
    "levels": "levels",
    "likelihood": "likelihood",
    "manifolds": "manifolds",
    "mcmc": "mcmc",
    "metrics": "metrics",
    "nets": "nets",
    "nonparametric": "nonparametric",
    "objectives": "objectives",
    "plans": "plans",
    "posterior": "posterior",
    "schedules": "schedules",
}
_NAMES = {  # public name: the module that defines it
    "Denoiser": "denoiser",
    "Energy": "denoiser",
    "Estimate": "core",
    "Level": "core",
    "Levels": "core",
    "PosteriorEstimator": "posterior.estimator",
    "ScoreDensity": "estimators.density",
    "ScoreImputer": "estimators.imputer",
    "ScoreOutlier": "estimators.outlier",
    "ScoreRegressor": "estimators.regressor",
    "Settings": "training.checkpoint",
    "TrainedModel": "records.trained",
    "TrainedTable": "tables.trained",
    "at": "denoiser",
    "calibrate": "plans.calibrate",
    "evaluate": "runs",
    "export_model": "interop.export",
    "fit": "records.fit",
    "fit_codec": "records.codec",
    "fit_frame": "tables.fit",
    "forecast": "records.forecast",
    "log_density": "likelihood.density",
    "restore": "records.restore",
    "run": "plans.run",
    "train": "training.loop",
    "variational_bound": "likelihood.bound",
    "write_report": "runs",
}
__all__ = ["__version__", *_MODULES, *_NAMES]

__getattr__, __dir__ = on_first_use(__name__, _NAMES, _MODULES)
