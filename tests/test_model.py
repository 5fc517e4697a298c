"""From networks to models: the 2x2 solve of every target, ranges, energies, static views."""

import math

import pytest
import torch
from torch import nn

from scorefield import calibrate, editing, guidance, inverse, levels, log_density, objectives, plans, variational_bound
from scorefield.analytic import Empirical, PartialMixture
from scorefield.core import Estimate, Level, Levels, Model, StaticScore, check_estimate
from scorefield.denoiser import ANGLE, DATA, EDM_F, FLOW, NOISE, Denoiser, Energy, StaticNetwork, at, from_energy, plain
from scorefield.nets import ScalarMLP
from scorefield.plans import run, walk
from tables import (
    BAD_LEVELS,
    DEFECTIVE,
    F64,
    LAWS,
    SCHEDULES,
    TARGETS,
    ExactNetwork,
    SmoothEnergy,
    doubles,
    every_model,
    mixture_2d,
)

RATIOS = (1e-3, 0.05, 0.7, 1.0, 20.0, 1e3)
LEVELS = {
    **{f"{r:g}": Level(1.0, r) for r in RATIOS},
    "VP": Level(0.6, 0.8),
    "flow": Level(0.01, 0.99),
    "tensor": Level(doubles(0.9), doubles(0.3)),
    "each": Level(doubles(1.0, 0.8, 0.5, 0.1, 1.0), doubles(0.01, 0.6, 0.5, 0.9, 50.0)),
}


def pair(dtype=F64):
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(5, 2, 3, generator=draw, dtype=F64).to(dtype) for _ in range(2))


def bounds(target, level, sigma_data):
    """How much the 2x2 solve multiplies the rounding of x and raw: the row sums of its matrix."""
    alpha, sigma = (torch.as_tensor(v, dtype=F64) for v in level)
    a, b = (torch.as_tensor(v, dtype=F64) for v in target.coefficients(alpha, sigma, sigma_data))
    determinant = (alpha * b - sigma * a).abs()
    size = alpha + sigma
    raw = a.abs() + b.abs()
    return ((b.abs() * size + sigma * raw) / determinant).max(), ((alpha * raw + a.abs() * size) / determinant).max()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("target", TARGETS, ids=str)
def test_the_solve_recovers_the_pair(target, level, dtype):
    (x0, eps), level, sigma_data = pair(), LEVELS[level], 0.7
    x, raw = level.noised(x0, eps), target.raw(x0, eps, level, sigma_data)
    estimate = target.solve(x.to(dtype), raw.to(dtype), level, sigma_data)
    assert estimate.x0.dtype == estimate.eps.dtype == dtype
    for answer, truth, bound in zip(estimate, (x0, eps), bounds(target, level, sigma_data), strict=True):
        assert (answer - truth).abs().max() < 20 * torch.finfo(dtype).eps * float(bound)


CLEAN, PURE = Level(1.0, 0.0), Level(0.0, 1.0)
REGULAR = [(NOISE, CLEAN), (DATA, PURE), *((t, level) for t in (FLOW, ANGLE, EDM_F) for level in (CLEAN, PURE))]


@pytest.mark.parametrize(("target", "level"), REGULAR, ids=str)
def test_targets_that_are_regular_at_an_end(target, level):
    x0, eps = pair()
    x, raw = level.noised(x0, eps), target.raw(x0, eps, level)
    estimate = target.solve(x, raw, level)
    assert torch.allclose(estimate.x0, x0) and torch.allclose(estimate.eps, eps)


@pytest.mark.parametrize("target", [FLOW, ANGLE, EDM_F], ids=str)
def test_errors_of_the_network_stay_bounded(target):
    # raw off by 1: both errors are at most the data's scale, whatever the level
    for ratio in (0.0, *RATIOS, 1e6):
        level = Level(1 / (1 + ratio), ratio / (1 + ratio))
        zero = torch.zeros(1, 1, dtype=F64)
        estimate = target.solve(zero, zero + 1, level)
        assert float(estimate.x0.abs()) <= 1.5 and float(estimate.eps.abs()) <= 1.5


def test_the_residual_has_unit_variance():
    x0 = 0.7 * torch.randn(200000, generator=torch.Generator().manual_seed(0), dtype=F64)[:, None]
    eps = torch.randn(200000, generator=torch.Generator().manual_seed(1), dtype=F64)[:, None]
    for ratio in RATIOS:
        variance = float(EDM_F.raw(x0, eps, Level(1.0, ratio), 0.7).var())
        assert abs(variance - 1) < 5 * math.sqrt(2 / 200000)


# ---------------------------------------------------------------------------------------------------------- denoiser


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("schedule", ["EDM", "VP", "RectifiedFlow"])
def test_a_perfect_network_is_exact_on_every_schedule(target, schedule):
    law = mixture_2d()
    model = Denoiser(ExactNetwork(law, target, 0.7), target, sigma_data=0.7)
    for ratio in (0.05, 0.7, 20.0):
        level = SCHEDULES[schedule](SCHEDULES[schedule].t_at(ratio))
        x = law.sample(10, seed=0, level=level)
        for answer, truth in zip(model(x, level), law(x, level), strict=True):
            assert torch.allclose(answer, truth, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("name", ["mixture_2d", "gaussian", "images"])
def test_a_perfect_network_is_exact(name, target):
    law = LAWS[name]
    model = Denoiser(ExactNetwork(law, target, 0.7), target, sigma_data=0.7)
    x = law.sample(10, seed=0, level=Level(1.0, 0.5))
    for level in (Level(1.0, 0.5), Level(1.0, torch.linspace(0.1, 2.0, 10, dtype=F64))):
        for answer, truth in zip(model(x, level), law(x, level), strict=True):
            assert torch.allclose(answer, truth, rtol=1e-8, atol=1e-8)


class Seen(nn.Module):
    """A network that records what it was shown."""

    def __init__(self, dtype):
        super().__init__()
        self.gain = nn.Parameter(torch.ones((), dtype=dtype))

    def forward(self, x, level_feature, condition=None):
        self.seen = (x, level_feature, condition)
        return self.gain * x


@pytest.mark.parametrize("network", [torch.float32, F64])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_what_the_network_sees(network, dtype):
    inner = Seen(network)
    model = Denoiser(inner, sigma_data=0.5)
    law_x = 0.5 * torch.randn(20000, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(20000, 2, generator=torch.Generator().manual_seed(1))
    label = torch.arange(20000)
    for level in (Level(1.0, 0.01), Level(0.6, 0.8), Level(1.0, 60.0)):
        x = level.noised(law_x, noise).to(dtype)
        estimate = model(x, level, label)
        scaled, feature, condition = inner.seen
        assert scaled.dtype == feature.dtype == network and estimate.x0.dtype == estimate.eps.dtype == dtype
        assert float(scaled.var()) == pytest.approx(1, abs=5 * math.sqrt(2 / 40000))
        assert float(feature) == pytest.approx(math.log(level.sigma / level.alpha), abs=1e-6)
        assert condition is label
        assert torch.allclose(estimate.at(level), x, rtol=1e-5, atol=1e-5 * float(x.abs().max()))


def test_the_range_is_checked():
    model = Denoiser(Seen(torch.float32), sigma_min=0.01, sigma_max=10.0).eval()
    x = torch.zeros(3, 2)
    for level in (Level(1.0, 0.01), Level(1.0, 10.0), Level(0.5, 0.5), Level(1.0, torch.tensor([0.01, 1.0, 10.0]))):
        model(x, level)
    wrong = (0.009, 10.1, 0.0, torch.tensor([1.0, 2.0, 11.0]))
    for sigma in wrong:
        with pytest.raises(ValueError, match=r"trained for sigma / alpha from 0\.01 to 10"):
            model(x, Level(1.0, sigma))
    with pytest.raises(ValueError, match="trained for"):
        model(x, Level(0.0, 1.0))
    model.train()(x, Level(1.0, 20.0))
    with pytest.raises(TypeError, match="floating-point"):
        model(x.long(), Level(1.0, 1.0))
    with pytest.raises(ValueError, match="add a dimension"):
        model(x[0], Level(1.0, 1.0))
    with pytest.raises(ValueError, match="per-sample value"):
        model(x, Level(1.0, torch.ones(2)))


@pytest.mark.parametrize("options", [{"sigma_data": 0.0}, {"sigma_min": 0.0}, {"sigma_min": 2.0, "sigma_max": 1.0}])
def test_impossible_ranges_are_errors(options):
    with pytest.raises(ValueError, match="got"):
        Denoiser(Seen(torch.float32), **options)


def test_levels_cross_function_transforms():
    model = Denoiser(Seen(F64)).eval()
    x = pair()[0]
    slope = torch.func.jvp(lambda s: model(x, Level(1.0, s)).x0, (doubles(0.5),), (doubles(1.0),))[1]
    h = 1e-6
    difference = (model(x, Level(1.0, 0.5 + h)).x0 - model(x, Level(1.0, 0.5 - h)).x0) / (2 * h)
    assert torch.allclose(slope, difference, atol=1e-8)
    levels = doubles(0.1, 0.5, 1.0, 2.0, 3.0)
    each = torch.func.vmap(lambda y, s: model(y[None], Level(1.0, s)).eps[0])(x, levels)
    assert torch.allclose(each, model(x, Level(1.0, levels)).eps)


# ------------------------------------------------------------------------------------------------------------ energies


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    "level", [Level(1.0, 0.05), Level(0.6, 0.8), Level(1.0, torch.linspace(0.1, 10.0, 5, dtype=F64))]
)
def test_the_score_of_an_energy_is_minus_its_gradient(level, dtype):
    model = Energy(ScalarMLP(3, width=16, depth=1, seed=1), sigma_data=0.7).to(dtype)
    for p in model.parameters():  # a fresh network may answer 0
        p.data += 0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())).to(dtype)
    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).to(dtype).requires_grad_()
    energy = model.energy(x, level)
    assert energy.shape == (5,) and energy.dtype == dtype
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    score = model(x, level).score(level)
    tolerance = 1e-4 if dtype == torch.float32 else 1e-10
    assert torch.allclose(score, -gradient, rtol=tolerance, atol=tolerance * float(gradient.abs().max()))
    assert torch.allclose(at(model, level)(x), score)
    score.square().sum().backward()
    grads = [p.grad for p in model.parameters() if p.grad is not None]
    assert grads and all(torch.isfinite(g).all() for g in grads) and any(g.any() for g in grads)


def test_an_energy_has_the_range_of_its_network():
    model = Energy(ScalarMLP(2, width=8, depth=1), sigma_min=0.01, sigma_max=10.0).eval()
    assert (model.sigma_data, model.sigma_min, model.sigma_max) == (1.0, 0.01, 10.0)
    with pytest.raises(ValueError, match="trained for"):
        model(torch.zeros(1, 2), Level(1.0, 20.0))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_score_from_an_energy_can_be_differentiated_twice(dtype):
    energy = SmoothEnergy(2).to(dtype)
    score = from_energy(energy)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0)).to(dtype)
    assert score(x).dtype == dtype
    y = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(energy(y).sum(), y, create_graph=True)
    assert torch.allclose(score(x), -gradient, rtol=1e-5)
    J = torch.func.vmap(torch.func.jacrev(lambda z: score(z[None])[0]))(x)
    assert torch.allclose(J, J.mT, rtol=1e-4, atol=1e-5)
    torch.func.jacrev(lambda z: score(z).sum(0))(x).square().sum().backward()
    assert energy.A.grad is not None and bool(torch.isfinite(energy.A.grad).all())


# -------------------------------------------------------------------------------------------------------- static views


# ------------------------------------------------------------------------------------------- consistency, bad levels

EVERY_MODEL = every_model()
CHECKED = [Level(1.0, 0.01), Level(0.8, 0.6), Level(0.02, 0.98), Level(1.0, 75.0)]
EACH_LEVEL = Level(doubles(1.0, 0.8, 0.05), doubles(0.02, 0.6, 0.9))


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("name", EVERY_MODEL)
def test_every_model_gives_a_pair_of_x(name, dtype):
    model, condition = EVERY_MODEL[name]
    for level in [*CHECKED, EACH_LEVEL]:
        x = level.noised(mixture_2d().sample(3, seed=1), mixture_2d().sample(3, seed=2)).to(dtype)
        with torch.no_grad():
            check_estimate(model, x, level, model(x, level, condition))


PLAN = plans.ddim(levels.given([5.0, 1.0, 0.2]))
ENTRIES = {  # wherever a model comes in from outside
    "run": lambda model, x: run(PLAN, model, x),
    "walk": lambda model, x: list(walk(PLAN, model, x)),
    "calibrate": lambda model, x: calibrate(model, 5, (2,), std=1.0, search=False, trajectories=8),
    "log_density": lambda model, x: log_density(model, x, covariance=1.0),
    "variational_bound": lambda model, x: variational_bound(model, x, levels.karras(5), covariance=1.0),
    "posterior_samples": lambda model, x: inverse.posterior_samples(
        model, torch.tensor([0]), doubles([0.5]), 0.1, covariance=1.0, shape=(2,), particles=4, steps=3
    ),
    "posterior": lambda model, x: run(PLAN, inverse.posterior(model, torch.tensor([0]), doubles([0.5]), 0.1), x),
    "guided": lambda model, x: run(PLAN, guidance.autoguidance(model, mixture_2d(), 2.0), x),
    "invert": lambda model, x: editing.invert(model, x),
}


@pytest.mark.parametrize("name", DEFECTIVE)
@pytest.mark.parametrize("entry", ["run", "walk", "log_density", "variational_bound", "posterior_samples"])
def test_a_defective_model_is_refused_by_name(entry, name):
    model, message = DEFECTIVE[name]
    with pytest.raises((ValueError, TypeError), match=message) as error:
        ENTRIES[entry](model, mixture_2d().sample(3, seed=0))
    assert "_changed.<locals>.changed" in str(error.value)


@pytest.mark.parametrize("entry", ENTRIES)
def test_every_entry_refuses_a_contradiction_and_takes_the_right_model(entry):
    x = mixture_2d().sample(3, seed=0)
    with pytest.raises(ValueError, match=r"changed contradicts itself at alpha = .* misses x by \d"):
        ENTRIES[entry](DEFECTIVE["wrong sign"][0], x)
    ENTRIES[entry](mixture_2d(), x)


@pytest.mark.parametrize("wrong", range(PLAN.evaluations))
def test_a_run_checks_its_first_answer_and_the_one_nearest_to_equal_noise(wrong):
    calls = []

    def model(x, level, condition=None):
        estimate = mixture_2d()(x, level)
        calls.append(float(level.sigma))
        return Estimate(-estimate.x0, estimate.eps) if len(calls) - 1 == wrong else estimate

    x = mixture_2d().sample(3, seed=0)
    if PLAN.levels.sigma[wrong] in (5.0, 1.0):
        with pytest.raises(ValueError, match="contradicts itself"):
            run(PLAN, model, x)
    else:
        run(PLAN, model, x)
        assert len(calls) == PLAN.evaluations  # a check asks for no answer of its own


@pytest.mark.parametrize("name", BAD_LEVELS)
def test_levels_that_are_none_are_refused(name):
    level, x = BAD_LEVELS[name], torch.ones(3, 2, dtype=F64)
    law, points = mixture_2d(), Empirical(x)
    network, energy = (EVERY_MODEL[key][0] for key in ("float32 network, F", "energy"))
    one = torch.as_tensor(level.sigma).ndim == 0 and torch.as_tensor(level.alpha).ndim == 0
    entries = [
        *(lambda model=model: model(x, level) for model in (law, points, network, energy, PartialMixture(law))),
        *(lambda f=f: f(x, level) for f in (law.log_density, law.score, law.noise_variance, points.log_density)),
        lambda: law.sample(3, 0, level),
        lambda: at(law, level),
        lambda: energy.energy(x, level),
        lambda: objectives.multilevel(law, x, lambda u: level, seed=0),
        *([lambda: log_density(law, x, level=level)] if one else []),
    ]
    for entry in entries:
        with pytest.raises(ValueError, match=r"a noise level needs alpha >= 0 and sigma >= 0"):
            entry()


@pytest.mark.parametrize("name", ["gaussian", "ring", "points"])
def test_at_is_the_score_of_the_noised_law(name):
    law, level = LAWS[name], Level(0.8, 0.6)
    x = law.sample(5, seed=0, level=level)
    score = at(law, level)
    assert isinstance(law, Model) and isinstance(score, StaticScore)
    assert torch.allclose(score(x), law.score(x, level), rtol=1e-9)
    with pytest.raises(ValueError, match="sigma = 0"):
        at(law, Level(1.0, 0.0))
    with pytest.raises(ValueError, match="sigma = 0"):
        at(law, Level(1.0, torch.tensor([0.0, 1.0])))


def test_at_passes_the_condition():
    given = []

    def model(x, level, condition=None):
        given.append(condition)
        return Estimate(x, x)

    label = torch.zeros(2)
    at(model, Level(1.0, 1.0), label)(torch.zeros(2, 1))
    assert given[0] is label


def test_a_static_network():
    inner = Seen(F64)
    x = pair()[0]
    assert torch.equal(StaticNetwork(inner)(x), x)
    assert inner.seen[1].item() == 0 and inner.seen[2] is None


def test_plain_levels():
    level = plain(Level(torch.tensor(1), doubles(0.5)))
    assert level == Level(1.0, 0.5) and all(type(v) is float for v in level)
    each = torch.ones(3)
    assert plain(Level(1, each)).sigma is each
    trained = torch.tensor(0.5, requires_grad=True)
    assert plain(Level(1.0, trained)).sigma is trained


def test_grids_are_no_batches():
    grid = Levels(torch.ones(3), torch.tensor([2.0, 1.0, 0.0]))
    assert [float(level.sigma) for level in grid] == [2.0, 1.0, 0.0]
    assert grid.rising() == Levels(torch.ones(2), torch.tensor([1.0, 2.0]))
    assert not isinstance(grid, tuple)
    assert DATA.name == "x0" and NOISE.name == "eps"
