"""Mixtures with exact answers, accurate end points of their probability flow, and a count of evaluations.

Everybody works in units of the data's standard deviation, as one standardises data before use: the mixture is divided
by it, and noise starts at `high = 80 / scale`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield import Estimate, Level
from scorefield.analytic import GaussianMixture
from scorefield.numerics.ode import integrate
from scorefield.numerics.random import normal

F64 = torch.float64
SIGMA = 80.0
BUDGETS = (5, 8, 10, 15, 20, 35, 50)
DATA = Path(__file__).parents[2] / "tests" / "data"


class TooManyError(Exception):
    """A sampler asked for more evaluations than its budget."""


class Counted:
    """A model that counts its evaluations, of any number of samples, and refuses those beyond a limit."""

    def __init__(self, model: Callable[..., Estimate], limit: float = math.inf) -> None:
        self.model, self.limit, self.count = model, limit, 0

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        if self.count >= self.limit:
            raise TooManyError
        self.count += 1
        return self.model(x, level)


class Sampler(NamedTuple):
    """A sampler of some package with its settings.

    Args:
        name: for the tables.
        run: `(model, x, evaluations, high) -> end points`: from `x = x0 + high * eps` to noise 0, with at most so many
            evaluations of the model. Raises `TooManyError` where that cannot be.
    """

    name: str
    run: Callable[[Counted, Tensor, int, float], Tensor]


@dataclass(frozen=True, eq=False)
class Problem:
    """A mixture of mean variance 1, starts `(n, d)` of unit variance times `high`, and where the flow takes them."""

    name: str
    model: GaussianMixture
    high: float
    starts: Tensor
    ends: Tensor

    @property
    def rms(self) -> float:
        """The data's root mean square."""
        model = self.model
        return math.sqrt(float(model.covariance.trace() + model.mean @ model.mean) / len(model.mean))

    def error(self, found: Tensor) -> tuple[float, float]:
        """RMS and median over trajectories of the distance from the exact end points, over the data's RMS."""
        each = (found - self.ends).square().mean(1).sqrt() / self.rms
        each = torch.where(torch.isfinite(each), each, torch.inf)
        return float(each.square().mean().sqrt()), float(each.median())


def standardised(mixture: GaussianMixture) -> tuple[GaussianMixture, float]:
    """The mixture divided by its standard deviation (root of the mean variance), and that."""
    scale = math.sqrt(float(mixture.covariance.trace()) / len(mixture.mean))
    return GaussianMixture(mixture.weights, mixture.means / scale, mixture.covariances / scale**2), scale


def flow_ends(model: GaussianMixture, x: Tensor, high: float) -> Tensor:
    """End points of the probability flow, to about 1e-9: adaptive steps in the angle `atan(sigma / alpha)`."""

    def derivative(u: Tensor, y: Tensor, index: Tensor) -> Tensor:
        level = Level(u.cos(), u.sin())
        return model(y, level).velocity(Level(-u.sin(), u.cos()))

    start = math.atan(high)
    return integrate(derivative, math.cos(start) * x, start, 0.0, rtol=1e-10, atol=1e-11, max_evaluations=100_000).y


def of_std(mixture: GaussianMixture, std: float) -> GaussianMixture:
    model, _ = standardised(mixture)
    return GaussianMixture(model.weights, std * model.means, std**2 * model.covariances)


def problem(name: str, mixture: GaussianMixture, n: int, seed: int) -> Problem:
    model, scale = standardised(mixture)
    high = SIGMA / scale
    x = high * normal(n, model.mean.shape, seed, "benchmark starts", dtype=F64)
    return Problem(name, model, high, x, flow_ends(model, x, high))


def stored(name: str) -> Problem:
    """The file's own trajectories, from its starts to its ends."""
    with np.load(DATA / f"mixture_{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files}
    model, scale = standardised(_mixture(arrays))
    return Problem(f"{name} (stored)", model, SIGMA / scale, arrays["ode_start"] / scale, arrays["ode_end"] / scale)


def stored_mixture(name: str) -> GaussianMixture:
    with np.load(DATA / f"mixture_{name}.npz") as file:
        return _mixture({key: torch.from_numpy(file[key]) for key in file.files})


def _mixture(arrays: dict[str, Tensor]) -> GaussianMixture:
    return GaussianMixture(arrays["weights"], arrays["means"], arrays["covariances"])


def circle(modes: int = 8, radius: float = 1.0, std: float = 0.1) -> GaussianMixture:
    """Equal round modes on a circle."""
    angle = 2 * math.pi * torch.arange(modes, dtype=F64) / modes
    means = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return GaussianMixture(torch.ones(modes, dtype=F64), means, std**2 * torch.eye(2, dtype=F64).repeat(modes, 1, 1))


def low_rank(d: int = 64, modes: int = 10, rank: int = 6, floor: float = 0.05, seed: int = 0) -> GaussianMixture:
    """Modes of low rank plus a small diagonal, from a seed."""
    means = 0.6 * normal(modes, (d,), seed, "benchmark means", dtype=F64)
    root = normal(modes, (d, rank), seed, "benchmark covariances", dtype=F64) / math.sqrt(rank)
    weights = 0.5 + normal(modes, (), seed, "benchmark weights", dtype=F64).abs()
    return GaussianMixture(weights, means, root @ root.mT * 0.5 + floor**2 * torch.eye(d, dtype=F64))


def problems(n: int = 256) -> list[Problem]:
    """The stored mixtures with fresh trajectories, a ring of 8 modes, and 64 dimensions of low rank."""
    return [
        problem("ring", stored_mixture("ring"), n, seed=1),
        problem("blend", stored_mixture("blend"), n, seed=2),
        problem("circle of 8", of_std(circle(), 0.5), n, seed=3),
        problem("64-D low rank", of_std(low_rank(), 0.5), n, seed=4),
    ]
