"""Samplers as tables: builders that return a `Plan`, and the one loop, `run`, that executes it.

What may enter: a pure function from noise levels to a `Plan`; a fit of plans to a model; what follows from a table
alone. A sampler whose step depends on the state is no table and belongs to `mcmc` or `numerics.ode`.
"""

from __future__ import annotations

from scorefield.plans.annealed import annealed_langevin, predictor_corrector
from scorefield.plans.calibrate import Calibration, calibrate, calibration
from scorefield.plans.convergence import Convergence, convergence
from scorefield.plans.default import default
from scorefield.plans.multistep import adams, deis, dpmpp, unipc
from scorefield.plans.onestep import ancestral, ddim, euler, euler_maruyama
from scorefield.plans.plan import Plan
from scorefield.plans.run import RunState, run, walk
from scorefield.plans.singlestep import heun, midpoint, restart, rk4
from scorefield.plans.variables import ANGLE, EPS, FLOW, LOG_EPS, LOG_X0, VARIABLES, X0, Variable

__all__ = [
    "Plan",
    "RunState",
    "run",
    "walk",
    "default",
    "calibrate",
    "calibration",
    "Calibration",
    "convergence",
    "Convergence",
    "ddim",
    "ancestral",
    "euler",
    "euler_maruyama",
    "adams",
    "dpmpp",
    "deis",
    "unipc",
    "heun",
    "midpoint",
    "rk4",
    "restart",
    "predictor_corrector",
    "annealed_langevin",
    "Variable",
    "VARIABLES",
    "EPS",
    "X0",
    "FLOW",
    "ANGLE",
    "LOG_X0",
    "LOG_EPS",
]
