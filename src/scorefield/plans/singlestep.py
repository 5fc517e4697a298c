"""Runge-Kutta plans, several evaluations per level: Heun with EDM's churn, midpoint, classical, restarts."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

from scorefield.core import Levels
from scorefield.levels import karras
from scorefield.plans.plan import Plan
from scorefield.plans.rows import Combination, Point, Rows, falling, points, ratio
from scorefield.plans.variables import EPS, FLOW, Variable, step

Leg = tuple[Point, float]
"""Where a Heun plan goes next, and the standard deviation of the noise that takes it there; 0: a step of the ODE."""


def heun(
    lv: Levels,
    churn: float = 0.0,
    churn_min: float = 0.0,
    churn_max: float = math.inf,
    churn_noise: float = 1.0,
    variable: Variable = EPS,
) -> Plan:
    """Heun's method with EDM's churn (Karras and others 2022, algorithm 2): 2 n - 1 evaluations to sigma = 0.

    A step to sigma = 0 is a single evaluation and returns x0. With churn each level is raised by
    `min(churn / n, sqrt(2) - 1)` of itself before its step, by fresh noise.

    Args:
        lv: n + 1 levels, falling or (churn = 0) rising.
        churn: S_churn of the paper.
        churn_min: least sigma / alpha that is raised.
        churn_max: greatest.
        churn_noise: S_noise of the paper: standard deviation of that noise relative to that of the level.
        variable: the coordinate of the trapezoid rule; default: EDM's, sigma / alpha.

    Example:
        >>> from scorefield import levels
        >>> heun(levels.karras(18))
        Plan(heun: 35 evaluations, order 2, sigma/alpha from 80 to 0, deterministic)
    """
    grid = points(lv, "heun")
    if not 0 <= churn < math.inf:
        raise ValueError(f"plans.heun(churn=...) must be >= 0 and finite, got {churn}.")
    if churn:
        falling(grid, "heun", f"churn = {churn:g}")
    gamma = min(churn / (len(grid) - 1), math.sqrt(2) - 1)
    legs: list[Leg] = []
    for level in grid[:-1]:
        raised = (level[0], level[1] * (1 + gamma))
        moved = gamma and level[0] and churn_min <= ratio(level) <= churn_max
        legs.append((level, 0.0))
        if moved:
            legs.append((raised, churn_noise * math.sqrt(raised[1] ** 2 - level[1] ** 2)))
    legs.append((grid[-1], 0.0))
    start = 1 if legs[1][1] else 0  # noise before the first evaluation is part of the start
    return _heun(legs[start:], variable, f"heun(churn={churn:g})" if churn else "heun")


def restart(lv: Levels, low: float, high: float, rounds: int = 1, steps: int = 4, variable: Variable = EPS) -> Plan:
    """Heun's method that goes back up (Xu and others 2023): on reaching `low`, noise to `high` and `steps` steps down.

    Forgets errors of the earlier steps as a stochastic sampler does, with the accuracy of an ODE method between.

    Args:
        lv: n + 1 levels, falling, with low inside.
        low: sigma / alpha at which to go back up; the grid's nearest level is taken.
        high: sigma / alpha to go up to.
        rounds: how often.
        steps: Heun steps of each way down, evenly spaced in `sigma**(1/7)`.
        variable: as `heun`.

    Example:
        >>> from scorefield import levels
        >>> restart(levels.karras(10), low=0.1, high=1.0, steps=3).evaluations
        25
    """
    grid = points(lv, "restart")
    falling(grid, "restart", "a restart")
    if not 0 < low < high or rounds < 1 or steps < 1:
        raise ValueError(
            f"plans.restart needs 0 < low < high, rounds >= 1, steps >= 1; got {low:g}, {high:g}, {rounds}, {steps}."
        )
    inner = [i for i, level in enumerate(grid) if i and level[0] and level[1]]
    if not inner:
        raise ValueError("plans.restart needs a level between the first and the last at which to go up.")
    turn = min(inner, key=lambda i: abs(math.log(ratio(grid[i]) / low)))
    alpha, sigma = grid[turn]
    if not alpha * high > sigma:
        raise ValueError(
            f"plans.restart: high = {high:g} is not above the grid's level {sigma / alpha:g} nearest to low."
        )
    up = (alpha, alpha * high)
    down = [(alpha, alpha * s) for s in karras(steps + 1, high, sigma / alpha, end=False).sigma.tolist()[1:-1]]
    legs: list[Leg] = [(level, 0.0) for level in grid[: turn + 1]]
    for _ in range(rounds):
        legs.append((up, math.sqrt(up[1] ** 2 - sigma**2)))
        legs += [(level, 0.0) for level in [*down, grid[turn]]]
    return _heun([*legs, *[(level, 0.0) for level in grid[turn + 1 :]]], variable, "restart")


def _heun(legs: Sequence[Leg], variable: Variable, name: str) -> Plan:
    """Trapezoid steps along the legs; noise is merged into the step before it."""
    rows = Rows()
    state: Combination | None = None
    here = legs[0][0]
    for there, c in legs[1:]:
        if c:
            state = state.noised(c) if state is not None else None
            here = there
            continue
        k = rows.evaluate(here, state)
        base = Combination.of(k, here)
        state = step(variable, base, here, there, [(k, here)])
        if there[1] > 0 and variable.regular(here, there):
            second = rows.evaluate(there, state)
            state = step(variable, base, here, there, [(k, here), (second, there)])
        here = there
    return rows.end(here, state or Combination(), name, 2)


def midpoint(lv: Levels, variable: Variable = FLOW) -> Plan:
    """The midpoint rule: half a step to evaluate, then a whole one: two evaluations a level, one to sigma = 0.

    `w' = w + (A' - A) x0_m + (B' - B) eps_m` with the estimate at the middle coordinate: in `LOG_X0` this is
    DPM-Solver++ 2S (Lu and others 2022b), in `EPS` DPM-Solver-2's cousin. A step to sigma = 0 returns x0.

    Args:
        lv: n + 1 levels, falling or rising.
        variable: in which the middle is taken; default: straight lines, regular at both ends.

    Example:
        >>> from scorefield import levels
        >>> midpoint(levels.karras(10)).evaluations
        19
    """

    def stages(rows: Rows, k: int, start: Point, middle: Point, end: Point) -> Combination:
        base = Combination.of(k, start)
        second = rows.evaluate(middle, step(variable, base, start, middle, [(k, start)]))
        return step(variable, base, start, end, [(second, middle)])

    return _runge_kutta("midpoint", 2, lv, variable, stages)


def rk4(lv: Levels, variable: Variable = FLOW) -> Plan:
    """The classical Runge-Kutta method (Kutta 1901) on straight lines: four evaluations a level, one to sigma = 0.

    Args:
        lv: n + 1 levels, falling or rising.
        variable: `FLOW` (default) or `EPS`, in which the velocity of the pair is constant.

    Example:
        >>> from scorefield import levels
        >>> rk4(levels.karras(10)).evaluations
        37
    """
    if variable not in (FLOW, EPS):
        raise ValueError(
            f"plans.rk4(variable=...) must be FLOW or EPS, got {variable!r}; use midpoint or adams for it."
        )

    def stages(rows: Rows, k: int, start: Point, middle: Point, end: Point) -> Combination:
        base = Combination.of(k, start)
        two = rows.evaluate(middle, step(variable, base, start, middle, [(k, start)]))
        three = rows.evaluate(middle, step(variable, base, start, middle, [(two, middle)]))
        four = rows.evaluate(end, step(variable, base, start, end, [(three, middle)]))
        weights = ((k, 1), (two, 2), (three, 2), (four, 1))
        return _average([(step(variable, base, start, end, [(j, end)]), weight) for j, weight in weights])

    return _runge_kutta("rk4", 4, lv, variable, stages)


def _runge_kutta(
    name: str,
    order: int,
    lv: Levels,
    variable: Variable,
    stages: Callable[[Rows, int, Point, Point, Point], Combination],
) -> Plan:
    """A plan of steps by `stages(rows, k, start, middle, end)`; by x0 to sigma = 0, and where the variable is not
    regular."""
    grid = points(lv, name)
    rows = Rows()
    state: Combination | None = None
    for start, end in pairwise(grid):
        k = rows.evaluate(start, state)
        if end[1] == 0 or not variable.regular(start, end):
            state = step(variable, Combination.of(k, start), start, end, [(k, start)])
        else:
            middle = variable.at((variable.coordinate(*start) + variable.coordinate(*end)) / 2, (start, end))
            state = stages(rows, k, start, middle, end)
    return rows.end(grid[-1], state or Combination(), f"{name}({variable.name})", order)


def _average(states: Sequence[tuple[Combination, float]]) -> Combination:
    total = sum(weight for _, weight in states)
    result = Combination()
    for one, weight in states:
        for j, value in one.data.items():
            result = result.plus(j, data=value * weight / total)
        for j, value in one.noise.items():
            result = result.plus(j, noise=value * weight / total)
    return result
