"""How probable data are under a model: log-density by the probability-flow ODE, and a variational bound of it."""

from scorefield.likelihood.bound import VariationalBound, variational_bound
from scorefield.likelihood.density import LogDensity, log_density
from scorefield.likelihood.records import BitsPerDim, Options, bits_per_dim, record_log_density
from scorefield.likelihood.reference import Reference
from scorefield.likelihood.traces import Divergence

__all__ = [
    "BitsPerDim",
    "Divergence",
    "LogDensity",
    "Options",
    "Reference",
    "VariationalBound",
    "bits_per_dim",
    "log_density",
    "record_log_density",
    "variational_bound",
]
