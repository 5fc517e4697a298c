"""Laws of adapters: an exact law, said in the convention of another library, comes back as its exact estimate."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import levels, plans, run
from scorefield.core import Level, check_estimate
from scorefield.denoiser import ANGLE, DATA, NOISE, Target
from scorefield.interop import Adapted, BetaTimes, FlowTimes, from_edm, from_eps, from_flow
from scorefield.schedules import Betas, linear_betas
from scorefield.times import Between, cumulative, evenly
from tables import F64, doubles, mixture_2d

LAW = mixture_2d()


def cosine(n: int) -> Tensor:
    """The table of Nichol and Dhariwal (2021), betas cut at 0.999."""
    t = torch.arange(n + 1, dtype=F64) / n
    power = ((t + 0.008) / 1.008 * math.pi / 2).cos() ** 2
    return (1 - power[1:] / power[:-1]).clamp(max=0.999)


def rescaled(betas: Tensor) -> Tensor:
    """alphas_cumprod with zero terminal SNR, by the algorithm of Lin and others (2023)."""
    alpha = cumulative(betas).sqrt()
    return ((alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])) ** 2


LINEAR = doubles(linear_betas())
TABLES: dict[str, Tensor] = {
    "linear": cumulative(LINEAR),
    "scaled linear": cumulative(torch.linspace(0.00085**0.5, 0.012**0.5, 1000, dtype=F64) ** 2),
    "cosine": cumulative(cosine(1000)),
    "cosine, 20": cumulative(cosine(20)),
    "zero terminal SNR": rescaled(LINEAR),
}
PREDICTIONS: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {  # as their papers write them
    "eps": lambda x0, eps, alpha, sigma: eps,
    "sample": lambda x0, eps, alpha, sigma: x0,
    "v": lambda x0, eps, alpha, sigma: alpha * eps - sigma * x0,
}
TARGETS: dict[str, Target] = {"eps": NOISE, "sample": DATA, "v": ANGLE}


def column(v: Tensor) -> Tensor:
    return v[:, None]


def on_table(table: Tensor, prediction: str) -> Callable[[Tensor, Tensor], Tensor]:
    """The exact law as a network of (x, t) on a table, which reads fractions of t by numpy's own interpolation."""
    powers, places = table.numpy(), np.arange(len(table))

    def network(x: Tensor, t: Tensor) -> Tensor:
        finite = powers > 0
        power = np.exp(np.interp(t.numpy(), places[finite], np.log(powers[finite])))
        if not finite.all():
            last = len(table) - 2
            power = np.where(t > last, powers[last] * (last + 1 - t.numpy()) ** 2, power)
        alpha, sigma = torch.from_numpy(power).sqrt(), torch.from_numpy(1 - power).sqrt()
        return PREDICTIONS[prediction](*LAW(x, Level(alpha, sigma)), column(alpha), column(sigma))

    return network


def by_flow(x: Tensor, t: Tensor) -> Tensor:
    x0, eps = LAW(x, Level(1 - t / 1000, t / 1000))
    return eps - x0


def by_denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    return LAW(x, Level(torch.ones_like(sigma), sigma)).x0


def by_f(x: Tensor, t: Tensor, sd: float = 0.7) -> Tensor:
    """`D = c_skip x + c_out F(c_in x, c_noise)` solved for F."""
    sigma = column((4 * t).exp())
    r = (sigma**2 + sd**2).sqrt()
    return (by_denoiser(x * r, sigma[:, 0]) - sd**2 / r**2 * (x * r)) / (sigma * sd / r)


@dataclass(frozen=True)
class Case:
    """An adapted exact law, and how its rounding grows with sigma / alpha = r, in the data and in the noise."""

    model: Adapted
    data: Callable[[float], float] = lambda r: 1.0
    noise: Callable[[float], float] = lambda r: 1.0


GROWTH = {"eps": (lambda r: 1 + r, lambda r: 1.0), "sample": (lambda r: 1.0, lambda r: 1 + 1 / r)}
CASES: dict[str, Case] = {
    f"{table}, {prediction}": Case(
        from_eps(on_table(powers, prediction), prediction=TARGETS[prediction], alphas_cumprod=powers),
        *GROWTH.get(prediction, ()),
    )
    for table, powers in TABLES.items()
    for prediction in PREDICTIONS
} | {
    "flow": Case(from_flow(by_flow, factor=1000.0)),
    "D(x, sigma)": Case(from_edm(by_denoiser), noise=lambda r: 1 + 1 / r),
    "F": Case(from_edm(by_f, 0.7, raw=True), data=lambda r: 1 + 1 / r, noise=lambda r: 1 + 1 / r),  # of by_f itself
}


def ratios(model: Adapted) -> Tensor:
    """Levels inside a model's range, its ends included, on entries of tables and between them."""
    low, high = max(model.sigma_min, 1e-3), min(model.sigma_max, 100.0)
    inside = torch.linspace(math.log(low), math.log(high), 23, dtype=F64).exp()
    return torch.cat([doubles([model.sigma_min]), inside[1:-1], doubles([model.sigma_max])])


def level_of(ratio: float) -> Level:
    """On no path that a network knows: alpha^2 + sigma^2 = 4, say."""
    angle = math.atan(ratio)
    return Level(2 * math.cos(angle), 2 * math.sin(angle)) if ratio < math.inf else Level(0.0, 2.0)


@pytest.mark.parametrize("name", CASES)
def test_the_exact_law_comes_back(name: str) -> None:
    case = CASES[name]
    for ratio in ratios(case.model).tolist():
        level = level_of(ratio)
        x = LAW.sample(16, 0, level).double()
        got, exact = case.model(x, level), LAW(x, level)
        # a table's fraction of t is read to 1e-12 of its own step, an F and a D to the rounding of their inverse
        for value, expected, growth in zip(got, exact, (case.data, case.noise), strict=True):
            torch.testing.assert_close(value, expected, rtol=0, atol=1e-11 * growth(ratio) * float(x.abs().max() + 1))


@pytest.mark.parametrize("name", CASES)
def test_levels_of_each_sample_are_its_own(name: str) -> None:
    model = CASES[name].model
    each = [level_of(r) for r in ratios(model).tolist()]
    level = Level(*(doubles([float(v) for v in part]) for part in zip(*each, strict=True)))
    x = LAW.sample(len(each), 1, level).double()
    together = model(x, level)
    for i, one in enumerate(each):
        for whole, alone in zip(together, model(x[i : i + 1], one), strict=True):
            torch.testing.assert_close(whole[i], alone[0], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_the_pair_gives_x_in_its_dtype(name: str, dtype: torch.dtype) -> None:
    model = CASES[name].model
    as_double = Adapted(lambda x, t: model.network(x.double(), t.double()).to(x.dtype), model.convention)
    for ratio in ratios(model).tolist():
        x = torch.ones(2, 2, dtype=dtype)
        estimate = as_double(x, level_of(ratio))
        assert estimate.x0.dtype == estimate.eps.dtype == dtype
        check_estimate(as_double, x, level_of(ratio), estimate)


@pytest.mark.parametrize("table", TABLES)
def test_times_invert_levels(table: str) -> None:
    times = BetaTimes(TABLES[table])
    t = torch.cat([torch.arange(len(times), dtype=F64), torch.linspace(0, len(times) - 1, 1501, dtype=F64)])
    level = times.level(t)
    torch.testing.assert_close(level.alpha**2 + level.sigma**2, torch.ones_like(t), rtol=1e-14, atol=0)
    # log alpha^2 near 0 is known to a rounding of its table's numbers: 1e-16 over the least step, 4e-5
    torch.testing.assert_close(times.time(level), t, rtol=0, atol=1e-10)
    torch.testing.assert_close(level.alpha[: len(times)] ** 2, times.alphas_cumprod, rtol=1e-15, atol=0)


def test_even_steps_are_in_the_networks_own_time() -> None:
    times = BetaTimes(TABLES["zero terminal SNR"])
    grid = evenly(times, 5)
    assert grid.alpha[0] == 0 and grid.sigma[-1] == 0 and len(grid) == 6
    told = times.time(Level(grid.alpha[:-1], grid.sigma[:-1]))
    torch.testing.assert_close(told, torch.linspace(999, 0, 6, dtype=F64)[:5], rtol=1e-12, atol=1e-9)
    inside = evenly(times, 5, sigma_min=0.1, sigma_max=10.0)
    assert float(inside.ratio[0]) == pytest.approx(10) and float(inside.ratio[-2]) > 0.1
    whole = evenly(BetaTimes(TABLES["cosine, 20"], between="refuse"), 7)
    assert BetaTimes(TABLES["cosine, 20"], between="refuse").time(Level(whole.alpha[:-1], whole.sigma[:-1]))[0] == 19
    for call, said in (
        (lambda: evenly(times, 0), "whole number n >= 1"),
        (lambda: evenly(BetaTimes(TABLES["cosine, 20"], between="nearest"), 30), "take fewer"),
    ):
        with pytest.raises(ValueError, match=said):
            call()


def test_between_entries_a_table_is_read_as_the_schedule_of_betas() -> None:
    schedule, times = Betas(), BetaTimes(TABLES["linear"], factor=1e-3, offset=1e-3)
    t = torch.linspace(1e-3, 1, 777, dtype=F64)
    for got, expected in zip(times.level(t), schedule(t), strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-11, atol=0)
    torch.testing.assert_close(times.time(schedule(t)), t, rtol=1e-10, atol=0)


@pytest.mark.parametrize(("between", "told"), [("interpolate", 2.5), ("nearest", 2), ("refuse", None)])
def test_a_level_between_two_entries(between: Between, told: float | None) -> None:
    heard: list[Tensor] = []
    model = from_eps(lambda x, t: heard.append(t) or x, LINEAR, between=between)
    path = BetaTimes(cumulative(LINEAR))
    x = torch.ones(3, 2, dtype=F64)
    if told is None:
        with pytest.raises(ValueError, match=r"lies at 2\.5; step on the table's levels"):
            model(x, path.level(2.5))
    else:
        model(x, path.level(2.5))
        assert heard[0].shape == (3,) and heard[0][0] == pytest.approx(told, abs=1e-9)
    model(x, Level(*(v.float().expand(3) for v in path.level(7))))  # levels of float32 are entries still
    assert heard[-1].is_floating_point() == (between == "interpolate") and float(heard[-1][0]) == pytest.approx(
        7, abs=1e-3
    )


def test_a_time_may_be_scaled() -> None:
    heard: list[Tensor] = []
    model = from_eps(lambda x, t: heard.append(t) or x, LINEAR, factor=0.001, offset=0.001)
    model(torch.ones(1, 2), BetaTimes(cumulative(LINEAR)).level(499))
    assert heard[0].dtype == torch.float32 and float(heard[0][0]) == pytest.approx(0.5, abs=1e-6)


def test_eps_leaves_out_the_end_where_it_says_nothing() -> None:
    powers = TABLES["zero terminal SNR"]
    eps, v = (from_eps(lambda x, t: x, prediction=p, alphas_cumprod=powers) for p in (NOISE, ANGLE))
    assert v.sigma_max == math.inf and eps.sigma_max == pytest.approx(float(((1 - powers[-2]) / powers[-2]).sqrt()))
    with pytest.raises(ValueError, match="choose levels inside its range"):
        eps(torch.ones(1, 2), Level(0.0, 1.0))


def test_a_condition_is_the_third_argument() -> None:
    model = from_flow(lambda x, t, c=None: x * (0 if c is None else c[:, None]))
    x, level = torch.ones(2, 3), Level(0.5, 0.5)
    assert model(x, level).eps.tolist() == [[1.0] * 3] * 2
    assert model(x, level, torch.tensor([0.0, 2.0])).eps.tolist() == [[1.0] * 3, [2.0] * 3]


def test_plans_run_on_an_adapted_law_as_on_the_law() -> None:
    model = CASES["linear, v"].model
    plan = plans.heun(levels.karras(9, sigma_max=model.sigma_max, sigma_min=model.sigma_min))
    x = plan.start(8, (2,), seed=0, dtype=F64)
    torch.testing.assert_close(run(plan, model, x), run(plan, LAW, x), rtol=1e-8, atol=1e-8)
    with pytest.raises(ValueError, match="the plan asks for sigma / alpha"):
        run(plans.ddim(levels.karras(9, sigma_max=1e4)), model, x)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "no table": (lambda: from_eps(by_flow), "either betas or alphas_cumprod"),
    "two tables": (lambda: from_eps(by_flow, LINEAR, alphas_cumprod=LINEAR), "either betas or alphas_cumprod"),
    "betas as cumprod": (lambda: from_eps(by_flow, alphas_cumprod=LINEAR), "must fall"),
    "cumprod as betas": (lambda: from_eps(by_flow, TABLES["zero terminal SNR"]), "betas are two numbers or more"),
    "NaN": (lambda: from_eps(by_flow, [0.1, math.nan]), "betas are two numbers or more"),
    "texts": (lambda: from_eps(by_flow, ["a", "b"]), "as numbers"),
    "one beta": (lambda: from_eps(by_flow, [0.1]), "two numbers or more"),
    "a name": (lambda: from_eps(by_flow, LINEAR, "epsilon"), "a Target of scorefield.denoiser"),
    "between": (lambda: from_eps(by_flow, LINEAR, between="floor"), "'interpolate', 'refuse' or 'nearest'"),
    "x0 at sigma = 0": (lambda: from_flow(by_flow, DATA), "nothing of the noise at sigma = 0"),
    "eps of a flow": (lambda: from_flow(by_flow, NOISE), "nothing of the data at alpha = 0"),
    "no sigmas": (lambda: from_edm(by_denoiser, sigma_min=0.0), "0 < sigma_min < sigma_max"),
    "sigma_data": (lambda: from_edm(by_denoiser, 0.0, raw=True), "sigma_data must be positive"),
    "no network": (lambda: from_flow(None), "a network is a callable"),
    "high": (lambda: FlowTimes(high=2.0), "0 <= low < high <= 1"),
    "an index": (lambda: BetaTimes(TABLES["linear"]).level(1000), "indices 0 to 999"),
    "shape": (lambda: from_flow(lambda x, t: x[:, :1])(torch.ones(2, 2), Level(0.5, 0.5)), "a tensor of x's shape"),
    "an output object": (lambda: from_flow(lambda x, t: (x,))(torch.ones(2, 2), Level(0.5, 0.5)), "got tuple"),
    "below": (lambda: CASES["linear, v"].model(torch.ones(1, 2), Level(1.0, 1e-4)), "inside its range"),
    "above": (lambda: CASES["linear, v"].model(torch.ones(1, 2), Level(0.0, 1.0)), "inside its range"),
    "a level of NaN": (lambda: CASES["flow"].model(torch.ones(1, 2), Level(math.nan, 1.0)), "finite"),
    "integers": (lambda: CASES["flow"].model(torch.ones(1, 2).long(), Level(0.5, 0.5)), "floating-point"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    call, said = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=said):
        call()


def test_an_adapted_network_has_derivatives() -> None:
    x, level = LAW.sample(4, 0, Level(0.5, 0.8)).double(), Level(0.5, 0.8)
    got = torch.func.jvp(lambda z: CASES["flow"].model(z, level).x0, (x,), (torch.ones_like(x),))
    exact = torch.func.jvp(lambda z: LAW(z, level).x0, (x,), (torch.ones_like(x),))
    torch.testing.assert_close(got, exact, rtol=1e-8, atol=1e-8)
