"""The plan to use for a model of which only the data's standard deviation and number of dimensions are given."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from functools import cache
from importlib import resources
from typing import Any, NamedTuple

import torch

from scorefield._ranges import STEPS
from scorefield.core import Levels
from scorefield.levels import given
from scorefield.plans.multistep import unipc
from scorefield.plans.plan import Plan
from scorefield.plans.variables import FLOW

KNOTS = (2, 16, 64, 256)
"""Numbers of dimensions for which the table has a plan."""
_CHOICES = ((7, 1, 0.85, 0.8), (12, 2, 0.85, 0.6), (28, 3, 0.7, 0.6), (math.inf, 4, 0.7, 0.6))
"""Budgets below which: the order of the predictor, and the power and centre of the grid. Chosen on random mixtures of
1 to 64 dimensions, 2 to 10 modes of rank 1 to 6, with the exact model, by benchmarks/default_choices.py,
and lower than these like best where data near a point or a surface let a higher order's errors swing."""


def default(
    evaluations: int,
    scale: float = 1.0,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    dimensions: int | None = None,
) -> Plan:
    """The best plan for a budget that depends on the data's scale and number of dimensions alone.

    For budgets from 3 to 22, and 25, levels and coefficients come from a table: those that had the least error on many
    random mixtures at once (benchmarks/default_plans.py), in units of the standard deviation. Other budgets, and
    models whose range of noise is too short for the table, get `unipc_default`: predictor and corrector on
    straight lines.

    What separates modes, their distance, grows as the root of the number of dimensions when data are standardised: so
    does the noise at which trajectories part, where a plan must be accurate lest some end in another mode.

    Args:
        evaluations: of the model, >= 1.
        scale: the data's standard deviation; levels are in its units.
        sigma_min: least sigma / alpha at which the model may be evaluated; default: 0.002 scale; small budgets stay
            above.
        sigma_max: greatest, where sampling starts; default: 80 scale.
        dimensions: of a record, the number of its values; default: a plan that does for any.

    Example:
        >>> default(20)
        Plan(default(20): 20 evaluations, order 1, sigma/alpha from 80 to 0, deterministic)
    """
    if isinstance(evaluations, bool) or not isinstance(evaluations, int) or evaluations < 1:
        raise ValueError(f"plans.default(evaluations) must be a whole number >= 1, got {evaluations!r}.")
    STEPS("plans.default(evaluations)", evaluations)
    if not (math.isfinite(scale) and scale > 0):
        raise ValueError(f"plans.default(scale=...) must be positive and finite, got {scale}.")
    high = 80.0 * scale if sigma_max is None else sigma_max
    low = 0.002 * scale if sigma_min is None else sigma_min
    if not 0 < low < high < math.inf:
        raise ValueError(f"plans.default needs 0 < sigma_min < sigma_max, got {low:g} and {high:g}.")
    if dimensions is not None and (isinstance(dimensions, bool) or dimensions < 1):
        raise ValueError(f"plans.default(dimensions=...) must be a whole number >= 1, got {dimensions!r}.")
    fewer = [None] if dimensions is None else [dimensions, *(k for k in reversed(KNOTS) if k < dimensions)]
    for stored in (_stored(evaluations, d) for d in fewer):  # those for many dimensions have higher levels
        if stored is not None and low <= stored.sigma[-1] * scale and high >= 2 * stored.sigma[1] * scale:
            return replace(_unpacked(stored, scale, high), name=f"default({evaluations})")
    plan = unipc_default(evaluations, scale, low, high)
    return replace(plan, name=f"default({evaluations})")


def unipc_default(evaluations: int, scale: float, sigma_min: float, sigma_max: float) -> Plan:
    """The plan where the table has none: `unipc` in the variable `FLOW`, its order rising with the budget.

    The levels are evenly spaced in `1 / (1 + (centre scale / sigma)**power)`. Arguments as `default`.
    """
    order, power, centre = _choice(evaluations)
    return unipc(logistic_levels(evaluations, sigma_max, sigma_min, power, centre * scale), order, FLOW, scale)


def logistic_levels(n: int, high: float, low: float, power: float, centre: float) -> Levels:
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
    """A plan as `unipc` in the variable `FLOW` over its own levels, with corrections.

    Args:
        order: of the predictor.
        sigma: the levels above 0, in standard deviations; the first is the table's, replaced by the user's.
        data: for each row what is added to the weights of x0 of the estimates before the newest, the nearest first,
            in units of the row's step in `u = sigma / (1 + sigma)` of `x / (1 + sigma)`; the newest makes up the sum.
        noise: the same for eps.
    """

    order: int
    sigma: list[float]
    data: list[list[float]]
    noise: list[list[float]]


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = resources.files("scorefield.plans").joinpath("default_plans.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, Any]] = json.loads(text)
    return table


@cache
def _stored(evaluations: int, dimensions: int | None) -> _Stored | None:
    """The table's plan for a number of dimensions: between two of `KNOTS` it is interpolated in its logarithm."""
    fields = _table().get(str(evaluations))
    if fields is None:
        return None
    if dimensions is None:
        return _Stored(fields["order"], **fields["any"])
    place = min(max(dimensions, KNOTS[0]), KNOTS[-1])
    k = max(i for i, knot in enumerate(KNOTS[:-1]) if knot <= place)
    share = math.log(place / KNOTS[k]) / math.log(KNOTS[k + 1] / KNOTS[k])
    one, two = fields["known"][k : k + 2]
    sigma = [a ** (1 - share) * b**share for a, b in zip(one["sigma"], two["sigma"], strict=True)]
    data, noise = (
        [
            [(1 - share) * a + share * b for a, b in zip(*rows, strict=True)]
            for rows in zip(one[of], two[of], strict=True)
        ]
        for of in ("data", "noise")
    )
    return _Stored(fields["order"], sigma, data, noise)


def _unpacked(stored: _Stored, scale: float, high: float) -> Plan:
    """The stored plan for data of a standard deviation and another first level.

    The first estimate's corrections count in proportion to its distance in u, so that a linear trend of the estimates
    is followed from another level as from the table's.
    """
    sigma = torch.tensor([high, *(scale * s for s in stored.sigma[1:])], dtype=torch.float64)
    lv = given(sigma)
    plan = unipc(lv, stored.order, FLOW, scale)
    u = lv.sigma / (scale + lv.sigma)
    first = stored.sigma[0] / (1 + stored.sigma[0])
    P, E = plan.P.clone(), plan.E.clone()
    for k, (data, noise) in enumerate(zip(stored.data, stored.noise, strict=True)):
        unit = (1 + lv.sigma[k + 1] / scale) * (u[k + 1] - u[k])
        for lag, (p, e) in enumerate(zip(data, noise, strict=True), start=1):
            share = unit * ((first - u[k]) / (u[0] - u[k]) if lag == k else 1.0)
            for table, weight in ((P, -p * share), (E, e * share * scale)):
                table[k, k - lag] += weight
                table[k, k] -= weight
    return replace(plan, P=P, E=E, order=1)
