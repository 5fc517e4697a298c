"""The plans that a calibration tries: untuned ones, fits of their rows, and these polished."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import NamedTuple

from scorefield.plans.candidates import Candidate, evaluate_plan
from scorefield.plans.default import default, logistic_levels
from scorefield.plans.multistep import unipc
from scorefield.plans.plan import Plan
from scorefield.plans.polish import polish
from scorefield.plans.rowfit import FitOptions, fit_rows
from scorefield.plans.search import search_levels
from scorefield.plans.trajectories import CountingModel
from scorefield.plans.trajectory_set import DataSummary, TrajectorySet
from scorefield.plans.variables import ANGLE, FLOW

_FALLBACKS = (
    FitOptions(),
    FitOptions(ridge=1e-5),
    FitOptions(ridge=1e-3),
    FitOptions(ridge=1e-2),
    FitOptions(3),
    FitOptions(3, ridge=1e-3),
)
"""Fits on the untuned plan's own levels, tried where no other fit is at least as good, as the budget
allows: with the search only the first, before `polish`."""
_IDLE = 2
"""Steps of `polish` in turn that do not help on held-out trajectories, after which it ends."""
_TRIED = 64
"""Trajectories on which untuned plans are compared."""
_GRIDS = ((0.7, 0.6), (1.0, 0.6), (1.0, 1.2), (1.0, 2.5))
_METHODS = ((2, FLOW), (4, FLOW), (3, ANGLE))
"""Powers and centres (in standard deviations) of grids, orders and variables of `unipc`, that are tried untuned."""


class Work(NamedTuple):
    """What plans are fitted with.

    Args:
        model: which counts its evaluations.
        data: what is known of the data.
        untuned: where to start.
        past: estimates that get new coefficients in each row.
        fit: trajectories to fit to.
        held: others.
        budget: most evaluations of the model, in all.
    """

    model: CountingModel
    data: DataSummary
    untuned: Plan
    past: int
    fit: TrajectorySet
    held: TrajectorySet
    budget: int

    @property
    def left(self) -> int:
        return self.budget - self.model.evaluations


def fitted(work: Work, first: Candidate) -> Iterator[Candidate]:
    """Without the search: the rows of the untuned plan fitted, and its coefficients polished, on its own levels."""
    yield evaluate_plan(fit_rows([work.fit], work.untuned, FitOptions(work.past)).plan, work.held)
    yield from _polished(work, first, levels=False)


def searched(work: Work, first: Candidate) -> Iterator[Candidate]:
    """The best of the untuned plans, fits of its rows, and these polished; without gradients, a search of levels.

    Where the untuned plan is no fitted one, half of the budget goes to a search of levels first. What is polished first
    is what has the least loss on the trajectories held out: that of plans fitted to the others says less. When it stops
    to help, the next.
    """
    n = work.untuned.evaluations
    starts = [first, *(evaluate_plan(plan, work.held) for plan in _other(work))]
    best = min(starts, key=lambda one: one.loss).plan
    bases = [best] if n == 1 or work.untuned.order == 1 else [best, _sought(work, 0.5)]  # a fitted one is of order 1
    for base in bases:
        for cut in (1.0, 30.0):
            starts.append(evaluate_plan(fit_rows([work.fit], base, FitOptions(work.past, cut=cut)).plan, work.held))
    yield from starts
    polished = False
    for start in sorted(starts, key=lambda one: one.loss):
        for better in _polished(work, start):
            polished = True
            yield better
    if not polished and n > 1:
        yield evaluate_plan(fit_rows([work.fit], _sought(work, 1.0), FitOptions(work.past)).plan, work.held)


def _sought(work: Work, share: float) -> Plan:
    """The untuned plan over the levels that a search finds with a share of what is left, less a few fits."""
    data, fits = work.data, 6 * len(work.fit.trajectories) * work.untuned.evaluations
    spare = max(0, int(share * (work.left - fits)))
    options = FitOptions(work.past, cut=10.0)
    return search_levels([work.fit.part(256)], work.untuned, data.std, data.low, data.high, options, spare)[0].base


def _polished(work: Work, start: Candidate, levels: bool = True) -> Iterator[Candidate]:
    """Steps of `polish`, of which those count that help on the trajectories held out."""
    spare, least, idle = len(work.held.trajectories) * work.untuned.evaluations, start.loss, 0
    steps = polish(work.model, work.fit, start.plan, work.past, spare, work.left, work.data.low, levels)
    worse = None
    while idle < _IDLE:
        try:
            made = evaluate_plan(steps.send(worse), work.held)
        except StopIteration:
            return
        yield made
        worse = not made.loss < least
        least, idle = min(least, made.loss), idle + 1 if worse else 0


def _other(work: Work) -> list[Plan]:
    """Another untuned plan: the one with the least loss among the usual methods over some grids."""
    few, data, n = work.fit.part(_TRIED), work.data, work.untuned.evaluations
    if n == 1:
        return []
    made = [default(n, data.std, data.low, data.high)]
    for power, centre in _GRIDS:
        lv = logistic_levels(n, data.high, data.low, power, centre * data.std)
        made += [unipc(lv, order, variable, data.std) for order, variable in _METHODS]
    tried: list[tuple[float, Plan]] = []
    for plan in made:
        if (len(tried) + 8) * n * len(few.trajectories) > work.left:
            break
        loss = evaluate_plan(plan, few).loss
        tried.append((loss if math.isfinite(loss) else math.inf, plan))
    return [plan for _, plan in sorted(tried, key=lambda one: one[0])[:1]]


def fallbacks(work: Work, search: bool) -> Iterator[Candidate]:
    """Careful fits on the untuned plan's own levels, where no other was at least as good, as the budget allows."""
    count = len(work.fit.trajectories)
    for options in _FALLBACKS[: 1 if search else None]:
        if 2 * count * work.untuned.evaluations <= work.left:
            yield evaluate_plan(fit_rows([work.fit], work.untuned, options).plan, work.held)
