"""Mixtures of von Mises and Fisher's laws on spheres, fitted by expectation and maximisation: the usual baseline."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.manifolds.mixture import HeatMixture, from_von_mises_fisher
from scorefield.manifolds.sphere import Sphere
from scorefield.numerics.random import uniform

_TIGHTEST = 1 - 1e-6  # mean length of a component: a component on a single point would have no density
_NEWTON = 50


@dataclass(frozen=True, eq=False)
class VonMisesFisherMixture:
    """`sum_k w_k C(kappa_k) exp(kappa_k m_k . x)` on the sphere in D dimensions (Mardia and Jupp 2000, section 9.3.2).

    Args:
        weights: `(K,)`, float64, with sum 1.
        directions: m, `(K, D)`.
        concentrations: kappa, `(K,)`, >= 0.
    """

    weights: Tensor
    directions: Tensor
    concentrations: Tensor

    def log_density(self, x: Tensor) -> Tensor:
        """`log p(x)` in nats per unit of area, `(n, D) -> (n,)` float64."""
        return self._log_joint(x.double()).logsumexp(1)

    def heat_mixture(self) -> HeatMixture:
        """The mixture of heat kernels whose components have the same mean vectors."""
        D = self.directions.shape[1]
        lengths = mean_length(self.concentrations, D).clamp(min=1e-3)
        return from_von_mises_fisher(Sphere(D - 1), self.weights, self.directions, lengths)

    def _log_joint(self, x: Tensor) -> Tensor:
        D = self.directions.shape[1]
        return x @ (self.concentrations[:, None] * self.directions).T + (
            self.weights.log() + _log_constant(self.concentrations, D)
        )


def fit_von_mises_fisher(
    x: Tensor, components: int, *, seed: int, steps: int = 500, tolerance: float = 1e-7
) -> VonMisesFisherMixture:
    """Maximum likelihood by expectation and maximisation (Banerjee and others 2005), with exact concentrations.

    Args:
        x: unit vectors `(n, D)`.
        components: K, from 1 to n.
        seed: of the points that the components start at, which are drawn far from each other.
        steps: at most.
        tolerance: gain of the mean log-likelihood below which it ends.

    Raises:
        ValueError: for points off the sphere, or a number of components that does not fit.

    Example:
        >>> x = torch.nn.functional.normalize(torch.tensor([[1.0, 0.1], [1.0, -0.1], [1.0, 0.0]]))
        >>> round(float(fit_von_mises_fisher(x, 1, seed=0).directions[0, 0]), 4)
        1.0
    """
    Sphere(x.shape[-1] - 1).check(x)
    if not 1 <= components <= len(x):
        raise ValueError(f"components must be from 1 to the {len(x)} points there are, got {components}.")
    x = x.double()
    law = _start(x, components, seed)
    last = -math.inf
    for _ in range(steps):
        joint = law._log_joint(x)
        now = float(joint.logsumexp(1).mean())
        if now - last < tolerance:
            break
        last = now
        law = _maximise(x, joint.softmax(1))
    return law


def _start(x: Tensor, components: int, seed: int) -> VonMisesFisherMixture:
    """Centres by k-means++ (Arthur and Vassilvitskii 2007); every point belongs to the nearest."""
    u = uniform(components, (), seed, "von mises fisher start", dtype=torch.float64).tolist()
    chosen = [int(u[0] * len(x))]
    for k in range(1, components):
        away = (1 - x @ x[chosen].T).amin(1).clamp(min=1e-12)
        shares = (away / away.sum()).cumsum(0)
        chosen.append(min(int(torch.searchsorted(shares, u[k])), len(x) - 1))
    nearest = (x @ x[chosen].T).argmax(1)
    return _maximise(x, torch.nn.functional.one_hot(nearest, components).double())


def _maximise(x: Tensor, share: Tensor) -> VonMisesFisherMixture:
    """Weights, directions and concentrations, given how far each point belongs to each component `(n, K)`."""
    mass = share.sum(0)
    kept = mass > 1e-8
    mass, total = mass[kept], share.T[kept] @ x
    length = total.norm(dim=1)
    mean = (length / mass).clamp(max=_TIGHTEST)
    return VonMisesFisherMixture(
        mass / mass.sum(), total / length.clamp(min=1e-300)[:, None], concentration(mean, x.shape[1])
    )


def mean_length(concentrations: Tensor, dimensions: int) -> Tensor:
    """The length of the mean of a law: a ratio of Bessel functions, `coth k - 1 / k` for D = 3."""
    from scipy import special

    k = concentrations.clamp(min=1e-12).numpy()
    order = dimensions / 2
    return torch.as_tensor(special.ive(order, k) / special.ive(order - 1, k)).to(concentrations)


def concentration(mean: Tensor, dimensions: int) -> Tensor:
    """The concentration of the law whose mean has a length in [0, 1): Newton's steps from Banerjee's formula."""
    r, D = mean, dimensions
    k = r * (D - r.square()) / (1 - r.square())
    for _ in range(_NEWTON):
        A = mean_length(k, D)
        slope = 1 - A.square() - (D - 1) / k.clamp(min=1e-12) * A
        new = k - (A - r) / slope.clamp(min=1e-300)
        new = torch.where((new > 0) & new.isfinite(), new, k / 2)
        done = bool(((new - k).abs() <= 1e-10 * (1 + k)).all())
        k = new
        if done:
            break
    return k


def _log_constant(k: Tensor, dimensions: int) -> Tensor:
    """`log C(k)`: 1 over the integral of `exp(k m . x)`."""
    from scipy import special

    order = dimensions / 2 - 1
    k = k.clamp(min=1e-8)
    log_bessel = torch.as_tensor(special.ive(order, k.numpy())).log() + k
    return order * k.log() - dimensions / 2 * math.log(2 * math.pi) - log_bessel
