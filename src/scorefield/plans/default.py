"""The plan to use when nothing is known of the model but its data's standard deviation."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import NamedTuple

import torch

from scorefield.core import Levels
from scorefield.levels import given
from scorefield.plans.multistep import unipc
from scorefield.plans.plan import Plan
from scorefield.plans.variables import FLOW

_CHOICES = ((7, 1, 0.85, 0.8), (12, 2, 0.85, 0.6), (28, 3, 0.7, 0.6), (math.inf, 4, 0.7, 0.6))
"""Budgets below which: the order of the predictor, and the power and centre of the grid. Chosen on random mixtures of
1 to 64 dimensions, 2 to 10 modes of rank 1 to 6, with the exact model, by benchmarks/default_choices.py,
and lower than these like best where data near a point or a surface let a higher order's errors swing."""
_PAST = 5
"""Estimates before the newest that a row of the table may use."""


def default(
    evaluations: int, scale: float = 1.0, sigma_min: float | None = None, sigma_max: float | None = None
) -> Plan:
    """The best plan for a budget that knows nothing of the model but its data's scale.

    For the smallest budgets its levels and coefficients come from a table: those of a calibration on many random
    mixtures at once (benchmarks/default_plans.py), in units of the standard deviation. Other budgets, and models whose
    range of noise ends too early for the table, get `method`: predictor and corrector on straight lines.

    Args:
        evaluations: of the model, >= 1.
        scale: the data's standard deviation; levels are in its units.
        sigma_min: least sigma / alpha at which the model may be asked; default: 0.002 scale. Small budgets stay above.
        sigma_max: greatest, where sampling starts; default: 80 scale.

    Example:
        >>> default(20)
        Plan(default(20): 20 evaluations, order 4, sigma/alpha from 80 to 0, deterministic)
    """
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise ValueError(f"plans.default(evaluations) must be a whole number >= 1, got {evaluations!r}.")
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"plans.default(scale=...) must be positive and finite, got {scale}.")
    high = 80.0 * scale if sigma_max is None else sigma_max
    low = 0.002 * scale if sigma_min is None else sigma_min
    if not 0 < low < high < math.inf:
        raise ValueError(f"plans.default needs 0 < sigma_min < sigma_max, got {low:g} and {high:g}.")
    stored = _table().get(evaluations)
    if stored is not None and low <= stored.sigma[-1] * scale and high >= 2 * stored.sigma[1] * scale:
        plan = _unpacked(stored, scale, high)
    else:
        plan = method(evaluations, scale, low, high)
    return replace(plan, name=f"default({evaluations})")


def method(evaluations: int, scale: float, sigma_min: float, sigma_max: float) -> Plan:
    """What serves where no table does: `unipc` in the variable `FLOW`, its order rising with the budget.

    The levels are evenly spaced in `1 / (1 + (centre scale / sigma)**power)`. Arguments as `default`.
    """
    order, power, centre = _choice(evaluations)
    return unipc(spread(evaluations, sigma_max, sigma_min, power, centre * scale), order, FLOW, scale)


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


# ------------------------------------------------------------------------------------------------------- the table


class _Stored(NamedTuple):
    """Levels above 0 in standard deviations, and for each row the coefficients of the estimates before the newest."""

    sigma: list[float]
    data: list[list[float]]
    noise: list[list[float]]


@cache
def _table() -> dict[int, _Stored]:
    text = resources.files("scorefield.plans").joinpath("default_plans.json").read_text(encoding="utf-8")
    return {int(n): _Stored(**fields) for n, fields in json.loads(text).items()}


def packed(plan: Plan) -> dict[str, list[float] | list[list[float]]]:
    """A plan over alpha = 1 as the table holds it; the newest estimate's coefficients follow from the sums."""
    data, noise = (
        [[float(f"{float(v):.7g}") for v in table[k, max(0, k - _PAST) : k]] for k in range(plan.evaluations)]
        for table in (plan.P, plan.E)
    )
    sigma = [float(f"{float(v):.7g}") for v in plan.levels.sigma[:-1]]
    return _Stored(sigma, data, noise)._asdict()


def _unpacked(stored: _Stored, scale: float, high: float) -> Plan:
    """The stored plan for data of a standard deviation and another first level.

    The table starts at 80. The first estimate weighs in later rows as it does there, in proportion to its distance in
    `sigma / (1 + sigma)`, so that a linear trend of the estimates is followed from another level too.
    """
    sigma = torch.tensor([*stored.sigma, 0.0], dtype=torch.float64)
    place = sigma / (1 + sigma)
    first = high / (scale + high)
    n = len(stored.sigma)
    P, E = torch.zeros(2, n, n, dtype=torch.float64)
    for table, rows in ((P, stored.data), (E, stored.noise)):
        for k, row in enumerate(rows):
            table[k, k - len(row) : k] = torch.tensor(row, dtype=torch.float64)
    for k in range(1, n):
        share = float((place[0] - place[k]) / (first - place[k]))
        P[k, 0] *= share
        E[k, 0] *= share
    levels = given(torch.cat([torch.tensor([high], dtype=torch.float64), sigma[1:-1] * scale]))
    E *= scale
    P.diagonal().copy_(1 - P.tril(-1).sum(1))
    E.diagonal().copy_(levels.sigma[1:] - E.tril(-1).sum(1))
    return Plan(levels, P, E, torch.zeros(n, dtype=torch.float64), order=1)
