"""Adaptive solution of ordinary differential equations: Dormand and Prince's 5(4) pair, each sample with its own steps.

A sample's steps follow from its own error alone, and a sample that has arrived leaves the batch: its answer does not
depend on its neighbours, and easy samples do not pay for hard ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real, expand, sum_rest


class Derivative(Protocol):
    """`dy/dt` at times t `(m,)` (float64) and states y `(m, *shape)`; index `(m,)`: which samples these are."""

    def __call__(self, t: Tensor, y: Tensor, index: Tensor, /) -> Tensor: ...


class Measure(Protocol):
    """What a step's error does to the quantity that the solution is for, `(m,)`, in units of its tolerance.

    Given where the step ended: times t `(m,)`, states y, slopes `dy/dt` there, and the error `(m, *shape)`.
    """

    def __call__(self, t: Tensor, y: Tensor, slope: Tensor, error: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class OdeSolution:
    """Where the samples arrived, and what it took.

    Args:
        y: `(n, *shape)`.
        error: `(n, *shape)`: the sum of the estimated local errors' sizes. It counts the error of the fourth-order
            result while the fifth-order one is kept, and does not follow how the equation itself lets errors grow.
        evaluations: `(n,)`, int64: evaluations of the derivative for each sample.
        steps: `(n,)`, int64: accepted steps.
        rejected: `(n,)`, int64: steps that were taken again, smaller.
        measured: `(n,)`: the sum over the accepted steps of `measure`; 0 without one.
    """

    y: Tensor
    error: Tensor
    evaluations: Tensor
    steps: Tensor
    rejected: Tensor
    measured: Tensor

    @property
    def error_estimate(self) -> Tensor:
        """The Euclidean norm of each sample's `error`, `(n,)`."""
        return sum_rest(self.error**2).sqrt()

    def __repr__(self) -> str:
        n, *shape = self.y.shape
        if not n:
            return f"OdeSolution(0 samples of shape {tuple(shape)})"
        return (
            f"OdeSolution({n} samples of shape {tuple(shape)}, evaluations {int(self.evaluations.min())} to "
            f"{int(self.evaluations.max())}, error estimate up to {float(self.error_estimate.max()):.1e})"
        )


@torch.no_grad()
def integrate(
    f: Derivative,
    y0: Tensor,
    t0: float | Tensor,
    t1: float | Tensor,
    *,
    rtol: float | Tensor = 1e-5,
    atol: float | Tensor = 1e-8,
    max_evaluations: int = 10_000,
    first_step: float | None = None,
    measure: Measure | None = None,
) -> OdeSolution:
    """Solve `dy/dt = f(t, y)` from t0 to t1 for every sample, without gradients.

    A step is accepted when the root mean square over coordinates of `error / (atol + rtol * max(|y|, |y_new|))` is at
    most 1; a proportional-integral controller sets the next (Dormand and Prince 1980; Hairer, Norsett and Wanner 1993,
    sections II.4 and IV.2). A step costs 6 evaluations: its last stage is the next one's first.

    Args:
        f: the derivative, `(t, y, index) -> (m, *shape)`, acting on each sample by itself.
        y0: `(n, *shape)`.
        t0: start; a number or `(n,)`.
        t1: end, before or after t0; a number or `(n,)`.
        rtol: relative tolerance; a number, or a tensor of y0's `shape` for one per coordinate.
        atol: absolute tolerance, in units of y; as rtol.
        max_evaluations: per sample.
        first_step: the first step to try, > 0; default: chosen from the derivative at the start, for one evaluation.
        measure: a second condition on every step: it must be at most 1, too.

    Raises:
        ValueError: for tolerances that y0's dtype does not resolve; when the derivative is not finite, the step
            vanishes, or a sample takes more than max_evaluations (naming sample and time).

    Example:
        >>> s = integrate(lambda t, y, index: -y, torch.ones(1, 1, dtype=torch.float64), 0.0, 1.0)
        >>> round(float(s.y), 5), int(s.steps)  # exp(-1)
        (0.36788, 5)
    """
    tolerance = _Tolerance(*(_tolerance(name, v, y0) for name, v in (("rtol", rtol), ("atol", atol))))
    state = _start(f, y0, t0, t1, tolerance, first_step)
    y, error, measured = y0.clone(), torch.zeros_like(y0), torch.zeros_like(state.t)
    counts = torch.zeros(3, len(y0), dtype=torch.int64, device=y0.device)
    while True:
        done = state.t == state.end
        if bool(done.any()):
            arrived = state.at(done)
            y[arrived.who], error[arrived.who], measured[arrived.who] = arrived.y, arrived.error, arrived.measured
            counts[:, arrived.who] = torch.stack([arrived.evaluations, arrived.steps, arrived.rejected])
            state = state.at(~done)
        if not len(state.who):
            return OdeSolution(y, error, counts[0], counts[1], counts[2], measured)
        _check_progress(state, max_evaluations)
        state = _advance(f, state, tolerance, measure)


@torch.no_grad()
def integrate_on(f: Derivative, y0: Tensor, grid: Tensor, measure: Measure | None = None) -> OdeSolution:
    """Solve `dy/dt = f(t, y)` by one fifth-order step per interval of a grid of times, the same for every sample.

    Args:
        f: as `integrate`.
        y0: `(n, *shape)`.
        grid: `(k + 1,)`, k >= 1: start, ..., end.
        measure: as `integrate`, but only summed; no step is taken again.

    Example:
        >>> s = integrate_on(lambda t, y, index: -y, torch.ones(1, 1), torch.linspace(0, 1, 3))
        >>> round(float(s.y), 5), int(s.evaluations)
        (0.36789, 13)
    """
    check_batch("y0", y0)
    if grid.ndim != 1 or len(grid) < 2 or not bool(torch.isfinite(grid).all()):
        raise ValueError(f"grid must be finite times of shape (k + 1,) with k >= 1, got {grid}.")
    n, times = len(y0), grid.double().to(y0.device)
    who = torch.arange(n, device=y0.device)
    y, error, measured = y0, torch.zeros_like(y0), torch.zeros(n, dtype=torch.float64, device=y0.device)
    slope = _slope(f, times[0].expand(n), y, who)
    for start, end in pairwise(times):
        y, slope, local = _attempt(f, start.expand(n), y, slope, (end - start).expand(n), who)
        error = error + local.abs()
        if measure is not None:
            measured = measured + measure(end.expand(n), y, slope, local)
    counts = [torch.full((n,), value, device=y0.device) for value in (1 + len(_A) * (len(grid) - 1), len(grid) - 1, 0)]
    return OdeSolution(y, error, counts[0], counts[1], counts[2], measured)


# ----------------------------------------------------------------------------------------------------------- steps

# Dormand and Prince (1980), table 2. The last row of A is the fifth-order result: its slope starts the next step.
_C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_FOURTH = (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40)
_ERROR = tuple(a - b for a, b in zip((*_A[-1], 0.0), _FOURTH, strict=True))

_SAFETY, _LEAST, _MOST = 0.9, 0.2, 10.0
_BETA = 0.04  # weight of the previous step's error (Hairer, Norsett and Wanner 1993)


class _Tolerance(NamedTuple):
    rtol: Tensor
    atol: Tensor

    def norm(self, v: Tensor, *states: Tensor) -> Tensor:
        """The root mean square of v `(m, *shape)` in units of the tolerance at these states, `(m,)`, float64."""
        size = states[0].abs()
        for other in states[1:]:
            size = torch.maximum(size, other.abs())
        scaled = v / (self.atol + self.rtol * size)
        return (sum_rest(scaled.double() ** 2) / max(1, scaled[0].numel())).sqrt()


class _State(NamedTuple):
    """The samples on their way; everything has them first. Times are float64."""

    who: Tensor
    t: Tensor
    end: Tensor
    y: Tensor
    slope: Tensor  # dy/dt at (t, y)
    h: Tensor  # the next step, signed
    last: Tensor  # the error of the last accepted step, in units of the tolerance
    failed: Tensor  # whether the last step was rejected
    error: Tensor
    evaluations: Tensor
    steps: Tensor
    rejected: Tensor
    measured: Tensor

    def at(self, mask: Tensor) -> _State:
        return _State(*(v[mask] for v in self))


def _start(
    f: Derivative,
    y0: Tensor,
    t0: float | Tensor,
    t1: float | Tensor,
    tolerance: _Tolerance,
    first_step: float | None,
) -> _State:
    """The first slopes and steps."""
    n = len(y0)
    t, end = (_time(name, v, y0) for name, v in (("t0", t0), ("t1", t1)))
    zero = torch.zeros(n, dtype=torch.int64, device=y0.device)
    who, moving = torch.arange(n, device=y0.device), t != end
    state = _State(
        who, t, end, y0, torch.zeros_like(y0), end - t, torch.full_like(t, 1e-4), zero.bool(), torch.zeros_like(y0),
        zero, zero, zero, torch.zeros_like(t),
    )  # fmt: skip
    if not bool(moving.any()):
        return state
    go = state.at(moving)
    slope = _slope(f, go.t, go.y, go.who)
    bad = ~torch.isfinite(slope.reshape(len(slope), -1)).all(1)
    if bool(bad.any()):
        k = int(bad.nonzero()[0, 0])
        raise ValueError(
            f"the derivative of sample {int(go.who[k])} is not finite at its start, t = {float(go.t[k]):g}."
        )
    first, full = state.slope.clone(), state.h.clone()
    first[moving] = slope
    if first_step is None:
        full[moving] = _first_step(f, go, slope, tolerance)
    else:
        full[moving] = go.h.sign() * go.h.abs().clamp(max=_positive("first_step", first_step))
    return state._replace(slope=first, h=full, evaluations=(2 if first_step is None else 1) * moving.long())


def _first_step(f: Derivative, go: _State, slope: Tensor, tolerance: _Tolerance) -> Tensor:
    """By how the derivative changes over a trial step (Hairer, Norsett and Wanner 1993, section II.4)."""
    size, speed = tolerance.norm(go.y, go.y), tolerance.norm(slope, go.y)
    length = go.h.abs()
    h = torch.where((size < 1e-5) | (speed < 1e-5), 1e-6 * length, 0.01 * size / speed).minimum(length)
    signed = h * go.h.sign()
    ahead = _slope(f, go.t + signed, go.y + expand(signed, go.y) * slope, go.who)
    bend = torch.maximum(speed, tolerance.norm(ahead - slope, go.y) / h)
    second = torch.where(bend <= 1e-15, torch.maximum(1e-6 * length, 1e-3 * h), (0.01 / bend) ** 0.2)
    h = torch.minimum(100 * h, torch.where(torch.isfinite(second), second, 0.1 * h)).minimum(length)
    return h * go.h.sign()


def _attempt(f: Derivative, t: Tensor, y: Tensor, slope: Tensor, h: Tensor, index: Tensor) -> tuple[Tensor, ...]:
    """One step: the fifth-order result, its slope, and the difference from the fourth-order result."""
    step, slopes = expand(h, y), [slope]
    new = y
    for c, row in zip(_C, _A, strict=True):
        new = y + step * _combine(row, slopes)
        slopes.append(_slope(f, t + c * h, new, index))
    return new, slopes[-1], step * _combine(_ERROR, slopes)


def _advance(f: Derivative, s: _State, tolerance: _Tolerance, measure: Measure | None) -> _State:
    """Try one step of every sample, and choose its next."""
    left = s.end - s.t
    h = torch.where(s.h.abs() < left.abs(), s.h, left)
    y, slope, error = _attempt(f, s.t, s.y, s.slope, h, s.who)
    ratio = tolerance.norm(error, s.y, y)
    measured = torch.zeros_like(ratio) if measure is None else measure(s.t + h, y, slope, error).to(ratio.dtype)
    ratio = torch.where(measured > ratio, measured, ratio)
    finite = torch.isfinite(ratio + measured) & torch.isfinite(slope.reshape(len(slope), -1)).all(1)
    ratio = torch.where(finite, ratio, torch.inf)
    accept = ratio <= 1
    proportional = _SAFETY * ratio.clamp(min=1e-10) ** -(0.2 - 0.75 * _BETA)
    grow = (proportional * s.last**_BETA).clamp(_LEAST, _MOST)
    grow = torch.where(s.failed, grow.clamp(max=1.0), grow)  # no larger step right after a rejected one
    factor = torch.where(accept, grow, proportional.clamp(_LEAST, 1.0))
    wide = expand(accept, s.y).bool()
    return s._replace(
        t=torch.where(accept, torch.where(h == left, s.end, s.t + h), s.t),
        y=torch.where(wide, y, s.y),
        slope=torch.where(wide, slope, s.slope),
        h=h * factor,
        last=torch.where(accept, ratio.clamp(min=1e-4), s.last),
        failed=~accept,
        error=torch.where(wide, s.error + error.abs(), s.error),
        evaluations=s.evaluations + len(_A),
        steps=s.steps + accept,
        rejected=s.rejected + ~accept,
        measured=torch.where(accept, s.measured + measured, s.measured),
    )


def _combine(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    total = weights[0] * slopes[0]
    for w, k in zip(weights[1:], slopes[1:], strict=True):
        if w:
            total = total + w * k
    return total


def _slope(f: Derivative, t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    k = f(t, y, index)
    if k.shape != y.shape:
        raise ValueError(f"the derivative must have the state's shape {tuple(y.shape)}, got {tuple(k.shape)}.")
    return k.to(y.dtype)


# ---------------------------------------------------------------------------------------------------------- checks


def _check_progress(s: _State, max_evaluations: int) -> None:
    """Raise when a sample has used up its evaluations, or its step is lost in the rounding of t."""
    spent = s.evaluations + len(_A) > max_evaluations
    lost = s.h.abs() <= 4 * torch.finfo(torch.float64).eps * torch.maximum(s.t.abs(), s.end.abs())
    if not bool((spent | lost).any()):
        return
    k = int((spent | lost).nonzero()[0, 0])
    where = f"sample {int(s.who[k])} at t = {float(s.t[k]):g} on its way to {float(s.end[k]):g}"
    if bool(lost[k]):
        raise ValueError(f"the step of {where} has vanished: the derivative is not finite or not continuous there.")
    raise ValueError(
        f"{where} would need more than max_evaluations = {max_evaluations}; loosen rtol and atol, or allow more."
    )


def _tolerance(name: str, value: float | Tensor, y0: Tensor) -> Tensor:
    check_batch("y0", y0)
    check_real("y0", y0)
    tolerance = torch.as_tensor(value, dtype=y0.dtype, device=y0.device)
    if tolerance.ndim and tolerance.shape != y0.shape[1:]:
        raise ValueError(
            f"{name} must be a number or of one sample's shape {tuple(y0.shape[1:])}, got {tuple(tolerance.shape)}."
        )
    least = 10 * torch.finfo(y0.dtype).eps if name == "rtol" else torch.finfo(y0.dtype).tiny
    if not bool(((tolerance >= least) & torch.isfinite(tolerance)).all()):
        raise ValueError(
            f"{name} must be finite and >= {least:.1e} for states of {y0.dtype}, got {value}"
            + ("; use float64 states." if name == "rtol" and y0.dtype != torch.float64 else ".")
        )
    return tolerance


def _positive(name: str, value: float) -> float:
    if not 0 < value < float("inf"):
        raise ValueError(f"{name} must be positive and finite, got {value}.")
    return value


def _time(name: str, value: float | Tensor, y0: Tensor) -> Tensor:
    t = torch.as_tensor(value, dtype=torch.float64, device=y0.device)
    if t.ndim > 1 or (t.ndim and t.shape != y0.shape[:1]) or not bool(torch.isfinite(t).all()):
        raise ValueError(f"{name} must be a finite number or tensor of shape ({len(y0)},), got {value}.")
    return t.expand(len(y0)).clone()
