"""The noise levels of a fitted plan: a search over grids, then over the place of every level."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.core import Levels
from scorefield.levels import given
from scorefield.plans.default import logistic_levels, order_for
from scorefield.plans.multistep import unipc
from scorefield.plans.plan import Plan
from scorefield.plans.rowfit import FitOptions, fit_rows
from scorefield.plans.trajectories import Errors
from scorefield.plans.trajectory_set import TrajectorySet
from scorefield.plans.variables import FLOW

_GRIDS = (
    *((1.2, 0.4), (1.0, 0.6), (1.2, 0.8), (0.85, 0.6), (1.0, 0.4), (1.2, 0.6), (1.0, 0.8), (1.2, 0.3), (0.7, 0.6)),
    *((1.0, 1.2), (1.5, 0.4), (0.85, 0.4)),
)
"""Powers and centres (in standard deviations) of the grids to start from."""
_STABLE_EVALUATIONS = 12
"""Evaluations from which on hardly a trajectory changes basin."""
_KNOTS, _STEP, _LEAST_STEP = 7, 0.35, 0.04


class LevelCandidate(NamedTuple):
    """Levels that were tried.

    Args:
        base: the untuned plan over them.
        plan: the one fitted to the trajectories of the search.
        score: its error on these.
        moved: whether the levels were moved one by one, which may suit these trajectories alone.
    """

    base: Plan
    plan: Plan
    score: float
    moved: bool = False


class _LevelTrials:
    """Fits over one set of levels after another, as long as the budget lasts."""

    def __init__(self, groups: Sequence[TrajectorySet], options: FitOptions, budget: int) -> None:
        self._groups, self._options = groups, options
        self._size = sum(len(group.trajectories) for group in groups)
        self._left = budget
        self.found: list[LevelCandidate] = []

    def affordable(self, plan: Plan) -> bool:
        return self._left >= plan.evaluations * self._size

    def __call__(self, base: Plan, moved: bool = False) -> float:
        self._left -= base.evaluations * self._size
        fitted = fit_rows(self._groups, base, self._options)
        score = mean_score(fitted.errors, [group.weight for group in self._groups], rms_share(base.evaluations))
        self.found.append(LevelCandidate(base, fitted.plan, score if math.isfinite(score) else math.inf, moved))
        return self.found[-1].score


def rms_share(evaluations: int) -> float:
    """The share of the RMS error in the score of a plan.

    With few evaluations some trajectories change basin whatever is done, and the RMS depends mostly on which ones.
    """
    return 2 / 3 if evaluations >= _STABLE_EVALUATIONS else 1 / 2


def mean_score(errors: Sequence[Tensor], weights: Sequence[Tensor | None] | None = None, share: float = 0.5) -> float:
    """The geometric mean over groups of their scores."""
    each = zip(errors, weights or [None] * len(errors), strict=True)
    return math.exp(sum(math.log(Errors.of(error, weight).mean(share)) for error, weight in each) / len(errors))


def search_levels(
    groups: Sequence[TrajectorySet],
    untuned: Plan,
    scale: float,
    low: float,
    high: float,
    options: FitOptions,
    budget: int,
) -> list[LevelCandidate]:
    """Plans over the levels with the least error after fitting, the best first.

    The untuned plan's own levels and a family of grids, each fitted (`fit_rows`); then, from the best, groups of
    neighbouring levels are moved in log sigma by a share of their distance, up and down, with smaller and smaller
    moves. The score is a geometric mean of RMS and median error on the trajectories fitted to, which hardly
    differs from others' while coefficients are few.

    Args:
        groups: trajectories to fit to, of one model or more, whose scores are averaged geometrically.
        untuned: to begin with.
        scale: the data's standard deviation.
        low: least sigma / alpha that the model may be evaluated at.
        high: where sampling starts.
        options: of the fits.
        budget: most single-sample evaluations.
    """
    n = untuned.evaluations
    trial = _LevelTrials(groups, options, budget)
    if not trial.affordable(untuned):
        return [LevelCandidate(untuned, untuned, math.inf)]
    trial(untuned)
    for power, centre in _GRIDS:
        plan = plan_over(logistic_levels(n, high, low, power, centre * scale), scale)
        if trial.affordable(plan):
            trial(plan)
    _coordinate_descent(trial, scale, low)
    return sorted(trial.found, key=lambda found: found.score)


def plan_over(lv: Levels, scale: float) -> Plan:
    """What is fitted: the method of `plans.default` over levels."""
    return unipc(lv, order_for(len(lv) - 1), FLOW, scale)


def _coordinate_descent(trial: _LevelTrials, scale: float, low: float) -> None:
    """Coordinate descent over the places of the levels between the first and the end."""
    best = min(trial.found, key=lambda found: found.score)
    place, score = _logs(best.base), best.score
    if len(place) < 2:
        return
    first = float(best.base.levels.ratio[0])
    hats = _hat_functions(len(place) - 1)
    sizes = [_STEP] * len(hats)
    signs = [1.0] * len(hats)
    while max(sizes) >= _LEAST_STEP:
        for m, hat in enumerate(hats):
            if sizes[m] < _LEAST_STEP:
                continue
            for sign in (signs[m], -signs[m]):
                moved = _shifted(place, sign * sizes[m] * hat, math.log(low))
                if moved is None:
                    continue
                sigma = moved.exp().clamp(min=low)
                sigma[0] = first
                plan = plan_over(given(sigma), scale)
                if not trial.affordable(plan):
                    return
                new = trial(plan, moved=True)
                if new < score:
                    place, score, signs[m] = moved, new, sign
                    sizes[m] *= 1.3
                    break
            else:
                sizes[m] *= 0.4


def _logs(plan: Plan) -> Tensor:
    return plan.levels.ratio[:-1].log()


def _hat_functions(count: int) -> list[Tensor]:
    """Overlapping triangles over the free levels, at most seven; each level its own where there are few."""
    if count <= _KNOTS:
        return list(torch.eye(count, dtype=torch.float64))
    where = torch.arange(count, dtype=torch.float64)
    width = (count - 1) / (_KNOTS - 1)
    return [(1 - (where - m * width).abs() / width).clamp(min=0) for m in range(_KNOTS)]


def _shifted(place: Tensor, by: Tensor, least: float) -> Tensor | None:
    """The levels moved by shares of their mean distance to their neighbours; None where their order breaks."""
    gaps = place[:-1] - place[1:]
    gaps = gaps.clamp(max=3 * float(gaps.median()) + 1e-9)
    both = torch.cat([gaps, gaps[-1:]])
    moved = place.clone()
    moved[1:] += by * (both[1:] + both[:-1]) / 2
    moved[1:] = moved[1:].clamp(min=least)
    ordered = bool(((moved[:-1] - moved[1:]) > 1e-3).all())
    return moved if ordered and not torch.equal(moved, place) else None
