"""The plan to use when nothing is known of the model but its data's standard deviation."""

from __future__ import annotations

import math
from dataclasses import replace

from scorefield.levels import karras
from scorefield.plans.multistep import adams
from scorefield.plans.plan import Plan


def default(
    evaluations: int, scale: float = 1.0, sigma_min: float | None = None, sigma_max: float | None = None
) -> Plan:
    """The best untuned plan for a budget: Adams in the angle, its order rising with the budget.

    Args:
        evaluations: of the model, >= 1.
        scale: the data's standard deviation; levels are in its units.
        sigma_min: least sigma / alpha at which the model is asked; default: 0.002 scale.
        sigma_max: greatest, where sampling starts; default: 80 scale.

    Example:
        >>> default(20).evaluations
        20
    """
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise ValueError(f"plans.default(evaluations) must be a whole number >= 1, got {evaluations!r}.")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"plans.default(scale=...) must be positive and finite, got {scale}.")
    high = 80.0 * scale if sigma_max is None else sigma_max
    low = 0.002 * scale if sigma_min is None else sigma_min
    order = 2 if evaluations < 15 else 3 if evaluations < 35 else 4
    return replace(adams(karras(evaluations, high, low, rho=7), order, scale=scale), name=f"default({evaluations})")
