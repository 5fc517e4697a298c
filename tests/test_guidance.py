"""Guidance: exact where a mixture whose components are the classes makes the exact answer known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield import guidance, levels, plans
from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.core import Estimate, Level, Model
from scorefield.denoiser import Denoiser, Energy, at
from scorefield.nets import ResidualMLP, ScalarMLP
from scorefield.plans import run
from tables import F64, doubles, some_covariance


class Classes:
    """The exact model of a mixture whose components are the classes; class K, or no condition, means all of them."""

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor) -> None:
        self.whole = GaussianMixture(weights, means, covariances)
        self.parts = [Gaussian(m, c) for m, c in zip(means, covariances, strict=True)]
        self.classes = len(self.parts)
        self.sigma_min, self.sigma_max = 0.002, 80.0
        self.calls = 0

    def law(self, c: int) -> Gaussian | GaussianMixture:
        return self.whole if c == self.classes else self.parts[c]

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        self.calls += 1
        if condition is None:
            return self.whole(x, level)
        x0, eps = torch.empty_like(x), torch.empty_like(x)
        for c in range(self.classes + 1):
            of = condition == c
            part = Level(*(v[of] if isinstance(v, Tensor) and v.ndim else v for v in level))
            x0[of], eps[of] = self.law(c)(x[of], part)
        return Estimate(x0, eps)


def three() -> Classes:
    means = doubles([[-1.0, 0.5], [0.8, 0.2], [0.1, -1.2]])
    return Classes(doubles(0.5, 0.2, 0.3), means, torch.stack([some_covariance(2, k) for k in range(3)]))


def some(n: int = 60, d: int = 2, scale: float = 1.5) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    x = scale * torch.randn(n, d, generator=draw, dtype=F64)
    return x, torch.randint(0, 3, (n,), generator=draw)


LEVELS = {
    "0.01": Level(1.0, 0.01),
    "1": Level(1.0, 1.0),
    "80": Level(1.0, 80.0),
    "VP": Level(0.6, 0.8),
    "each its own": Level(torch.linspace(1, 0.1, 60, dtype=F64), torch.linspace(0.1, 1, 60, dtype=F64)),
}
SCALES = (-0.5, 0.5, 2.0, 7.5)
AT = pytest.mark.parametrize("level", LEVELS.values(), ids=LEVELS)


@AT
@pytest.mark.parametrize("scale", SCALES)
def test_the_guided_score_is_that_of_the_density_times_the_class_probability_to_the_scale(
    level: Level, scale: float
) -> None:
    model = three()
    x, condition = some()
    got = guidance.classifier_free(model, scale)(x, level, condition)
    y = x.clone().requires_grad_()
    joint = model.whole.log_density(y, level)  # log p(x) p(c | x)^w = (1 - w) log p(x) + w log p(x | c) + const
    own = torch.stack([part.log_density(y, level) for part in model.parts]).gather(0, condition[None])[0]
    (want,) = torch.autograd.grad(((1 - scale) * joint + scale * own).sum(), y)
    assert torch.allclose(got.score(level), want, rtol=1e-9, atol=1e-9)


@AT
@pytest.mark.parametrize("scale", SCALES)
def test_the_pair_still_adds_up_to_x(level: Level, scale: float) -> None:
    x, condition = some()
    got = guidance.classifier_free(three(), scale)(x, level, condition)
    assert torch.allclose(got.at(level), x, rtol=1e-12, atol=1e-11)


@AT
def test_scale_one_is_the_conditional_model_and_zero_the_unconditional_one_bit_for_bit(level: Level) -> None:
    model = three()
    x, condition = some()
    for scale, given in ((1.0, condition), (0.0, None)):
        got, want = guidance.classifier_free(model, scale)(x, level, condition), model(x, level, given)
        assert torch.equal(got.x0, want.x0) and torch.equal(got.eps, want.eps)


def test_the_class_that_means_none_is_no_condition() -> None:
    model, level = three(), Level(1.0, 0.5)
    x, condition = some()
    default = guidance.classifier_free(model, 3.0)(x, level, condition)
    named = guidance.classifier_free(model, 3.0, null=model.classes)(x, level, condition)
    assert torch.allclose(default.x0, named.x0, rtol=1e-12)
    none = torch.full_like(condition, model.classes)
    assert torch.allclose(guidance.classifier_free(model, 3.0)(x, level, none).x0, model(x, level).x0)


def test_networks_take_none_and_their_class_for_none_alike() -> None:
    network = ResidualMLP(2, width=8, depth=1, classes=3).double()
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.3)
    model, level = Denoiser(network).eval(), Level(1.0, 0.5)
    x, condition = some()
    one = guidance.classifier_free(model, 2.0)(x, level, condition)
    two = guidance.classifier_free(model, 2.0, null=3)(x, level, condition)
    assert torch.allclose(one.x0, two.x0, rtol=1e-12) and not torch.allclose(one.x0, model(x, level, condition).x0)


def test_outside_the_interval_the_conditional_model_answers_alone() -> None:
    model = three()
    x, condition = some()
    guided = guidance.classifier_free(model, 3.0, interval=(0.3, 2.0))
    everywhere = guidance.classifier_free(model, 3.0)
    for sigma, inside in ((0.1, False), (0.3, True), (2.0, True), (5.0, False)):
        level = Level(0.5, 0.5 * sigma)
        model.calls = 0
        got = guided(x, level, condition)
        assert model.calls == (2 if inside else 1)
        assert torch.equal(got.x0, (everywhere if inside else model)(x, level, condition).x0)


def test_levels_of_each_sample_choose_for_themselves() -> None:
    model = three()
    x, condition = some()
    sigma = torch.logspace(-2, 1.5, len(x), dtype=F64)
    guided = guidance.classifier_free(model, 3.0, interval=(0.3, 2.0))
    got = guided(x, Level(torch.ones_like(sigma), sigma), condition)
    for i, s in enumerate(sigma.tolist()):
        one = guided(x[i : i + 1], Level(1.0, s), condition[i : i + 1])
        assert torch.allclose(got.x0[i], one.x0[0], rtol=1e-12) and torch.allclose(got.eps[i], one.eps[0], rtol=1e-12)
    outside = (sigma < 0.3) | (sigma > 2)
    plain = model(x, Level(torch.ones_like(sigma), sigma), condition)
    assert torch.equal(got.eps[outside], plain.eps[outside])


@pytest.mark.parametrize("interval", [None, (0.3, 2.0), (1e-3, 0.01)])
@pytest.mark.parametrize("scale", [0.0, 1.0, 2.5])
def test_evaluations_are_counted(scale: float, interval: tuple[float, float] | None) -> None:
    model = three()
    x, condition = some()
    guided = guidance.classifier_free(model, scale, interval=interval)
    plan = plans.default(12)
    run(plan, guided, x, condition=condition)
    assert model.calls == guided.evaluations(plan)


@pytest.mark.parametrize("scale", [0.5, 2.0, 3.0])
@pytest.mark.parametrize("interval", [None, (0.5, 3.0)])
def test_the_probability_flow_of_guided_gaussians_ends_where_its_solution_says(
    scale: float, interval: tuple[float, float] | None
) -> None:
    a, b = 1.0, 0.25  # variances of all data and of the class, both about 0
    wide, narrow = Gaussian(doubles([0.0]), doubles([[a]])), Gaussian(doubles([0.0]), doubles([[b]]))

    def model(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        return (wide if condition is None else narrow)(x, level)

    guided = guidance.classifier_free(model, scale, interval=interval)
    lv = levels.log_uniform(201, 20.0, 0.01, end=False)
    if interval is not None:  # no step across an edge
        edges = torch.tensor([*interval], dtype=F64)
        lv = levels.given(torch.cat([lv.sigma, edges * (1 - 1e-9), edges * (1 + 1e-9)]).sort(descending=True)[0], False)
    x = torch.linspace(-20, 20, 7, dtype=F64)[:, None]
    got = run(plans.rk4(lv), guided, x, condition=torch.zeros(7, dtype=torch.int64))

    def log_shrink(low: float, high: float, weight: float) -> float:
        # dx / dsigma = sigma x (weight / (b + sigma^2) + (1 - weight) / (a + sigma^2))
        return sum(w / 2 * math.log((v + low**2) / (v + high**2)) for w, v in ((weight, b), (1 - weight, a)))

    low, high = interval or (0.01, 20.0)
    total = log_shrink(0.01, low, 1.0) + log_shrink(low, high, scale) + log_shrink(high, 20.0, 1.0)
    assert torch.allclose(got, x * math.exp(total), rtol=1e-6)


@AT
@pytest.mark.parametrize("scale", SCALES)
def test_autoguidance_goes_from_the_weaker_model_beyond_the_better_one(level: Level, scale: float) -> None:
    better = three().whole
    weaker = GaussianMixture(better.weights, better.means, better.covariances + 0.3 * torch.eye(2, dtype=F64))
    x, _ = some()
    got = guidance.autoguidance(better, weaker, scale)(x, level).score(level)
    assert torch.allclose(got, scale * better.score(x, level) + (1 - scale) * weaker.score(x, level), rtol=1e-9)
    assert torch.equal(guidance.autoguidance(better, weaker, 1.0)(x, level).x0, better(x, level).x0)


def test_a_fixed_condition_makes_a_model_without_one() -> None:
    model, level = three(), Level(1.0, 0.7)
    x, _ = some()
    two = torch.full((len(x),), 2)
    guided = guidance.classifier_free(model, 2.0)
    assert torch.equal(guidance.conditioned(guided, 2)(x, level).x0, guided(x, level, two).x0)
    assert torch.equal(guidance.conditioned(model, 2)(x, level).x0, model(x, level, two).x0)
    assert torch.equal(guidance.conditioned(model, None)(x, level, two).x0, model(x, level).x0)


def test_a_static_view_and_function_transforms_go_through_guidance() -> None:
    guided = guidance.conditioned(guidance.classifier_free(three(), 2.0, interval=(0.1, 1.0)), 1)
    x, _ = some(4)
    score = at(guided, Level(1.0, 0.5))
    out, tangent = torch.func.jvp(score, (x,), (torch.ones_like(x),))
    h = 1e-5
    assert torch.allclose(tangent, (score(x + h) - score(x - h)) / (2 * h), atol=1e-6)
    assert torch.equal(out, score(x))


def test_facts_are_handed_on() -> None:
    def network(low: float, high: float) -> Denoiser:
        net = ResidualMLP(2, width=8, depth=1, classes=3)
        return Denoiser(net, sigma_data=0.7, sigma_min=low, sigma_max=high).eval()

    one, two = network(0.01, 50.0), network(0.002, 20.0)
    guided: Model = guidance.autoguidance(one, two, 2.0)
    got = [getattr(guided, name) for name in ("sigma_min", "sigma_max", "sigma_data", "classes")]
    assert got == [0.01, 20.0, 0.7, 3]
    fixed = guidance.conditioned(guided, 1)
    assert (fixed.sigma_min, fixed.sigma_max, fixed.sigma_data) == (0.01, 20.0, 0.7)
    plan = plans.default(5, sigma_max=50.0)
    with pytest.raises(ValueError, match="the model answers from"):
        run(plan, guided, plan.start(2, (2,), seed=0), condition=torch.tensor([0, 1]))
    exact = guidance.autoguidance(three().whole, three().whole, 2.0)
    assert torch.equal(exact.mean, three().whole.mean)
    assert not hasattr(exact, "sigma_min") and not hasattr(exact, "sigma_data") and not hasattr(exact, "weights")


def test_what_cannot_be_guided_is_said() -> None:
    x, _ = some()
    for model in (Denoiser(ResidualMLP(2, width=8, depth=1)), Energy(ScalarMLP(2, width=8, depth=1))):
        with pytest.raises(ValueError, match="takes no condition"):
            guidance.classifier_free(model, 2.0)
    with pytest.raises(ValueError, match="needs one, got None"):
        guidance.classifier_free(three(), 2.0)(x, Level(1.0, 1.0))
    with pytest.raises(ValueError, match="must be finite"):
        guidance.classifier_free(three(), math.nan)
    with pytest.raises(ValueError, match="0 <= low < high"):
        guidance.autoguidance(three(), three(), 2.0, interval=(2.0, 0.5))
