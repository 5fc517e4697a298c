"""Scores estimated from a sample by kernels: no network, no training, a linear system or a few products.

The Stein gradient estimator, SSGE, the kernel exponential family and the nu-method are one estimator with different
kernels (`Diagonal`, `CurlFree`) and filters (`Tikhonov`, `Leading`, `Cutoff`, `Landweber`, `NuMethod`); `fit` is all of
them. What they give is a static score, for Langevin chains, Stein tests and whatever else takes one.

What may enter: a way from a sample to a static score (and log-density up to a constant) without a network.
"""

from scorefield.nonparametric.estimators import (
    fit,
    kernel_exponential_family,
    kernel_exponential_family_lite,
    nu_method,
    ssge,
    stein_gradient,
)
from scorefield.nonparametric.expansion import KernelEnergy, KernelScore, Loss
from scorefield.nonparametric.filters import Cutoff, Landweber, Leading, NuMethod, Tikhonov
from scorefield.nonparametric.kernels import CurlFree, Diagonal
from scorefield.numerics.kernels import InverseMultiquadric, SquaredExponential

__all__ = [
    "fit",
    "stein_gradient",
    "ssge",
    "nu_method",
    "kernel_exponential_family",
    "kernel_exponential_family_lite",
    "CurlFree",
    "Diagonal",
    "InverseMultiquadric",
    "SquaredExponential",
    "Tikhonov",
    "Cutoff",
    "Leading",
    "Landweber",
    "NuMethod",
    "KernelScore",
    "KernelEnergy",
    "Loss",
]
