"""A plan's coefficients corrected by the error of its ends: Gauss and Newton, through the gradients of the model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.plans.plan import Plan
from scorefield.plans.rowfit import combine
from scorefield.plans.trajectories import CountingModel, weighted_median
from scorefield.plans.trajectory_set import TrajectorySet

_TRIES = 4
"""Dampings tried before a direction is given up."""


class _Run(NamedTuple):
    """A run in which everything is kept: the states, by row, and the end after them; the estimates, by row."""

    states: list[Tensor]
    data: list[Tensor]
    noise: list[Tensor]


class _Equations(NamedTuple):
    """Normal equations for changes of all coefficients, and what damps them, in units of each coefficient."""

    gram: Tensor
    right: Tensor
    damping: Tensor
    unit: Tensor

    def solved(self, damping: float) -> Tensor:
        eye = 1e-6 * torch.eye(len(self.right), dtype=torch.float64, device=self.gram.device)
        return -torch.linalg.solve(self.gram + damping * (self.damping + eye), self.right) / self.unit


def polish(
    model: CountingModel,
    group: TrajectorySet,
    plan: Plan,
    past: int = 5,
    cut: float = 30.0,
    spare: int = 0,
    budget: int = 100_000,
) -> Iterator[Plan]:
    """Plans with less and less error of their ends, each a step of Gauss and Newton from the one before.

    `fit_rows` brings each state near the accurate one; but where basins part, the rest of the flow amplifies small
    errors, and only the end shows by how much. With `u = (end - accurate end) / |end - accurate end|`, one run back
    through the model gives `g_k = d(u . end) / d(state after row k)`, and a change of coefficient j of row k moves the
    distance by `g_k . (x0_j - x0_k)`: least squares of the distances in all coefficients at once, weighted by
    `1 / (distance^2 + (cut median)^2)`, damped by what the changes do to the states (Levenberg, Marquardt 1963).

    Args:
        model: the group's; its gradients are taken.
        group: trajectories to fit to.
        plan: deterministic; levels and the sums of the rows stay.
        past: estimates that have free coefficients in each row.
        cut: in medians, where distances begin to lose weight.
        spare: evaluations that the caller makes with each plan.
        budget: most single-sample evaluations, with those of the caller.
    """
    n, rows = len(group.trajectories), plan.evaluations
    if rows < 2 or past < 2:
        return
    weight = torch.ones(n, dtype=torch.float64) if group.weight is None else group.weight.double()
    limit = model.evaluations + budget
    damping, now = 1.0, None
    while model.evaluations + n * (5 * rows - 3) + spare <= limit:
        now = now or _through(group, plan)
        error = _distances(group, now)
        bound = cut**2 * weighted_median(error**2, weight) + 1e-30
        equations = _equations(model, group, plan, now, past, weight.to(error) / (error**2 + bound), error)
        if equations is None:
            return
        for _ in range(_TRIES):
            if model.evaluations + n * rows + spare > limit:
                return
            new = _changed(plan, past, equations.solved(damping))
            then = _through(group, new)
            change = ((_distances(group, then) ** 2 + bound) / (error**2 + bound)).log()
            if float((weight.to(change) * change).sum()) < 0:  # and not NaN
                break
            damping *= 6
        else:
            return
        plan, now, damping = new, then, damping / 4
        yield plan


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


def _equations(
    model: CountingModel, group: TrajectorySet, plan: Plan, run: _Run, past: int, weight: Tensor, error: Tensor
) -> _Equations | None:
    """None for a model without gradients."""
    weight = weight / weight.sum()
    wide = (slice(None), *(None,) * (run.states[0].ndim - 1))
    back: dict[int, Tensor] = {
        plan.evaluations: (run.states[-1] - group.trajectories.end) / error.clamp(min=1e-300)[wide]
    }
    back[plan.evaluations] = back[plan.evaluations].to(run.states[0].dtype)
    columns: list[Tensor] = []
    blocks: list[Tensor] = []
    for k in range(plan.evaluations - 1, 0, -1):
        column, block = _row(run, k, past, back[k + 1].flatten(1).double(), weight)
        columns.append(column)
        blocks.append(block)
        if k > 1:
            later = torch.stack([back[r + 1] for r in range(k, plan.evaluations)], -1)
            data, noise = (later @ t[k:, k].to(later) for t in (plan.P, plan.E))
            try:
                back[k] = model.vjp(run.states[k], plan.levels[k], group.condition, data, noise)
            except RuntimeError:
                return None
    wide_columns = torch.cat(columns, 1)
    damping = torch.block_diag(*blocks)
    unit = damping.diagonal().sqrt().clamp(min=1e-150)
    weighted = wide_columns * weight[:, None]
    gram, right = weighted.T @ wide_columns, weighted.T @ error
    both = unit * unit[:, None]
    return _Equations(gram / both, right / unit, damping / both, unit)


def _row(run: _Run, k: int, past: int, slope: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
    """How row k's coefficients move the distances, `(n, m)`, and what their changes do to its state, `(m, m)`."""
    first = max(0, k + 1 - past)
    moved = torch.stack([v[j] - v[k] for v in (run.data, run.noise) for j in range(first, k)], -1)
    moved = moved.flatten(1, -2).double()
    share = weight * (slope**2).sum(1) / moved.shape[1]
    flat = moved.flatten(0, 1)
    block = (flat * share.repeat_interleave(moved.shape[1])[:, None]).T @ flat
    return torch.einsum("nd,ndm->nm", slope, moved), block


def _changed(plan: Plan, past: int, by: Tensor) -> Plan:
    """The plan with its coefficients moved, last row first; sums of rows stay."""
    P, E = plan.P.clone(), plan.E.clone()
    by = by.cpu()
    for k in range(plan.evaluations - 1, 0, -1):
        first = max(0, k + 1 - past)
        for table in (P, E):
            change, by = by[: k - first], by[k - first :]
            table[k, first:k] += change
            table[k, k] -= change.sum()
    return replace(plan, P=P, E=E)
