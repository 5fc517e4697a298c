"""The laws of every objective, against exact answers; expectations by quadrature wherever they can be."""

import itertools
import math

import numpy as np
import pytest
import torch

from scorefield import levels, objectives, schedules
from scorefield.analytic import Gaussian
from scorefield.core import Estimate, Level
from scorefield.denoiser import Denoiser, Energy, at, from_energy
from scorefield.nets import ScalarMLP
from scorefield.numerics.divergence import probe
from tables import (
    EXACT_OBJECTIVES,
    F64,
    KINDS,
    OBJECTIVES,
    TARGETS,
    TRAINING_LEVELS,
    WEIGHTINGS,
    ExactNetwork,
    SmoothEnergy,
    SmoothScore,
    doubles,
    frame,
    law_nodes,
    mixture_1d,
    mixture_2d,
    noised_nodes,
    normal_nodes,
    signs,
)

GAUSSIAN = Gaussian(doubles(0.5, -1.0), doubles([[1.0, 0.3], [0.3, 0.6]]))
STATIC_LAWS = {"gaussian": (GAUSSIAN, 10), "mixture_1d": (mixture_1d(), 120), "mixture_2d": (mixture_2d(), 50)}
"""Laws with enough nodes for 1e-6."""


def mean(values, weights):
    return (weights * values).sum()


# -------------------------------------------------------------------------------------------------- worked values


@pytest.mark.parametrize(("a", "loss"), [(1.0, 0.0), (0.8, 0.02), (0.0, 0.5)])
def test_worked_explicit(a, loss):
    x, w = normal_nodes(1, 20)
    assert mean(objectives.explicit(lambda y: -a * y, x, lambda y: -y), w) == pytest.approx(loss, abs=1e-9)
    assert mean(objectives.implicit(lambda y: -a * y, x), w) == pytest.approx(loss - 0.5, abs=1e-9)


@pytest.mark.parametrize(("output", "loss"), [(-0.5, 0.0), (-0.4, 0.005), (0.0, 0.125)])
def test_worked_denoising(output, loss):
    x, eps = doubles([[2.0]]), doubles([[0.5]])
    value = objectives.denoising(lambda y: torch.full_like(y, output), x, sigma=1.0, noise=eps)
    assert value.item() == pytest.approx(loss, abs=1e-12)


@pytest.mark.parametrize("law", STATIC_LAWS)
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "explicit"])
def test_all_are_explicit_less_the_constant(name, law):
    law, count = STATIC_LAWS[law]
    x, w = law_nodes(law, count)
    score = SmoothScore(x.shape[1]).requires_grad_(False)
    constant = mean(law.score(x).square().sum(1) / 2, w)
    explicit = mean(objectives.explicit(score, x, law.score), w)
    for directions in (frame(x), signs(x)):
        loss = mean(OBJECTIVES[name](score, x, law.score, directions=directions), w)
        assert float(loss) == pytest.approx(float(explicit - constant), abs=1e-6)


# ------------------------------------------------------------------------------------------------------ the scale law


def vertex(loss):
    """The k that minimises a quadratic loss of k."""
    low, middle, high = (float(loss(k)) for k in (0.0, 1.0, 2.0))
    return 1 - (high - low) / (2 * (high - 2 * middle + low))


@pytest.mark.parametrize("law", STATIC_LAWS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_scale(name, law):
    law, count = STATIC_LAWS[law]
    x, w = law_nodes(law, count)

    def loss(k):
        return mean(OBJECTIVES[name](lambda y: k * law.score(y), x, law.score, directions=frame(x)), w)

    assert vertex(loss) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("sigma", [0.5, 1.0, 4.0])
def test_scale_of_denoising_is_that_of_the_noised_score(sigma):
    law = mixture_1d()
    x, eps, w = noised_nodes(law, 60)
    noised = at(law, Level(1.0, sigma))
    assert vertex(
        lambda k: mean(objectives.denoising(lambda y: k * noised(y), x, sigma, noise=eps), w)
    ) == pytest.approx(1, abs=1e-6)
    data = vertex(lambda k: mean(objectives.denoising(lambda y: k * law.score(y), x, sigma, noise=eps), w))
    assert abs(data - 1) > 0.05


def scaled(law, k):
    """The law's model with its noise estimate, and so its score, times k."""

    def model(x, level, condition=None):
        eps = k * law(x, level).eps
        wide = level.like(x)
        return Estimate((x - wide.sigma * eps) / wide.alpha, eps)

    return model


@pytest.mark.parametrize("weighting", WEIGHTINGS)
@pytest.mark.parametrize("training", [name for name in TRAINING_LEVELS if "Log" not in name])
def test_scale_of_multilevel(weighting, training):
    law, weighting = mixture_1d(), WEIGHTINGS[weighting]
    x, eps, w = noised_nodes(law, 40)
    for u in (0.4, 0.9):
        each = torch.full((len(x),), u, dtype=F64)

        def loss(k, each=each):
            model = scaled(law, k)
            values = objectives.multilevel(model, x, TRAINING_LEVELS[training], weighting, noise=eps, u=each)
            return mean(values, w)

        assert vertex(loss) == pytest.approx(1, abs=1e-5)


# --------------------------------------------------------------------------------------------- gradients, networks


def gradients(loss, module):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(module.parameters()))])


@pytest.mark.parametrize("law", ["gaussian", "mixture_2d"])
@pytest.mark.parametrize("kind", ["score", "energy"])
@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name != "explicit"])
def test_gradients_agree(name, law, kind):
    law, count = STATIC_LAWS[law]
    x, w = law_nodes(law, max(count, 30))
    module = SmoothScore(2) if kind == "score" else SmoothEnergy(2)
    score = module if kind == "score" else from_energy(module)
    truth = gradients(mean(objectives.explicit(score, x, law.score), w), module)
    for directions in (frame(x), signs(x)):
        loss = mean(OBJECTIVES[name](score, x, law.score, directions=directions), w)
        assert torch.allclose(gradients(loss, module), truth, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("shape", [(3,), (1, 4, 4)])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_one_loss_per_sample_of_any_score(name, shape, dtype):
    x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    loss = OBJECTIVES[name]
    for score in (lambda y: -y, from_energy(lambda y: (y**4).flatten(1).sum(1) / 4), torch.nn.Tanh()):
        values = loss(score, x, lambda y: -y, seed=0)
        assert values.shape == (5,) and values.dtype == dtype and torch.isfinite(values).all()
    both = loss(torch.tanh, x[:2], lambda y: -y, seed=0)  # sample i is alone, and so is its draw
    assert torch.allclose(
        loss(torch.tanh, x, lambda y: -y, seed=0)[:2], both, rtol=1e-3 if dtype == torch.float32 else 1e-7
    )


def test_an_energy_at_every_level_trains():
    model = Energy(ScalarMLP(2, width=16, depth=1))
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0))
    score = at(model, Level(1.0, 0.5))
    losses = [OBJECTIVES[name](score, x, lambda y: -y, seed=0).mean() for name in OBJECTIVES]
    losses.append(objectives.denoising(score, x, 0.5, seed=0).mean())
    losses.append(objectives.multilevel(model, x, levels.LogNormal(), seed=0).mean())
    for loss in losses:
        grads = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        known = [g for g in grads if g is not None]
        assert known and all(torch.isfinite(g).all() for g in known) and any(g.any() for g in known)


@pytest.mark.parametrize("exact", ["implicit", "sliced"])
def test_a_linear_score_finds_the_gaussian(exact):
    law = GAUSSIAN
    x, w = law_nodes(law, 5)
    A = torch.nn.Parameter(-torch.eye(2, dtype=F64))
    b = torch.nn.Parameter(torch.zeros(2, dtype=F64))
    optimiser = torch.optim.LBFGS(
        [A, b], lr=1.0, max_iter=100, line_search_fn="strong_wolfe", tolerance_grad=1e-10, tolerance_change=0.0
    )

    def step():
        optimiser.zero_grad()
        score = lambda y: (y - b) @ A.T  # noqa: E731
        loss = (
            objectives.implicit(score, x) if exact == "implicit" else objectives.sliced(score, x, directions=signs(x))
        )
        total = mean(loss, w)
        total.backward()
        return total

    optimiser.step(step)
    assert torch.allclose(A, -torch.linalg.inv(law.covariance), atol=1e-6)
    assert torch.allclose(b, law.mean, atol=1e-6)


# ------------------------------------------------------------------------------------------------- random directions


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in EXACT_OBJECTIVES])
def test_drawn_directions_have_the_exact_mean(name):
    x = doubles([[0.3, -1.0, 0.5]]).expand(20000, 3)
    score = SmoothScore(3)
    with torch.no_grad():
        values = OBJECTIVES[name](score, x, None, seed=11)
        truth = objectives.implicit(score, x[:1])
    error = float(values.std()) / math.sqrt(len(x))
    assert abs(float(values.mean() - truth)) < 5 * error + 1e-7


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("d", [1, 2, 3, 8])
def test_variance_reduction(kind, d):
    # N(0, I) and its own score: variances over x and v by hand, from the moments of |x|^2, |v|^2 and (v . x)^2
    reduced, plain = {
        "rademacher": (d / 2, d**2 / 2),
        "sphere": (d / 2, d**2 / 2),
        "gaussian": (2.5 * d, d**2 / 2 + 1.5 * d),
    }[kind]
    n = 40000
    x = Gaussian(torch.zeros(d, dtype=F64), torch.eye(d)).sample(n, seed=1)
    measured = []
    for variance_reduced, variance in ((True, reduced), (False, plain)):
        values = objectives.sliced(torch.neg, x, kind=kind, variance_reduced=variance_reduced, seed=2)
        assert abs(float(values.mean()) + d / 2) < 5 * math.sqrt(variance / n)  # the same mean
        squares = (values - values.mean()).square()
        assert abs(float(squares.mean()) - variance) < 6 * float(squares.std()) / math.sqrt(n)
        measured.append(float(values.var()))
    if d >= (3 if kind == "gaussian" else 2):
        assert measured[0] < measured[1]


def test_more_projections_reduce_the_variance():
    x = doubles([[0.3, -1.0, 0.5]]).expand(4000, 3)
    score = SmoothScore(3).requires_grad_(False)
    one, many = (objectives.sliced(score, x, projections=m, kind="gaussian", seed=1).var() for m in (1, 8))
    assert float(many / one) == pytest.approx(1 / 8, rel=0.2)


@pytest.mark.parametrize("variance_reduced", [True, False])
def test_finite_differences_converge_at_order_two(variance_reduced):
    x = mixture_2d().sample(50, seed=1)
    score, v = SmoothScore(2).requires_grad_(False), frame(mixture_2d().sample(50, seed=1))
    truth = objectives.sliced(score, x, variance_reduced=variance_reduced, directions=v)
    steps = (0.2, 0.1, 0.05)
    errors = [
        objectives.finite_difference_sliced(score, x, step=h, variance_reduced=variance_reduced, directions=v) - truth
        for h in steps
    ]
    sizes = [float(e.norm()) for e in errors]
    for coarse, fine in itertools.pairwise(sizes):
        assert math.log2(coarse / fine) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("d", [2, 64])
def test_finite_differences_in_float32(d):
    # rounding u |s| / step and truncation step^2 |s'''| |v|^3 / 6 are both about u^(2/3) = 2.4e-5 for values of order 1
    x = Gaussian(torch.zeros(d), torch.eye(d)).sample(100, seed=1)
    v = probe("rademacher", 1, x, seed=0)
    single = objectives.finite_difference_sliced(torch.sin, x, directions=v)
    exact = objectives.sliced(torch.sin, x.double(), directions=v.double())
    assert (single - exact).abs().max() < 2.4e-5 * 4 * d


# --------------------------------------------------------------------------------- denoising: minimum and minimiser


@pytest.mark.parametrize("sigma", [0.3, 0.5, 1.0])
def test_the_floor_of_denoising(sigma):
    law = mixture_1d()
    x, eps, w = noised_nodes(law, 80)
    level = Level(1.0, sigma)
    noised = at(law, level)
    least = float(mean(objectives.denoising(noised, x, sigma, noise=eps), w))
    known = law.noise_variance(x + sigma * eps, level)
    assert least == pytest.approx(float(mean(known, w)) / (2 * sigma**2), abs=1e-6)
    floor = objectives.denoising_floor(law, sigma, n=20000)
    assert abs(floor.value - least) < 5 * floor.standard_error + 1e-9
    assert least > 0

    # the minimiser: any other score loses exactly half its mean squared distance
    for other in (law.score, SmoothScore(1).requires_grad_(False), lambda y: noised(y) + 0.1 * torch.sin(y)):
        excess = float(mean(objectives.denoising(other, x, sigma, noise=eps), w)) - least
        y = x + sigma * eps
        assert excess == pytest.approx(float(mean((other(y) - noised(y)).square().sum(1) / 2, w)), abs=1e-6)
        assert excess > 1e-4


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_the_floor_of_multilevel(weighting):
    law, weighting = mixture_1d(), WEIGHTINGS[weighting]
    x, eps, w = noised_nodes(law, 80)
    for sigma in (0.5, 3.0):
        level = Level(1.0, sigma)
        each = torch.full((len(x),), 0.5, dtype=F64)
        least = float(mean(objectives.multilevel(law, x, levels.one(sigma), weighting, noise=eps, u=each), w))
        floor = objectives.multilevel_floor(law, level, weighting, n=20000)
        assert abs(floor.value - least) < 5 * floor.standard_error + 1e-9


def test_the_floor_of_a_gaussian_is_exact():
    law, sigma = GAUSSIAN, 0.7
    eigenvalues = torch.linalg.eigvalsh(law.covariance)
    truth = float((eigenvalues / (eigenvalues + sigma**2)).sum()) / (2 * sigma**2)
    assert objectives.denoising_floor(law, sigma, n=2).value == pytest.approx(truth, rel=1e-12)


# ------------------------------------------------------------------------------------------------------- weightings


def errors_of_pair(level, n=6):
    """A pair, an estimate that satisfies `alpha x0 + sigma eps = x`, and the level's broadcast form."""
    draw = torch.Generator().manual_seed(2)
    x0, eps, deps = (torch.randn(n, 4, generator=draw, dtype=F64) for _ in range(3))
    wide = level.like(x0)
    return x0, eps, Estimate(x0 - wide.sigma / wide.alpha * deps, eps + deps), wide


LEVELS = {
    "alpha = 1": Level(torch.ones(6, dtype=F64), torch.logspace(-2, 1.8, 6, dtype=F64)),
    "VP": Level(doubles(0.999, 0.9, 0.6, 0.3, 0.1, 0.01), (1 - doubles(0.999, 0.9, 0.6, 0.3, 0.1, 0.01) ** 2).sqrt()),
    "flow": Level(1 - torch.linspace(0.05, 0.95, 6, dtype=F64), torch.linspace(0.05, 0.95, 6, dtype=F64)),
}
MEANING = {  # the squared error that each weighting is defined by in its source
    "NCSN": lambda x0, eps, e, lv: (lv.sigma * ((-e.eps / lv.sigma) - (-eps / lv.sigma))).square(),
    "EDM": lambda x0, eps, e, lv: (residual(e.x0, e.eps, lv) - residual(x0, eps, lv)).square(),
    "MinSNR": lambda x0, eps, e, lv: (lv.alpha / lv.sigma).square().clamp(max=5) * (e.x0 - x0).square(),
    "Flow": lambda x0, eps, e, lv: ((e.eps - e.x0) - (eps - x0)).square(),
}


def residual(x0, eps, level, sd=0.7):
    """F of Karras and others, from their definition: `(D - c_skip x) / c_out` for alpha = 1, by scaling otherwise."""
    sigma = level.sigma / level.alpha
    x = x0 + sigma * eps
    skip, out = sd**2 / (sigma**2 + sd**2), sigma * sd / (sigma**2 + sd**2).sqrt()
    return (x0 - skip * x) / out


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("name", MEANING)
def test_weightings_are_what_their_sources_say(name, level):
    level = LEVELS[level]
    x0, eps, estimate, wide = errors_of_pair(level)
    weighted = WEIGHTINGS[name](level) * (estimate.eps - eps).square().sum(1)
    assert torch.allclose(weighted, MEANING[name](x0, eps, estimate, wide).sum(1), rtol=1e-9)


def test_the_flow_weighting_on_straight_lines():
    level = LEVELS["flow"]  # alpha + sigma = 1: 1 / alpha^2 on the error of eps, 1 / sigma^2 on that of x0
    assert torch.allclose(WEIGHTINGS["Flow"](level), level.alpha**-2)


@pytest.mark.parametrize("schedule", [schedules.VP(), schedules.EDM(), schedules.SubVP(), schedules.VE()])
def test_the_likelihood_weighting_is_g2_over_sigma2(schedule):
    t = torch.linspace(0.01, 0.99, 9, dtype=F64) * schedule.t_max
    level = schedule(t)
    weight = objectives.Likelihood(schedule)(level)
    assert torch.allclose(weight, schedule.diffusion_squared(t) / level.sigma**2, rtol=1e-6)
    same = Level(torch.ones_like(t), level.ratio)  # only the ratio matters
    assert torch.allclose(objectives.Likelihood(schedule)(same), weight, rtol=1e-6)


@pytest.mark.parametrize("schedule", [schedules.VP(), schedules.SubVP(), schedules.VE(0.001, 50.0)])
def test_the_likelihood_weighting_integrates_to_the_divergence(schedule):
    # KL(p_0 | q_0) = int g^2 E_p|score_p - score_q|^2 / 2 dt + KL(p_T | q_T) (Song and others 2021)
    p, q = Gaussian(doubles([0.0]), doubles([[1.0]])), Gaussian(doubles([0.3]), doubles([[2.0]]))

    def divergence(level):
        a, b = (float(level.alpha) ** 2 * float(law.covariance) + float(level.sigma) ** 2 for law in (p, q))
        return (a / b - 1 - math.log(a / b) + (0.3 * float(level.alpha)) ** 2 / b) / 2

    nodes, weights = normal_nodes(1, 12)
    z, w = (torch.from_numpy(v) for v in np.polynomial.legendre.leggauss(80))
    start = 1e-3
    total = 0.0
    for t, share in zip(start + (1 - start) * (z + 1) / 2, w * (1 - start) / 2, strict=True):
        level = schedule(t)
        spread = (level.alpha**2 + level.sigma**2).sqrt()
        difference = (p(spread * nodes, level).eps - q(spread * nodes, level).eps).square()[:, 0] / 2
        total += float(share * objectives.Likelihood(schedule)(level) * mean(difference, weights))
    truth = divergence(schedule(start)) - divergence(schedule(1.0))
    assert total == pytest.approx(truth, rel=1e-5)


# ----------------------------------------------------------------------------------------------------- multilevel


@pytest.mark.parametrize("target", TARGETS, ids=str)
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_what_a_network_regresses_does_not_change_the_loss(target, weighting):
    law = mixture_2d()
    x = law.sample(64, seed=1)
    training = levels.LogUniform(0.05, 20.0)
    exact = objectives.multilevel(law, x, training, WEIGHTINGS[weighting], seed=0)
    model = Denoiser(ExactNetwork(law, target, 0.7), target, sigma_data=0.7, sigma_min=0.01, sigma_max=50.0)
    assert torch.allclose(objectives.multilevel(model, x, training, WEIGHTINGS[weighting], seed=0), exact, rtol=1e-8)


def test_the_default_weighting_is_edm_with_the_models_scale():
    law, x = mixture_2d(), mixture_2d().sample(16, seed=1)
    training = levels.LogNormal()
    one = objectives.multilevel(law, x, training, objectives.EDM(1.0), seed=0)
    assert torch.equal(objectives.multilevel(law, x, training, seed=0), one)
    model = Denoiser(ExactNetwork(law, TARGETS[-1], 0.7), sigma_data=0.7)
    default = objectives.multilevel(model, x, training, seed=0)
    assert torch.equal(default, objectives.multilevel(model, x, training, objectives.EDM(0.7), seed=0))


@pytest.mark.parametrize("sigma", [0.002, 1.0, 80.0])
@pytest.mark.parametrize("target", [TARGETS[3], TARGETS[5]], ids=str)
def test_the_loss_keeps_its_digits_in_float32(sigma, target):
    class Raw(torch.nn.Module):
        def forward(self, x, level_feature, condition=None):
            return torch.tanh(x)

    x = torch.randn(32, 3, generator=torch.Generator().manual_seed(0))
    eps = torch.randn(32, 3, generator=torch.Generator().manual_seed(1))
    model, u = Denoiser(Raw(), target), torch.full((32,), 0.5)
    for weighting in (objectives.NCSN(), objectives.EDM(), objectives.Flow()):
        single = objectives.multilevel(model, x, levels.one(sigma), weighting, noise=eps, u=u)
        double = objectives.multilevel(
            model, x.double(), levels.one(float(torch.tensor(sigma))), weighting, noise=eps.double(), u=u.double()
        )
        assert single.dtype == torch.float32
        assert torch.allclose(single.double(), double, rtol=3e-4)


@pytest.mark.parametrize("training", TRAINING_LEVELS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_multilevel_draws(training, dtype):
    law = mixture_2d()
    training = TRAINING_LEVELS[training]
    x = law.sample(12, seed=0).to(dtype)
    whole = objectives.multilevel(law, x, training, seed=3)
    assert whole.shape == (12,) and whole.dtype == dtype and torch.isfinite(whole).all()
    assert torch.allclose(whole[:5], objectives.multilevel(law, x[:5], training, seed=3))
    assert not torch.allclose(whole, objectives.multilevel(law, x, training, seed=4))
    drawn = [objectives.multilevel(law, x, training, seed=torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*drawn)


def test_stratified_levels_are_spread_evenly_and_each_uniform():
    seen = []

    def training(u):
        seen.append(u)
        return levels.LogNormal()(u)

    x = mixture_2d().sample(10, seed=0)
    for seed in range(400):
        objectives.multilevel(mixture_2d(), x, training, seed=seed, stratified=True)
    u = torch.stack(seen)
    gaps = u.sort(1).values.diff(dim=1)
    assert torch.allclose(gaps, torch.full_like(gaps, 0.1))
    assert ((u.mean(0) - 0.5).abs() < 5 / math.sqrt(12 * 400)).all()


def test_a_condition_reaches_the_model():
    given = []

    def model(x, level, condition=None):
        given.append(condition)
        return mixture_2d()(x, level)

    label = torch.arange(4)
    objectives.multilevel(model, mixture_2d().sample(4, seed=0), levels.LogNormal(), seed=0, condition=label)
    assert given[0] is label


# ----------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize("name", [name for name in OBJECTIVES if name not in EXACT_OBJECTIVES])
def test_a_seed_is_required_where_noise_is_drawn(name):
    with pytest.raises(TypeError, match="seed"):
        OBJECTIVES[name](torch.neg, torch.zeros(2, 2), torch.neg)


def test_a_seed_is_required_for_noise():
    x = torch.zeros(2, 2)
    with pytest.raises(TypeError, match="seed"):
        objectives.denoising(torch.neg, x, 1.0)
    with pytest.raises(TypeError, match="seed"):
        objectives.multilevel(mixture_2d(), x, levels.LogNormal())
    with pytest.raises(TypeError, match="seed"):
        objectives.multilevel(mixture_2d(), x, levels.LogNormal(), noise=x)


def test_errors_speak():
    x = torch.zeros(2, 2)
    with pytest.raises(ValueError, match="rademacher, gaussian, sphere"):
        objectives.sliced(torch.neg, x, kind="gauss", seed=0)
    with pytest.raises(ValueError, match="step must be positive"):
        objectives.finite_difference_sliced(torch.neg, x, step=0.0, seed=0)
    with pytest.raises(ValueError, match="sigma must be positive"):
        objectives.denoising(torch.neg, x, 0.0, seed=0)
    with pytest.raises(ValueError, match="noise must have x's shape"):
        objectives.denoising(torch.neg, x, 1.0, noise=torch.zeros(2, 3))
    with pytest.raises(ValueError, match="x's shape"):
        objectives.explicit(lambda y: y.sum(1), x, torch.neg)
    with pytest.raises(ValueError, match="positive and finite"):
        objectives.EDM(0.0)
    with pytest.raises(ValueError, match="does not pass"):
        objectives.Likelihood(schedules.EDM(10.0))(Level(1.0, 20.0))
    with pytest.raises(ValueError, match="probes"):
        objectives.implicit(torch.neg, x, probes=-1, seed=0)
