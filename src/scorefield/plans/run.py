"""The one loop that executes plans."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypedDict, Unpack, overload

import torch
from torch import Tensor

from scorefield._tensor import check_batch
from scorefield.core import Estimate, Level, Model, check_estimate, check_form
from scorefield.numerics.random import normal
from scorefield.plans.plan import Plan, last_uses


@dataclass(frozen=True, eq=False)
class RunState:
    """Where a run stands: all that the rows still to come need.

    Args:
        x: the state `(n, *shape)`, at the plan's level `row`.
        row: the next row.
        data: by row, the estimates of x0 that later rows use.
        noise: by row, the estimates of eps that later rows use.
        seed: of the run's noise.
        first: index of the first sample.
    """

    x: Tensor
    row: int
    data: dict[int, Tensor]
    noise: dict[int, Tensor]
    seed: int = 0
    first: int = 0

    def __repr__(self) -> str:
        kept = sorted({*self.data, *self.noise})
        return f"RunState(row {self.row}, x {tuple(self.x.shape)}, estimates of rows {kept} kept)"


class RunOptions(TypedDict, total=False):
    """What `run` and `walk` take besides plan, model and x; see `run`."""

    seed: int
    first: int
    condition: Tensor | None
    progress: bool
    grad: bool
    stop: int | None
    state: RunState | None


@overload
def run(
    plan: Plan,
    model: Model,
    x: Tensor | None = None,
    *,
    return_state: Literal[False] = False,
    trajectory: bool = False,
    **options: Unpack[RunOptions],
) -> Tensor: ...


@overload
def run(
    plan: Plan, model: Model, x: Tensor | None = None, *, return_state: Literal[True], **options: Unpack[RunOptions]
) -> RunState: ...


def run(
    plan: Plan,
    model: Model,
    x: Tensor | None = None,
    *,
    seed: int = 0,
    first: int = 0,
    condition: Tensor | None = None,
    progress: bool = False,
    grad: bool = False,
    stop: int | None = None,
    state: RunState | None = None,
    return_state: bool = False,
    trajectory: bool = False,
) -> Tensor | RunState:
    """The state after the plan's last row: `y[k+1] = sum_j P[k, j] x0_j + sum_j E[k, j] eps_j + c[k] z_k`.

    Computes in x's dtype and on its device; holds only the estimates that a later row uses. The noise of sample i is
    a pure function of (seed, first + i, row), whatever the batch.

    Args:
        plan: the sampler.
        model: `(x, level, condition) -> Estimate`.
        x: `(n, *shape)`, at the plan's first level: from `plan.start` or `plan.start_from`.
        seed: of the noise that stochastic rows add.
        first: index of the first sample.
        condition: handed to the model.
        progress: show a bar.
        grad: record gradients, through all evaluations; default: no.
        stop: end before this row (default: after the last); the state is then at level `stop`.
        state: go on from here, in place of x; it brings its seed and first.
        return_state: return a `RunState`, from which a second run continues bit for bit.
        trajectory: return all states, `(rows + 1, n, *shape)`, the first included.

    Returns:
        The last state `(n, *shape)`; see return_state and trajectory.

    Raises:
        ValueError: when the plan leaves the model's range of noise, the model contradicts x (`alpha x0 + sigma eps`
            must be x; looked at in the first row and the one nearest to sigma = alpha), or the result is not finite
            (naming the row).
        TypeError: when the model answers with something else than an `Estimate` of x's shape and dtype.

    Example:
        >>> from scorefield import levels, plans
        >>> def standard_normal(x, level, condition=None):
        ...     r2 = level.alpha**2 + level.sigma**2
        ...     return Estimate(level.alpha / r2 * x, level.sigma / r2 * x)
        >>> plan = plans.ddim(levels.karras(10))
        >>> run(plan, standard_normal, plan.start(4, (2,), seed=0)).shape
        torch.Size([4, 2])
    """
    if return_state and trajectory:
        raise ValueError(
            "run(return_state=True, trajectory=True): ask for one of them; scorefield.plans.walk has both."
        )
    now = begin = _begin(plan, x, seed, first, state)
    path, marks = [now.x], []
    tables, checked = _Tables.of(plan), _checked_rows(plan, now.row)
    for _ in _rows(plan, model, now.row, stop, progress):
        now = _advance(tables, model, now, condition, grad, check=now.row in checked)[0]
        # a sum is not finite once an element is not; read only if the end is
        marks.append((now.x.detach() if grad else now.x).sum())
        if trajectory:
            path.append(now.x)
    _check_finite(plan, now.x, begin.row, marks)
    if return_state:
        return now
    return torch.stack(path) if trajectory else now.x


def walk(
    plan: Plan,
    model: Model,
    x: Tensor | None = None,
    *,
    seed: int = 0,
    first: int = 0,
    condition: Tensor | None = None,
    progress: bool = False,
    grad: bool = False,
    stop: int | None = None,
    state: RunState | None = None,
) -> Iterator[tuple[RunState, Estimate]]:
    """`run` one row at a time: after each, where the run stands and the estimate made in that row.

    Arguments as `run`.
    """
    now = _begin(plan, x, seed, first, state)
    tables, checked = _Tables.of(plan), _checked_rows(plan, now.row)
    for _ in _rows(plan, model, now.row, stop, progress):
        now, estimate = _advance(tables, model, now, condition, grad, check=now.row in checked)
        yield now, estimate
        del estimate


class _Tables(NamedTuple):
    """A plan's tables as numbers, its levels one by one, and the last row that uses each estimate."""

    levels: list[Level]
    P: list[list[float]]
    E: list[list[float]]
    c: list[float]
    last_data: list[int]
    last_noise: list[int]

    @staticmethod
    def of(plan: Plan) -> _Tables:
        levels = [Level(*pair) for pair in zip(plan.levels.alpha.unbind(), plan.levels.sigma.unbind(), strict=True)]
        return _Tables(levels, plan.P.tolist(), plan.E.tolist(), plan.c.tolist(), last_uses(plan.P), last_uses(plan.E))


def _advance(
    tables: _Tables, model: Model, now: RunState, condition: Tensor | None, grad: bool, check: bool
) -> tuple[RunState, Estimate]:
    """One row: evaluate the model, combine the next state, drop what no later row uses."""
    k = now.row
    with nullcontext() if grad else torch.no_grad():
        estimate = model(now.x, tables.levels[k], condition)
        if check:
            check_estimate(model, now.x, tables.levels[k], estimate)
        else:
            check_form(model, now.x, estimate)
        data, noise = dict(now.data), dict(now.noise)
        data[k], noise[k] = estimate
        y = _combine(now, tables.P[k], tables.E[k], tables.c[k], k, data, noise)
    data = {j: v for j, v in data.items() if tables.last_data[j] > k}
    noise = {j: v for j, v in noise.items() if tables.last_noise[j] > k}
    return RunState(y, k + 1, data, noise, now.seed, now.first), estimate


def _combine(
    now: RunState, p: list[float], e: list[float], c: float, k: int, data: dict[int, Tensor], noise: dict[int, Tensor]
) -> Tensor:
    """The next state, in one new tensor; the model's answers are never written to (they may be its input)."""
    terms = [(v, p[j]) for j, v in data.items() if p[j]] + [(v, e[j]) for j, v in noise.items() if e[j]]
    x = now.x
    if c:
        z = normal(len(x), x.shape[1:], now.seed, "plan", first=now.first, row=k, dtype=x.dtype, device=x.device)
        y = z.mul_(c)
    elif terms:
        value, weight = terms.pop()
        y = value * weight
    else:
        y = torch.zeros_like(x)
    for value, weight in terms:
        y = y.add_(value, alpha=weight) if not y.requires_grad else y.add(value, alpha=weight)
    return y


def _rows(plan: Plan, model: Model, start: int, stop: int | None, progress: bool) -> Iterable[int]:
    """The rows to come, once stop and the model's range are found in order."""
    stop = _check_stop(plan, start, stop)
    check_range(plan, model, start, stop)
    if not progress:
        return range(start, stop)
    from tqdm import tqdm

    rows: Iterable[int] = tqdm(range(start, stop), unit="evaluation", leave=False)
    return rows


# -------------------------------------------------------------------------------------------------------------- checks


def _checked_rows(plan: Plan, start: int) -> set[int]:
    """The rows in which a model's answer is checked: the first, and the one where data and noise weigh most alike.

    Far from there a wrong x0 or eps hides behind the other: it changes `alpha x0 + sigma eps` by little.
    """
    ratio = plan.levels.ratio[start : plan.evaluations]
    return {start, start + int(ratio.log().abs().argmin())} if len(ratio) else set()


def check_range(plan: Plan, model: Model, start: int = 0, stop: int | None = None) -> None:
    """Raise when rows start to stop evaluate the model outside its `sigma_min` to `sigma_max`, where it has these."""
    low, high = getattr(model, "sigma_min", None), getattr(model, "sigma_max", None)
    ratio = plan.levels.ratio[start : plan.evaluations if stop is None else stop]
    if not len(ratio):
        return
    least, greatest = float(ratio.min()), float(ratio.max())
    below = isinstance(low, int | float) and least < low * (1 - 1e-5)
    above = isinstance(high, int | float) and greatest > high * (1 + 1e-5)
    if below or above:
        raise ValueError(
            f"the plan asks for sigma / alpha from {least:g} to {greatest:g}, the model answers from "
            f"{low if low is None else f'{low:g}'} to {high if high is None else f'{high:g}'}; build the plan over "
            f"levels inside that range (sigma_min=..., sigma_max=...)."
        )


def _begin(plan: Plan, x: Tensor | None, seed: int, first: int, state: RunState | None) -> RunState:
    if not isinstance(plan, Plan):
        raise TypeError(f"run(plan, model, x) needs a Plan first, got {type(plan).__name__}; see scorefield.plans.")
    if (x is None) == (state is None):
        raise TypeError("run needs either x (at the plan's first level) or state (from return_state=True), not both.")
    if state is None:
        check_batch("x", x)  # type: ignore[arg-type]
        return RunState(x, 0, {}, {}, seed, first)  # type: ignore[arg-type]
    for name, given, held in (("seed", seed, state.seed), ("first", first, state.first)):
        if given not in (0, held):
            raise ValueError(f"run({name}={given}, state=...): this run began with {name}={held}; leave {name} out.")
    needed = [{j for j, last in enumerate(last_uses(t)[: state.row]) if last >= state.row} for t in (plan.P, plan.E)]
    if state.row > plan.evaluations or needed != [set(state.data), set(state.noise)]:
        raise ValueError(f"this state is of another plan than {plan!r}; go on with the plan that it began with.")
    return state


def _check_stop(plan: Plan, row: int, stop: int | None) -> int:
    if stop is None:
        return plan.evaluations
    if isinstance(stop, bool) or not isinstance(stop, int) or not row <= stop <= plan.evaluations:
        raise ValueError(f"run(stop=...) must be a row from {row} to {plan.evaluations}, got {stop!r}.")
    return stop


def _check_finite(plan: Plan, x: Tensor, row: int, marks: list[Tensor]) -> None:
    if (marks and math.isfinite(marks[-1])) or bool(torch.isfinite(x).all()):  # a finite sum can overflow
        return
    bad = next((k for k, mark in enumerate(marks) if not bool(torch.isfinite(mark))), None)
    if bad is None:
        raise ValueError("run's x must be finite, got NaN or infinite values.")
    alpha, sigma = (float(v) for v in plan.levels[row + bad])
    raise ValueError(
        f"the state is not finite after row {row + bad} of {plan.name!r} (alpha = {alpha:g}, sigma = {sigma:g}); "
        f"check x and the model's answer at that level."
    )
