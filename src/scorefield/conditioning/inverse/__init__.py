"""Inverse problems: the posterior of x0 given `y = A x0 + noise`, as a model (`posterior`) and as draws.

What may enter: a method from a model and a linear measurement to a model, or to draws with their own error.
"""

from scorefield.conditioning.inverse.posterior import Posterior, posterior
from scorefield.conditioning.inverse.sampling import PosteriorDraws, impute, posterior_samples

__all__ = ["Posterior", "PosteriorDraws", "impute", "posterior", "posterior_samples"]
