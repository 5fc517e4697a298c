"""The laws on the installed library, with exact models."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from scorefield import levels, objectives, plans
from scorefield.analytic import GaussianMixture
from scorefield.check.report import Row
from scorefield.core import Estimate, Level, Levels, Model, StaticScore
from scorefield.numerics.random import normal
from scorefield.plans import Plan, run
from scorefield.plans.laws import end_error, exact_moments, marginal_error, measured_order, point_mass

_LEVELS = (Level(1.0, 0.02), Level(0.8, 0.6), Level(0.05, 1.0), Level(1.0, 20.0))
_BUILDERS: dict[str, Callable[[Levels], Plan]] = {
    "ddim": plans.ddim,
    "ancestral": plans.ancestral,
    "heun": plans.heun,
    "midpoint": plans.midpoint,
    "rk4": plans.rk4,
    "adams": lambda lv: plans.adams(lv, 3),
    "dpmpp": plans.dpmpp,
    "dpmpp SDE": lambda lv: plans.dpmpp(lv, eta=1.0),
    "deis": plans.deis,
    "unipc": plans.unipc,
}


def library(seed: int = 0) -> tuple[Row, ...]:
    """The laws on the installed library: exact models, plans, objectives and random streams, in a few seconds."""
    law = mixture()
    return (*_exactness(law, seed), *_sampling(law, seed), *_scales(law, seed), _streams(seed))


def mixture() -> GaussianMixture:
    means = torch.tensor([[-0.8, 0.2], [0.6, -0.4]], dtype=torch.float64)
    covariances = torch.tensor([[[0.5, 0.1], [0.1, 0.3]], [[0.3, -0.1], [-0.1, 0.6]]], dtype=torch.float64)
    return GaussianMixture(torch.tensor([0.4, 0.6], dtype=torch.float64), means, covariances)


def _exactness(law: GaussianMixture, seed: int) -> tuple[Row, ...]:
    pair, tweedie, finite = [], [], []
    for level in _LEVELS:
        x = law.sample(200, seed, level)
        size = 1 + x.abs().max()
        estimate, score = law(x, level), law.score(x, level)
        pair.append((estimate.at(level) - x).abs().max() / size)
        y = x.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(law.log_density(y, level).sum(), y)
        alpha, sigma = level
        tweedie.append((estimate.x0 - (x + sigma**2 * gradient) / alpha).abs().max() / size * alpha)
        slopes = difference(lambda z, at=level: law.log_density(z, at), x, 1e-3 * math.hypot(alpha, sigma))  # type: ignore[misc]
        finite.append((slopes - score).abs().max() / score.abs().max())
    worst = [float(torch.stack(values).max()) for values in (pair, tweedie, finite)]
    return (
        Row("estimate identity", worst[0], 1e-13, "alpha x0 + sigma eps = x, exact model"),
        Row("Tweedie", worst[1], 1e-12, "x0 = (x + sigma^2 score) / alpha, score by autograd of log p"),
        Row("score and density", worst[2], 1e-8, "score = finite differences of log p"),
    )


def difference(function: Callable[[Tensor], Tensor], x: Tensor, h: float) -> Tensor:
    """The gradient of `(n, d) -> (n,)` by central differences of fourth order, `(n, d)`."""
    columns = []
    for step in h * torch.eye(x.shape[1], dtype=x.dtype, device=x.device):
        near, far = function(x + step) - function(x - step), function(x + 2 * step) - function(x - 2 * step)
        columns.append((8 * near - far) / (12 * h))
    return torch.stack(columns, dim=1)


def _sampling(law: GaussianMixture, seed: int) -> tuple[Row, ...]:
    off_mass = {name: _point_mass_error(build(levels.karras(9))) for name, build in _BUILDERS.items()}
    off_order = _order_errors(law)
    fine = plans.rk4(levels.karras(120, 80.0, 1e-4))
    x = fine.start(50, (2,), seed, std=1.0, dtype=torch.float64)
    error = end_error(plans.default(50), law, x, run(fine, law, x))
    mass, order = (max(found, key=lambda name: found[name]) for found in (off_mass, off_order))
    return (
        Row("point mass", off_mass[mass], 1e-11, f"plans carry data at one point exactly; worst: {mass}"),
        Row("order", off_order[order], 0.65, f"measured less declared order of convergence; worst: {order}"),
        Row("end points", error, 1e-4, "plans.default(50) against the converged probability flow"),
    )


def _order_errors(law: GaussianMixture) -> dict[str, float]:
    """|measured - declared order|: of end points on a mixture, and of moments on a Gaussian for stochastic plans."""

    def grid(n: int) -> Levels:  # so far up the first steps of multistep plans, of low order, cost nothing
        return levels.log_uniform(n + 1, 3000.0, 0.1, end=False)

    fine = plans.rk4(grid(160))
    x = fine.start(16, (2,), 0, std=1.0, dtype=torch.float64)  # always these: none starts near the border of two modes
    end = run(fine, law, x)

    def error(plan: Plan) -> float:
        return marginal_error(plan, 0.5, 0.6) if plan.stochastic else end_error(plan, law, x, end)

    found = {}
    for name, build in _BUILDERS.items():
        order = measured_order(lambda n, build=build: build(grid(n)), error, [40, 80])  # type: ignore[misc]
        found[name] = abs(order.slope - build(grid(9)).order)
    return found


def _point_mass_error(plan: Plan) -> float:
    """The greatest error of mean and standard deviation for data at one point, in units of x."""
    got, want = point_mass(plan, 1.5), exact_moments(plan, 1.5, 0.0)
    size = 1 + want.variance.sqrt()
    errors = (got.mean - want.mean) / size, (got.variance.sqrt() - want.variance.sqrt()) / size
    return max(float(e.abs().max()) for e in errors)


def _scales(law: GaussianMixture, seed: int, n: int = 2000) -> tuple[Row, ...]:
    """Of every objective the k that makes its loss least for k times the true score: 1 within its standard error."""
    noise = 0.5

    def times(k: float, sigma: float) -> StaticScore:
        return lambda x: k * law.score(x, Level(1.0, sigma))

    def many(k: float) -> Model:
        def model(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
            eps = k * law(x, level).eps
            at = level.like(x)
            return Estimate((x - at.sigma * eps) / at.alpha, eps)

        return model

    x = law.sample(n, seed)
    losses: dict[str, Callable[[float], Tensor]] = {
        "explicit": lambda k: objectives.explicit(times(k, 0.0), x, times(1.0, 0.0)),
        "implicit": lambda k: objectives.implicit(times(k, 0.0), x),
        "sliced": lambda k: objectives.sliced(times(k, 0.0), x, seed=seed),
        "finite difference": lambda k: objectives.finite_difference_sliced(times(k, 0.0), x, seed=seed),
        "denoising": lambda k: objectives.denoising(times(k, noise), x, noise, seed=seed),
        "multi-level": lambda k: objectives.multilevel(many(k), x, levels.LogNormal(), seed=seed),
    }
    rows = []
    for name, loss in losses.items():
        k, error = _least(loss)
        bound = 4 * error + 1e-3
        rows.append(Row(f"scale, {name}", abs(k - 1), bound, "the loss is least at the true score, not at k times it"))
    return tuple(rows)


def _least(loss: Callable[[float], Tensor]) -> tuple[float, float]:
    """Where the mean of a loss `(n,)` that is quadratic in k is least, with its standard error."""
    zero, one, two = (loss(k).double() for k in (0.0, 1.0, 2.0))
    a = (two - 2 * one + zero) / 2
    b = one - zero - a
    k = float(-b.sum() / (2 * a.sum()))
    spread = (b + 2 * k * a) / (2 * a.mean())
    return k, float(spread.std()) / math.sqrt(len(a))


def _streams(seed: int) -> Row:
    whole = normal(50, (3,), seed, "check")
    parts = torch.cat([normal(20, (3,), seed, "check"), normal(30, (3,), seed, "check", first=20)])
    difference = float((whole - parts).abs().max())
    return Row("random streams", difference, 0.0, "the noise of sample i does not depend on its batch")
