"""Distributions whose noised score, density, samples and posteriors are known exactly; each is a model.

They stand wherever a network would: to test a method, to try one, or as the ideal model of a finite data set.
Every answer is regular at both ends of the noise: at sigma = 0 the estimate is `(x / alpha, 0)`, at alpha = 0 it is
`(mean, x / sigma)`. Parameters are kept in float64; answers are computed in the dtype of x unless stated otherwise.

What may enter: a model in closed form with its samples, and its density where it has one; nothing fitted, no files.
"""

from scorefield.analytic._law import Law
from scorefield.analytic.empirical import Empirical
from scorefield.analytic.mixture import Gaussian, GaussianMixture
from scorefield.analytic.partial import PartialMixture

__all__ = ["Empirical", "Gaussian", "GaussianMixture", "Law", "PartialMixture"]
