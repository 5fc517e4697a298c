"""Geodesic random walks: steps along geodesics by a drift and normal noise in the tangent space."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TypeAlias

import torch
from torch import Tensor

from scorefield.manifolds.manifold import Manifold
from scorefield.numerics.random import normal

Score: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""`(x (n, *shape), sigma ()) -> tangent vectors (n, *shape)`: the gradient of the log-density noised by sigma."""


def walk(manifold: Manifold, x: Tensor, sigma: float, steps: int, *, seed: int, first: int = 0) -> Tensor:
    """Brownian motion up to time `sigma^2`, step by step: `x <- exp(x, sqrt(sigma^2 / steps) z)`.

    Converges to the heat kernel with weak order 1 in the step (Jorgensen 1975; De Bortoli and others 2022), and needs
    nothing but geodesics; `Manifold.diffuse` is exact where the heat kernel is known.

    Args:
        manifold: of the points.
        x: where to start, `(n, *shape)`.
        sigma: noise level, > 0.
        steps: >= 1.
        seed: of the noise; that of point i at step k is a pure function of (seed, first + i, k).
        first: index of the first point.

    Example:
        >>> from scorefield.manifolds import Sphere
        >>> north = torch.tensor([[0.0, 0.0, 1.0]]).expand(2000, 3)
        >>> x = walk(Sphere(2), north, sigma=1.0, steps=20, seed=0)
        >>> abs(float(x[:, 2].mean()) - 0.3679) < 0.05  # the mean height fades as exp(-sigma^2)
        True
    """
    manifold.check(x)
    if not (sigma > 0 and steps >= 1):
        raise ValueError(f"a walk needs sigma > 0 and steps >= 1, got {sigma} and {steps}.")
    step = sigma / steps**0.5
    for k in range(steps):
        x = manifold.exp(x, step * manifold.noise(x, _noise(x, seed, first, k)))
    return x


@torch.no_grad()
def sample(
    manifold: Manifold,
    score: Score,
    n: int,
    *,
    sigma_min: float,
    sigma_max: float,
    steps: int = 200,
    seed: int = 0,
    first: int = 0,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """Samples by the time reversal of Brownian motion, from uniform points, as a geodesic random walk.

    From a noise level sigma to the next lower one sigma' (evenly spaced in log sigma), with `h = sigma^2 - sigma'^2`,

        x <- exp(x, h * score(x, sigma) + sqrt(h) * z)

    (De Bortoli and others 2022). The law of the samples is the data's noised by about sigma_min, up to O(1 / steps).

    Args:
        manifold: of the points.
        score: of the law noised by sigma: a trained one, or a `HeatMixture`.
        n: number of samples.
        sigma_min: where to stop, > 0.
        sigma_max: where to start: uniform noise must be a good start there, see `largest`.
        steps: >= 1.
        seed: of start and noise; those of sample i are pure functions of (seed, first + i).
        first: index of the first sample.
        dtype: of the samples.

    Raises:
        ValueError: for a range of noise that is none.
    """
    grid = levels(sigma_min, sigma_max, steps)
    x = manifold.uniform(n, seed, first=first, dtype=dtype)
    for k, (high, low) in enumerate(pairwise(grid)):
        h = float(high**2 - low**2)
        z = manifold.noise(x, _noise(x, seed, first, k))
        x = manifold.exp(x, h * score(x, high) + h**0.5 * z)
    return x


def levels(sigma_min: float, sigma_max: float, steps: int) -> Tensor:
    """steps + 1 noise levels from sigma_max down to sigma_min, evenly spaced in log sigma, float64."""
    if not (0 < sigma_min < sigma_max < float("inf") and steps >= 1):
        raise ValueError(
            f"this needs 0 < sigma_min < sigma_max and steps >= 1, got {sigma_min}, {sigma_max} and {steps}."
        )
    return torch.linspace(
        float(torch.tensor(sigma_max).double().log()),
        float(torch.tensor(sigma_min).double().log()),
        steps + 1,
        dtype=torch.float64,
    ).exp()


def _noise(x: Tensor, seed: int, first: int, step: int) -> Tensor:
    return normal(len(x), x.shape[1:], seed, "geodesic walk", first=first, row=step, dtype=x.dtype, device=x.device)
