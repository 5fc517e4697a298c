"""Laws of the adaptive solver: exact solutions, the declared order, samples that do not see each other."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield.numerics.ode import _attempt, integrate
from scorefield.numerics.random import normal

DTYPE = torch.float64
MATRIX = torch.tensor([[-0.3, 2.0], [-2.0, -0.1]], dtype=DTYPE)


def _each(t: Tensor, y: Tensor) -> Tensor:
    return t.reshape(-1, *[1] * (y.ndim - 1)).to(y.dtype)


PROBLEMS = {  # name: derivative, exact solution at t from y0 at 0
    "decay": (lambda t, y, _: -y, lambda t, y0: y0 * torch.exp(-_each(t, y0))),
    "growth": (lambda t, y, _: y, lambda t, y0: y0 * torch.exp(_each(t, y0))),
    "logistic": (
        lambda t, y, _: y * (1 - y),
        lambda t, y0: y0 * torch.exp(_each(t, y0)) / (1 + y0 * (torch.exp(_each(t, y0)) - 1)),
    ),
    "time alone": (lambda t, y, _: torch.cos(3 * _each(t, y)) + 0 * y, lambda t, y0: y0 + (3 * _each(t, y0)).sin() / 3),
    "linear": (
        lambda t, y, _: y @ MATRIX.T,
        lambda t, y0: torch.stack([torch.linalg.matrix_exp(MATRIX * s) @ v for s, v in zip(t, y0, strict=True)]),
    ),
    "rest": (lambda t, y, _: 0 * y, lambda t, y0: y0),
}


def _start(n: int = 7) -> Tensor:
    return 0.2 + normal(n, (2,), 0, "y0", dtype=DTYPE).abs()


@pytest.mark.parametrize("name", PROBLEMS)
@pytest.mark.parametrize("rtol", [1e-3, 1e-6, 1e-10])
def test_exact_solutions_are_met_to_tolerance(name, rtol):
    f, exact = PROBLEMS[name]
    y0, end = _start(), torch.linspace(0.1, 3.0, 7, dtype=DTYPE)
    solution = integrate(f, y0, 0.0, end, rtol=rtol, atol=rtol * 1e-2)
    truth = exact(end, y0)
    assert float(((solution.y - truth).abs() / (1 + truth.abs())).max()) < 20 * rtol
    back = integrate(f, solution.y, end, 0.0, rtol=rtol, atol=rtol * 1e-2)
    assert float((back.y - y0).abs().max()) < 20 * rtol * math.exp(3)


@pytest.mark.parametrize("name", ["logistic", "linear", "growth"])
def test_a_step_has_order_five_and_its_error_estimate_order_four(name):
    f, exact = PROBLEMS[name]
    y0, index = _start(1), torch.zeros(1, dtype=torch.int64)
    errors, estimates, counts = [], [], [8, 16, 32]
    for count in counts:
        y, h, total = y0, torch.tensor([1.6 / count], dtype=DTYPE), 0.0
        for k in range(count):
            t = k * h
            y, _, error = _attempt(f, t, y, f(t, y, index), h, index)
            total += float(error.abs().max())
        errors.append(float((y - exact(count * h, y0)).abs().max()))
        estimates.append(total)
    assert all(math.log2(a / b) == pytest.approx(5, abs=0.35) for a, b in pairwise(errors))
    assert all(math.log2(a / b) == pytest.approx(4, abs=0.35) for a, b in pairwise(estimates))


def test_tolerance_buys_accuracy_at_the_declared_order():
    """error ~ evaluations^-5: the slope over six decades of tolerance."""
    f, exact = PROBLEMS["linear"]
    y0, end = _start(1), torch.full((1,), 20.0, dtype=DTYPE)
    points = []
    for rtol in (1e-4, 1e-7, 1e-10):
        s = integrate(f, y0, 0.0, end, rtol=rtol, atol=1e-3 * rtol)
        points.append((math.log(int(s.evaluations)), math.log(float((s.y - exact(end, y0)).norm()))))
    slope = (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
    assert slope == pytest.approx(-5, abs=0.5)


def test_as_scipys_on_a_nonlinear_system():
    solve_ivp = pytest.importorskip("scipy.integrate").solve_ivp

    def van_der_pol(t: Tensor, y: Tensor, _: Tensor) -> Tensor:
        return torch.stack([y[:, 1], 4 * (1 - y[:, 0] ** 2) * y[:, 1] - y[:, 0] + 0.3 * t.cos()], 1)

    y0 = _start(3)
    ours = integrate(van_der_pol, y0, 0.0, 8.0, rtol=1e-7, atol=1e-9)
    for i in range(3):

        def f(t: float, y: np.ndarray) -> np.ndarray:
            return np.array([y[1], 4 * (1 - y[0] ** 2) * y[1] - y[0] + 0.3 * np.cos(t)])

        precise = solve_ivp(f, (0, 8), y0[i].numpy(), rtol=1e-12, atol=1e-12, method="DOP853").y[:, -1]
        same = solve_ivp(f, (0, 8), y0[i].numpy(), rtol=1e-7, atol=1e-9, method="RK45")
        theirs = np.abs(same.y[:, -1] - precise).max()
        assert float((ours.y[i] - torch.from_numpy(precise)).abs().max()) < max(5 * theirs, 1e-6)
        assert int(ours.evaluations[i]) < 1.15 * same.nfev


# ------------------------------------------------------------------------------------------- samples by themselves


def _stiffer(t: Tensor, y: Tensor, index: Tensor) -> Tensor:
    """Sample i turns at its own rate."""
    rate = (1 + index.to(y.dtype) ** 2).reshape(-1, *[1] * (y.ndim - 1))
    return rate * torch.sin(rate * _each(t, y)) - y


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 3, 4)])
def test_an_answer_does_not_depend_on_its_neighbours(shape):
    y0 = normal(6, shape, 1, "y0", dtype=DTYPE)
    whole = integrate(_stiffer, y0, 0.0, 2.0)
    for i in range(6):
        one = integrate(lambda t, y, index, i=i: _stiffer(t, y, index + i), y0[i : i + 1], 0.0, 2.0)
        torch.testing.assert_close(one.y[0], whole.y[i], rtol=1e-12, atol=1e-13)
        assert int(one.evaluations) == int(whole.evaluations[i]) and int(one.steps) == int(whole.steps[i])
    assert whole.evaluations.unique().numel() > 3  # each at its own pace


def test_counts_are_true_and_samples_that_arrived_leave_the_batch():
    calls = torch.zeros(6, dtype=torch.int64)

    def counted(t: Tensor, y: Tensor, index: Tensor) -> Tensor:
        calls[index] += 1
        return _stiffer(t, y, index)

    s = integrate(counted, torch.zeros(6, 1, dtype=DTYPE), 0.0, 2.0)
    assert torch.equal(calls, s.evaluations)
    assert torch.equal(s.evaluations, 2 + 6 * (s.steps + s.rejected))
    assert int(calls[0]) < int(calls[-1]) / 4


def test_times_may_differ_and_no_distance_costs_nothing():
    y0 = _start(3)
    f, exact = PROBLEMS["decay"]
    t0, t1 = torch.tensor([0.0, 1.0, 2.0], dtype=DTYPE), torch.tensor([1.0, 1.0, 0.5], dtype=DTYPE)
    s = integrate(f, y0, t0, t1, rtol=1e-8)
    torch.testing.assert_close(s.y, exact(t1 - t0, y0), rtol=1e-7, atol=1e-9)
    assert int(s.evaluations[1]) == 0 and torch.equal(s.y[1], y0[1])
    assert integrate(f, torch.zeros(0, 2), 0.0, 1.0).y.shape == (0, 2)


@pytest.mark.parametrize("rtol", [1e-4, 1e-7])
def test_the_error_estimate_covers_the_error_where_errors_shrink(rtol):
    f, exact = PROBLEMS["decay"]
    y0, end = _start(), torch.full((7,), 4.0, dtype=DTYPE)
    s = integrate(f, y0, 0.0, end, rtol=rtol, atol=rtol)
    assert bool(((s.y - exact(end, y0)).norm(dim=1) <= s.error_estimate).all())
    assert float(s.error_estimate.max()) < 100 * rtol


def test_tolerances_per_coordinate():
    y0 = torch.ones(1, 2, dtype=DTYPE)
    f = lambda t, y, _: torch.stack([-y[:, 0], 100 * (50 * t).cos()], 1)  # noqa: E731
    loose = integrate(f, y0, 0.0, 1.0, atol=torch.tensor([1e-9, 1e6], dtype=DTYPE))
    assert int(loose.evaluations) < int(integrate(f, y0, 0.0, 1.0, atol=1e-9).evaluations) / 4
    assert float(loose.y[0, 0]) == pytest.approx(math.exp(-1), rel=1e-5)


def test_float32_states_see_float64_times():
    seen = []

    def f(t: Tensor, y: Tensor, _: Tensor) -> Tensor:
        seen.append((t.dtype, y.dtype))
        return -y.double()

    s = integrate(f, torch.ones(2, 1), 0.0, 1.0)
    assert set(seen) == {(torch.float64, torch.float32)} and s.y.dtype == torch.float32
    assert float(s.y[0]) == pytest.approx(math.exp(-1), rel=1e-5)


def test_a_kink_is_stepped_over_with_care():
    """A jump in (0.3, 0.8) of a step enters the error estimate with weight 0.003 only, and the error with up to 0.3."""
    f = lambda t, y, _: torch.where(_each(t, y) < 0.37, 1.0, -1.0).to(y.dtype) + 0 * y  # noqa: E731
    s = integrate(f, torch.zeros(1, 1, dtype=DTYPE), 0.0, 1.0)
    tolerance = 0.37e-5
    assert abs(float(s.y) - (0.37 - 0.63)) < tolerance * 0.3 / 0.003 and int(s.rejected) > 0


# ----------------------------------------------------------------------------------------------------------- errors

Y = torch.ones(3, 2, dtype=DTYPE)
DECAY = PROBLEMS["decay"][0]


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (
            lambda: integrate(lambda t, y, i: y / 0, Y, 0.0, 1.0),
            ValueError,
            "sample 0 is not finite at its start, t = 0",
        ),
        (lambda: integrate(lambda t, y, i: y**2, i_th(1, Y), 0.0, 2.0), ValueError, "sample 1 at t = (0.5|0.49)"),
        (
            lambda: integrate(lambda t, y, i: torch.where((_each(t, y) > 0.5), torch.nan, y), Y, 0.0, 1.0),
            ValueError,
            "sample 0 at t = 0.5 .* not finite",
        ),
        (
            lambda: integrate(lambda t, y, i: 1e3 * (1e4 * _each(t, y)).cos() + 0 * y, Y, 0.0, 1.0, max_evaluations=99),
            ValueError,
            "max_evaluations = 99",
        ),
        (lambda: integrate(DECAY, Y.float(), 0.0, 1.0, rtol=1e-8), ValueError, "use float64 states"),
        (lambda: integrate(DECAY, Y, 0.0, 1.0, atol=-1.0), ValueError, "atol"),
        (lambda: integrate(DECAY, Y, 0.0, 1.0, atol=torch.ones(3)), ValueError, "one sample's shape"),
        (lambda: integrate(DECAY, Y, 0.0, math.inf), ValueError, "t1 must be"),
        (lambda: integrate(DECAY, Y, torch.zeros(2), 1.0), ValueError, "t0 must be"),
        (lambda: integrate(DECAY, Y[0], 0.0, 1.0), ValueError, "batch first"),
        (lambda: integrate(DECAY, Y / 0, 0.0, 1.0), ValueError, "finite"),
        (lambda: integrate(lambda t, y, i: y[:, 0], Y, 0.0, 1.0), ValueError, "state's shape"),
    ],
)
def test_errors_speak(call, error, says):
    with pytest.raises(error, match=says):
        call()


def i_th(i: int, y: Tensor) -> Tensor:
    """States of which only the i-th reaches infinity, at t = 0.5, under y' = y^2."""
    start = -torch.ones_like(y)
    start[i] = 2.0
    return start
