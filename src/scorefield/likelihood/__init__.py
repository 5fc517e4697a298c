"""How probable data are under a model: log-density by the probability-flow ODE, and a variational bound of it."""

from scorefield.likelihood.bound import VariationalBound, variational_bound
from scorefield.likelihood.density import LogDensity, log_density
from scorefield.likelihood.reference import Reference
from scorefield.likelihood.traces import Divergence

__all__ = [
    "Divergence",
    "LogDensity",
    "Reference",
    "VariationalBound",
    "log_density",
    "variational_bound",
]
