"""Inverse problems: the posterior of x0 given a measurement, as a model (`posterior`) and as draws.

`posterior_samples` takes linear operators (`operators`) with normal noise, `likelihood_samples` any log-likelihood
(`likelihoods`).

What may enter: a method from a model and a measurement to a model, or to draws with their own error.
"""

from scorefield.conditioning.inverse import likelihoods as likelihoods
from scorefield.conditioning.inverse import operators as operators
from scorefield.conditioning.inverse.nonlinear import likelihood_samples
from scorefield.conditioning.inverse.posterior import Posterior, posterior
from scorefield.conditioning.inverse.sampling import PosteriorDraws, impute, posterior_samples

__all__ = [
    "Posterior",
    "PosteriorDraws",
    "impute",
    "likelihood_samples",
    "likelihoods",
    "operators",
    "posterior",
    "posterior_samples",
]
