"""One-step plans: DDIM with any amount of noise, DDPM's ancestral sampling, Euler and Euler-Maruyama in t."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import torch
from torch import Tensor

from scorefield.core import Level, Levels
from scorefield.plans.plan import Plan
from scorefield.plans.rows import Combination, Point, Rows, falling, points, shrink
from scorefield.schedules import Schedule


def ddim(lv: Levels, eta: float = 0.0) -> Plan:
    """One step per level: `x' = alpha' x0 + sqrt(sigma'^2 - c^2) eps + c z` (Song, Meng, Ermon 2021).

    `c = eta sigma' sqrt(1 - q^2)` with q the ratio of the noise levels `sigma / alpha`. With eta = 0 this is the
    exponential Euler method of the probability-flow ODE and goes up as well as down; with eta = 1 it is `ancestral`.

    Args:
        lv: n + 1 levels: n evaluations.
        eta: from 0 (no noise) to 1.

    Example:
        >>> from scorefield import levels
        >>> ddim(levels.karras(10))
        Plan(ddim: 10 evaluations, order 1, sigma/alpha from 80 to 0, deterministic)
    """
    grid = points(lv, "ddim")
    if not 0 <= eta <= 1:
        raise ValueError(f"plans.ddim(eta=...) must be from 0 to 1, got {eta}.")
    if eta:
        falling(grid, "ddim", f"eta = {eta:g}")
    rows = Rows()
    state: Combination | None = None
    for start, end in pairwise(grid):
        k = rows.evaluate(start, state)
        c = eta * end[1] * math.sqrt(1 - shrink(start, end) ** 2) if eta else 0.0
        state = Combination({k: end[0]}, {k: math.sqrt((end[1] - c) * (end[1] + c))}, c)
    return rows.end(grid[-1], state or Combination(), "ddim" if not eta else f"ddim(eta={eta:g})", 1)


def ancestral(lv: Levels) -> Plan:
    """Samples from `p(x' | x, x0)` with x0 estimated: the reverse chain of Ho, Jain, Abbeel (2020), posterior variance.

    Args:
        lv: n + 1 levels, sigma / alpha falling: n evaluations.

    Example:
        >>> from scorefield import levels
        >>> ancestral(levels.karras(10)).stochastic
        True
    """
    return replace(ddim(lv, eta=1.0), name="ancestral")


def euler(
    schedule: Schedule, steps: int, t_max: float | None = None, t_min: float | None = None, end: bool = True
) -> Plan:
    """Euler's method for the probability-flow ODE in the schedule's time: `x' = x - dt (dalpha x0 + dsigma eps)`.

    Args:
        schedule: t -> Level.
        steps: evaluations: uniform steps in t, then (with end) the estimate of the data as the last.
        t_max: default: the schedule's last time.
        t_min: default: as `euler_maruyama`.
        end: return x0 at the last time, where sigma is then 0.

    Example:
        >>> from scorefield.schedules import RectifiedFlow
        >>> euler(RectifiedFlow(), 10).evaluations
        10
    """
    times = _times(schedule, steps, t_max, t_min, end, "euler")
    rows = Rows()
    state: Combination | None = None
    grid, rates = _as_points(schedule(times)), _as_points(schedule.rates(times[:-1]))
    for level, rate, dt in zip(grid, rates, (-times.diff()).tolist(), strict=False):
        k = rows.evaluate(level, state)
        state = Combination({k: level[0] - dt * rate[0]}, {k: level[1] - dt * rate[1]})
    return _finish(rows, grid[-1], state, end, "euler")


def euler_maruyama(
    schedule: Schedule, steps: int, t_max: float | None = None, t_min: float | None = None, end: bool = True
) -> Plan:
    """Euler-Maruyama for the reverse SDE, uniform in t: `x' = x - (f x - g^2 score) dt + g sqrt(dt) z`.

    Song and others (2021), eq. 6, stepped as in their Appendix E. Its exponential form is `ancestral`.

    Args:
        schedule: t -> Level, with alpha > 0 at t_max.
        steps: evaluations: uniform steps in t, then (with end) the estimate of the data as the last.
        t_max: default: the schedule's last time.
        t_min: default: one step above the schedule's first time; > its first time where sigma is 0.
        end: return x0 at the last time, where sigma is then 0.

    Example:
        >>> from scorefield.schedules import VP
        >>> euler_maruyama(VP(), 100)
        Plan(euler_maruyama: 100 evaluations, order 1, sigma/alpha from 152.2 to 0, stochastic)
    """
    times = _times(schedule, steps, t_max, t_min, end, "euler_maruyama")
    rows = Rows()
    state: Combination | None = None
    grid, before = _as_points(schedule(times)), times[:-1]
    terms = schedule.drift(before), schedule.diffusion_squared(before).clamp(min=0), -times.diff()
    for level, drift, squared, dt in zip(grid, *(v.tolist() for v in terms), strict=False):
        k = rows.evaluate(level, state)
        state = Combination(
            {k: level[0] * (1 - drift * dt)},
            {k: level[1] * (1 - drift * dt) - squared * dt / level[1]},
            math.sqrt(squared * dt),
        )
    return _finish(rows, grid[-1], state, end, "euler_maruyama")


def _times(schedule: Schedule, steps: int, t_max: float | None, t_min: float | None, end: bool, name: str) -> Tensor:
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1 + end:
        raise ValueError(f"plans.{name}(steps=...) must be a whole number >= {1 + end}, got {steps!r}.")
    hi = schedule.t_max if t_max is None else t_max
    lo = schedule.t_min + (hi - schedule.t_min) / steps if t_min is None else t_min
    if not schedule.t_min <= lo < hi <= schedule.t_max:
        raise ValueError(
            f"plans.{name} needs {schedule.t_min:g} <= t_min < t_max <= {schedule.t_max:g}, got {lo:g} and {hi:g}."
        )
    times = torch.linspace(hi, lo, steps if end else steps + 1, dtype=torch.float64)
    if float(schedule(times[-1 if end else -2]).sigma) == 0:
        raise ValueError(f"plans.{name}: sigma = 0 at t_min = {lo:g}; give a t_min above the schedule's first time.")
    return times


def _as_points(level: Level) -> list[Point]:
    alpha, sigma = (torch.as_tensor(v).tolist() for v in level)
    return list(zip(alpha, sigma, strict=True))


def _finish(rows: Rows, level: Point, state: Combination | None, end: bool, name: str) -> Plan:
    if end:
        k = rows.evaluate(level, state)
        state, level = Combination({k: 1.0}), (1.0, 0.0)
    return rows.end(level, state or Combination(), name, 1)
