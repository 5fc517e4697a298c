"""Log-densities of models: by the probability-flow ODE, with error bars, and by a variational bound.

What may enter: a way from a model and points to nats in the coordinates of the points; units of a user's data are the
business of codecs (`records`, `tables`).
"""

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
