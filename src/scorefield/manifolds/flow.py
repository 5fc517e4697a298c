"""The probability flow on a manifold: the ODE whose points have the noised density at every noise level.

Brownian motion has the densities p(x; sigma), and so has the flow `dx / d sigma = -sigma * score(x, sigma)`. By
log sigma that is `dx / d log sigma = v = -sigma^2 * score`, and along it `d log p / d log sigma = -div v`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.manifolds.manifold import Manifold, divergence
from scorefield.manifolds.walks import Score, levels
from scorefield.numerics.ode import integrate


class FlowDensity(NamedTuple):
    """Log-densities by the probability flow.

    Args:
        value: nats per unit of volume, `(n,)` float64.
        end: where the flow took the points, at sigma_max, `(n, *shape)` float64.
        evaluations: of the score, `(n,)`.
    """

    value: Tensor
    end: Tensor
    evaluations: Tensor


def log_density(
    manifold: Manifold,
    score: Score,
    x: Tensor,
    *,
    sigma_min: float,
    sigma_max: float,
    tolerance: float = 1e-5,
) -> FlowDensity:
    """`log p(x)` of the law noised by sigma_min: the flow to sigma_max, where the density is taken as uniform.

        log p(x) = -log volume + int div v / sigma dsigma, v = -sigma^2 * score

    The divergence is exact, by `dim` derivatives. With an exact score the error of taking the end as uniform is at most
    the relative distance of the heat kernel from uniform there (`largest`). Points move in the space around the
    manifold and are taken back to it wherever the score is asked for.

    Args:
        manifold: of the points.
        score: of the law noised by sigma, `(x, sigma) -> (n, *shape)`, sigma `(n,)`, differentiable in x.
        x: `(n, *shape)`, points of the manifold.
        sigma_min: of x, > 0: the density is that of the data noised by it.
        sigma_max: where the density is uniform.
        tolerance: of one step of the solver, relative and in nats.

    Raises:
        ValueError: for points off the manifold, or a range of noise that is none.

    Example:
        >>> from scorefield.manifolds import HeatMixture, Torus
        >>> law = HeatMixture(Torus(1), torch.ones(1), torch.zeros(1, 1).double(), torch.ones(1))
        >>> x = torch.ones(1, 1).double()
        >>> found = log_density(law.manifold, law, x, sigma_min=0.1, sigma_max=6.0).value
        >>> round(float(found), 4), round(float(law.log_density(x, 0.1)), 4)
        (-1.419, -1.419)
    """
    manifold.check(x)
    levels(sigma_min, sigma_max, 1)
    flow = _Flow(manifold, score, with_density=True)
    y0 = torch.cat([x.detach().double().flatten(1), x.new_zeros(len(x), 1, dtype=torch.float64)], 1)
    found = integrate(
        flow, y0, math.log(sigma_min), math.log(sigma_max), rtol=tolerance, atol=tolerance, max_evaluations=100_000
    )
    end = manifold.nearest(found.y[:, :-1].unflatten(1, manifold.shape))
    return FlowDensity(found.y[:, -1] - math.log(manifold.volume), end, found.evaluations)


def transport(
    manifold: Manifold, score: Score, x: Tensor, *, start: float, end: float, tolerance: float = 1e-5
) -> Tensor:
    """Points carried by the probability flow from one noise level to another.

    From uniform points at sigma_max down to sigma_min it is a sampler without noise; upwards it encodes.

    Args:
        manifold: of the points.
        score: as `log_density`.
        x: `(n, *shape)`.
        start: noise level of x.
        end: noise level to reach; both > 0.
        tolerance: of one step of the solver.
    """
    manifold.check(x)
    levels(min(start, end), max(start, end), 1)
    flow = _Flow(manifold, score, with_density=False)
    y = integrate(
        flow, x.detach().double().flatten(1), math.log(start), math.log(end), rtol=tolerance, atol=tolerance
    ).y
    return manifold.exp(manifold.nearest(y.unflatten(1, manifold.shape)), torch.zeros_like(x, dtype=torch.float64)).to(
        x
    )


def largest(manifold: Manifold, nats: float = 1e-4) -> float:
    """The noise level from which the densities of all laws are uniform to within about so many nats.

    What is left of a point is `(1 + dim) exp(-eigenvalue sigma^2 / 2)` times what it was, to first order, on spheres.

    Example:
        >>> from scorefield.manifolds import Sphere
        >>> round(largest(Sphere(2)), 2)
        3.26
    """
    if not 0 < nats < 1:
        raise ValueError(f"largest needs nats between 0 and 1, got {nats}.")
    multiplicity = 9 if manifold.embedded == 9 else 1 + manifold.embedded
    return math.sqrt(2 * math.log(multiplicity / nats) / manifold.eigenvalue)


@dataclass(frozen=True)
class _Flow:
    """The right-hand side for `integrate`, of states `(n, numbers)`; the last one is the integral of the divergence."""

    manifold: Manifold
    score: Score
    with_density: bool

    def __call__(self, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
        sigma = t.exp()
        x = self.manifold.nearest((y[:, :-1] if self.with_density else y).unflatten(1, self.manifold.shape))

        def field(at: Tensor) -> Tensor:
            rate = self.score(at, sigma)
            return -sigma.square().reshape(-1, *[1] * (at.ndim - 1)).to(rate) * rate

        if not self.with_density:
            return field(x).flatten(1)
        v, div = divergence(self.manifold, field, x)
        return torch.cat([v.flatten(1), div[:, None]], 1)
