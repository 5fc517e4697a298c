"""Laws of plans, over the table of all builders and grids: from the tables alone and with an exact model."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from scorefield import levels, plans, schedules
from scorefield.analytic import GaussianMixture
from scorefield.core import Level, Levels
from scorefield.plans import ANGLE, EPS, FLOW, LOG_X0, VARIABLES, Plan, Variable, laws, run
from scorefield.plans.multistep import _of_data

F64 = torch.float64
Build = Callable[[Levels], Plan]


def grid(n: int, high: float = 80.0, low: float = 0.02) -> Levels:
    """n steps from one level to another, both sigma > 0, for orders."""
    return levels.log_uniform(n + 1, high, low, end=False)


GRIDS: dict[str, Levels] = {
    "karras": levels.karras(9),
    "flow": levels.flow(9),
    "open": grid(9),
    "VP": levels.uniform_time(9, schedules.VP()),
    "DDPM": levels.ddpm(9, schedules.Betas()),
    "rectified flow, from alpha = 0": levels.uniform_time(9, schedules.RectifiedFlow()),
    "cosine, from alpha = 0": levels.uniform_time(9, schedules.Cosine()),
    "one step": levels.given([80.0]),
}
RISING = {name: GRIDS[name].rising() for name in ("karras", "VP", "rectified flow, from alpha = 0")}


@dataclass(frozen=True)
class Method:
    """A builder over a grid, and what it promises."""

    build: Build
    evaluations: Callable[[int], int] = lambda n: n  # of n steps to sigma = 0
    stochastic: bool = False
    consistent: bool = True  # follows a point mass exactly


def double(n: int) -> int:
    return 2 * n - 1


METHODS: dict[str, Method] = {
    "ddim": Method(plans.ddim),
    "ddim, eta 0.5": Method(lambda lv: plans.ddim(lv, 0.5), stochastic=True),
    "ancestral": Method(plans.ancestral, stochastic=True),
    "heun": Method(plans.heun, double),
    "heun, angle": Method(lambda lv: plans.heun(lv, variable=ANGLE), double),
    "heun, churn": Method(lambda lv: plans.heun(lv, churn=3.0), double, stochastic=True),
    "midpoint": Method(plans.midpoint, double),
    "midpoint, log-snr": Method(lambda lv: plans.midpoint(lv, LOG_X0), double),
    "rk4": Method(plans.rk4, lambda n: 4 * n - 3),
    "rk4, eps": Method(lambda lv: plans.rk4(lv, EPS), lambda n: 4 * n - 3),
    "dpmpp1": Method(lambda lv: plans.dpmpp(lv, 1)),
    "dpmpp2": Method(plans.dpmpp),
    "dpmpp3": Method(lambda lv: plans.dpmpp(lv, 3)),
    "dpmpp2, SDE": Method(lambda lv: plans.dpmpp(lv, 2, eta=1.0), stochastic=True),
    "dpmpp3, SDE": Method(lambda lv: plans.dpmpp(lv, 3, eta=0.7), stochastic=True),
    "deis": Method(plans.deis),
    "unipc1": Method(lambda lv: plans.unipc(lv, 1)),
    "unipc3": Method(lambda lv: plans.unipc(lv, 3)),
    "unipc2, angle": Method(lambda lv: plans.unipc(lv, 2, ANGLE)),
    "unipc2, SDE": Method(lambda lv: plans.unipc(lv, 2, eta=0.6), stochastic=True),
    "unipc3, flow, noise high up": Method(
        lambda lv: plans.unipc(lv, 3, FLOW, eta=0.5, noise_above=1.0), stochastic=True
    ),
    "predictor_corrector": Method(plans.predictor_corrector, lambda n: 2 * n, stochastic=True, consistent=False),
    "predictor_corrector, consistent": Method(
        lambda lv: plans.predictor_corrector(lv, 2, consistent=True), lambda n: 3 * n, stochastic=True
    ),
    **{
        f"adams{order}, {v.name}": Method(lambda lv, order=order, v=v: plans.adams(lv, order, v))
        for v in VARIABLES
        for order in (1, 2, 4)
    },
    "adams5, scale 0.3": Method(lambda lv: plans.adams(lv, 5, scale=0.3)),
}
SINGULAR_AT_PURE_NOISE = {"heun", "heun, churn", "midpoint, log-snr", "rk4, eps"}  # one evaluation in that step
STEPPED: dict[str, tuple[Callable[[int], Plan], bool]] = {  # in t, by a schedule; whether a point mass is exact
    "euler, VP": (lambda n: plans.euler(schedules.VP(), n, t_min=0.1, end=False), False),
    "euler, cosine": (lambda n: plans.euler(schedules.Cosine(), n, t_min=0.1, end=False), False),
    "euler, flow": (lambda n: plans.euler(schedules.RectifiedFlow(), n, t_min=0.1, end=False), True),
    "euler_maruyama, VP": (lambda n: plans.euler_maruyama(schedules.VP(), n, t_min=0.1, end=False), False),
    "euler_maruyama, sub-VP": (lambda n: plans.euler_maruyama(schedules.SubVP(), n, t_min=0.2, end=False), False),
}

CASES = [pytest.param(m, GRIDS[g], id=f"{name}: {g}") for name, m in METHODS.items() for g in GRIDS]
RISING_CASES = [
    pytest.param(m, lv, id=f"{name}: {g}")
    for name, m in METHODS.items()
    if not m.stochastic
    for g, lv in RISING.items()
]
ONE_OF_EACH: dict[str, Plan] = {
    **{name: method.build(GRIDS["karras"]) for name, method in METHODS.items()},
    **{name: build(5) for name, (build, _) in STEPPED.items()},
    "euler_maruyama, to 0": plans.euler_maruyama(schedules.VP(), 5),
    "annealed_langevin": plans.annealed_langevin(levels.log_uniform(4, 20.0, 0.1), 3),
    "restart": plans.restart(levels.karras(6), 0.1, 1.0, rounds=2, steps=2),
    "default": plans.default(8),
}
EACH = pytest.mark.parametrize("plan", [pytest.param(plan, id=name) for name, plan in ONE_OF_EACH.items()])


# ----------------------------------------------------------------------------------------------------- point mass


CONSISTENT = [case for case in CASES + RISING_CASES if case.values[0].consistent]
EXACT_SUMS = [case for case in CONSISTENT if not case.values[0].stochastic]


def rounding(plan: Plan) -> float:
    """What float64 leaves: the variables that are singular at an end have large coefficients of both signs."""
    return (
        1e-13
        * (1 + plan.evaluations)
        * (1 + float(plan.P.abs().max()) + float((plan.E / plan.levels.sigma[0]).abs().max()))
    )


@pytest.mark.parametrize(("method", "lv"), CONSISTENT)
def test_a_point_mass_is_followed_exactly(method: Method, lv: Levels) -> None:
    plan = method.build(lv)
    got, want = laws.point_mass(plan, 1.5), laws.exact_moments(plan, 1.5, 0.0)
    size = want.variance.sqrt()
    assert float(((got.mean - want.mean) / (1 + size)).abs().max()) < rounding(plan)  # stages within a step too
    assert float(((got.variance.sqrt() - size) / (1 + size)).abs().max()) < rounding(plan)


@pytest.mark.parametrize(("method", "lv"), EXACT_SUMS)
def test_rows_sum_to_their_level(method: Method, lv: Levels) -> None:
    plan = method.build(lv)
    alpha, sigma = plan.levels.alpha[1:], plan.levels.sigma[1:]
    assert float((plan.P.sum(1) - alpha).abs().max()) < rounding(plan)
    assert float(((plan.E.sum(1) - sigma) / (1 + sigma)).abs().max()) < rounding(plan)


@pytest.mark.parametrize(("build", "exact"), STEPPED.values(), ids=STEPPED)
def test_steps_in_t_follow_a_point_mass_to_their_order(build: Callable[[int], Plan], exact: bool) -> None:
    if exact:
        assert laws.marginal_error(build(20), 1.5, 0.0) < 1e-12
    else:
        order = laws.measured_order(build, lambda plan: laws.marginal_error(plan, 0.5, 0.0), [50, 100, 200])
        assert order.slope == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("steps", [20, 40])
def test_annealed_langevin_reaches_each_level_with_its_known_bias(steps: int) -> None:
    step = 0.2
    plan = plans.annealed_langevin(levels.log_uniform(3, 4.0, 1.0), steps_per_level=steps, step=step)
    got = laws.point_mass(plan, 0.0)
    left = (1 - step / 2) ** (2 * steps)  # what is left of the excess with which the chain came
    for i, sigma in enumerate((4.0, 2.0, 1.0)):
        end = got.variance[(i + 1) * steps] if i < 2 else got.variance[-2]
        rest = sigma**2 / (1 - step / 4)
        came = got.variance[i * steps] - rest
        assert float(end) == pytest.approx(float(rest + left * came), rel=1e-10)


# ---------------------------------------------------------------------------------------------------------- order

# far up the start-up of multistep plans costs nothing: its error goes with (data's std / sigma)^2
DETERMINISTIC = {
    name: m for name, m in METHODS.items() if not m.stochastic and "scale" not in name and name != "adams1, x0"
} | {f"adams5, {v.name}": Method(lambda lv, v=v: plans.adams(lv, 5, v)) for v in (ANGLE, FLOW)}
HIGH, LOW = 3000.0, 0.1


@pytest.fixture(scope="module")
def flow_map() -> tuple[GaussianMixture, Tensor, Tensor]:
    """A smooth mixture, starts, and where the probability flow takes them, to 1e-10."""
    means = torch.tensor([[-0.8, 0.2], [0.6, -0.4]], dtype=F64)
    covariances = torch.tensor([[[0.5, 0.1], [0.1, 0.3]], [[0.3, -0.1], [-0.1, 0.6]]], dtype=F64)
    model = GaussianMixture(torch.tensor([0.4, 0.6], dtype=F64), means, covariances)
    fine = plans.rk4(levels.log_uniform(301, HIGH, LOW, end=False))
    x = fine.start(16, (2,), seed=0, std=1.0, dtype=F64)
    return model, x, run(fine, model, x)


@pytest.mark.parametrize("name", DETERMINISTIC)
def test_the_declared_order_is_the_measured_order(name: str, flow_map: tuple[GaussianMixture, Tensor, Tensor]) -> None:
    model, x, end = flow_map
    method = DETERMINISTIC[name]

    def build(n: int) -> Plan:
        return method.build(grid(n, HIGH, LOW))

    order = laws.measured_order(build, lambda plan: laws.end_error(plan, model, x, end), [50, 100])
    declared = build(50).order
    assert order.slope == pytest.approx(declared, abs=0.25 + 0.1 * declared), order


STOCHASTIC = {
    **{name: m.build for name, m in METHODS.items() if m.stochastic and m.consistent and "corrector" not in name},
    "restart": lambda lv: plans.restart(lv, 0.1, 1.0, steps=len(lv) // 2),
    "ddim": plans.ddim,
    "heun": plans.heun,
    "dpmpp2": plans.dpmpp,
    "adams3": lambda lv: plans.adams(lv, 3),
}


@pytest.mark.parametrize("name", STOCHASTIC)
def test_the_marginal_on_a_gaussian_converges_at_the_declared_order(name: str) -> None:
    variance = torch.tensor([0.2, 1.0, 2.0], dtype=F64)
    order = laws.measured_order(
        lambda n: STOCHASTIC[name](grid(n)), lambda plan: laws.marginal_error(plan, 0.5, variance), [80, 160]
    )
    assert order.slope == pytest.approx(STOCHASTIC[name](grid(4)).order, abs=0.2), order


@pytest.mark.parametrize("build", [b for b, _ in STEPPED.values()], ids=STEPPED)
def test_steps_in_t_converge_on_a_gaussian(build: Callable[[int], Plan]) -> None:
    order = laws.measured_order(build, lambda plan: laws.marginal_error(plan, 0.5, 0.6), [50, 100, 200])
    assert order.slope == pytest.approx(1, abs=0.15), order


@pytest.mark.parametrize("n", [25, 100])
def test_laws_agree_with_simulation(n: int) -> None:
    plan = plans.ancestral(levels.karras(n))
    model = GaussianMixture(torch.ones(1, dtype=F64), torch.zeros(1, 1, dtype=F64), torch.ones(1, 1, 1, dtype=F64))
    count = 40_000
    x = run(plan, model, plan.start(count, (1,), seed=1, std=1.0, dtype=F64), seed=2)
    variance = float(laws.gaussian_moments(plan).variance[-1])
    assert float(x.var()) == pytest.approx(variance, abs=4 * variance * math.sqrt(2 / count))


# ----------------------------------------------------------------------------------------- agreement with textbooks


def same_tables(one: Plan, two: Plan, tolerance: float = 1e-12) -> None:
    assert one.levels == two.levels
    for name in ("P", "E", "c"):
        got, want = getattr(one, name), getattr(two, name)
        assert float((got - want).abs().max()) <= tolerance * (1 + float(want.abs().max())), name


@pytest.mark.parametrize("variable", [*VARIABLES, *(_of_data(v) for v in VARIABLES)], ids=repr)
def test_rates_are_the_derivatives_of_points(variable: Variable) -> None:
    u = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    want = torch.func.jvp(variable.point, (u,), (torch.ones_like(u),))[1]
    torch.testing.assert_close(torch.stack(variable.rate(u)), torch.stack(want), rtol=1e-13, atol=1e-14)


@pytest.mark.parametrize("lv", GRIDS.values(), ids=GRIDS)
def test_methods_of_order_one_are_ddim(lv: Levels) -> None:
    want = plans.ddim(lv)
    for variable in VARIABLES:
        same_tables(plans.adams(lv, 1, variable), want)
    same_tables(plans.dpmpp(lv, 1), want)
    same_tables(plans.adams(lv, 1, scale=3.0), want)
    same_tables(plans.ddim(lv, eta=1.0), plans.ancestral(lv))
    same_tables(plans.dpmpp(lv, 1, eta=1.0), plans.ancestral(lv))


def denoise(model: GaussianMixture, x: Tensor, sigma: float) -> Tensor:
    return model(x, Level(1.0, sigma)).x0


def test_heun_is_the_textbook_loop_with_churn(flow_map: tuple[GaussianMixture, Tensor, Tensor]) -> None:
    from scorefield.numerics.random import normal

    model = flow_map[0]
    n, churn = 8, 2.0
    t = levels.karras(n).sigma.tolist()
    plan = plans.heun(levels.karras(n), churn=churn, churn_min=0.01, churn_max=50.0)
    gamma = churn / n
    assert plan.evaluations == 2 * n - 1
    x = plan.start(5, (2,), seed=0, dtype=F64)
    got = run(plan, model, x, seed=3)
    row = 0
    for i in range(n):
        hat = t[i]
        if 0.01 <= t[i] <= 50.0:
            hat = t[i] * (1 + gamma)
            x = x + math.sqrt(hat**2 - t[i] ** 2) * normal(5, (2,), 3, "plan", row=row - 1, dtype=F64)
        slope = (x - denoise(model, x, hat)) / hat
        new = x + (t[i + 1] - hat) * slope
        row += 1
        if t[i + 1]:
            second = (new - denoise(model, new, t[i + 1])) / t[i + 1]
            new = x + (t[i + 1] - hat) * (slope + second) / 2
            row += 1
        x = new
    assert float((got - x).abs().max()) < 1e-11 * float(plan.levels.sigma.max())


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_dpmpp_2m_is_the_textbook_loop(eta: float, flow_map: tuple[GaussianMixture, Tensor, Tensor]) -> None:
    from scorefield.numerics.random import normal

    model = flow_map[0]
    lv = levels.karras(8)
    plan = plans.dpmpp(lv, 2, eta=eta)
    x = plan.start(5, (2,), seed=0, dtype=F64)
    got = run(plan, model, x, seed=3)
    s, old, h_last = lv.sigma.tolist(), None, 0.0
    for k in range(8):
        D = denoise(model, x, s[k])
        if s[k + 1] == 0:
            x = D
            break
        h = math.log(s[k] / s[k + 1])
        x = s[k + 1] / s[k] * math.exp(-eta * h) * x - math.expm1(-h * (1 + eta)) * D
        if old is not None:
            x = x - 0.5 * math.expm1(-h * (1 + eta)) * (h / h_last) * (D - old)
        if eta:
            x = x + s[k + 1] * math.sqrt(-math.expm1(-2 * eta * h)) * normal(5, (2,), 3, "plan", row=k, dtype=F64)
        old, h_last = D, h
    assert float((got - x).abs().max()) < 1e-11


def test_adams_on_straight_lines_is_adams_and_bashforth() -> None:
    """With equal steps in u the weights are those of every book: 55, -59, 37, -9 over 24."""
    lv = levels.uniform_time(8, schedules.RectifiedFlow())
    plan = plans.adams(lv, 4, FLOW)
    weights = plan.P[6].clone()
    weights[6] -= lv.alpha[6]
    h = float(lv.sigma[7] - lv.sigma[6])
    book = -h * torch.tensor([-9.0, 37.0, -59.0, 55.0], dtype=F64) / 24
    assert float((weights[3:7] - book).abs().max()) < 1e-13


def test_unipc_corrects_by_adams_and_moulton() -> None:
    """With equal steps in u: the state that is never evaluated is built by 5, 8, -1 over 12."""
    lv = levels.uniform_time(8, schedules.RectifiedFlow())
    plan = plans.unipc(lv, 2, FLOW)
    h = float(lv.sigma[5] - lv.sigma[4])
    predictor = torch.tensor([-0.5, 1.5], dtype=F64)
    corrector = torch.tensor([-1.0, 8.0, 5.0], dtype=F64) / 12
    want = torch.zeros(8, dtype=F64)
    want[2:5] += corrector
    want[2:4] -= predictor
    want[3:5] += predictor
    want *= -h
    want[4] += lv.alpha[4]
    assert float((plan.P[4] - want).abs().max()) < 1e-13


def test_a_variable_does_not_know_the_scale_of_a_schedule() -> None:
    """Levels times a constant give the same estimates, so the same end point: only sigma / alpha counts."""
    lv = levels.karras(7)
    for build in (plans.heun, plans.adams, plans.midpoint, plans.unipc, plans.dpmpp, plans.ancestral):
        one, two = build(lv), build(Levels(lv.alpha * 0.3, lv.sigma * 0.3))
        assert float((one.P[-1] * 0.3 - two.P[-1]).abs().max()) < 1e-12, one


# ------------------------------------------------------------------------------------------------------- the type


@EACH
def test_json_brings_every_bit_back(plan: Plan) -> None:
    again = Plan.from_json(plan.to_json())
    assert again == plan and repr(again) == repr(plan)


@EACH
def test_a_plan_can_be_shown(plan: Plan) -> None:
    lines = plan.table().splitlines()
    assert len(lines) == plan.evaluations + 3
    assert "eps_0" in lines[2] or "x0_0" in lines[2]


@pytest.mark.parametrize(("name", "lv"), [(n, g) for n in METHODS for g in GRIDS])
def test_evaluations_are_as_documented(name: str, lv: str) -> None:
    plan, method, levels_ = METHODS[name].build(GRIDS[lv]), METHODS[name], GRIDS[lv]
    n = len(levels_) - 1
    if lv == "open" or ("alpha = 0" in lv and name in SINGULAR_AT_PURE_NOISE):
        assert n <= plan.evaluations <= 4 * n
    else:
        assert plan.evaluations == method.evaluations(n)
    assert plan.stochastic == (method.stochastic and (n > 1 or plan.evaluations > n))
    assert plan.levels[plan.evaluations] == levels_[n]


def test_alpha_and_sigma_of_intermediate_levels_follow_the_grid() -> None:
    assert torch.equal(plans.midpoint(GRIDS["karras"]).levels.alpha, torch.ones(18, dtype=F64))
    lv = plans.midpoint(GRIDS["VP"], ANGLE).levels
    assert float((lv.alpha**2 + lv.sigma**2 - 1).abs().max()) < 1e-12


BAD_TEXTS = {
    "cut short": plans.ddim(levels.karras(3)).to_json()[:-20],
    "not JSON": "hello",
    "foreign": '{"a": 1}',
    "a list": "[1, 2]",
    "later version": plans.ddim(levels.karras(3)).to_json().replace('"version": 1', '"version": 99'),
    "a row missing": '{"format": "scorefield.plan", "version": 1, "c": [0.0], "terms": []}',
    "a key missing": '{"format": "scorefield.plan", "version": 1, "c": [0.0], "terms": [[]]}',
    "a later estimate": plans.ddim(levels.karras(2)).to_json().replace("[[0, ", "[[1, "),
    "not a number": plans.ddim(levels.karras(2)).to_json().replace("80.0", '"eighty"'),
}


@pytest.mark.parametrize("text", BAD_TEXTS.values(), ids=BAD_TEXTS)
def test_bad_json_is_refused_in_words(text: str) -> None:
    with pytest.raises(ValueError, match="plan"):
        Plan.from_json(text)


def test_a_plan_refuses_tables_that_do_not_fit() -> None:
    lv = levels.karras(2)
    eye, zero = torch.eye(2), torch.zeros(2)
    for P, E, c, message in (
        (torch.eye(3), eye, zero, "shape"),
        (eye.flip(0), eye, zero, "lower triangular"),
        (eye, eye * math.nan, zero, "finite"),
        (eye, eye, zero - 1, ">= 0"),
    ):
        with pytest.raises(ValueError, match=message):
            Plan(lv, P, E, c)


LV = levels.karras(4)
BAD_CALLS: dict[str, Callable[[], object]] = {
    "a tensor for levels": lambda: plans.ddim(torch.ones(3)),  # type: ignore[arg-type]
    "one level": lambda: plans.ddim(levels.given([1.0], end=False)),
    "sigma = 0 inside": lambda: plans.ddim(Levels(torch.ones(3), torch.tensor([1.0, 0.0, 1.0]))),
    "eta": lambda: plans.ddim(LV, eta=1.5),
    "noise on the way up": lambda: plans.ancestral(LV.rising()),
    "SDE on the way up": lambda: plans.dpmpp(LV.rising(), eta=1.0),
    "order": lambda: plans.adams(LV, order=6),
    "scale": lambda: plans.adams(LV, scale=0.0),
    "churn": lambda: plans.heun(LV, churn=-1.0),
    "churn on the way up": lambda: plans.heun(LV.rising(), churn=1.0),
    "rk4 in the angle": lambda: plans.rk4(LV, ANGLE),
    "restart": lambda: plans.restart(LV, 2.0, 1.0),
    "restart below the level": lambda: plans.restart(levels.given([10.0, 5.0]), 0.1, 1.0),
    "Langevin step": lambda: plans.annealed_langevin(LV, step=3.0),
    "Langevin steps": lambda: plans.annealed_langevin(LV, steps_per_level=0),
    "Langevin at alpha = 0": lambda: plans.annealed_langevin(GRIDS["cosine, from alpha = 0"]),
    "t_min": lambda: plans.euler_maruyama(schedules.VP(), 5, t_min=0.0),
    "steps": lambda: plans.euler(schedules.VP(), 1),
    "drift at alpha = 0": lambda: plans.euler_maruyama(schedules.RectifiedFlow(), 5),
    "evaluations": lambda: plans.default(0),
    "default's scale": lambda: plans.default(5, scale=-1.0),
}


@pytest.mark.parametrize("call", BAD_CALLS.values(), ids=BAD_CALLS)
def test_builders_say_what_is_wrong(call: Callable[[], object]) -> None:
    with pytest.raises((ValueError, TypeError)) as error:
        call()
    assert len(str(error.value)) > 30


def test_a_tail_is_the_rest_of_a_one_step_plan() -> None:
    lv = levels.karras(6)
    same_tables(plans.ancestral(lv).tail(2), plans.ancestral(lv.from_index(2)))
    with pytest.raises(ValueError, match="builder"):
        plans.adams(lv).tail(2)
    with pytest.raises(ValueError, match="from 0 to 5"):
        plans.ddim(lv).tail(6)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 10, 15, 18, 20, 35, 50, 120])
def test_default_has_the_asked_number_of_evaluations_in_the_asked_range(n: int) -> None:
    plan = plans.default(n, scale=2.0, sigma_min=0.01, sigma_max=30.0)
    ratio = plan.levels.ratio
    assert plan.evaluations == n and not plan.stochastic
    assert float(ratio[0]) == pytest.approx(30.0) and float(ratio[-1]) == 0
    assert bool((ratio[:-1] >= 0.01 * (1 - 1e-6)).all()) and bool((ratio.diff() < 0).all())


def test_default_knows_the_scale_of_the_data() -> None:
    """Data twice as large, levels twice as high: the same plan in other units."""
    one, two = plans.default(10), plans.default(10, scale=2.0)
    assert float((one.levels.sigma * 2 / two.levels.sigma - 1)[:-1].abs().max()) < 1e-12
    assert float((one.P - two.P).abs().max()) < 1e-12
    assert float((one.E * 2 - two.E).abs().max()) < 1e-9
