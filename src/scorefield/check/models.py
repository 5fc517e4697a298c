"""The laws that any model can be held to, with data that it has not seen."""

from __future__ import annotations

import copy
import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield import plans
from scorefield._tensor import check_batch, sum_rest
from scorefield.check.exact import difference
from scorefield.check.report import Row
from scorefield.core import Level, Model
from scorefield.denoiser import Energy
from scorefield.numerics.random import noise_like, normal
from scorefield.plans import Plan, run


class Scales(NamedTuple):
    """A model's range of noise and its data's standard deviation."""

    low: float
    high: float
    data: float


def of_model(
    model: Model,
    held: Tensor | None,
    *,
    condition: Tensor | None = None,
    plan: Plan | None = None,
    shape: tuple[int, ...] | None = None,
    seed: int = 0,
) -> tuple[Row, ...]:
    """The laws that any model can be held to.

    Args:
        model: any, of data with mean about 0; its `sigma_min`, `sigma_max` and `sigma_data` are taken where it has
            them (else 0.002, 80 and 1).
        held: data `(n, *shape)` that it has not seen; None: laws that need none.
        condition: of these records, `(n, ...)`.
        plan: the sampler whose step error is measured; default: `plans.default(18)`.
        shape: of one record, where held is None and the model has no codec.
        seed: of all noise.

    Example:
        >>> from scorefield.check.exact import mixture
        >>> law = mixture()
        >>> all(row.passed for row in of_model(law, law.sample(500, seed=1)))
        True
    """
    defaults = {"sigma_min": 0.002, "sigma_max": 80.0, "sigma_data": 1.0}
    scales = Scales(*(float(getattr(model, name, value)) for name, value in defaults.items()))
    with torch.no_grad():
        x = _samples_of(model, scales, shape, seed) if held is None else held
        check_batch("held", x)
        rows = [identity(model, x, condition, scales, seed)]
        if isinstance(model, Energy):
            rows.append(_potential(model, x, condition, scales, seed))
        if held is not None:
            rows += _calibration(model, x, condition, scales, seed)
        if rows[0].passed:  # `run` refuses a model that contradicts itself
            rows.append(step_error(model, x, condition, plan, scales, seed))
    return tuple(rows)


def _samples_of(model: Model, scales: Scales, shape: tuple[int, ...] | None, seed: int) -> Tensor:
    """Samples of the model itself, where no data are at hand."""
    if shape is None:
        raise ValueError("of_model needs held-out data, or the shape of one record; give held=... or shape=...")
    plan = plans.default(18, scales.data, scales.low, scales.high, math.prod(shape))
    return run(plan, model, plan.start(32, shape, seed, std=scales.data, dtype=_dtype(model)))


def _dtype(model: Model) -> torch.dtype:
    if isinstance(model, torch.nn.Module):
        return next((p.dtype for p in model.parameters()), torch.float32)
    return torch.float32


def identity(model: Model, held: Tensor, condition: Tensor | None, scales: Scales, seed: int) -> Row:
    """`alpha x0 + sigma eps = x` over the whole range, in units of x and of the rounding of its dtype."""
    x0, given = held[:64], None if condition is None else condition[:64]
    worst = 0.0
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        ratio = scales.low ** (1 - share) * scales.high**share
        angle = math.atan(ratio)
        level = Level(math.cos(angle), math.cos(angle) * ratio)
        x = level.noised(x0, noise_like(x0, seed, "check identity"))
        off = (model(x, level, given).at(level) - x).abs().max() / x.abs().max()
        worst = max(worst, float(off))
    bound = 64 * torch.finfo(held.dtype).eps
    return Row("model: estimate identity", worst, bound, "alpha x0 + sigma eps = x over the range of noise")


def _potential(model: Energy, held: Tensor, condition: Tensor | None, scales: Scales, seed: int) -> Row:
    """The score against finite differences of the energy, in float64."""
    wide = copy.deepcopy(model).double()
    x0, given = held[:32].double(), None if condition is None else condition[:32]
    worst = 0.0
    for sigma in (max(0.05 * scales.data, scales.low), scales.data):
        level = Level(1.0, sigma)
        x = level.noised(x0, noise_like(x0, seed, "check density"))
        score = wide(x, level, given).score(level)
        slopes = difference(lambda z, at=level: -wide.energy(z, at, given), x, 1e-3 * sigma)  # type: ignore[misc]
        worst = max(worst, float((slopes - score).abs().max() / score.abs().max()))
    return Row("model: score and density", worst, 1e-6, "score = finite differences of -energy")


class _Fit(NamedTuple):
    """Of held-out target on prediction: the slope through 0, its standard error; and the residual."""

    slope: float
    error: float
    residual: Tensor


def _calibration(model: Model, held: Tensor, condition: Tensor | None, scales: Scales, seed: int) -> list[Row]:
    """`E[target | prediction] = prediction` at five levels, and a residual below that of the best linear guess.

    Below half a standard deviation of noise x0 is nearly x itself, so that eps is what can be wrong. A slope
    below 1 is overfitting (predictions too far from the mean), one above 1 training too short.
    """
    rows, ratios = [], []
    for share in (0.05, 0.2, 0.5, 1.0, 3.0):
        sigma = share * scales.data
        if not scales.low <= sigma <= scales.high:
            continue
        of_noise = share < 0.5
        fit = _regression(model, held, condition, sigma, of_noise, seed)
        what = "eps" if of_noise else "x0"
        text = f"slope of true {what} on the predicted one is 1: off by {fit.slope - 1:+.3f} +- {fit.error:.3f}"
        rows.append(Row(f"model: calibration at {share:g} std", abs(fit.slope - 1), 0.1 + 4 * fit.error, text))
        guess = scales.data**2 / (sigma**2 + scales.data**2) * (1.0 if of_noise else sigma**2)
        each = fit.residual / guess
        ratios.append((float(each.mean()), float(each.std()) / math.sqrt(len(each))))
    if ratios:
        mean, error = max(ratios)
        text = "unexplained variance over that of the best linear guess; worst level"
        rows.append(Row("model: residual", mean, 1.01 + 4 * error, text))
    return rows


def _regression(model: Model, held: Tensor, condition: Tensor | None, sigma: float, of_noise: bool, seed: int) -> _Fit:
    """Of target on prediction at one level, the errors of one record's noisings taken together."""
    count = max(512, min(8192, 65536 // held[0].numel()))
    n, rounds = min(len(held), count), max(1, count // len(held))
    x0, given = held[:n], None if condition is None else condition[:n]
    level = Level(1.0, sigma)
    cross, square, rest = (torch.zeros(n, dtype=torch.float64) for _ in range(3))
    for row in range(rounds):
        noise = normal(n, x0.shape[1:], seed, "check calibration", row=row, dtype=x0.dtype).to(x0.device)
        estimate = model(level.noised(x0, noise), level, given)
        target, predicted = (noise, estimate.eps) if of_noise else (x0, estimate.x0)
        target, predicted = target.double().cpu(), predicted.double().cpu()
        cross += sum_rest(target * predicted)
        square += sum_rest(predicted * predicted)
        rest += sum_rest((target - predicted) ** 2)
    slope = float(cross.sum() / square.sum())
    error = math.sqrt(float(((cross - slope * square) ** 2).sum())) / float(square.sum())
    return _Fit(slope, error, rest / (rounds * x0[0].numel()))


def step_error(
    model: Model, held: Tensor, condition: Tensor | None, plan: Plan | None, scales: Scales, seed: int
) -> Row:
    """The median error of a plan's end points against a fine plan's, from the same starts."""
    dimensions = held[0].numel()
    plan = plan or plans.default(18, scales.data, scales.low, scales.high, dimensions)
    if plan.stochastic:
        plan = plans.default(plan.evaluations, scales.data, scales.low, scales.high, dimensions)
    fine = plans.default(150, scales.data, scales.low, float(plan.levels.ratio[0]))
    n = min(48, len(held))
    x = plan.start(n, held.shape[1:], seed, std=scales.data, dtype=held.dtype, device=held.device)
    given = None if condition is None else condition[:n]
    got, want = (run(p, model, x, condition=given) for p in (plan, fine))
    each = ((got - want) ** 2).flatten(1).mean(1).sqrt() / scales.data
    text = f"{plan.name} against 150 evaluations, median over the data's std; RMS {float((each**2).mean().sqrt()):.1e}"
    return Row("model: step error", float(each.median()), 0.05, text)
