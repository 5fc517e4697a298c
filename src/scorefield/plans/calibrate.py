"""Plans fitted to one model: noise levels and multistep coefficients from accurate trajectories."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

import torch
from torch import Tensor, nn

from scorefield._tensor import check_batch, normal
from scorefield.core import Level, Model
from scorefield.levels import log_uniform
from scorefield.plans.default import default, spread
from scorefield.plans.onestep import ddim
from scorefield.plans.plan import Plan
from scorefield.plans.rowfit import Fit, Group, fit_rows
from scorefield.plans.run import run
from scorefield.plans.search import over, search_levels
from scorefield.plans.truth import Counted, Errors, follow

BUDGET, BUDGET_SEARCH = 100_000, 500_000
"""Most single-sample evaluations that a calibration takes, without and with the search of levels."""
_FINE = 128
"""Levels of the accurate trajectories."""
_FALLBACKS = (Fit(), Fit(ridge=1e-5), Fit(ridge=1e-3), Fit(ridge=1e-2), Fit(3), Fit(3, ridge=1e-3))
"""Fits on the untuned plan's own levels, tried where no other one is fair to it, as the budget allows."""
_PASSES, _PASSES_SEARCH = 5, 10
"""Runs over all trajectories of one half, at the end: fits and judgements."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """A plan fitted to a model, and what is to be expected of it.

    Errors are distances of end points from the converged probability flow over the RMS of these, on trajectories that
    nothing was fitted to. A plan with a number of evaluations is never expected to do worse than `untuned`.

    Args:
        plan: the fitted one.
        untuned: the one that it started from.
        errors: of the plan.
        untuned_errors: of the untuned plan, on the same trajectories.
        cost: single-sample evaluations of the model that the calibration took.
        fitted: trajectories fitted to.
        held_out: trajectories judged on.
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


def calibrate(
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
) -> Plan:
    """The plan fitted to a model: `calibration(...).plan`, which see for the arguments.

    Example:
        >>> import torch
        >>> from scorefield.analytic import GaussianMixture
        >>> from scorefield.plans import calibrate
        >>> gm = GaussianMixture(torch.tensor([0.3, 0.7]), torch.tensor([[-1.0], [1.0]]), torch.full((2, 1, 1), 0.05))
        >>> calibrate(gm, 5, search=False, trajectories=32)
        Plan(calibrated(5): 5 evaluations, order 1, sigma/alpha from 75.47 to 0, deterministic)
    """
    return calibration(
        model, evaluations, shape, sigma_max, sigma_min, seed, search=search, trajectories=trajectories, past=past,
        plan=plan, condition=condition, mean=mean, std=std, batch=batch, progress=progress,
    ).plan  # fmt: skip


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
) -> Calibration:
    """Fit levels and coefficients of a deterministic plan to a model, and judge it on held-out trajectories.

    Accurate trajectories of the probability flow start from `N(mean, std^2 + sigma_max^2)`; the rows are fitted by
    `fit_rows`, the levels by `search_levels`. Of the fitted plans and the untuned one, the best on trajectories held
    out is returned, and none that has a greater error there than the untuned one, in RMS or median.

    Args:
        model: any: exact, trained, guided.
        evaluations: of the model, by the plan; >= 1.
        shape: of a record; default: that of an exact model.
        sigma_max: where sampling starts; default: the model's, or 80 std.
        sigma_min: least sigma / alpha at which the model is asked; default: the model's, or 0.002 std.
        seed: of the trajectories.
        search: levels as well as coefficients: at most 500,000 single-sample evaluations in place of 100,000.
        trajectories: to fit to, and as many to judge on; default: what the cost allows, up to 1,024.
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
    with _bar(budget, progress) as update:
        asked = Counted(model, batch, bar=update)
        data = about(asked, shape, sigma_max, sigma_min, mean, std, condition, seed)
        untuned = plan or default(evaluations, data.std, data.low, data.high)
        count = _count(evaluations, data, budget, search) if trajectories is None else trajectories
        fit, held = (group_of(asked, data, untuned, count, first, seed, condition) for first in (0, count))
        judged = [(untuned, judge(untuned, held))]
        if search and evaluations > 1:
            left = budget - asked.asked - _PASSES_SEARCH * count * evaluations
            found = search_levels([fit.part(256)], untuned, data.std, data.low, data.high, Fit(past), max(0, left))
            bases = [f.base for f in found[:2]]
        else:
            bases = [untuned, over(spread(evaluations, data.high, data.low, 1.0, 0.6 * data.std), data.std)]
        for base, how in _finalists(bases, past, search):
            fitted = fit_rows([fit], base, how).plan
            judged.append((fitted, judge(fitted, held)))
        if search and bases[0] is not untuned:
            judged.append((bases[0], judge(bases[0], held)))
        for how in _FALLBACKS if _choose(judged)[0] is untuned else ():
            if asked.asked + 2 * count * evaluations <= budget:
                fitted = fit_rows([fit], untuned, how).plan
                judged.append((fitted, judge(fitted, held)))
    best, errors = _choose(judged)
    if best is not untuned:
        best = replace(best, name=f"calibrated({evaluations})", order=1)
    return Calibration(best, untuned, errors, judged[0][1], asked.asked, count, count)


def _finalists(bases: Sequence[Plan], past: int, search: bool) -> list[tuple[Plan, Fit]]:
    """What is fitted to all trajectories: the best levels strictly, stiffly and mildly; others strictly."""
    ways = [Fit(past), Fit(past, ridge=1e-5), Fit(past, cut=4.0)] if search else [Fit(past)]
    return [(bases[0], how) for how in ways] + [(base, Fit(past)) for base in bases[1:]]


@contextmanager
def _bar(total: int, show: bool) -> Iterator[Callable[[int], object] | None]:
    """A bar of evaluations."""
    if not show:
        yield None
        return
    from tqdm import tqdm

    with tqdm(total=total, unit="evaluation", unit_scale=True) as bar:
        yield bar.update


def _choose(judged: list[tuple[Plan, Errors]]) -> tuple[Plan, Errors]:
    """The best score among the plans that lose to the first in nothing."""
    bound = judged[0][1]
    fair = [pair for pair in judged if pair[1].rms <= bound.rms and pair[1].median <= bound.median]
    return min(fair, key=lambda pair: pair[1].score)


def judge(plan: Plan, held: Group) -> Errors:
    return Errors.of(held.truth.errors(run(plan, held.model, held.truth.start, condition=held.condition)))


# ------------------------------------------------------------------------------------------------- what is known


class _Data(NamedTuple):
    """What a calibration has to know of the data and of the model's range."""

    shape: tuple[int, ...]
    mean: Tensor
    std: float
    low: float
    high: float
    dtype: torch.dtype
    device: torch.device


def about(
    model: Counted,
    shape: Sequence[int] | None,
    high: float | None,
    low: float | None,
    mean: float | Tensor | None,
    std: float | None,
    condition: Tensor | None,
    seed: int,
) -> _Data:
    known = model.model
    if mean is None:
        mean = cast(Tensor | None, getattr(known, "mean", None))
    centre = torch.as_tensor(0.0 if mean is None else mean, dtype=torch.float64)
    if shape is None and not centre.ndim:
        raise ValueError("calibrate needs the shape of a record for this model; give shape=(d,).")
    first = next(known.parameters(), None) if isinstance(known, nn.Module) else None
    device = torch.device("cpu") if first is None else first.device
    data = _Data(
        tuple(shape) if shape is not None else tuple(centre.shape), centre, 0.0, 0.0, 0.0, torch.float64, device
    )
    std = std or _std(known)
    if high is None:
        high = float(getattr(known, "sigma_max", 80.0 * (std or 1.0)))
    if low is None:
        low = float(getattr(known, "sigma_min", 0.002 * (std or 1.0)))
    if not 0 < low < high < math.inf:
        raise ValueError(f"calibrate needs 0 < sigma_min < sigma_max, got {low:g} and {high:g}.")
    data = data._replace(dtype=_dtype(model, data, high, condition), low=float(low), high=float(high))
    return data._replace(std=std or _rough_std(model, data, condition, seed))


def _std(model: Model) -> float | None:
    """What the model says of its data's standard deviation."""
    given = getattr(model, "sigma_data", None)
    if given is not None:
        return float(given)
    covariance = getattr(model, "covariance", None)
    return math.sqrt(float(covariance.diagonal().mean())) if isinstance(covariance, Tensor) else None


def _dtype(model: Counted, data: _Data, high: float, condition: Tensor | None) -> torch.dtype:
    """float64 where the model answers in it."""
    x = torch.zeros(1, *data.shape, dtype=torch.float64, device=data.device)
    given = _taken(condition, 1, 0)
    try:
        same = model(x, Level(1.0, high), given).x0.dtype == torch.float64
    except (RuntimeError, TypeError):
        same = False
    return torch.float64 if same else torch.float32


def _rough_std(model: Counted, data: _Data, condition: Tensor | None, seed: int) -> float:
    """The standard deviation of a few samples drawn with twenty small steps."""
    x = data.high * normal(64, data.shape, seed, "rough", dtype=data.dtype, device=data.device)
    ends = run(ddim(log_uniform(20, data.high, data.low)), model, x, condition=_taken(condition, 64, 0)).double()
    return max(float((ends - ends.mean(0)).square().mean().sqrt()), 1e-12)


def _taken(condition: Tensor | None, n: int, first: int) -> Tensor | None:
    """Conditions for trajectories first to first + n - 1, taken in turn."""
    return None if condition is None else condition[torch.arange(first, first + n) % len(condition)]


def group_of(model: Counted, data: _Data, plan: Plan, n: int, first: int, seed: int, condition: Tensor | None) -> Group:
    """n accurate trajectories from the plan's start."""
    alpha, sigma = (float(v) for v in plan.levels[0])
    if not alpha:
        raise ValueError("calibrate needs a plan that starts at alpha > 0; take a finite sigma_max.")
    top = max(data.high, sigma / alpha)
    x = normal(n, data.shape, seed, "calibration", first=first, dtype=data.dtype, device=data.device)
    x = math.hypot(data.std, top) * x + data.mean.to(x)
    check_batch("x", x)
    given = _taken(condition, n, first)
    given = given if given is None else given.to(x.device)
    truth = follow(model, x, spread(_FINE, top, data.low, 0.5, 0.6 * data.std), data.std, given)
    return Group(model, truth, given)


def _count(evaluations: int, data: _Data, budget: int, search: bool) -> int:
    """Trajectories of each half that the cost and about 2 GB of memory allow."""
    share = 0.5 if search else 0.97
    passes = _PASSES_SEARCH if search else _PASSES
    memory = 2e9 / (4 * _FINE * math.prod(data.shape) * torch.finfo(data.dtype).bits / 8)
    return max(8, min(1024, int(share * budget / (2 * _FINE + passes * evaluations)), int(memory)))


def _check(evaluations: int, past: int, trajectories: int | None) -> None:
    for name, value, least in (("evaluations", evaluations, 1), ("past", past, 1), ("trajectories", trajectories, 2)):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
            raise ValueError(f"calibrate({name}=...) must be a whole number >= {least}, got {value!r}.")
