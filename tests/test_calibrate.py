"""Laws of calibrated plans: no worse than untuned, exact for a point, within their cost, a function of the seed."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from scorefield import Denoiser, calibrate, levels, nets, plans
from scorefield.analytic import Empirical, Gaussian, GaussianMixture
from scorefield.core import Estimate, Level, Model
from scorefield.plans import Calibration, Plan, calibration, convergence, laws, run
from scorefield.plans import polish as polishing
from scorefield.plans.default import logistic_levels, unipc_default
from scorefield.plans.endloss import end_loss, end_weights, without_steepest
from scorefield.plans.polish import polish
from scorefield.plans.rowfit import FitOptions, TrajectorySet, fit_rows
from scorefield.plans.trajectories import CountingModel, Errors, solve_flow
from scorefield.plans.trajectory_set import systematic_sample
from tables import LAWS, reference, reference_law

F64 = torch.float64
STORED = {name: reference(name) for name in ("ring", "blend")}
LAW = {name: reference_law(name) for name in STORED}
WAYS = {"coefficients": False, "levels too": True}


def stored_errors(name: str, plan: Plan) -> Errors:
    """Against the exact end points."""
    start, end = STORED[name]["ode_start"], STORED[name]["ode_end"]
    each = ((run(plan, LAW[name], start) - end) ** 2).mean(1).sqrt() / (end**2).mean().sqrt()
    return Errors.of(each)


class Asked:
    """A model that counts the samples it is asked about, those for a gradient three times."""

    def __init__(self, model: Model) -> None:
        self.model, self.count = model, 0

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        self.count += len(x) * (3 if x.requires_grad else 1)
        return self.model(x, level, condition)


RESULTS: dict[tuple[str, int, bool], tuple[Calibration, int]] = {}


def calibrated(name: str, n: int, search: bool) -> tuple[Calibration, int]:
    """A calibration, made once, and the evaluations that it took."""
    key = (name, n, search)
    if key not in RESULTS:
        model = Asked(LAW[name])
        d = LAW[name].means.shape[1]
        RESULTS[key] = (calibration(model, n, (d,), 80.0, 0.002, seed=1, search=search, std=0.5), model.count)
    return RESULTS[key]


CASES = [("ring", 5, True), ("ring", 10, True), ("ring", 20, False), ("blend", 10, False), ("blend", 6, True)]
EACH = pytest.mark.parametrize(("name", "n", "search"), CASES, ids=lambda v: str(v))


@EACH
def test_a_calibrated_plan_does_not_lose_to_the_untuned_one_on_fresh_trajectories(
    name: str, n: int, search: bool
) -> None:
    c, _ = calibrated(name, n, search)
    assert c.error <= c.untuned_error and c.median <= c.untuned_median
    fresh, untuned = stored_errors(name, c.plan), stored_errors(name, c.untuned)
    assert fresh.median < untuned.median
    assert fresh.rms < 1.3 * untuned.rms  # a few of 128 or 256 trajectories decide it
    assert c.median == pytest.approx(fresh.median, rel=0.4)


@EACH
def test_the_cost_is_counted_and_bounded(name: str, n: int, search: bool) -> None:
    c, count = calibrated(name, n, search)
    assert c.cost == count <= (500_000 if search else 100_000)


@EACH
def test_a_calibrated_plan_is_a_plan(name: str, n: int, search: bool) -> None:
    plan = calibrated(name, n, search)[0].plan
    assert plan.evaluations == n and not plan.stochastic
    assert float(plan.levels.ratio[0]) == pytest.approx(80.0) and float(plan.levels.ratio[-1]) == 0.0
    assert float(plan.levels.ratio[-2]) >= 0.002
    assert all(one > two for one, two in pairwise(plan.levels.ratio.tolist()))
    assert Plan.from_json(plan.to_json()) == plan
    got, want = laws.point_mass(plan, 1.7), laws.exact_moments(plan, 1.7, 0.0)
    assert torch.allclose(got.mean, want.mean, rtol=1e-12, atol=1e-10)
    assert torch.allclose(got.variance, want.variance, rtol=1e-9, atol=1e-12)


PEERS = {"ring": (8.9e-2, 1.9e-2), "blend": (6.2e-2, 4.6e-2)}
"""RMS and median error at 10 evaluations of the best of Adams' methods in the angle on the usual grids."""


@pytest.mark.parametrize(("name", "search"), [("ring", True), ("blend", False)])
def test_ten_evaluations_beat_textbook_methods_by_far(name: str, search: bool) -> None:
    got = stored_errors(name, calibrated(name, 10, search)[0].plan)
    assert got.rms < PEERS[name][0] and got.median < PEERS[name][1] / 3


def test_the_printed_result_holds_the_numbers() -> None:
    c, _ = calibrated("ring", 5, True)
    text = str(c)
    for value in (c.error, c.median, c.untuned_error, c.untuned_median):
        assert f"{value:.2e}" in text
    assert f"{c.cost:,}" in text and "5 evaluations" in text


def test_the_seed_decides() -> None:
    model = LAW["ring"]
    one, two, other = (
        calibration(model, 5, search=search, trajectories=24, seed=seed) for search, seed in ((0, 1), (0, 1), (0, 2))
    )
    assert one.plan == two.plan and one.errors == two.errors
    assert other.errors != one.errors


# ----------------------------------------------------------------------------------------------------- any model


def conditional(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
    """Unit Gaussians around the condition."""
    assert condition is not None and len(condition) == len(x)
    r2 = float(level.alpha) ** 2 + float(level.sigma) ** 2
    centre = condition[:, None].to(x)
    x0 = centre + float(level.alpha) * (x - float(level.alpha) * centre) / r2
    return Estimate(x0, float(level.sigma) * (x - float(level.alpha) * centre) / r2)


def network() -> Denoiser:
    torch.manual_seed(0)
    return Denoiser(nets.ResidualMLP(3, width=8, depth=1), sigma_max=40.0, sigma_min=0.01).eval()


ANY: dict[str, tuple[Model, tuple[int, ...], Tensor | None]] = {
    "images": (LAWS["images"], (1, 4, 4), None),
    "network": (network(), (3,), None),
    "conditional": (conditional, (2,), torch.tensor([-1.0, 0.0, 2.0])),
    "gaussian": (LAWS["gaussian"], (3,), None),
}


@pytest.mark.parametrize("name", ANY)
@pytest.mark.parametrize("way", WAYS)
def test_any_model_can_be_calibrated(name: str, way: str) -> None:
    model, shape, condition = ANY[name]
    c = calibration(model, 4, shape, search=WAYS[way], trajectories=16, condition=condition, past=3)
    assert c.error <= c.untuned_error and c.median <= c.untuned_median
    x = c.plan.start(3, shape, seed=0)
    given = None if condition is None else condition
    assert run(c.plan, model, x, condition=given).shape == (3, *shape)


def test_a_models_own_range_is_kept() -> None:
    ratio = calibrate(network(), 6, (3,), trajectories=16).levels.ratio
    assert float(ratio[0]) == 40.0 and float(ratio[-2]) >= 0.01


@pytest.mark.parametrize("build", [lambda lv: plans.heun(lv), lambda lv: plans.adams(lv, 2)], ids=["heun", "adams"])
def test_a_given_plan_is_where_it_starts(build) -> None:
    plan = build(levels.karras(4, 80.0, 0.01))
    c = calibration(LAW["ring"], plan.evaluations, trajectories=48, search=False, plan=plan)
    assert c.untuned == plan and c.error <= c.untuned_error


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluations": 0}, "whole number"),
        ({"trajectories": 1}, "whole number"),
        ({"past": 0}, "whole number"),
        ({"plan": plans.ancestral(levels.karras(10))}, "deterministic"),
        ({"plan": plans.ddim(levels.karras(7))}, "10 evaluations"),
        ({"sigma_max": 0.0005}, "sigma_min < sigma_max"),
    ],
)
def test_wrong_arguments_are_named(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(LAW["ring"], **{"evaluations": 10, **change})  # type: ignore[arg-type]


def test_a_model_that_does_not_say_its_shape_needs_one() -> None:
    with pytest.raises(ValueError, match="shape"):
        calibrate(conditional, 5)


# ------------------------------------------------------------------------------------------------- the truth


@pytest.mark.parametrize("name", STORED)
def test_the_truth_is_true(name: str) -> None:
    start, end = STORED[name]["ode_start"], STORED[name]["ode_end"]
    truth = solve_flow(LAW[name], start, logistic_levels(128, 80.0, 0.002, 0.5, 0.3), 0.5)
    each = ((truth.end - end) ** 2).mean(1).sqrt() / (end**2).mean().sqrt()
    assert float(each.median()) < 2e-6 and float((each**2).mean().sqrt()) < 2e-5
    fine = solve_flow(LAW[name], start, logistic_levels(500, 80.0, 0.002, 0.5, 0.3), 0.5)
    for sigma in (33.0, 2.0, 0.4, 0.09, 0.003):
        level = Level(0.7, 0.7 * sigma)
        gap = (truth.at(level) - fine.at(level)).abs()
        assert float(gap.max()) < 2e-3 * 0.5 and float(gap.median()) < 1e-5 * 0.5


def test_a_gaussian_is_learnt_to_the_last_digits() -> None:
    model = Gaussian(torch.zeros(2, dtype=F64), torch.eye(2, dtype=F64))
    x = 80.0 * torch.randn(32, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    truth = solve_flow(model, x, logistic_levels(128, 80.0, 0.002, 0.5, 0.6), 1.0)
    fitted = fit_rows([TrajectorySet(model, truth)], unipc_default(6, 1.0, 0.002, 80.0), FitOptions(ridge=1e-12))
    assert float(fitted.errors[0].max()) < 1e-6


# ------------------------------------------------------------------------------------- sensitive starts, and polish


def test_chosen_samples_with_their_weights_stand_for_all() -> None:
    draw = torch.Generator().manual_seed(0)
    size = torch.rand(200, generator=draw, dtype=F64) ** -1.0
    value = torch.randn(200, generator=draw, dtype=F64)
    total, seen = 0.0, torch.zeros(200, dtype=F64)
    places = [(k + 0.5) / 500 for k in range(500)]
    for place in places:
        which, weight = systematic_sample(size, 30, place)
        assert len(which.unique()) == 30 and float(weight.min()) >= 1
        total += float(value[which] @ weight) / len(places)
        seen[which] += 1 / len(places)
    assert total == pytest.approx(float(value.sum()), abs=1e-2 * float(value.abs().sum()))
    assert float(seen[size > 20 * size.median()].min()) > 4 * float(seen.median())


def test_equal_weights_change_nothing() -> None:
    each = torch.rand(41, generator=torch.Generator().manual_seed(1), dtype=F64)
    assert Errors.of(each, torch.full((41,), 3.0)) == pytest.approx(Errors.of(each))
    doubled = Errors.of(each, 1.0 + (torch.arange(41) < 7))
    assert doubled == pytest.approx(Errors.of(torch.cat([each, each[:7]])))


def group(n: int = 96) -> TrajectorySet:
    x = 80.0 * torch.randn(n, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    return TrajectorySet(LAW["ring"], solve_flow(LAW["ring"], x, logistic_levels(128, 80.0, 0.002, 0.5, 0.3), 0.5))


def test_polishing_makes_the_ends_better_and_keeps_points_exact() -> None:
    fit, start = group(), unipc_default(8, 0.5, 0.002, 80.0)
    model = CountingModel(LAW["ring"])
    made = list(polish(model, fit, start, spare=7, budget=40_000))
    before, after = (
        Errors.of(fit.trajectories.errors(run(p, LAW["ring"], fit.trajectories.start))) for p in (start, made[-1])
    )
    assert len(made) > 5 and after.rms < 0.3 * before.rms
    got, want = laws.point_mass(made[-1], 1.7), laws.exact_moments(made[-1], 1.7, 0.0)
    assert torch.allclose(got.mean, want.mean, rtol=1e-12, atol=1e-10)
    assert model.evaluations <= 40_000


@pytest.mark.parametrize("levels_too", [True, False])
def test_the_slopes_of_the_ends_are_those_of_the_changes(levels_too: bool) -> None:
    fit, plan = group(24), unipc_default(6, 0.5, 0.002, 80.0)
    now = polishing._through(fit, plan)
    error = polishing._distances(fit, now)
    columns, _ = polishing._slopes(CountingModel(LAW["ring"]), fit, plan, now, 4, levels_too, torch.ones_like(error))
    assert columns.shape[1] == 2 * (1 + 2 + 3 + 3 + 3) + 5 * levels_too
    for i in range(columns.shape[1]):
        by = 1e-6 * torch.eye(columns.shape[1], dtype=F64)[i]
        ends = [
            polishing._distances(fit, polishing._through(fit, polishing._changed(plan, 4, v, levels_too)))
            for v in (by, -by)
        ]
        numeric = (ends[0] - ends[1]) / 2e-6
        assert torch.allclose(columns[:, i], numeric, rtol=0, atol=1e-4 * float(numeric.abs().max()))


def test_a_plan_that_is_refused_comes_again_with_smaller_changes() -> None:
    fit, start = group(32), unipc_default(6, 0.5, 0.002, 80.0)
    steps = polish(CountingModel(LAW["ring"]), fit, start)
    first, second = next(steps), steps.send(True)
    changes = [float((plan.P - start.P).norm()) for plan in (first, second)]
    assert 0 < changes[1] < changes[0]


def test_the_loss_follows_scale_and_weights() -> None:
    squares = torch.rand(3, 50, generator=torch.Generator().manual_seed(0), dtype=F64) ** 4
    assert torch.allclose(end_loss(100 * squares), end_loss(squares) + math.log(10))
    assert torch.allclose(end_loss(squares, torch.full((50,), 3.0)), end_loss(squares))
    weights, step = end_weights(squares), torch.zeros_like(squares)
    step[:, 7] = 1e-7
    change = (end_loss(squares + step) - end_loss(squares - step)) / 2e-7
    assert torch.allclose(weights[:, 7], change, rtol=1e-4)
    slopes = torch.ones(50, 2, dtype=F64)
    slopes[3] = 1e4
    kept = without_steepest(weights[0], slopes)
    assert float(kept[3]) < 1e-6 * float(weights[0, 3]) and bool((kept <= weights[0]).all())


def test_the_vjp_is_the_gradient() -> None:
    x = torch.randn(5, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    data, noise = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(1), dtype=F64)
    model, level, step = CountingModel(LAW["ring"], batch=2), Level(1.0, 0.4), 1e-6

    def value(at: Tensor) -> Tensor:
        estimate = LAW["ring"](at, level)
        return (data * estimate.x0 + noise * estimate.eps).sum(1)

    got = model.vjp(x, level, None, data, noise)
    for i, side in enumerate(step * torch.eye(2, dtype=F64)):
        assert torch.allclose(got[:, i], (value(x + side) - value(x - side)) / (2 * step), rtol=1e-6, atol=1e-8)
    assert model.evaluations == 15


class Closed:
    """A model without gradients."""

    sigma_data, sigma_max, sigma_min = 0.5, 80.0, 0.002

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        with torch.no_grad():
            return LAW["ring"](x, level)


def test_a_model_without_gradients_is_calibrated_too() -> None:
    fit = group(16)
    assert not list(
        polish(CountingModel(Closed()), TrajectorySet(Closed(), fit.trajectories), unipc_default(5, 0.5, 0.002, 80.0))
    )
    c = calibration(Closed(), 5, (2,), trajectories=24)
    assert c.error <= c.untuned_error and c.cost < 500_000


def test_batches_make_no_difference() -> None:
    model = CountingModel(LAW["blend"], batch=7)
    x = torch.randn(30, 16, dtype=F64)
    whole, parts = LAW["blend"](x, Level(1.0, 0.5)), model(x, Level(1.0, 0.5))
    assert model.evaluations == 30
    assert all(torch.allclose(a, b, rtol=0, atol=1e-14) for a, b in zip(whole, parts, strict=True))


# ------------------------------------------------------------------------------------------- default and convergence


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 12])
@pytest.mark.parametrize("high", [2.0, 20.0, 80.0, 160.0])
def test_default_plans_follow_a_point_exactly_from_any_level(n: int, high: float) -> None:
    plan = plans.default(n, 0.5, 0.001, 0.5 * high)
    got, want = laws.point_mass(plan, 1.7), laws.exact_moments(plan, 1.7, 0.0)
    assert torch.allclose(got.mean, want.mean, rtol=1e-12, atol=1e-10)
    assert torch.allclose(got.variance, want.variance, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("n", [3, 8, 20, 25, 27])
@pytest.mark.parametrize("dimensions", [1, 2, 30, 256, 3072])
def test_default_plans_of_any_dimension_follow_a_point_exactly(n: int, dimensions: int) -> None:
    plan = plans.default(n, 0.5, 0.001, 45.0, dimensions)
    got, want = laws.point_mass(plan, 1.7), laws.exact_moments(plan, 1.7, 0.0)
    assert torch.allclose(got.mean, want.mean, rtol=1e-12, atol=1e-10)
    assert torch.allclose(got.variance, want.variance, rtol=1e-9, atol=1e-12)


def test_default_plans_of_dimensions_between_two_of_the_table_are_between_them() -> None:
    two, six, sixteen, most, more = (plans.default(10, dimensions=d).levels.ratio[:-1] for d in (2, 6, 16, 256, 5000))
    share = math.log(6 / 2) / math.log(16 / 2)
    assert torch.allclose(six.log(), (1 - share) * two.log() + share * sixteen.log())
    assert torch.equal(most, more) and bool((most[1:5] > two[1:5]).all())
    with pytest.raises(ValueError, match="dimensions"):
        plans.default(10, dimensions=0)


def test_where_many_dimensions_would_begin_too_high_fewer_serve() -> None:
    plan = plans.default(10, sigma_max=15.0, dimensions=256)
    assert float(plan.levels.ratio[0]) == 15.0 and float(plan.levels.ratio[1]) <= 7.5


@pytest.mark.parametrize("high", [20.0, 40.0, 90.0])
@pytest.mark.parametrize("n", [4, 5, 6])
def test_the_table_beats_the_method_from_other_levels_too(n: int, high: float) -> None:
    each = []
    for name, law in LAW.items():
        d = law.means.shape[1]
        x = 0.5 * high * torch.randn(200, d, generator=torch.Generator().manual_seed(4), dtype=F64)
        truth = solve_flow(law, x, logistic_levels(128, 0.5 * high, 0.001, 0.5, 0.3), 0.5)
        tried = (plans.default(n, 0.5, 0.001, 0.5 * high), unipc_default(n, 0.5, 0.001, 0.5 * high))
        ours, theirs = (Errors.of(truth.errors(run(plan, law, x))) for plan in tried)
        each.append(ours.score / theirs.score)
        assert ours.rms < theirs.rms, name
    assert each[0] * each[1] < 0.8


def test_a_high_least_level_is_kept() -> None:
    plan = plans.default(5, 1.0, 0.5, 80.0)
    assert float(plan.levels.ratio[:-1].min()) >= 0.5


def test_convergence_finds_where_more_evaluations_change_nothing() -> None:
    table = convergence(LAW["ring"], evaluations=(20, 5, 10), trajectories=64)
    assert table.evaluations == (5, 10, 20)
    assert all(one.rms > two.rms and one.median > two.median for one, two in pairwise(table.errors))
    assert table.steps == 10 and "10 evaluations are enough" in str(table)
    assert table.cost == 64 * (128 + 35) + 1  # and one question about the precision
    strict = convergence(LAW["ring"], evaluations=(3,), trajectories=64, tolerance=1e-6)
    assert strict.steps is None and "not converged" in str(strict)
    assert table.png().startswith(b"\x89PNG")


def test_convergence_takes_other_plans_but_no_stochastic_ones() -> None:
    table = convergence(
        LAW["ring"], evaluations=(5, 30), trajectories=16, plan=lambda n: plans.ddim(levels.karras(n, 40.0))
    )
    assert table.errors[0].rms > table.errors[1].rms
    with pytest.raises(ValueError, match="deterministic"):
        convergence(LAW["ring"], trajectories=16, plan=lambda n: plans.ancestral(levels.karras(n)))


def test_the_examples_are_of_both_kinds() -> None:
    assert isinstance(LAWS["images"], Empirical) and isinstance(LAW["ring"], GaussianMixture)
