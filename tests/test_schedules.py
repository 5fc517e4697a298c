"""The laws of every schedule, and the published formulas of those that have them."""

import math

import pytest
import torch

from scorefield import schedules
from scorefield.numerics.random import normal
from tables import F64, SCHEDULES

WITH_DRIFT = {name: (0.9 if name in ("RectifiedFlow", "Cosine", "angle") else 1.0) for name in SCHEDULES}
"""The fraction of each schedule's time up to which the drift is well below 1 / dt."""


def times(schedule, start=0.02, end=0.98, n=23):
    return schedule.t_min + (schedule.t_max - schedule.t_min) * torch.linspace(start, end, n, dtype=F64)


# --------------------------------------------------------------------------------------------- published formulas


def beta(schedule, t):
    return schedule.beta_min + t * (schedule.beta_max - schedule.beta_min)


def integral(schedule, t):
    return schedule.beta_min * t + t**2 * (schedule.beta_max - schedule.beta_min) / 2


PUBLISHED = {  # f and g^2: Song and others 2021, eq. 30, 32, 29; Karras and others 2022; Lipman and others 2023
    "VE": (lambda s, t: 0 * t, lambda s, t: s(t).sigma ** 2 * 2 * math.log(s.sigma_max / s.sigma_min)),
    "VP": (lambda s, t: -beta(s, t) / 2, beta),
    "SubVP": (lambda s, t: -beta(s, t) / 2, lambda s, t: beta(s, t) * -torch.expm1(-2 * integral(s, t))),
    "EDM": (lambda s, t: 0 * t, lambda s, t: 2 * t),
    "RectifiedFlow": (lambda s, t: -1 / (1 - t), lambda s, t: 2 * t / (1 - t)),
    "angle": (
        lambda s, t: -math.pi / 2 * torch.tan(math.pi / 2 * t),
        lambda s, t: math.pi * torch.tan(math.pi / 2 * t),
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_drift_and_diffusion_are_the_published_ones(name):
    schedule, (f, g2) = SCHEDULES[name], PUBLISHED[name]
    t = times(schedule)
    assert torch.allclose(schedule.drift(t), f(schedule, t), rtol=1e-9, atol=1e-12)
    assert torch.allclose(schedule.diffusion_squared(t), g2(schedule, t), rtol=1e-9, atol=1e-12)
    assert torch.allclose(schedule.diffusion(t), g2(schedule, t).sqrt(), rtol=1e-9, atol=1e-12)


def test_the_cosine_schedule_is_the_published_one():
    t = times(SCHEDULES["Cosine"])
    f = torch.cos((t + 0.008) / 1.008 * math.pi / 2) ** 2
    level = SCHEDULES["Cosine"](t)
    assert torch.allclose(level.alpha**2, f / math.cos(0.008 / 1.008 * math.pi / 2) ** 2)
    assert torch.allclose(level.alpha**2 + level.sigma**2, torch.ones_like(t))


@pytest.mark.parametrize("steps", [10, 1000])
def test_an_index_of_a_beta_table_sits_at_one_more(steps):
    schedule = schedules.Betas(schedules.linear_betas(steps))
    betas = torch.tensor(schedule.betas, dtype=F64)
    alpha = torch.cumprod(1 - betas, 0).sqrt()
    for i in (0, 1, steps // 2, steps - 1):
        level = schedule(schedule.time(i))
        assert schedule.time(i) == (i + 1) / steps
        assert float(level.alpha) == pytest.approx(float(alpha[i]), rel=1e-12)
        assert float(level.sigma) == pytest.approx(float((1 - alpha[i] ** 2).sqrt()), rel=1e-9)
    assert tuple(schedule(0.0)) == (1.0, 0.0)


# ------------------------------------------------------------------------------------------------------------- laws


@pytest.mark.parametrize("name", SCHEDULES)
def test_rates_are_derivatives(name):
    schedule = SCHEDULES[name]
    t = times(schedule) + 1e-4  # off the kinks of the beta tables
    h = 1e-6 * schedule.t_max
    for k in (0, 1):
        difference = (schedule(t + h)[k] - schedule(t - h)[k]) / (2 * h)
        assert torch.allclose(schedule.rates(t)[k], difference, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_noise_grows_with_time(name):
    level = SCHEDULES[name](times(SCHEDULES[name], 0, 1, 1001))
    assert (level.ratio[:-1].diff() > 0).all() and level.ratio[-1] > level.ratio[-2]
    assert (level.alpha >= 0).all() and (level.sigma >= 0).all()
    assert torch.allclose(level.log_ratio[1:-1], level.ratio[1:-1].log())


ALPHA_BAR = math.prod(1 - beta for beta in schedules.linear_betas())
ENDS = {  # sigma / alpha at the first time, alpha and sigma at the last
    "VE": (0.01, 1.0, 50.0),
    "VP": (0.0, math.exp(-10.05 / 2), math.sqrt(-math.expm1(-10.05))),
    "SubVP": (0.0, math.exp(-10.05 / 2), -math.expm1(-10.05)),
    "Cosine": (0.0, 0.0, 1.0),
    "angle": (0.0, 0.0, 1.0),
    "EDM": (0.0, 1.0, 80.0),
    "RectifiedFlow": (0.0, 0.0, 1.0),
    "Betas": (0.0, ALPHA_BAR**0.5, (1 - ALPHA_BAR) ** 0.5),
    "Custom": (0.0, math.cos(1.5), math.sin(1.5)),
}


@pytest.mark.parametrize("name", ENDS)
def test_ends(name):
    schedule = SCHEDULES[name]
    ratio, alpha, sigma = ENDS[name]
    first, last = schedule(schedule.t_min), schedule(schedule.t_max)
    assert float(first.alpha) == 1.0
    assert float(first.ratio) == ratio
    assert float(last.alpha) == pytest.approx(alpha, rel=1e-6, abs=1e-15)
    assert float(last.sigma) == pytest.approx(sigma, rel=1e-9)


@pytest.mark.parametrize("name", SCHEDULES)
def test_times_of_ratios_round_trip(name):
    schedule = SCHEDULES[name]
    for ratio in (0.02, 0.3, 1.0, 5.0):
        if ratio <= float(schedule(schedule.t_max).ratio):
            assert float(schedule(schedule.t_at(ratio)).ratio) == pytest.approx(ratio, rel=1e-9)
    with pytest.raises(ValueError, match="asked for"):
        schedule.t_at(-1.0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_float32_keeps_its_digits_at_both_ends(name):
    schedule = SCHEDULES[name]
    near = torch.tensor([1e-6, 1e-5, 1e-4, 1e-3, 0.1, 0.5, 0.9, 0.999, 1 - 1e-5], dtype=torch.float32)
    t = (schedule.t_min + (schedule.t_max - schedule.t_min) * near).float()
    single, double = schedule(t), schedule(t.double())
    for a, b in zip(single, double, strict=True):
        assert a.dtype == torch.float32
        # exp of up to -17 (VE's two ends) multiplies the rounding of its argument by as much
        assert torch.allclose(a.double(), b, rtol=2e-6, atol=0)


@pytest.mark.parametrize("name", SCHEDULES)
def test_times_may_have_any_shape(name):
    schedule = SCHEDULES[name]
    t = times(schedule, n=6)
    assert schedule(t.reshape(2, 3)).sigma.shape == (2, 3)
    assert schedule(float(t[3])).sigma.dtype == F64
    assert torch.equal(torch.stack([schedule(float(s)).sigma for s in t]), schedule(t).sigma)
    with pytest.raises(ValueError, match="defined for times"):
        schedule(schedule.t_max * 1.1)


# ----------------------------------------------------------------------------------------------------- the forward SDE


START = 1e-3  # just above clean data


def carried(schedule, steps, end):
    """How far mean (from 1) and variance of Euler-Maruyama's chain, carried exactly, end from the schedule's."""
    t = times(schedule, START, end, steps + 1)
    dt = float(t[1] - t[0])
    first = schedule(float(t[0]))
    mean, variance = float(first.alpha), float(first.sigma) ** 2
    for f, g2 in zip(schedule.drift(t[:-1]).tolist(), schedule.diffusion_squared(t[:-1]).tolist(), strict=True):
        mean, variance = (1 + f * dt) * mean, (1 + f * dt) ** 2 * variance + g2 * dt
    last = schedule(float(t[-1]))
    return abs(mean - float(last.alpha)), abs(variance - float(last.sigma) ** 2)


@pytest.mark.parametrize("name", [name for name in SCHEDULES if name != "Betas, 10"])  # large jumps in its rates
def test_the_forward_process_has_the_schedules_marginals_to_order_one(name):
    schedule, end = SCHEDULES[name], WITH_DRIFT[name]
    coarse, fine = (carried(schedule, steps, end) for steps in (2000, 4000))
    for a, b in zip(coarse, fine, strict=True):
        assert b < 1e-12 or math.log2(a / b) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("name", ["SubVP", "VP", "angle", "Betas"])
def test_diffusion_on_clean_data(name):
    schedule = SCHEDULES[name]
    first = {"VP": 0.1, "SubVP": 0.0, "angle": 0.0, "Betas": -1000 * math.log1p(-1e-4)}[name]
    assert float(schedule.diffusion_squared(0.0)) == pytest.approx(first, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_simulated_forward_process(name):
    schedule, end, steps, n = SCHEDULES[name], WITH_DRIFT[name], 300, 8000
    x0 = torch.where(torch.arange(n) % 2 == 0, 2.0, -1.0).double()
    t = times(schedule, START, end, steps + 1)
    dt = float(t[1] - t[0])
    first = schedule(t[0])
    x = first.alpha * x0 + first.sigma * normal(n, (), 1, "start", dtype=F64)
    for k, (f, g) in enumerate(zip(schedule.drift(t[:-1]), schedule.diffusion(t[:-1]), strict=True)):
        x = x + f * x * dt + g * math.sqrt(dt) * normal(n, (), 1, "step", row=k, dtype=F64)
    last = schedule(t[-1])
    bias_mean, bias_variance = carried(schedule, steps, end)
    for value in (2.0, -1.0):
        at = x[x0 == value]
        error = float(last.sigma) / math.sqrt(len(at))
        assert abs(float(at.mean() - last.alpha * value)) < 5 * error + 1.1 * abs(value) * bias_mean
        variance = float(last.sigma) ** 2
        assert abs(float(at.var()) - variance) < 5 * variance * math.sqrt(2 / len(at)) + 1.2 * bias_variance


# ----------------------------------------------------------------------------------------------------------- errors


def test_errors_speak():
    with pytest.raises(ValueError, match="positive"):
        schedules.VE(sigma_min=0.0)
    with pytest.raises(ValueError, match="sigma_min < sigma_max"):
        schedules.VE(sigma_min=1.0, sigma_max=0.5)
    with pytest.raises(ValueError, match="Betas"):
        schedules.Betas((0.1, 1.0))
    with pytest.raises(ValueError, match="drift is infinite"):
        schedules.RectifiedFlow().drift(1.0)
    with pytest.raises(ValueError, match="outside the table"):
        schedules.Betas((0.1, 0.2)).time(2)
    with pytest.raises(ValueError, match="start < end"):
        schedules.Custom(lambda t: (1 - t, t), start=1.0, end=0.5)
