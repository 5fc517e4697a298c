"""Plans with Langevin rows: annealed Langevin dynamics (NCSN) and predictor-corrector sampling."""

from __future__ import annotations

import math
from itertools import pairwise

from scorefield.core import Levels
from scorefield.plans.plan import Plan
from scorefield.plans.rows import Combination, Point, Rows, falling, points, shrink


def langevin_row(k: int, level: Point, step: float, consistent: bool) -> Combination:
    """One unadjusted Langevin step at a level: `x + (step sigma^2 / 2) score + sigma sqrt(step) z`."""
    left = 1 - step / 2
    c = math.sqrt(1 - left * left) if consistent else math.sqrt(step)
    return Combination({k: level[0]}, {k: level[1] * left}, level[1] * c)


def annealed_langevin(lv: Levels, steps_per_level: int = 10, step: float = 0.2, consistent: bool = False) -> Plan:
    """Langevin steps at every noise level in turn: `x + (step sigma^2 / 2) score + sigma sqrt(step) z` (NCSN).

    Song and Ermon (2019), algorithm 1, whose step `epsilon sigma_i^2 / sigma_L^2` is `step sigma_i^2` with
    step = 0.2 in their settings; a last evaluation returns x0 when the grid ends at
    sigma = 0 (Jolicoeur-Martineau and others 2021).
    The step follows from the level alone, never from the batch. A chain at rest in a level has the variance
    `sigma^2 / (1 - step / 4)` where the data are a point, in place of sigma^2.

    Args:
        lv: levels with alpha > 0, sigma / alpha falling.
        steps_per_level: Langevin steps, each one evaluation.
        step: of a Langevin step in units of sigma^2, from 0 to 2.
        consistent: less noise, `sqrt(1 - (1 - step / 2)^2)` for `sqrt(step)`, so that the variance at rest is sigma^2.

    Example:
        >>> from scorefield import levels
        >>> annealed_langevin(levels.log_uniform(10, 20.0, 0.01), steps_per_level=5).evaluations
        51
    """
    grid = points(lv, "annealed_langevin")
    falling(grid, "annealed_langevin", "annealing")
    _check_langevin("annealed_langevin", steps_per_level, step)
    if grid[0][0] == 0:
        raise ValueError("plans.annealed_langevin: the first level has alpha = 0, pure noise; start at alpha > 0.")
    rows = Rows()
    state: Combination | None = None
    ends = grid[-1][1] == 0
    for i, level in enumerate(grid[: len(grid) - ends]):
        if state is not None:
            state = state.scaled(level[0] / grid[i - 1][0])
        for _ in range(steps_per_level):
            k = rows.evaluate(level, state)
            state = langevin_row(k, level, step, consistent)
    if ends:
        k = rows.evaluate(grid[-2], state)
        state = Combination({k: grid[-1][0]})
    return rows.end(grid[-1], state or Combination(), "annealed_langevin", 0)


def predictor_corrector(lv: Levels, corrector_steps: int = 1, snr: float = 0.16, consistent: bool = False) -> Plan:
    """At each level Langevin steps, then an ancestral step to the next (Song and others 2021, algorithms 2 to 5).

    Their corrector moves by `2 (snr |z| / |score|)^2 score`, averaged over the batch; here |score| is what it is on
    average at the level, |z| / sigma, so that a sample does not depend on the others: `2 snr^2 sigma^2 score`.

    Args:
        lv: n + 1 levels, sigma / alpha falling: n (1 + corrector_steps) evaluations.
        corrector_steps: Langevin steps at each level.
        snr: their signal-to-noise ratio of a Langevin step.
        consistent: as `annealed_langevin`.

    Example:
        >>> from scorefield import levels
        >>> predictor_corrector(levels.karras(10)).evaluations
        20
    """
    grid = points(lv, "predictor_corrector")
    falling(grid, "predictor_corrector", "an ancestral step")
    _check_langevin("predictor_corrector", corrector_steps, 4 * snr * snr)
    rows = Rows()
    state: Combination | None = None
    for start, end in pairwise(grid):
        for _ in range(corrector_steps):
            k = rows.evaluate(start, state)
            state = langevin_row(k, start, 4 * snr * snr, consistent)
        k = rows.evaluate(start, state)
        q = shrink(start, end)
        state = Combination({k: end[0]}, {k: end[1] * q}, end[1] * math.sqrt(1 - q * q))
    return rows.end(grid[-1], state or Combination(), "predictor_corrector", 0)


def _check_langevin(name: str, count: int, step: float) -> None:
    if isinstance(count, bool) or not isinstance(count, int) or count < 1:
        raise ValueError(f"plans.{name}: the number of Langevin steps must be a whole number >= 1, got {count!r}.")
    if not 0 < step <= 2:
        raise ValueError(f"plans.{name}: a Langevin step must be in (0, 2] in units of sigma^2, got {step:g}.")
