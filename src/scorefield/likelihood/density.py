"""The log-density of points under a model, with error bars."""

from __future__ import annotations

import difflib
import math
from dataclasses import dataclass, fields

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real
from scorefield.core import Level, Model, check_level, check_model
from scorefield.likelihood.flow import Flow
from scorefield.likelihood.reference import Moment, Reference
from scorefield.likelihood.student import student_quantile
from scorefield.likelihood.traces import DIVERGENCES, Divergence, Tracer
from scorefield.numerics.ode import integrate, integrate_on

_BATCH = 1 << 18  # numbers in the state of one solve, by default
_FIRST_STEP = 0.02  # of u: noise of 2 % of the data's spread; less from a little noise on: networks vary in log sigma
_WARP = 0.7  # fixed steps are even in u ** 0.7: closer to the data, where scales are unknown


@dataclass(frozen=True, eq=False)
class LogDensity:
    """Log-densities in nats, float64, and how sure they are.

    Args:
        value: `(n,)`.
        standard_error: `(n,)`, of the random divergence: 0 where it is exact, NaN for a single probe.
        interval: `(n, 2)`, Student's t interval at 95 % around value for the random divergence alone.
        solver_error: `(n,)`, an estimate of the ODE solver's error, in nats: the sum over steps of the difference of a
            fourth- and a fifth-order result, errors of the state weighted by the score. No bound: at a tolerance of
            1e-5 it is mostly above the error, for networks about as large; at 1e-3 it can be several times too small.
        evaluations: `(n,)`, int64: states evaluated. Each is one forward pass, and the divergence's
            backward passes on it: d for the exact one, otherwise about as many as probes.
    """

    value: Tensor
    standard_error: Tensor
    interval: Tensor
    solver_error: Tensor
    evaluations: Tensor

    def __repr__(self) -> str:
        if not len(self.value):
            return "LogDensity(0 points)"
        return (
            f"LogDensity({len(self.value)} points, mean {float(self.value.mean()):.4f} nats, standard error up to "
            f"{float(self.standard_error.max()):.1e}, solver error up to {float(self.solver_error.max()):.1e}, "
            f"{float(self.evaluations.double().mean()):.0f} evaluations)"
        )


@torch.no_grad()
def log_density(
    model: Model,
    x: Tensor,
    *,
    divergence: Divergence = "exact",
    probes: int = 16,
    tolerance: float = 1e-5,
    evaluations: int | None = None,
    level: Level | None = None,
    sigma_min: float | None = None,
    sigma_max: float | None = None,
    mean: Moment | None = None,
    covariance: Moment | None = None,
    condition: Tensor | int | None = None,
    seed: int = 0,
    first: int = 0,
    chunk: int | None = None,
    batch: int | None = None,
) -> LogDensity:
    """`log p(x)` in nats by the probability-flow ODE (Chen and others 2018; Song and others 2021), without gradients.

    The ODE is solved from x to noise, in coordinates in which Gaussian data with this mean and covariance stand still,
    and the density there is `N(alpha mean, alpha^2 covariance + sigma^2)`: exact at sigma_max = infinity. A trained
    model has its own range of noise: then the value is the log-density of the data *noised at its sigma_min*, not of
    clean data; to be exact, of the law that its ODE carries from the Gaussian at sigma_max to there. Everything is
    computed in float64 but the model's own arithmetic.

    Args:
        model: any model; `.sigma_min`, `.sigma_max`, `.mean`, `.covariance` or `.sigma_data` are the defaults below.
        x: `(n, *shape)`.
        divergence: 'exact' (d derivatives per state), 'hutchinson', or 'hutch++': less variance at equal cost where
            few directions carry the divergence.
        probes: random directions per point, each fixed through the solve; Hutch++ spends a third of them on its sketch
            and needs 6 or more (from 3 d on it is exact).
        tolerance: error of one step in nats; the result's is about as large, up to several times for narrow laws.
        evaluations: instead of a tolerance: at most this many (>= 7) states, in fixed steps.
        level: of x; default (1, sigma_min). The density is that of the data noised at this level.
        sigma_min: `sigma / alpha` of x; default: the model's, else 0.
        sigma_max: where to stop; default: the model's, else infinity.
        mean: of the data: a number or of x's shape; default: the model's, else 0.
        covariance: of the data: a variance, one per coordinate, or `(d, d)`; default: the model's, else sigma_data^2.
        condition: for the model: one for all, or `(n,)`.
        seed: of the probes; those of point i are a pure function of (seed, first + i).
        first: index of the first point.
        chunk: directions differentiated at a time; default: by memory.
        batch: points solved at a time; default: by memory. A point's result does not depend on its batch.

    Raises:
        ValueError: for options that do not fit, a model whose estimate contradicts x, or one that cannot be integrated
            (naming point and noise level).

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(2), torch.tensor([[4.0, 1.0], [1.0, 1.0]]))
        >>> r = log_density(law, torch.tensor([[1.0, 0.5]]))
        >>> round(float(r.value), 5), int(r.evaluations)
        (-2.55385, 19)
    """
    check_batch("x", x)
    check_real("x", x)
    _check(divergence, probes, tolerance, evaluations, chunk, batch)
    reference = Reference.of(model, x, mean, covariance)
    alpha, low = _entry(level, sigma_min, model)
    high = _given(sigma_max, model, "sigma_max", math.inf)
    if not 0 <= low < high:
        raise ValueError(f"log_density needs 0 <= sigma_min < sigma_max, got {low} and {high}.")
    if low == 0 and not bool((reference.variances > 0).all()):
        raise ValueError("a singular covariance has no density at sigma = 0; give sigma_min > 0 or another covariance.")
    given = None if condition is None else torch.as_tensor(condition, device=x.device)
    check_model(model, x, Level(alpha, alpha * min(max(reference.scale, low), high)), given)
    d = len(reference.mean)
    size = batch or max(1, _BATCH // (d + probes))
    parts = []
    for start in range(0, len(x), size):
        z = x[start : start + size].reshape(-1, d).double() / alpha
        tracer = Tracer.of(divergence, probes, z, seed, first + start, chunk)
        rows = given[start : start + size] if given is not None and given.ndim else given
        flow = Flow(model, reference, tracer, tuple(x.shape[1:]), rows, tolerance)
        parts.append(_solve(flow, z, low, high, evaluations))
    if not parts:
        nothing = x.new_zeros(0, dtype=torch.float64)
        return LogDensity(nothing, nothing, nothing.reshape(0, 2), nothing, nothing.long())
    joined = LogDensity(*(torch.cat([getattr(part, f.name) for part in parts]) for f in fields(LogDensity)))
    shift = -d * math.log(alpha)
    return LogDensity(
        joined.value + shift, joined.standard_error, joined.interval + shift, joined.solver_error, joined.evaluations
    )


def _solve(flow: Flow, z: Tensor, low: float, high: float, evaluations: int | None) -> LogDensity:
    """The log-density of points z `(n, d)` of the level (1, low)."""
    start, end, y0 = flow.time(low), flow.time(high), flow.start(z, low)
    if evaluations is None:
        d = z.shape[1]
        first = min(_FIRST_STEP, max(2 * start, 1e-3)) if start else _FIRST_STEP
        loose = 0.1 * math.sqrt(flow.tolerance)  # of w: what remains of second order is below the tolerance
        atol = torch.cat([torch.full((d,), loose), torch.full((flow.tracer.count,), 1e30)]).to(y0)  # measured in nats
        solution = integrate(flow, y0, start, end, rtol=loose, atol=atol, first_step=first, measure=flow.measure)
    else:
        even = torch.linspace(start**_WARP, end**_WARP, (evaluations - 1) // 6 + 1, dtype=torch.float64)
        grid = even ** (1 / _WARP)
        grid[0], grid[-1] = start, end
        solution = integrate_on(flow, y0, grid, flow.measure)
    estimates = flow.log_densities(solution.y, low)
    value, m = estimates.mean(1), estimates.shape[1]
    if flow.tracer.divergence == "exact":
        deviation, width = torch.zeros_like(value), 0.0
    elif m == 1:
        deviation, width = torch.full_like(value, math.nan), math.nan
    else:
        deviation, width = estimates.std(1) / math.sqrt(m), student_quantile(0.975, m - 1)
    interval = torch.stack([value - width * deviation, value + width * deviation], 1)
    return LogDensity(value, deviation, interval, solution.measured * flow.tolerance, solution.evaluations)


def _entry(level: Level | None, sigma_min: float | None, model: Model) -> tuple[float, float]:
    """alpha and `sigma / alpha` of the points."""
    if level is None:
        return 1.0, _given(sigma_min, model, "sigma_min", 0.0)
    check_level(level)
    alpha, sigma = float(level.alpha), float(level.sigma)
    if sigma_min is not None:
        raise ValueError("give the level of x or sigma_min, not both.")
    if alpha == 0:
        raise ValueError(f"the level of x must have alpha > 0, got ({alpha:g}, {sigma:g}): pure noise.")
    return alpha, sigma / alpha


def _given(value: float | None, model: Model, name: str, default: float) -> float:
    return float(getattr(model, name, default) if value is None else value)


def _check(
    divergence: str, probes: int, tolerance: float, evaluations: int | None, chunk: int | None, batch: int | None
) -> None:
    if divergence not in DIVERGENCES:
        near = difflib.get_close_matches(str(divergence), DIVERGENCES, n=1) or ["exact"]
        raise ValueError(f"divergence must be one of {', '.join(DIVERGENCES)}, got {divergence!r}; try {near[0]!r}.")
    least = {"probes": 6 if divergence == "hutch++" else 1, "evaluations": 7, "chunk": 1, "batch": 1}
    for (name, low), value in zip(least.items(), (probes, evaluations, chunk, batch), strict=True):
        if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < low):
            raise ValueError(f"{name} must be an integer >= {low}, got {value!r}.")
    if not 1e-12 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be finite and >= 1e-12 nats, got {tolerance}.")
