"""Plans fitted to one model: noise levels and multistep coefficients from accurate trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, ParamSpec

import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.plans.default import default
from scorefield.plans.plan import Plan
from scorefield.plans.trajectories import CountingModel, Errors
from scorefield.progress import Report, silent

if TYPE_CHECKING:
    from scorefield.plans.trajectory_set import DataSummary

BUDGET, BUDGET_SEARCH = 100_000, 500_000
"""Most single-sample evaluations that a calibration takes, without and with the search of levels."""
_PASSES, _PASSES_SEARCH = 14, 10
"""Runs over all trajectories of one half: fits and evaluations of rows."""
_POOL = 0.1
"""Share of the budget that goes to finding sensitive starts, for each half."""


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
    `fit_rows`. With the search, sensitive starts are drawn more often (`draw_trajectories`), the untuned plan competes
    with the usual methods over some grids, and levels and coefficients are corrected by `polish`, which takes gradients
    of the model (where it has none, levels are sought by `search_levels`). Of the fitted plans and the untuned one, the
    best on trajectories held out is returned (`best_of`), and none that has a greater error there than the untuned one,
    in median or RMS; where all have a greater RMS, one for which chance may have made it so.

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
    # what fits is loaded where it is needed: every model has plans, few are calibrated
    from scorefield.plans.candidates import best_of, evaluate_plan
    from scorefield.plans.fits import Work, fallbacks, fitted, searched
    from scorefield.plans.trajectory_set import ROUGH, draw_trajectories, summarise_data

    if plan is not None and (plan.stochastic or plan.evaluations != evaluations):
        raise ValueError(
            f"calibrate(plan=...) starts from a deterministic plan of {evaluations} evaluations, got {plan!r}."
        )
    _check(evaluations, past, trajectories)
    budget = BUDGET_SEARCH if search else BUDGET
    with _bar(budget, progress, report) as update:
        counted = CountingModel(model, batch, bar=update)
        data = summarise_data(counted, shape, sigma_max, sigma_min, mean, std, condition, seed)
        untuned = plan or default(evaluations, data.std, data.low, data.high, data.dimensions)
        count = _count(evaluations, data, budget, search) if trajectories is None else trajectories
        pool = min(int(_POOL * budget / (6 * ROUGH)), 8 * count) if search else 0
        fit, held = (
            draw_trajectories(counted, data, untuned, count, first, seed, condition, pool)
            for first in (0, max(pool, count))
        )
        work = Work(counted, data, untuned, past, fit, held, budget)
        first = evaluate_plan(untuned, held)
        candidates = [first, *(searched if search else fitted)(work, first)]
        if best_of(candidates, strict=True).plan is untuned:
            candidates += fallbacks(work, search)
    best, errors, *_ = best_of(candidates)
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


def _count(evaluations: int, data: DataSummary, budget: int, search: bool) -> int:
    """Trajectories of each half that the cost and about 2 GB of memory allow."""
    from scorefield.plans.trajectory_set import FINE

    share = 0.4 if search else 0.97
    passes = _PASSES_SEARCH if search else _PASSES
    memory = 2e9 / (4 * FINE * math.prod(data.shape) * torch.finfo(data.dtype).bits / 8)
    return max(8, min(1024, int(share * budget / (2 * FINE + passes * evaluations)), int(memory)))


def _check(evaluations: int, past: int, trajectories: int | None) -> None:
    for name, value, least in (("evaluations", evaluations, 1), ("past", past, 1), ("trajectories", trajectories, 2)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"calibrate({name}=...) must be a whole number >= {least}, got {value!r}.")
