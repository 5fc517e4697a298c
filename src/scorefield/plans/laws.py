"""What a plan does to Gaussian data and to exact end points, from its table alone: no network, no Monte Carlo."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.plans.plan import Plan
from scorefield.plans.run import run


class Moments(NamedTuple):
    """Mean and variance of every state of a plan.

    Args:
        mean: `(K + 1, d)`.
        variance: `(K + 1, d)`.
    """

    mean: Tensor
    variance: Tensor


def exact_moments(plan: Plan, mean: float | Tensor = 0.0, variance: float | Tensor = 1.0) -> Moments:
    """`alpha mean` and `alpha^2 variance + sigma^2` at the plan's levels: what the states should have."""
    m, v = _pair(mean, variance)
    alpha, sigma = plan.levels.alpha[:, None], plan.levels.sigma[:, None]
    return Moments(alpha * m, alpha**2 * v + sigma**2)


def gaussian_moments(plan: Plan, mean: float | Tensor = 0.0, variance: float | Tensor = 1.0) -> Moments:
    """The moments that a plan gives, carried through its table, when data are Gaussian and the model is exact.

    `x0_j = mean + a_j (y_j - alpha_j mean)`, `eps_j = b_j (y_j - alpha_j mean)` with `a = alpha v / r2`,
    `b = sigma / r2`, `r2 = alpha^2 v + sigma^2`: each state is linear in the start and the noises, so that the joint
    covariance of all states is exact.

    Args:
        plan: any.
        mean: of the data, a number or `(d,)`.
        variance: of the data, a number or `(d,)`: the eigenvalues of a covariance; 0 is a point mass.

    Example:
        >>> from scorefield import levels, plans
        >>> plan = plans.ddim(levels.karras(20))
        >>> error = gaussian_moments(plan).variance - exact_moments(plan).variance
        >>> bool(error.abs()[-1] < 0.3)
        True
    """
    m, v = _pair(mean, variance)
    K = plan.evaluations
    alpha, sigma = plan.levels.alpha[:K, None], plan.levels.sigma[:K, None]
    total = alpha**2 * v + sigma**2
    if bool((total == 0).any()):
        raise ValueError("a plan that evaluates at sigma = 0 has no law for a point mass; give variance > 0.")
    gain = plan.P[:, :, None] * (alpha * v / total) + plan.E[:, :, None] * (sigma / total)  # (K, K, d)
    means = [plan.levels.alpha[0] * m]
    mix = torch.zeros(K + 1, K + 1, len(v), dtype=torch.float64)  # each state in terms of the start and the noises
    mix[0, 0] = (plan.levels.alpha[0] ** 2 * v + plan.levels.sigma[0] ** 2).sqrt()
    for k in range(K):
        off = torch.stack(means) - alpha[: k + 1] * m
        means.append(plan.P[k].sum() * m + (gain[k, : k + 1] * off).sum(0))
        mix[k + 1] = torch.einsum("jd,jid->id", gain[k, : k + 1], mix[: k + 1])
        mix[k + 1, k + 1] = plan.c[k]
    return Moments(torch.stack(means), (mix**2).sum(1))


def point_mass(plan: Plan, at: float = 1.0) -> Moments:
    """The moments that a plan gives for data at one point: `alpha at` and `sigma^2` where it is consistent."""
    return gaussian_moments(plan, at, 0.0)


def marginal_error(plan: Plan, mean: float | Tensor = 0.0, variance: float | Tensor = 1.0) -> float:
    """The greatest error of the last state's mean and standard deviation on Gaussian data, over its true deviation."""
    got, want = (f(plan, mean, variance) for f in (gaussian_moments, exact_moments))
    scale = want.variance[-1].sqrt()
    scale = torch.where(scale > 0, scale, 1.0)
    errors = (got.mean[-1] - want.mean[-1]) / scale, (got.variance[-1].sqrt() - want.variance[-1].sqrt()) / scale
    return max(float(e.abs().max()) for e in errors)


def end_error(plan: Plan, model: Model, x: Tensor, end: Tensor) -> float:
    """RMS distance of the plan's end points from the true ones, over the RMS of these.

    Args:
        plan: deterministic.
        model: exact.
        x: starts, `(n, *shape)`.
        end: where the probability flow takes them, `(n, *shape)`.
    """
    return float(((run(plan, model, x) - end) ** 2).mean().sqrt() / (end**2).mean().sqrt())


class Order(NamedTuple):
    """A measured order of convergence.

    Args:
        slope: of -log(error) over log(evaluations), by least squares.
        evaluations: of each plan.
        errors: of each plan.
    """

    slope: float
    evaluations: list[int]
    errors: list[float]


def measured_order(build: Callable[[int], Plan], error: Callable[[Plan], float], counts: Sequence[int]) -> Order:
    """The slope of the error against the number of evaluations, both in logarithms.

    Args:
        build: number of steps -> plan.
        error: plan -> error > 0, such as `marginal_error`, or `end_error` with its model and points.
        counts: numbers of steps, at least two.

    Example:
        >>> from scorefield import levels, plans
        >>> order = measured_order(lambda n: plans.ddim(levels.flow(n)), marginal_error, [40, 80, 160])
        >>> round(order.slope, 1)
        1.0
    """
    plans = [build(n) for n in counts]
    evaluations, errors = [plan.evaluations for plan in plans], [error(plan) for plan in plans]
    if len(set(evaluations)) < 2 or not all(e > 0 for e in errors):
        raise ValueError(f"an order needs two sizes and errors > 0, got {evaluations} evaluations with {errors}.")
    x = torch.tensor([math.log(n) for n in evaluations], dtype=torch.float64)
    y = torch.tensor([math.log(e) for e in errors], dtype=torch.float64)
    x = x - x.mean()
    return Order(-float((x * y).sum() / (x * x).sum()), evaluations, errors)


def _pair(mean: float | Tensor, variance: float | Tensor) -> tuple[Tensor, Tensor]:
    m, v = (torch.as_tensor(u, dtype=torch.float64).reshape(-1) for u in (mean, variance))
    if bool((v < 0).any()):
        raise ValueError(f"a variance must be >= 0, got {float(v.min()):g}.")
    one, two = torch.broadcast_tensors(m, v)
    return one, two
