"""Score models on manifolds: spheres, tori and rotations, with exact heat kernels in the place of normal noise.

A point on a `Manifold` is noised by Brownian motion at time sigma^2, whose density is the heat kernel. A score is
`(x, sigma) -> tangent vectors`: that of a `HeatMixture`, which is exact, or one that `fit` trains. Both are sampled by
geodesic random walks (`sample`) and have log-densities by the probability flow (`log_density`).

What may enter: a manifold with its geometry and heat kernel, and what takes one or a score on one.
"""

from scorefield.manifolds.fitting import TrainedScore, fit
from scorefield.manifolds.flow import FlowDensity, largest, log_density, transport
from scorefield.manifolds.losses import Denoising, denoising, implicit
from scorefield.manifolds.manifold import Manifold, divergence
from scorefield.manifolds.mixture import HeatMixture
from scorefield.manifolds.network import TangentScore
from scorefield.manifolds.rotations import SO3
from scorefield.manifolds.sphere import Sphere
from scorefield.manifolds.torus import Torus
from scorefield.manifolds.von_mises_fisher import VonMisesFisherMixture, fit_von_mises_fisher
from scorefield.manifolds.walks import sample, walk

__all__ = [
    "SO3",
    "Denoising",
    "FlowDensity",
    "HeatMixture",
    "Manifold",
    "Sphere",
    "TangentScore",
    "Torus",
    "TrainedScore",
    "VonMisesFisherMixture",
    "denoising",
    "divergence",
    "fit",
    "fit_von_mises_fisher",
    "implicit",
    "largest",
    "log_density",
    "sample",
    "transport",
    "walk",
]
