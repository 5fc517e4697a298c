"""What scores on manifolds are trained by: denoising with the exact heat kernel, and the divergence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield._tensor import expand
from scorefield.levels import TrainingLevels
from scorefield.manifolds.manifold import Manifold, divergence
from scorefield.manifolds.network import output_scale
from scorefield.manifolds.walks import Score
from scorefield.numerics.divergence import Field
from scorefield.objectives.batch import Draws


@dataclass(frozen=True)
class Denoising:
    """`|score(x, sigma) - grad log p(x | x0)|^2 / c(sigma)^2`, x drawn from the heat kernel around x0: an `Objective`.

    Least at the score of the data noised by sigma (Vincent 2011; De Bortoli and others 2022). Both the draws and the
    gradient are exact. `c` is that of `TangentScore`, which gives every noise level about the same weight.

    Args:
        manifold: of the data.
        levels: density over noise levels, whose `sigma / alpha` counts.
        holes: of the interface: points have none.
    """

    manifold: Manifold
    levels: TrainingLevels
    holes: bool = False

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample, `(n,)`; arguments as `Objective`."""
        sigma = torch.as_tensor(self.levels(draws.u.double()).ratio)
        with torch.no_grad():
            noised = self.manifold.diffuse(x, draws.noise, sigma)
            _, wanted = self.manifold.heat(noised, x, sigma)
        off = (model(noised, sigma) - wanted) / expand(output_scale(self.manifold, sigma).to(x), x)
        return self.manifold.inner(noised, off, off)


def denoising(manifold: Manifold, score: Field, x: Tensor, sigma: float | Tensor, z: Tensor) -> Tensor:
    """`|score - grad log p(x_sigma | x)|^2 / 2` at `x_sigma = diffuse(x, z, sigma)`: matching at one noise level.

    Args:
        manifold: of the data.
        score: `x -> tangent vectors`, of the data noised by sigma.
        x: samples of the data, `(n, *shape)`.
        sigma: noise level, a number or `(n,)`.
        z: standard normal numbers `(n, *shape)`.

    Returns:
        One loss per sample, `(n,)`.
    """
    noised = manifold.diffuse(x, z, sigma)
    off = score(noised) - manifold.heat(noised, x, sigma)[1]
    return manifold.inner(noised, off, off) / 2


def implicit(manifold: Manifold, score: Field, x: Tensor) -> Tensor:
    """`|score|^2 / 2 + div score`: least at the true score, without noise (Hyvarinen 2005; Mardia, Kent, Laha 2016).

    On a compact manifold there is no boundary, and integration by parts holds for every smooth density.

    Args:
        manifold: of the data.
        score: `(n, *shape) -> (n, *shape)`, tangent, differentiable.
        x: samples of the data.

    Returns:
        One loss per sample, `(n,)`.

    Example:
        >>> from scorefield.manifolds import Torus
        >>> implicit(Torus(1), lambda x: -x.sin(), torch.zeros(1, 1)).tolist()  # of a von Mises law
        [-1.0]
    """
    value, div = divergence(manifold, score, x)
    return manifold.inner(x, value, value) / 2 + div


def at(score: Score, sigma: float) -> Field:
    """A score of all noise levels at one: `x -> score(x, sigma)`."""
    return lambda x: score(x, torch.full((len(x),), sigma, dtype=torch.float64, device=x.device))
