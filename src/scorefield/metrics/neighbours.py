"""Nearest neighbours: what a generator copied from its training data, and what it left out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield.metrics.samples import CHUNK, Sample, Slices, check_count, distance_rows, pair


class Coverage(NamedTuple):
    """Density (1 for equal laws; above: samples crowd where data are) and coverage (the share of data reached)."""

    density: float
    coverage: float


def nearest(x: Sample, y: Sample | Slices, *, chunk: int = CHUNK) -> tuple[Tensor, Tensor]:
    """The distance `(n,)` of every row of x to its nearest row of y, and that row's index `(n,)`.

    Of y that makes its rows as they are needed, a chunk of them is in memory at a time.

    Example:
        >>> nearest(torch.tensor([[0.0], [4.0]]), torch.tensor([[5.0], [1.0]]))[1].tolist()
        [1, 0]
    """
    if not isinstance(y, (Tensor, np.ndarray)):
        return _nearest_in_slices(x, y, chunk)
    x, y = pair(x, y, least=1)
    found = [distance.min(1) for _, distance in distance_rows(x, y, chunk)]
    return torch.cat([f.values for f in found]), torch.cat([f.indices for f in found])


def _nearest_in_slices(x: Sample, y: Slices, chunk: int) -> tuple[Tensor, Tensor]:
    check_count("chunk", chunk, 1)
    distance, index = nearest(x, y[:chunk], chunk=chunk)
    for start in range(chunk, len(y), chunk):
        d, i = nearest(x, y[start : start + chunk], chunk=chunk)
        nearer = d < distance
        distance, index = torch.where(nearer, d, distance), torch.where(nearer, i + start, index)
    return distance, index


def memorisation(generated: Sample, train: Sample | Slices, held: Sample, *, chunk: int = CHUNK) -> float:
    """Mean distance to the nearest training row: of generated rows, over that of held-out real rows.

    About 1 for a generator that learned the law; far below 1 for one that repeats its training data.

    Args:
        generated: `(n, *shape)`.
        train: `(m, *shape)`, what the generator was trained on.
        held: `(k, *shape)`, real data that it has not seen.

    Example:
        >>> memorisation(torch.tensor([[0.1]]), torch.tensor([[0.0], [2.0]]), torch.tensor([[1.0]]))
        0.1...
    """
    reference = float(nearest(held, train, chunk=chunk)[0].mean())
    if not reference > 0:
        raise ValueError(
            "every held-out row is also a training row, so the ratio has no reference; hold other rows out."
        )
    return float(nearest(generated, train, chunk=chunk)[0].mean()) / reference


def coverage(real: Sample, generated: Sample, *, k: int = 5, chunk: int = CHUNK) -> Coverage:
    """Density and coverage (Naeem and others 2020), by the balls that reach each real row's k-th real neighbour.

    For equal laws density is 1 on average and coverage `1 - prod_(i=1..k) (n - i) / (n + m - i)`.

    Args:
        real: `(n, *shape)`, n > k.
        generated: `(m, *shape)`.
        k: neighbours, >= 1.

    Example:
        >>> coverage(torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.5], [9.0]]), k=1)
        Coverage(density=1.0, coverage=0.666...)
    """
    real, generated = pair(real, generated, least=1)
    check_count("k", k, 1)
    if len(real) <= k:
        raise ValueError(f"coverage with k = {k} needs more than {k} real rows, got {len(real)}; lower k.")
    inside, reached = 0, 0
    for start, between in distance_rows(real, real, chunk):
        between.diagonal(start).fill_(math.inf)
        radius = between.kthvalue(k, dim=1, keepdim=True).values
        within = torch.cdist(real[start : start + len(between)], generated) <= radius
        inside += int(within.sum())
        reached += int(within.any(1).sum())
    return Coverage(inside / (k * len(generated)), reached / len(real))
