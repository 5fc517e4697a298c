"""Plans fitted to one model: noise levels and multistep coefficients from accurate trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from typing import NamedTuple, ParamSpec

import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.plans.default import default, logistic_levels
from scorefield.plans.plan import Plan
from scorefield.plans.polish import polish
from scorefield.plans.rowfit import FitOptions, fit_rows
from scorefield.plans.run import run
from scorefield.plans.search import plan_over, rms_share, search_levels
from scorefield.plans.trajectories import CountingModel, Errors
from scorefield.plans.trajectory_set import FINE, ROUGH, DataSummary, TrajectorySet, draw_trajectories, summarise_data
from scorefield.progress import Report, silent

BUDGET, BUDGET_SEARCH = 100_000, 500_000
"""Most single-sample evaluations that a calibration takes, without and with the search of levels."""
_MANY, _NEAR = 128, 1.5  # held-out trajectories, and ratio of RMS errors, for which a larger one may be chance
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
_PASSES, _PASSES_SEARCH = 5, 10
"""Runs over all trajectories of one half: fits and evaluations of rows."""
_POOL, _SEARCH = 0.2, 0.5
"""Share of the budget that goes to finding sensitive starts, and of what is left after rows to levels, not `polish`."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A plan fitted to a model, and what is to be expected of it.

    Errors are distances of end points from the converged probability flow over the RMS of these, on trajectories that
    nothing was fitted to. The plan does no worse there than `untuned` in median, and in RMS no worse than by chance.

    Args:
        plan: the fitted one.
        untuned: the one that it started from.
        errors: of the plan.
        untuned_errors: of the untuned plan, on the same trajectories.
        cost: single-sample evaluations of the model that the calibration took.
        fitted: trajectories fitted to.
        held_out: trajectories that the errors are measured on.
    """

    plan: Plan
    untuned: Plan
    errors: Errors
    untuned_errors: Errors
    cost: int
    fitted: int
    held_out: int

    @property
    def error(self) -> float:
        """Expected RMS error."""
        return self.errors.rms

    @property
    def untuned_error(self) -> float:
        """The untuned plan's RMS error."""
        return self.untuned_errors.rms

    @property
    def median(self) -> float:
        """Expected median error."""
        return self.errors.median

    @property
    def untuned_median(self) -> float:
        """The untuned plan's median error."""
        return self.untuned_errors.median

    def __str__(self) -> str:
        n = self.plan.evaluations
        rows = ((f"untuned: {self.untuned.name}", self.untuned_errors), (self.plan.name, self.errors))
        width = max(len(name) for name, _ in rows)
        lines = [f"{n} evaluations{'':{max(0, width - len(str(n)) - 12)}}  RMS error  median error"]
        lines += [f"{name:{width}}  {e.rms:9.2e}  {e.median:12.2e}" for name, e in rows]
        lines.append(
            f"on {self.held_out} held-out trajectories, over the data's RMS; fitted to {self.fitted} others; "
            f"cost {self.cost:,} single-sample evaluations"
        )
        return "\n".join(lines)


def calibration(
    model: Model,
    evaluations: int = 10,
    shape: Sequence[int] | None = None,
    sigma_max: float | None = None,
    sigma_min: float | None = None,
    seed: int = 0,
    *,
    search: bool = True,
    trajectories: int | None = None,
    past: int = 5,
    plan: Plan | None = None,
    condition: Tensor | None = None,
    mean: float | Tensor | None = None,
    std: float | None = None,
    batch: int = 1024,
    progress: bool = False,
    report: Report = silent,
) -> Calibration:
    """Fit levels and coefficients of a deterministic plan to a model, and measure its error on held-out trajectories.

    Accurate trajectories of the probability flow start from `N(mean, std^2 + sigma_max^2)`; the rows are fitted by
    `fit_rows`. With the search, sensitive starts are drawn more often (`draw_trajectories`), the levels are sought by
    `search_levels`, and all coefficients corrected by `polish`, which takes gradients of the
    model, where it has them. Of the fitted plans and the untuned one, the best on trajectories held out is returned,
    and none that has a greater error there than the untuned one, in median or RMS; where all have a greater RMS, one
    for which chance may have made it so.

    Args:
        model: any: exact, trained, guided.
        evaluations: of the model, by the plan; >= 1.
        shape: of a record; default: that of an exact model.
        sigma_max: where sampling starts; default: the model's, or 80 std.
        sigma_min: least sigma / alpha at which the model is evaluated; default: the model's, or 0.002 std.
        seed: of the trajectories.
        search: levels as well as coefficients: at most 500,000 single-sample evaluations in place of 100,000.
        trajectories: to fit to, and as many held out; default: what the cost allows, up to 1,024.
        past: estimates that get new coefficients in each row.
        plan: where to start, deterministic; default: `plans.default(evaluations)`.
        condition: `(n, ...)`, for instance `model.conditions(n)`; trajectories take them in turn.
        mean: of the data; default: an exact model's, or 0.
        std: of the data; default: the model's; measured on a few rough samples of a model that does not say.
        batch: most samples in the model at once.
        progress: show a bar of evaluations, up to the most that there may be.

    Example:
        >>> import torch
        >>> from scorefield.analytic import GaussianMixture
        >>> gm = GaussianMixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.05))
        >>> c = calibration(gm, 5, search=False, trajectories=64)
        >>> c.error <= c.untuned_error, c.cost < 100_000
        (True, True)
    """
    if plan is not None and (plan.stochastic or plan.evaluations != evaluations):
        raise ValueError(
            f"calibrate(plan=...) starts from a deterministic plan of {evaluations} evaluations, got {plan!r}."
        )
    _check(evaluations, past, trajectories)
    budget = BUDGET_SEARCH if search else BUDGET
    with _bar(budget, progress, report) as update:
        counted = CountingModel(model, batch, bar=update)
        data = summarise_data(counted, shape, sigma_max, sigma_min, mean, std, condition, seed)
        untuned = plan or default(evaluations, data.std, data.low, data.high)
        count = _count(evaluations, data, budget, search) if trajectories is None else trajectories
        pool = min(int(_POOL * budget / (6 * ROUGH)), 8 * count) if search else 0
        fit, held = (
            draw_trajectories(counted, data, untuned, count, first, seed, condition, pool)
            for first in (0, max(pool, count))
        )
        candidates = [evaluate_plan(untuned, held)]
        passes = _PASSES_SEARCH * count * evaluations
        spare = int(_SEARCH * (budget - counted.evaluations - passes))
        bases = _bases(fit, untuned, data, past, max(0, spare) if search else None)
        for base, options in _fits(bases, past, search):
            fitted = fit_rows([fit], base, options).plan
            candidates.append(evaluate_plan(fitted, held))
        if search and bases[0] is not untuned:
            candidates.append(evaluate_plan(bases[0], held))
        for options in _FALLBACKS[: 1 if search else None] if _best(candidates, strict=True).plan is untuned else ():
            if counted.evaluations + 2 * count * evaluations <= budget:
                fitted = fit_rows([fit], untuned, options).plan
                candidates.append(evaluate_plan(fitted, held))
        if search:
            best, left = _best(candidates, strict=True).plan, budget - counted.evaluations
            cut = (
                3.0 if best is untuned else 30.0
            )  # none at least as good: towards the median, which leaves the tail as it is
            for better in polish(counted, fit, best, past, cut, spare=count * evaluations, budget=left):
                candidates.append(evaluate_plan(better, held))
    best, errors, _ = _best(candidates)
    if best is not untuned:
        best = replace(best, name=f"calibrated({evaluations})", order=1)
    return Calibration(best, untuned, errors, candidates[0].errors, counted.evaluations, count, count)


P = ParamSpec("P")


def _plan_of(fit: Callable[P, Calibration]) -> Callable[P, Plan]:
    """The plan alone, with the arguments of `calibration`."""

    def calibrate(*args: P.args, **kwargs: P.kwargs) -> Plan:
        """The plan fitted to a model: `calibration(...).plan`, with its arguments.

        Example:
            >>> import torch
            >>> from scorefield.analytic import GaussianMixture
            >>> modes, spread = torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.05)
            >>> calibrate(GaussianMixture(torch.tensor([0.3, 0.7]), modes, spread), 5, search=False, trajectories=32)
            Plan(calibrated(5): 5 evaluations, order 1, sigma/alpha from 75.47 to 0, deterministic)
        """
        return fit(*args, **kwargs).plan

    calibrate.__qualname__ = calibrate.__name__
    calibrate.__signature__ = signature(fit).replace(return_annotation="Plan")  # type: ignore[attr-defined]
    return calibrate


calibrate = _plan_of(calibration)


def _bases(fit: TrajectorySet, untuned: Plan, data: DataSummary, past: int, budget: int | None) -> list[Plan]:
    """Plans over the levels to fit rows on: two that a search found within the budget, or two fixed ones without."""
    n = untuned.evaluations
    if budget is None or n == 1:
        return [untuned, plan_over(logistic_levels(n, data.high, data.low, 1.0, 0.6 * data.std), data.std)]
    options = FitOptions(past, cut=10.0)
    found = search_levels([fit.part(256)], untuned, data.std, data.low, data.high, options, budget)
    return [found[0].base, next(f.base for f in found if not f.moved)]


def _fits(bases: Sequence[Plan], past: int, search: bool) -> list[tuple[Plan, FitOptions]]:
    """What is fitted to all trajectories: with the search each levels once for the median and once for the RMS."""
    different = list(bases) if bases[0] is not bases[-1] else [bases[0]]
    cuts = (1.0, 30.0) if search else (1.0,)
    return [(base, FitOptions(past, cut=cut)) for base in different for cut in cuts]


@contextmanager
def _bar(total: int, show: bool, report: Report) -> Iterator[Callable[[int], object] | None]:
    """A bar of evaluations, or a report of them."""
    if not show:
        done = 0

        def count(evaluations: int) -> None:
            nonlocal done
            done += evaluations
            report(min(1.0, done / total), "calibration")

        yield count
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="evaluation", unit_scale=True) as bar:
        yield bar.update


class Candidate(NamedTuple):
    """A plan and its errors on held-out trajectories.

    Args:
        plan: that was run.
        errors: over all trajectories.
        squares: each trajectory's share of the mean square error, `(n,)`.
    """

    plan: Plan
    errors: Errors
    squares: Tensor


def _best(candidates: list[Candidate], strict: bool = False) -> Candidate:
    """The best score among the plans that are no worse than the first in either error.

    Where there is none (and `strict` is off), among those with a lower median whose RMS is at most 1.5
    times as large, and whose mean square not larger by more than its standard error on 128 trajectories or more: a
    single trajectory that changes basin must not decide for the untuned plan.
    """
    first, share = candidates[0], rms_share(candidates[0].plan.evaluations)
    lower = [one for one in candidates[1:] if one.errors.median <= first.errors.median]
    no_worse = [one for one in lower if one.errors.rms <= first.errors.rms]
    close = []
    if not strict and len(first.squares) >= _MANY:
        near = [one for one in lower if one.errors.rms <= _NEAR * first.errors.rms]
        close = [one for one in near if _excess(one, first) <= 1.0]
    return min(no_worse or close or [first], key=lambda one: one.errors.mean(share))


def _excess(one: Candidate, other: Candidate) -> float:
    """By how many standard errors one mean square error is greater than another on the same trajectories."""
    more = one.squares - other.squares
    return float(more.sum() / more.square().sum().sqrt().clamp(min=1e-300))


def evaluate_plan(plan: Plan, held: TrajectorySet) -> Candidate:
    """Run a plan on held-out trajectories."""
    each = held.trajectories.errors(run(plan, held.model, held.trajectories.start, condition=held.condition))
    weight = torch.ones_like(each) if held.weight is None else held.weight.to(each)
    return Candidate(plan, Errors.of(each, weight), weight * each**2 / weight.sum())


def _count(evaluations: int, data: DataSummary, budget: int, search: bool) -> int:
    """Trajectories of each half that the cost and about 2 GB of memory allow."""
    share = 0.4 if search else 0.97
    passes = _PASSES_SEARCH if search else _PASSES
    memory = 2e9 / (4 * FINE * math.prod(data.shape) * torch.finfo(data.dtype).bits / 8)
    return max(8, min(1024, int(share * budget / (2 * FINE + passes * evaluations)), int(memory)))


def _check(evaluations: int, past: int, trajectories: int | None) -> None:
    for name, value, least in (("evaluations", evaluations, 1), ("past", past, 1), ("trajectories", trajectories, 2)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"calibrate({name}=...) must be a whole number >= {least}, got {value!r}.")
