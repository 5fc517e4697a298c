"""A plan's coefficients fitted to trajectories: robust linear least squares, row by row, on the plan's own states."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.plans.plan import Plan
from scorefield.plans.trajectories import weighted_median
from scorefield.plans.trajectory_set import TrajectorySet


class FitOptions(NamedTuple):
    """How rows are fitted.

    Args:
        past: how many of the last estimates get new coefficients in each row.
        ridge: towards the rows of the plan that is fitted, against coefficients that the trajectories do not fix;
            in units of the mean square of what each coefficient brings to a row.
        cut: residuals beyond `cut` medians lose weight, as `1 / (1 + (residual / (cut median))^2)` (Cauchy's).
        rounds: of weighing down.
    """

    past: int = 5
    ridge: float = 1e-7
    cut: float = 1.0
    rounds: int = 3


class Fitted(NamedTuple):
    """A fitted plan, and the errors of its ends on the trajectories that it was fitted to, `(n,)` for each group."""

    plan: Plan
    errors: list[Tensor]


@torch.no_grad()
def fit_rows(groups: Sequence[TrajectorySet], plan: Plan, options: FitOptions, name: str | None = None) -> Fitted:
    """New coefficients for a deterministic plan, so that each of its states meets the true trajectory.

    Row k becomes `row + sum_j p_j (x0_j - x0_k) + e_j (eps_j - eps_k)` over the last estimates: the sums of P and E
    stay, so that data at one point are followed exactly. p and e are the least-squares solution on the states that the
    fitted rows before it give, errors included, which later rows thereby learn to mend. One evaluation of each model
    per row and trajectory.

    Args:
        groups: trajectories of one model or more; each has the weight of its number, in units of its own residuals.
        plan: where the coefficients start, and towards which the ridge pulls.
        options: see `FitOptions`.
        name: of the new plan; default: as the old one.
    """
    P, E = plan.P.clone(), plan.E.clone()
    states = [group.trajectories.start for group in groups]
    data: list[list[Tensor]] = [[] for _ in groups]
    noise: list[list[Tensor]] = [[] for _ in groups]
    for k in range(plan.evaluations):
        parts = []
        for g, group in enumerate(groups):
            estimate = group.model(states[g], plan.levels[k], group.condition)
            data[g].append(estimate.x0)
            noise[g].append(estimate.eps)
            residual = group.trajectories.at(plan.levels[k + 1]) - combine(P[k], E[k], data[g], noise[g])
            parts.append(_part(residual, data[g], noise[g], min(k + 1, options.past), group.weight))
        if k and options.past > 1:
            first = max(0, k + 1 - options.past)
            p, e = _solve(parts, options).chunk(2)
            for table, change in ((P, p), (E, e)):
                table[k, first:k] += change
                table[k, k] -= change.sum()
        states = [combine(P[k], E[k], data[g], noise[g]) for g in range(len(groups))]
        _drop_unused(k, plan, options.past, data, noise)
    fitted = Plan(plan.levels, P, E, plan.c, name=name or plan.name, order=plan.order)
    return Fitted(fitted, [group.trajectories.errors(x) for group, x in zip(groups, states, strict=True)])


class _Part(NamedTuple):
    """One group's share of a row's regression: residuals `(n, d)`, columns `(n, d, m)`, weights `(n,)`, float64."""

    residual: Tensor
    columns: Tensor
    weight: Tensor


def _part(residual: Tensor, data: list[Tensor], noise: list[Tensor], past: int, weight: Tensor | None = None) -> _Part:
    n = len(residual)
    columns = [v[j] - v[-1] for v in (data, noise) for j in range(len(v) - past, len(v) - 1)]
    wide = [c.reshape(n, -1).double() for c in columns]
    stacked = torch.stack(wide, -1) if wide else residual.new_zeros(n, 1, 0).double()
    weight = residual.new_ones(n) if weight is None else weight
    return _Part(residual.reshape(n, -1).double(), stacked, weight.to(stacked))


def _solve(parts: Sequence[_Part], options: FitOptions) -> Tensor:
    """The weighted ridge regression of residuals on columns; weights solve_flow from the residuals left, `(m,)`."""
    count = parts[0].columns.shape[-1]
    eye = options.ridge * torch.eye(count, dtype=torch.float64, device=parts[0].columns.device)
    weights = [part.weight for part in parts]
    found = eye.new_zeros(count)
    for _ in range(options.rounds + 1):
        total = sum(float(w.sum()) for w in weights)
        gram, right = torch.zeros_like(eye), torch.zeros_like(found)
        for w, part in zip(weights, parts, strict=True):
            weighted = part.columns.flatten(0, 1) * (w[:, None].expand_as(part.residual).reshape(-1, 1))
            share = total * part.residual.shape[1]
            gram += weighted.T @ part.columns.flatten(0, 1) / share
            right += weighted.T @ part.residual.reshape(-1) / share
        size = gram.diagonal().sqrt().clamp(min=1e-150)
        found = torch.linalg.solve(gram / size / size[:, None] + eye, right / size) / size
        left = [((part.residual - part.columns @ found) ** 2).mean(1) for part in parts]
        bounds = [
            options.cut**2 * weighted_median(v, part.weight) + _floor(part) for v, part in zip(left, parts, strict=True)
        ]
        weights = [part.weight / (v + bound) for v, bound, part in zip(left, bounds, parts, strict=True)]
    return found.cpu()


def _floor(part: _Part) -> Tensor:
    """A residual, squared, that is as good as none: rounding, and groups which every plan follows exactly."""
    return 1e-12 * (part.columns**2).sum(-1).mean() + 1e-30


def combine(p: Tensor, e: Tensor, data: list[Tensor], noise: list[Tensor]) -> Tensor:
    y = torch.zeros_like(data[-1])
    for weights, values in ((p, data), (e, noise)):
        for j, value in enumerate(values):
            weight = float(weights[j])
            if weight:
                y = y + weight * value
    return y


def _drop_unused(k: int, plan: Plan, past: int, data: list[list[Tensor]], noise: list[list[Tensor]]) -> None:
    """Let go of the estimates that no later row uses; an empty tensor keeps the place."""
    j = k + 1 - past
    if j >= 0 and not bool(plan.P[k + 1 :, : j + 1].any() or plan.E[k + 1 :, : j + 1].any()):
        for values in (*data, *noise):
            values[j] = values[j][:0]
