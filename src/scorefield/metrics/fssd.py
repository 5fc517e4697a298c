"""The finite-set Stein discrepancy: a test of goodness of fit in linear time, at places that tell laws apart.

The Stein witness `E[s(x) k(x, v) + grad_x k(x, v)]` over a sample x is 0 at every v for the law of the score s, and
with a real-analytic kernel not 0 at almost every v for another one (Jitkrittum, Xu, Szabo, Fukumizu and Gretton 2017).
The places v, and the kernel's scale, are found on a part of the sample as those where the test has the most power.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield._ranges import real
from scorefield.core import StaticScore
from scorefield.metrics.samples import Sample, check_count, random_order, rows_of
from scorefield.metrics.stein_kernel import SteinPoints, scale_of, stein_points
from scorefield.numerics.kernels import RadialKernel, SquaredExponential
from scorefield.numerics.random import normal

GAUSS = SquaredExponential()
_SHARE = real(0, 1, open_high=True)
_RATE, _LEAST = 0.05, 1e-4  # of the ascent; of the power's denominator, over the variance of the features


class FiniteSetTest(NamedTuple):
    """A finite-set Stein discrepancy and its test.

    Args:
        value: the squared discrepancy, unbiased: about 0 for a sample of the score's law.
        p_value: of a sample of the score's law giving as large a one.
        locations: `(J, *shape)`, where the witness was looked at: where the sample differs from the law.
        scale: of the kernel.
        tested: rows that the test is of; the others found the locations.
    """

    value: float
    p_value: float
    locations: Tensor
    scale: float
    tested: int


def fssd_test(
    score: StaticScore,
    x: Sample,
    *,
    locations: int | Tensor = 5,
    kernel: RadialKernel = GAUSS,
    training: float = 0.2,
    steps: int = 100,
    draws: int = 2999,
    seed: int = 0,
) -> FiniteSetTest:
    """Test whether x is an independent sample of the law with this score, in time linear in the sample.

    `FSSD^2 = mean over v and coordinates of (E[s(x) k(x, v) + grad_x k(x, v)])^2`; n times its estimate tends to
    `sum_i w_i (Z_i^2 - 1)` with w the eigenvalues of the features' covariance, which gives the p-value.

    Args:
        score: `(n, *shape) -> (n, *shape)`.
        x: `(n, *shape)`, n >= 8.
        locations: how many, or the points `(J, *shape)`: then nothing is trained and all rows are tested.
        kernel: real-analytic, such as `SquaredExponential` and `InverseMultiquadric`; a given scale stays.
        training: share of the rows that find locations and scale by their power (0: random ones, all rows are tested).
        steps: of that ascent.
        draws: of the law under the null; the p-value is a multiple of `1 / (draws + 1)`.
        seed: of the split, the first locations and these draws.

    Raises:
        ValueError: for a score that is not finite at a row of x, or a sample all of whose rows are equal.

    Example:
        >>> x = torch.special.ndtri(torch.linspace(0.002, 0.998, 499))[:, None]
        >>> fssd_test(lambda x: -x, x).p_value > 0.05, fssd_test(lambda x: -x, x + 1).p_value < 0.01
        (True, True)
    """
    check_count("draws", draws, 1)
    check_count("steps", steps, 0)
    _SHARE("training", training)
    points = stein_points(score, x, least=8)
    shape = rows_of("x", x, 8).shape[1:]
    scale = scale_of(kernel, points.x, seed)
    if isinstance(locations, Tensor):
        if locations.shape[1:] != shape or not len(locations):
            raise ValueError(f"locations must be points of shape {tuple(shape)}, got {tuple(locations.shape[1:])}.")
        v = locations.detach().flatten(1).to(points.x)
    else:
        check_count("locations", locations, 1)
        points, v, scale = _found(points, locations, kernel, scale, training, steps, seed)
    value, p_value = _tested(_features(points, v, kernel, scale).flatten(1), draws, seed)
    return FiniteSetTest(value, p_value, v.reshape(len(v), *shape), scale, len(points))


def _features(points: SteinPoints, v: Tensor, kernel: RadialKernel, scale: float | Tensor) -> Tensor:
    """`(s k + grad_x k) / sqrt(d J)`, `(n, J, d)`."""
    away = points.x[:, None] - v
    k, slope = kernel.derivatives(away.square().sum(2) / scale**2, 1)
    return (points.w[:, None] * k[..., None] + 2 * slope[..., None] * away / scale**2) / math.sqrt(v.numel())


def _unbiased(features: Tensor) -> Tensor:
    """The mean of products of the features `(n, k)` of two different rows."""
    n = len(features)
    return (features.sum(0).square().sum() - features.square().sum()) / (n * (n - 1))


def _tested(features: Tensor, draws: int, seed: int) -> tuple[float, float]:
    n, value = len(features), float(_unbiased(features))
    weights = torch.linalg.svdvals(features - features.mean(0)).square() / (n - 1)
    z = normal(draws, (len(weights),), seed, "fssd", dtype=torch.float64).to(weights)
    drawn = (z.square() - 1) @ weights
    return value, (1 + int((drawn >= n * value).sum())) / (draws + 1)


def _found(
    points: SteinPoints, count: int, kernel: RadialKernel, scale: float, share: float, steps: int, seed: int
) -> tuple[SteinPoints, Tensor, float]:
    """The rows that are left to test, locations `(J, d)` and the scale, from the other rows."""
    n, d = points.x.shape
    order = random_order(n, seed, "fssd split", points.x)
    kept = round(share * n)
    if share and not 4 <= kept <= n - 4:
        raise ValueError(
            f"{n} rows cannot be split into training and test at {share:g}; at least 4 are needed in each."
        )
    train = points[order[:kept]] if share else points
    mean, spread = train.x.mean(0), train.x.std(0)
    u = normal(count, (d,), seed, "fssd locations", dtype=torch.float64).to(points.x)
    if not share:
        return points, mean + spread * u, scale
    change = u.new_zeros(())
    wanted = [u.requires_grad_(), *([change.requires_grad_()] if kernel.scale is None else [])]
    ascent = torch.optim.Adam(wanted, lr=_RATE)
    with torch.enable_grad():
        for _ in range(steps):
            ascent.zero_grad()
            loss = -_power(_features(train, mean + spread * u, kernel, scale * change.exp()).flatten(1))
            loss.backward()
            ascent.step()
    return points[order[kept:]], (mean + spread * u).detach(), scale * math.exp(float(change.detach()))


def _power(features: Tensor) -> Tensor:
    """The discrepancy over its standard deviation when it is not 0, which the power of a large sample grows with."""
    centred, mean = features - features.mean(0), features.mean(0)
    spread = 2 * (centred @ mean).square().mean().clamp(min=1e-300).sqrt()
    return _unbiased(features) / (spread + _LEAST * centred.square().sum(1).mean())
