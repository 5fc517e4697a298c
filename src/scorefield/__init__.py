"""scorefield: score matching in PyTorch, from a data file to a trained score model, samples and log-densities.

A noise level is a pair `Level(alpha, sigma)` with `x = alpha * x0 + sigma * eps`. A model answers one question,
`model(x, level, condition=None) -> Estimate(x0, eps)`, and the score is `-eps / sigma`.

Importing the package imports neither torch nor any other library: each public name is loaded on first use.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the two tables below, for type checkers and editors; a test holds them together
    from scorefield import analytic as analytic
    from scorefield import check as check
    from scorefield import closed_form as closed_form
    from scorefield import data as data
    from scorefield import editing as editing
    from scorefield import guidance as guidance
    from scorefield import inverse as inverse
    from scorefield import langevin as langevin
    from scorefield import levels as levels
    from scorefield import likelihood as likelihood
    from scorefield import metrics as metrics
    from scorefield import nets as nets
    from scorefield import objectives as objectives
    from scorefield import plans as plans
    from scorefield import schedules as schedules
    from scorefield.checkpoint import Settings as Settings
    from scorefield.core import Estimate as Estimate
    from scorefield.core import Level as Level
    from scorefield.core import Levels as Levels
    from scorefield.estimator.density import ScoreDensity as ScoreDensity
    from scorefield.estimator.imputer import ScoreImputer as ScoreImputer
    from scorefield.estimator.outlier import ScoreOutlier as ScoreOutlier
    from scorefield.estimator.regressor import ScoreRegressor as ScoreRegressor
    from scorefield.fitting import fit as fit
    from scorefield.fitting_table import fit_frame as fit_frame
    from scorefield.likelihood.bound import variational_bound as variational_bound
    from scorefield.likelihood.density import log_density as log_density
    from scorefield.model import Denoiser as Denoiser
    from scorefield.model import Energy as Energy
    from scorefield.model import at as at
    from scorefield.plans.calibrate import calibrate as calibrate
    from scorefield.plans.run import run as run
    from scorefield.train import train as train
    from scorefield.trained import TrainedModel as TrainedModel
    from scorefield.trained_table import TrainedTable as TrainedTable

__version__ = "0.1.0"

_MODULES = (
    "analytic",
    "check",
    "closed_form",
    "data",
    "editing",
    "guidance",
    "inverse",
    "langevin",
    "levels",
    "likelihood",
    "metrics",
    "nets",
    "objectives",
    "plans",
    "schedules",
)
_NAMES = {  # public name: the module that defines it
    "Denoiser": "model",
    "Energy": "model",
    "Estimate": "core",
    "Level": "core",
    "Levels": "core",
    "ScoreDensity": "estimator.density",  # these four need scikit-learn and pandas
    "ScoreImputer": "estimator.imputer",
    "ScoreOutlier": "estimator.outlier",
    "ScoreRegressor": "estimator.regressor",
    "Settings": "checkpoint",
    "TrainedModel": "trained",
    "TrainedTable": "trained_table",
    "at": "model",
    "calibrate": "plans.calibrate",
    "fit": "fitting",
    "fit_frame": "fitting_table",
    "log_density": "likelihood.density",
    "run": "plans.run",
    "train": "train",
    "variational_bound": "likelihood.bound",
}
__all__ = ["__version__", *_MODULES, *_NAMES]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name in _NAMES:
        value = getattr(import_module(f"{__name__}.{_NAMES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name, obj=sys.modules[__name__])


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


class _Package(ModuleType):
    """Keeps a public name from being overwritten by the submodule of the same name.

    On importing `scorefield.train` the import system sets the package's attribute `train` to that module; the public
    name `train` is the function in it. The module itself stays reachable as `from scorefield.train import ...`.
    """

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in _NAMES and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
