"""Distances between two samples: energy, sliced Wasserstein, Frechet."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from scorefield.metrics.samples import CHUNK, Sample, check_count, distance_rows, pair
from scorefield.numerics.random import normal


def energy_distance(x: Sample, y: Sample, *, chunk: int = CHUNK) -> float:
    """`2 E|x - y| - E|x - x'| - E|y - y'|` (Szekely and Rizzo 2013): 0 for equal laws only.

    The unbiased (U) statistic: pairs of a row with itself do not count, so it can be slightly negative.

    Args:
        x: `(n, *shape)`, n >= 2.
        y: `(m, *shape)`, m >= 2.
        chunk: rows of the distance matrix in memory at a time.

    Example:
        >>> energy_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0]]))
        2.0
    """
    x, y = pair(x, y)
    n, m = len(x), len(y)
    cross, within_x, within_y = (_distance_sum(a, b, chunk) for a, b in ((x, y), (x, x), (y, y)))
    return 2 * cross / (n * m) - within_x / (n * (n - 1)) - within_y / (m * (m - 1))


def _distance_sum(x: Tensor, y: Tensor, chunk: int) -> float:
    total = 0.0
    for start, distance in distance_rows(x, y, chunk):
        if x is y:  # a row is at distance 0 from itself, to the last digit
            distance.diagonal(start).zero_()
        total += float(distance.sum())
    return total


def sliced_wasserstein(x: Sample, y: Sample, *, projections: int = 256, seed: int = 0) -> float:
    """The mean over random directions of the Wasserstein-1 distance of the projections (Bonneel and others 2015).

    In one dimension the exact W1. Its value for equal laws is positive and falls as `n**-0.5`: compare with `floor`.

    Args:
        x: `(n, *shape)`.
        y: `(m, *shape)`; n and m may differ.
        projections: random directions.
        seed: of the directions.

    Example:
        >>> sliced_wasserstein(torch.tensor([[0.0], [1.0]]), torch.tensor([[2.0], [3.0], [2.0], [3.0]]))
        2.0
    """
    x, y = pair(x, y)
    check_count("projections", projections, 1)
    if x.shape[1] == 1:
        return float(_wasserstein(x, y).mean())
    v = normal(projections, x.shape[1:], seed, "sliced-wasserstein", dtype=x.dtype, device=x.device)
    v = v / v.norm(dim=1, keepdim=True)
    parts = v.split(max(1, 10**7 // (len(x) + len(y))))
    return float(torch.cat([_wasserstein(x @ u.T, y @ u.T) for u in parts]).mean())


def _wasserstein(x: Tensor, y: Tensor) -> Tensor:
    """W1 of each column: the integral of the difference of the two quantile functions, which are steps."""
    x, y = _sorted(x), _sorted(y)
    n, m = len(x), len(y)
    if n == m:
        return (x - y).abs().mean(0)
    ends = torch.cat([torch.arange(1, n + 1) * m, torch.arange(1, m + 1) * n]).unique().to(x.device)
    width = torch.diff(ends, prepend=ends.new_zeros(1)).to(x.dtype) / (n * m)
    i, j = (ends - 1) // m, (ends - 1) // n
    return width @ (x[i] - y[j]).abs()


def _sorted(x: Tensor) -> Tensor:
    """Each column in rising order; numpy sorts several times as fast on a processor."""
    return torch.from_numpy(np.sort(x.detach().numpy(), 0)) if x.device.type == "cpu" else x.sort(0).values


def frechet(x: Sample, y: Sample) -> float:
    """The squared W2 distance of the Gaussians with the samples' means and covariances (Dowson and Landau 1982).

    `|mu_x - mu_y|^2 + tr(C_x + C_y - 2 (C_x^(1/2) C_y C_x^(1/2))^(1/2))`, in the space of the rows as given: give
    features of a network for a distance of the FID's kind.

    Example:
        >>> x = torch.tensor([[0.0], [2.0]])
        >>> round(frechet(x, 3 * x + 1), 6)  # means 1 and 4, standard deviations s and 3 s with s^2 = 2
        17.0
    """
    x, y = pair(x, y)
    root_x, root_y = _root(torch.cov(x.T)), _root(torch.cov(y.T))
    overlap = torch.linalg.svdvals(root_x @ root_y).sum()
    means = (x.mean(0) - y.mean(0)).square().sum()
    return float(means + root_x.square().sum() + root_y.square().sum() - 2 * overlap)


def _root(covariance: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(torch.atleast_2d(covariance))
    return (vectors * values.clamp(min=0).sqrt()) @ vectors.T
