"""Sets of accurate trajectories of one model, to fit plans to and to measure their errors on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from scorefield._tensor import check_batch
from scorefield.core import Level, Model
from scorefield.levels import log_uniform
from scorefield.numerics.random import normal, uniform
from scorefield.plans.default import logistic_levels, unipc_default
from scorefield.plans.multistep import unipc
from scorefield.plans.onestep import ddim
from scorefield.plans.plan import Plan
from scorefield.plans.run import run
from scorefield.plans.trajectories import CountingModel, Trajectories, solve_flow
from scorefield.plans.variables import FLOW

FINE = 128
"""Levels of the accurate trajectories."""
ROUGH = 12
"""Evaluations of each of the three runs that tell which starts are sensitive."""
_PERTURBATION = 1e-3
"""How far two such runs start from each other, in standard deviations of the starts."""


class TrajectorySet(NamedTuple):
    """Trajectories of one model.

    Args:
        model: `(x, level, condition) -> Estimate`.
        trajectories: of its probability flow.
        condition: `(n, ...)`, one for each trajectory.
        weight: `(n,)`, how many trajectories each represents; default: one.
    """

    model: Model
    trajectories: Trajectories
    condition: Tensor | None = None
    weight: Tensor | None = None

    def part(self, stop: int) -> TrajectorySet:
        """The first trajectories."""
        given, weight = (None if v is None else v[:stop] for v in (self.condition, self.weight))
        return TrajectorySet(self.model, self.trajectories.part(0, stop), given, weight)


class DataSummary(NamedTuple):
    """Shape, mean and standard deviation of the data, and the model's range of noise, dtype and device."""

    shape: tuple[int, ...]
    mean: Tensor
    std: float
    low: float
    high: float
    dtype: torch.dtype
    device: torch.device

    @property
    def dimensions(self) -> int:
        """The number of values of a record."""
        return max(1, math.prod(self.shape))


def summarise_data(
    model: CountingModel,
    shape: Sequence[int] | None,
    high: float | None,
    low: float | None,
    mean: float | Tensor | None,
    std: float | None,
    condition: Tensor | None,
    seed: int,
) -> DataSummary:
    """From the arguments, else the model's attributes, else a few rough samples."""
    inner = model.model
    if mean is None:
        mean = cast(Tensor | None, getattr(inner, "mean", None))
    centre = torch.as_tensor(0.0 if mean is None else mean, dtype=torch.float64)
    if shape is None and not centre.ndim:
        raise ValueError("calibrate needs the shape of a record for this model; give shape=(d,).")
    first = next(inner.parameters(), None) if isinstance(inner, nn.Module) else None
    device = torch.device("cpu") if first is None else first.device
    data = DataSummary(
        tuple(shape) if shape is not None else tuple(centre.shape), centre, 0.0, 0.0, 0.0, torch.float64, device
    )
    std = std or _std(inner)
    if high is None:
        high = float(getattr(inner, "sigma_max", 80.0 * (std or 1.0)))
    if low is None:
        low = float(getattr(inner, "sigma_min", 0.002 * (std or 1.0)))
    if not 0 < low < high < math.inf:
        raise ValueError(f"calibrate needs 0 < sigma_min < sigma_max, got {low:g} and {high:g}.")
    data = data._replace(dtype=_dtype(model, data, high, condition), low=float(low), high=float(high))
    return data._replace(std=std or _rough_std(model, data, condition, seed))


def _std(model: Model) -> float | None:
    """The standard deviation of the data, from the model's attributes."""
    given = getattr(model, "sigma_data", None)
    if given is not None:
        return float(given)
    covariance = getattr(model, "covariance", None)
    return math.sqrt(float(covariance.diagonal().mean())) if isinstance(covariance, Tensor) else None


def _dtype(model: CountingModel, data: DataSummary, high: float, condition: Tensor | None) -> torch.dtype:
    """float64 where the model answers in it."""
    x = torch.zeros(1, *data.shape, dtype=torch.float64, device=data.device)
    given = conditions_in_turn(condition, 1, 0)
    try:
        same = model(x, Level(1.0, high), given).x0.dtype == torch.float64
    except (RuntimeError, TypeError):
        same = False
    return torch.float64 if same else torch.float32


def _rough_std(model: CountingModel, data: DataSummary, condition: Tensor | None, seed: int) -> float:
    """The standard deviation of a few samples drawn with twenty small steps."""
    x = data.high * normal(64, data.shape, seed, "rough", dtype=data.dtype, device=data.device)
    ends = run(
        ddim(log_uniform(20, data.high, data.low)), model, x, condition=conditions_in_turn(condition, 64, 0)
    ).double()
    return max(float((ends - ends.mean(0)).square().mean().sqrt()), 1e-12)


def conditions_in_turn(condition: Tensor | None, n: int, first: int) -> Tensor | None:
    """Conditions for trajectories first to first + n - 1, taken in turn."""
    return None if condition is None else condition[torch.arange(first, first + n) % len(condition)]


def draw_trajectories(
    model: CountingModel,
    data: DataSummary,
    plan: Plan,
    n: int,
    first: int,
    seed: int,
    condition: Tensor | None,
    pool: int = 0,
) -> TrajectorySet:
    """n accurate trajectories from the plan's start.

    With a pool of more starts than n, those are preferred from which a small step aside, or another plan, leads far
    away: near the borders of basins, which decide the RMS error. Their weights make up for it (`systematic_sample`).
    """
    alpha, sigma = (float(v) for v in plan.levels[0])
    if not alpha:
        raise ValueError("calibrate needs a plan that starts at alpha > 0; take a finite sigma_max.")
    top = max(data.high, sigma / alpha)
    size, pool = math.hypot(data.std, top), max(pool, n)
    x = normal(pool, data.shape, seed, "calibration", first=first, dtype=data.dtype, device=data.device)
    x = size * x + data.mean.to(x)
    check_batch("x", x)
    given = conditions_in_turn(condition, pool, first)
    given = given if given is None else given.to(x.device)
    weight = None
    if pool > n:
        apart = _sensitivity(model, data, x, given, top, size, first, seed)
        which, weight = systematic_sample(
            apart, n, float(uniform(1, (), seed, "chosen", first=first, dtype=torch.float64))
        )
        x, given = x[which], given if given is None else given[which]
    trajectories = solve_flow(model, x, logistic_levels(FINE, top, data.low, 0.5, 0.6 * data.std), data.std, given)
    return TrajectorySet(model, trajectories, given, weight)


def _sensitivity(
    model: CountingModel,
    data: DataSummary,
    x: Tensor,
    given: Tensor | None,
    top: float,
    size: float,
    first: int,
    seed: int,
) -> Tensor:
    """How far rough runs end apart, `(n,)`, of mean 2: from a point a little aside, and by another plan."""
    aside = normal(len(x), data.shape, seed, "aside", first=first, dtype=data.dtype, device=data.device)
    aside = aside / aside.flatten(1).square().mean(1).sqrt().reshape(-1, *(1,) * (x.ndim - 1))
    rough = unipc_default(ROUGH, data.std, data.low, top)
    other = unipc(logistic_levels(ROUGH, top, data.low, 1.2, 0.5 * data.std), 3, FLOW, data.std)
    one, two, three = (
        run(plan, model, at, condition=given)
        for plan, at in ((rough, x), (rough, x + _PERTURBATION * size * aside), (other, x))
    )
    apart = [(end - one).double().flatten(1).norm(dim=1) for end in (two, three)]
    return sum((v / v.mean().clamp(min=1e-300) for v in apart), torch.zeros_like(apart[0]))


def systematic_sample(size: Tensor, n: int, place: float) -> tuple[Tensor, Tensor]:
    """n of N samples, in their order, half of the chance even and half in proportion to their size; and weights.

    Systematic sampling (Madow 1949): sample i with probability `p_i <= 1`, of sum n; its weight is `1 / p_i`.

    Args:
        size: `(N,)`, >= 0.
        n: <= N.
        place: where the comb of n teeth stands, from 0 to 1.

    Example:
        >>> which, weight = systematic_sample(torch.tensor([1.0, 1.0, 8.0, 0.0, 0.0, 0.0]), 3, 0.5)
        >>> which.tolist(), round(float(weight.sum()), 2)
        ([0, 2, 4], 6.04)
    """
    chance = size.double() / size.double().mean().clamp(min=1e-300) + 1
    scale = n / chance.sum()
    for _ in range(60):  # until no chance beyond 1 is left to share among the others
        full = chance * scale >= 1
        scale = (n - full.sum()) / chance[~full].sum().clamp(min=1e-300)
    p = torch.where(chance * scale >= 1, torch.ones_like(chance), chance * scale)
    teeth = torch.arange(n, dtype=torch.float64, device=p.device) + place
    which = torch.searchsorted(p.cumsum(0), teeth).clamp(max=len(p) - 1)
    return which, 1 / p[which]
