"""Inverse problems: what x0 is, given `y = A x0 + noise`: a model (`posterior`), exact draws, holes filled in."""

from scorefield.conditioning.inverse.posterior import Posterior, posterior
from scorefield.conditioning.inverse.sampling import PosteriorDraws, impute, posterior_samples

__all__ = ["Posterior", "PosteriorDraws", "impute", "posterior", "posterior_samples"]
