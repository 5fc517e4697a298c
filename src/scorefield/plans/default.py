"""The plan to use when nothing is known of the model but its data's standard deviation."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from scorefield.core import Levels
from scorefield.levels import given
from scorefield.plans.multistep import unipc
from scorefield.plans.plan import Plan
from scorefield.plans.variables import FLOW

_CHOICES = ((7, 1, 0.85, 0.8), (12, 2, 0.85, 0.6), (18, 3, 0.7, 0.6), (math.inf, 4, 0.7, 0.6))
"""Budgets below which: the order of the predictor, and the power and centre of the grid. Chosen on random mixtures of
1 to 64 dimensions, 2 to 10 modes of rank 1 to 6, with the exact model, by benchmarks/default_plan.py."""


def default(
    evaluations: int, scale: float = 1.0, sigma_min: float | None = None, sigma_max: float | None = None
) -> Plan:
    """The best untuned plan for a budget: predictor and corrector on straight lines, their order rising with it.

    `unipc` in the variable `FLOW`, over levels evenly spaced in `1 / (1 + (centre scale / sigma)**power)`.

    Args:
        evaluations: of the model, >= 1.
        scale: the data's standard deviation; levels are in its units.
        sigma_min: least sigma / alpha at which the model may be asked; default: 0.002 scale. Small budgets stay above.
        sigma_max: greatest, where sampling starts; default: 80 scale.

    Example:
        >>> default(20)
        Plan(default(20): 20 evaluations, order 5, sigma/alpha from 80 to 0, deterministic)
    """
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise ValueError(f"plans.default(evaluations) must be a whole number >= 1, got {evaluations!r}.")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"plans.default(scale=...) must be positive and finite, got {scale}.")
    high = 80.0 * scale if sigma_max is None else sigma_max
    low = 0.002 * scale if sigma_min is None else sigma_min
    if not 0 < low < high < math.inf:
        raise ValueError(f"plans.default needs 0 < sigma_min < sigma_max, got {low:g} and {high:g}.")
    _, power, centre = _choice(evaluations)
    plan = unipc(spread(evaluations, high, low, power, centre * scale), order_for(evaluations), FLOW, scale)
    return replace(plan, name=f"default({evaluations})")


def spread(n: int, high: float, low: float, power: float, centre: float) -> Levels:
    """n levels evenly spaced in `1 / (1 + (centre / sigma)**power)` from high towards 0, none below low, then 0."""
    top, least = (1 / (1 + (centre / sigma) ** power) for sigma in (high, low))
    place = torch.linspace(top, max(top / n, least), n, dtype=torch.float64)
    sigma = centre * (place / (1 - place)) ** (1 / power)
    sigma = sigma.clamp(min=low)
    sigma[0] = high
    return given(sigma)


def order_for(evaluations: int) -> int:
    """The order of the predictor that serves a budget best."""
    return _choice(evaluations)[0]


def _choice(evaluations: int) -> tuple[int, float, float]:
    return next((order, power, centre) for most, order, power, centre in _CHOICES if evaluations < most)
