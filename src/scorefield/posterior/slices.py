"""Parts of a posterior: its top, some parameters given the others, the density of one or two of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from scorefield.mcmc.tempered import tempered
from scorefield.numerics.random import normal
from scorefield.posterior.coordinates import Coordinates

LogDensity = Callable[[Tensor], Tensor]
"""`theta (n, d) -> (n,)`, perhaps up to a constant."""
_STARTS, _TRIED, _SHRINK = 8, 64, 0.6


def top(theta: Tensor, log_density: LogDensity, coordinates: Coordinates, rounds: int, seed: int) -> Tensor:
    """The densest point found, `(d,)`: from the best of some draws by random steps that shrink where none is better.

    Args:
        theta: `(n, d)`, draws.
        log_density: in the user's units.
        coordinates: in which steps are taken.
        rounds: of 64 tries each.
        seed: of the tries.
    """
    value = log_density(theta)
    best = theta[value.argsort(descending=True)[:_STARTS]]
    u = coordinates.inward(best)
    here, height, spread = u[0], value.max(), u.std(0).clamp(min=1e-6)
    for k in range(rounds):
        tried = here + spread * normal(_TRIED, (len(here),), seed, "top", row=k, dtype=torch.float64)
        there = log_density(coordinates.outward(tried))
        if float(there.max()) > float(height):
            here, height = tried[there.argmax()], there.max()
        else:
            spread = spread * _SHRINK
    return coordinates.outward(here[None])[0]


def given(
    theta: Tensor, fixed: Mapping[int, float], log_density: LogDensity, coordinates: Coordinates, seed: int
) -> Tensor:
    """Draws `(n, d)` given the values of some parameters, by particles.

    They start from draws of the whole law whose given parameters are set to their values, taken for a normal law of the
    others in coordinates without edges, and are tempered to the law itself.

    Args:
        theta: `(n, d)`, draws of the whole law.
        fixed: value of each given parameter, by its number.
        log_density: of the whole law, in the user's units, perhaps up to a constant.
        coordinates: in which the particles move.
        seed: of the particles.
    """
    free = [i for i in range(theta.shape[1]) if i not in fixed]
    value = torch.zeros(1, theta.shape[1], dtype=torch.float64)
    value[0, list(fixed)] = torch.tensor(list(fixed.values()), dtype=torch.float64)
    whole = coordinates.outward(torch.zeros(1, theta.shape[1])).where(
        torch.tensor([[i in free for i in range(theta.shape[1])]]), value
    )
    u = coordinates.inward(theta)
    mean, spread = u[:, free].mean(0), 1.5 * u[:, free].std(0).clamp(min=1e-9)
    law = torch.distributions.Independent(torch.distributions.Normal(mean, spread), 1)
    start = mean + spread * normal(len(theta), (len(free),), seed, "given", dtype=torch.float64)

    def placed(part: Tensor) -> Tensor:
        full = coordinates.inward(whole).repeat(len(part), 1)
        full[:, free] = part
        return coordinates.outward(full)

    def ratio(part: Tensor) -> Tensor:
        points = placed(part)
        return log_density(points) - coordinates.log_slope(points) - law.log_prob(part)

    found = placed(tempered(start, ratio, law.log_prob, seed=seed).samples)
    found[:, list(fixed)] = value[0, list(fixed)]  # to the last digit
    return found


def marginal(theta: Tensor, points: Tensor, columns: Sequence[int], coordinates: Coordinates) -> Tensor:
    """The log-density of one or two parameters at points `(m, columns)`, `(m,)`, by a kernel in coordinates.

    A normal kernel with Scott's bandwidth, in coordinates without edges, so that no mass leaks over them.

    Args:
        theta: `(n, d)`, draws.
        points: in the user's units.
        columns: numbers of the parameters.
        coordinates: of all parameters.
    """
    some = Coordinates.of(*(side[list(columns)] for side in vars(coordinates).values()))
    u, at = some.inward(theta[:, list(columns)]), some.inward(points)
    root = torch.linalg.cholesky(torch.atleast_2d(torch.cov(u.T)) * len(u) ** (-2 / (len(columns) + 4)))
    away = torch.linalg.solve_triangular(root, (at[:, None] - u).flatten(0, 1).T, upper=False).square().sum(0)
    each = -0.5 * away.reshape(len(at), len(u))
    constant = math.log(len(u)) + float(root.diagonal().log().sum()) + 0.5 * len(columns) * math.log(2 * math.pi)
    return each.logsumexp(1) - constant + some.log_slope(points)
