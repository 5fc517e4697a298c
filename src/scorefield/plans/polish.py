"""A plan's levels and coefficients corrected by the error of its ends: Gauss and Newton, by the model's gradients."""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.core import Level, Levels
from scorefield.plans.endloss import end_loss, end_weights, without_steepest
from scorefield.plans.plan import Plan
from scorefield.plans.rowfit import combine
from scorefield.plans.trajectories import CountingModel
from scorefield.plans.trajectory_set import TrajectorySet

_TRIES = 4
"""Dampings tried before a direction is given up."""
_COARSE, _KNOTS = 3, 4
"""Steps in which changes are piecewise linear in the row's number, and between how many knots."""
_LEAST_GAP = 0.02
"""Of neighbouring levels, in log sigma."""


class _Run(NamedTuple):
    """A run in which everything is kept: the states, by row, and the end after them; the estimates, by row."""

    states: list[Tensor]
    data: list[Tensor]
    noise: list[Tensor]


class _Equations(NamedTuple):
    """Normal equations for changes of all coefficients and levels, and what damps them."""

    gram: Tensor
    right: Tensor
    damping: Tensor

    def within(self, shape: Tensor) -> _Equations:
        """For changes that are combinations of the columns of `shape`."""
        return _Equations(shape.T @ self.gram @ shape, shape.T @ self.right, shape.T @ self.damping @ shape)

    def solved(self, damping: float) -> Tensor:
        unit = self.damping.diagonal().sqrt().clamp(min=1e-150)
        eye = 1e-6 * torch.eye(len(unit), dtype=torch.float64, device=unit.device)
        left = (self.gram + damping * self.damping) / unit / unit[:, None] + damping * eye
        return -torch.linalg.solve(left, self.right / unit) / unit


def polish(
    model: CountingModel,
    group: TrajectorySet,
    plan: Plan,
    past: int = 5,
    spare: int = 0,
    budget: int = 100_000,
    low: float = 0.0,
    levels: bool = True,
) -> Generator[Plan, bool | None, None]:
    """Plans with less and less `end_loss`, each a step of Gauss and Newton from the one before.

    `fit_rows` brings each state near the accurate one; but where basins part, the rest of the flow amplifies small
    errors, and only the end shows by how much. With `u = (end - accurate end) / |end - accurate end|`, one run back
    through the model gives `g_k = d(u . end) / d(state after row k)`. A change of coefficient j of row k moves the
    distance by `g_k . (x0_j - x0_k)`; a change of a level moves it by the estimates' rates there, where the state goes
    on along its own estimate and later rows take what they had of the level by linear interpolation. Least squares of
    the distances in all at once, weighted by the loss's derivative, damped by what the changes do to the states
    (Levenberg, Marquardt 1963). The first steps change neighbouring rows alike, which few trajectories tell already.

    The caller may send True to a plan that does not help on other trajectories: a more damped one comes in its place.

    Args:
        model: the group's; its gradients are taken.
        group: trajectories to fit to.
        plan: deterministic; the sums of the rows stay, and with alpha not 1 the levels.
        past: estimates that have free coefficients in each row.
        spare: evaluations that the caller makes with each plan.
        budget: most single-sample evaluations, with those of the caller.
        low: least sigma that the model may be evaluated at.
        levels: move them too.
    """
    n, rows = len(group.trajectories), plan.evaluations
    if rows < 2:
        return
    limit = model.evaluations + budget
    damping, now, coarse = 1.0, None, _COARSE
    moving = levels and bool((plan.levels.alpha == 1).all())
    while model.evaluations + n * (6 * rows) + spare <= limit:
        now = now or _through(group, plan)
        equations = _equations(model, group, plan, now, past, moving)
        if equations is None:
            return
        loss = _loss(group, now)
        shape = _smooth(rows, past, moving).to(equations.gram) if coarse else None
        for _ in range(_TRIES):
            if model.evaluations + n * rows + spare > limit:
                return
            by = equations.solved(damping) if shape is None else shape @ equations.within(shape).solved(damping)
            new = _changed(plan, past, by.cpu(), moving)
            if _falling(new, low):
                then = _through(group, new)
                if _loss(group, then) < loss and not (yield new):  # and not NaN
                    plan, now, damping, coarse = new, then, max(damping / 4, 1e-4), max(0, coarse - 1)
                    break
            damping *= 6
        else:
            if not coarse:
                return
            coarse, damping = 0, 1.0


def _through(group: TrajectorySet, plan: Plan) -> _Run:
    states, data, noise = [group.trajectories.start], [], []
    for k in range(plan.evaluations):
        estimate = group.model(states[-1], plan.levels[k], group.condition)
        data.append(estimate.x0)
        noise.append(estimate.eps)
        states.append(combine(plan.P[k], plan.E[k], data, noise))
    return _Run(states, data, noise)


def _distances(group: TrajectorySet, run: _Run) -> Tensor:
    return (run.states[-1] - group.trajectories.end).double().flatten(1).norm(dim=1)


def _loss(group: TrajectorySet, run: _Run) -> float:
    scale = group.trajectories.end.double().flatten(1).square().sum(1).mean()
    return float(end_loss(_distances(group, run) ** 2 / scale, group.weight))


def _falling(plan: Plan, low: float) -> bool:
    ratio = plan.levels.ratio[: plan.evaluations]
    return bool((ratio.log().diff() < -_LEAST_GAP).all()) and float(ratio[-1]) >= low


def _equations(
    model: CountingModel, group: TrajectorySet, plan: Plan, run: _Run, past: int, moving: bool
) -> _Equations | None:
    """None for a model without gradients."""
    error = _distances(group, run)
    scale = group.trajectories.end.double().flatten(1).square().sum(1).mean()
    weight = end_weights(error**2 / scale, group.weight)
    try:
        columns, damping = _slopes(model, group, plan, run, past, moving, weight)
    except RuntimeError:
        return None
    weight = without_steepest(weight, columns)
    weighted = (weight[:, None] * columns).T
    return _Equations(weighted @ columns, weighted @ error, damping)


def _slopes(
    model: CountingModel, group: TrajectorySet, plan: Plan, run: _Run, past: int, moving: bool, weight: Tensor
) -> tuple[Tensor, Tensor]:
    """How coefficients, and levels that are moving, change the distances, `(n, m)`, and the states, `(m, m)`.

    Raises:
        RuntimeError: by a model that records no gradients.
    """
    error = _distances(group, run)
    wide = (slice(None), *(None,) * (run.states[0].ndim - 1))
    last = (run.states[-1] - group.trajectories.end) / error.clamp(min=1e-300)[wide]
    back: dict[int, Tensor] = {plan.evaluations: last.to(run.states[0].dtype)}
    columns: list[Tensor] = []
    blocks: list[Tensor] = []
    levels: list[Tensor] = []
    for k in range(plan.evaluations - 1, 0, -1):
        column, block = _row(run, k, past, back[k + 1].flatten(1).double(), weight)
        columns.append(column)
        blocks.append(block)
        if k == 1 and not moving:
            break
        later = torch.stack([back[r + 1] for r in range(k, plan.evaluations)], -1)
        data, noise = (later @ t[k:, k].to(later) for t in (plan.P, plan.E))
        back[k] = model.vjp(run.states[k], plan.levels[k], group.condition, data, noise)
        if moving:
            levels.append(_level(group, plan, run, k, past, back, data, noise))
    own = [(weight @ level.square())[:, None] for level in levels]
    return torch.cat(columns + levels, 1), torch.block_diag(*blocks, *own)


def _dot(one: Tensor, two: Tensor) -> Tensor:
    return (one.double() * two.double()).flatten(1).sum(1)


def _row(run: _Run, k: int, past: int, slope: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """How row k's coefficients move the distances, `(n, m)`, and what their changes do to its state, `(m, m)`."""
    first = max(0, k + 1 - past)
    moved = [v[j] - v[k] for v in (run.data, run.noise) for j in range(first, k)]
    if not moved:
        return slope.new_zeros(len(slope), 0), slope.new_zeros(0, 0)
    stacked = torch.stack(moved, -1).flatten(1, -2).double()
    share = weight * (slope**2).sum(1) / stacked.shape[1]
    flat = stacked.flatten(0, 1)
    block = (flat * share.repeat_interleave(stacked.shape[1])[:, None]).T @ flat
    return torch.einsum("nd,ndm->nm", slope, stacked), block


def _level(
    group: TrajectorySet,
    plan: Plan,
    run: _Run,
    k: int,
    past: int,
    back: dict[int, Tensor],
    data: Tensor,
    noise: Tensor,
) -> Tensor:
    """How the logarithm of row k's level moves the distances, `(n, 1)`; see `_moved`."""
    level = plan.levels[k]
    aside = math.sqrt(torch.finfo(data.dtype).eps)
    there = group.model(run.states[k], Level(level.alpha, level.sigma * (1 + aside)), group.condition)
    rate = (_dot(data, there.x0 - run.data[k]) + _dot(noise, there.eps - run.noise[k])) / aside
    rate = rate + float(level.sigma) * _dot(back[k], run.noise[k - 1])
    share = float(level.sigma / (level.sigma - plan.levels[k - 1].sigma))
    for r in range(k, min(plan.evaluations, k - 1 + past)):
        for table, v in ((plan.P, run.data), (plan.E, run.noise)):
            rate = rate + share * float(table[r, k]) * _dot(back[r + 1], v[k - 1] - v[k])
    return rate[:, None]


def _smooth(rows: int, past: int, moving: bool) -> Tensor:
    """Changes of all parameters that are hat functions of the row for one lag and kind, `(parameters, columns)`."""
    numbers = range(rows - 1, 0, -1)
    own = [(kind, k - j, k) for k in numbers for kind in range(2) for j in range(max(0, k + 1 - past), k)]
    own += [(2, 0, k) for k in numbers] if moving else []
    knots = min(_KNOTS, rows - 1)
    place = torch.linspace(0, knots - 1, rows - 1, dtype=torch.float64)
    hats = (1 - (place[:, None] - torch.arange(knots)).abs()).clamp(min=0)
    kinds = sorted({(kind, lag) for kind, lag, _ in own})
    made = torch.zeros(len(own), len(kinds), knots, dtype=torch.float64)
    for i, (kind, lag, k) in enumerate(own):
        made[i, kinds.index((kind, lag))] = hats[k - 1]
    flat = made.flatten(1)
    return flat[:, (flat != 0).any(0)]


def _changed(plan: Plan, past: int, by: Tensor, moving: bool) -> Plan:
    """The plan with its coefficients moved, last row first, then its levels."""
    P, E = plan.P.clone(), plan.E.clone()
    for k in range(plan.evaluations - 1, 0, -1):
        first = max(0, k + 1 - past)
        for table in (P, E):
            change, by = by[: k - first], by[k - first :]
            table[k, first:k] += change
            table[k, k] -= change.sum()
    changed = replace(plan, P=P, E=E)
    return _moved(changed, past, by.flip(0)) if moving else changed


def _moved(plan: Plan, past: int, by: Tensor) -> Plan:
    """The plan with the logarithms of its levels after the first moved: `(rows - 1,)`; sums of rows are the levels'.

    The state goes on along its newest estimate; what later rows have of the estimate there is shared with the one
    before, by linear interpolation at the old level.
    """
    P, E, sigma = plan.P.clone(), plan.E.clone(), plan.levels.sigma.clone()
    for k, shift in enumerate(by.expm1().tolist(), start=1):
        step = shift * float(sigma[k])
        E[k - 1, k - 1] += step
        share = step / float(plan.levels.sigma[k] - plan.levels.sigma[k - 1])
        rows = slice(k, min(plan.evaluations, k - 1 + past))
        for table in (P, E):
            given = share * table[rows, k]
            table[rows, k - 1] += given
            table[rows, k] -= given
        sigma[k] += step
    return replace(plan, levels=Levels(plan.levels.alpha, sigma), P=P, E=E)
