"""Score models on manifolds: geometry, exact mixtures, losses, walks, the probability flow, training."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from scorefield import Settings
from scorefield._files import FileError
from scorefield.manifolds import (
    SO3,
    HeatMixture,
    Manifold,
    Sphere,
    TangentScore,
    Torus,
    TrainedScore,
    VonMisesFisherMixture,
    denoising,
    divergence,
    fit,
    fit_von_mises_fisher,
    implicit,
    largest,
    log_density,
    sample,
    transport,
    walk,
)
from scorefield.manifolds.losses import Denoising, at
from scorefield.manifolds.radial import gauss_legendre
from scorefield.manifolds.von_mises_fisher import concentration, mean_length
from scorefield.numerics.random import normal
from scorefield.objectives.batch import Draws

F64 = torch.float64
MANIFOLDS: tuple[Manifold, ...] = (Torus(1), Torus(3), Sphere(1), Sphere(2), Sphere(3), SO3())
manifolds = pytest.mark.parametrize("manifold", MANIFOLDS, ids=str)
small = pytest.mark.parametrize("manifold", (Torus(2), Sphere(2), SO3()), ids=str)


def mixture(manifold: Manifold) -> HeatMixture:
    sigmas = torch.tensor([0.5, 0.4, 0.8], dtype=F64)
    return HeatMixture(manifold, torch.tensor([1.0, 2.0, 1.0]), manifold.uniform(3, 5, dtype=F64), sigmas)


def noise(manifold: Manifold, n: int, seed: int = 0) -> Tensor:
    return normal(n, manifold.shape, seed, "test", dtype=F64)


# -------------------------------------------------------------------------------------------------------- geometry


@pytest.mark.parametrize("manifold", (*MANIFOLDS, Sphere(6)), ids=str)
def test_exp_and_log_are_inverse_and_the_distance_is_the_length(manifold: Manifold) -> None:
    x, y = manifold.uniform(200, 0, dtype=F64), manifold.uniform(200, 1, dtype=F64)
    manifold.check(x)
    v = manifold.log(x, y)
    assert torch.allclose(manifold.project(x, v), v, atol=1e-12)
    assert torch.allclose(manifold.exp(x, v), y, atol=1e-9)
    assert torch.allclose(manifold.inner(x, v, v).sqrt(), manifold.distance(x, y), atol=1e-9)
    assert torch.allclose(manifold.distance(y, x), manifold.distance(x, y), atol=1e-12)
    assert float(manifold.log(x, x).abs().max()) < 1e-12
    short = 1e-5 * manifold.noise(x, noise(manifold, 200))
    assert torch.allclose(manifold.log(x, manifold.exp(x, short)), short, atol=1e-14)


@manifolds
def test_tangent_noise_is_standard_and_the_frame_orthonormal(manifold: Manifold) -> None:
    n = 4000
    x = manifold.uniform(1, 0, dtype=F64).expand(n, *manifold.shape)
    v = manifold.noise(x, noise(manifold, n))
    square = manifold.inner(x, v, v)
    assert abs(float(square.mean()) - manifold.dim) < 4 * math.sqrt(2 * manifold.dim / n)
    frame = manifold.frame(x[:5]).flatten(2)
    gram = torch.einsum("ing,jng->nij", frame, frame)
    assert torch.allclose(gram, torch.eye(manifold.dim, dtype=F64).expand_as(gram), atol=1e-12)
    for e in manifold.frame(x[:5]):
        assert torch.allclose(manifold.project(x[:5], e), e, atol=1e-12)


@manifolds
def test_uniform_points_have_every_direction_alike(manifold: Manifold) -> None:
    seen = manifold.embed(manifold.uniform(4000, 3, dtype=F64))
    error = seen.std(0) / math.sqrt(len(seen))
    assert bool((seen.mean(0).abs() < 4 * error).all())
    assert torch.equal(manifold.uniform(5, 3, first=7), manifold.uniform(12, 3)[7:])


def test_half_turns_of_rotations_and_opposite_points() -> None:
    eye = torch.eye(3, dtype=F64).expand(4, 3, 3)
    turns = torch.stack(
        [torch.diag(torch.tensor(d, dtype=F64)) for d in ([1, -1, -1], [-1, 1, -1], [-1, -1, 1], [1, 1, 1])]
    )
    v = SO3().log(eye, turns)
    assert torch.allclose(SO3().exp(eye, v), turns, atol=1e-12)
    assert SO3().distance(eye, turns).round(decimals=9).tolist() == [round(math.pi, 9)] * 3 + [0.0]
    x = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    with pytest.raises(ValueError, match="row 1: the points are opposite"):
        Sphere(2).log(x, torch.tensor([[0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]))


def test_the_divergence_of_a_gradient_is_the_laplacian() -> None:
    """Of the first eigenfunction: minus its eigenvalue times itself."""
    x, a = Sphere(3).uniform(10, 0, dtype=F64), torch.tensor([0.5, -1.0, 2.0, 0.3], dtype=F64)
    _, div = divergence(Sphere(3), lambda y: Sphere(3).project(y, a.expand_as(y)), x)
    assert torch.allclose(div, -3 * x @ a, atol=1e-12)
    group, x = SO3(), SO3().uniform(10, 0, dtype=F64)
    A = torch.arange(9, dtype=F64).reshape(3, 3).sin()
    _, div = divergence(group, lambda y: 2 * group.project(y, A.expand_as(y)), x)  # of sum(A * y)
    assert torch.allclose(div, -2 * (A * x).sum((1, 2)), atol=1e-12)


@pytest.mark.parametrize(
    ("manifold", "x", "words"),
    [
        (Sphere(2), torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]), "row 1 has length 1.41421"),
        (Sphere(2), torch.ones(2, 2), r"shape \(n, 3\), got \(2, 2\)"),
        (Sphere(2), torch.tensor([[1.0, 0.0, math.nan]]), "row 0 of x has NaN"),
        (Torus(2), torch.tensor([[0.0, 0.0], [math.inf, 0.0]]), "row 1 of x has NaN or infinite"),
        (SO3(), torch.diag(torch.tensor([1.0, 1.0, -1.0]))[None], "row 0 is a reflection"),
        (SO3(), 2 * torch.eye(3)[None], "row 0: the columns of the matrix are not orthonormal"),
    ],
)
def test_points_off_the_manifold_are_named(manifold: Manifold, x: Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        fit(manifold, x)


def test_sizes_that_are_none_are_refused() -> None:
    for make in (Sphere, Torus):
        for d in (0, -1, 2.0, True):
            with pytest.raises(ValueError, match=">= 1, got"):
                make(d)


# ---------------------------------------------------------------------------------------------------- exact models


def sphere_rule(n: int) -> tuple[Tensor, Tensor]:
    """Points and weights of a product rule on the two-sphere."""
    node, weight = gauss_legendre(40)
    z, angle = 2 * node - 1, torch.arange(n, dtype=F64) * (2 * math.pi / n)
    across = (1 - z.square()).sqrt()[:, None]
    x = torch.stack([across * angle.cos(), across * angle.sin(), z[:, None].expand(-1, n)], -1).reshape(-1, 3)
    return x, (2 * weight[:, None] * (2 * math.pi / n)).expand(-1, n).flatten()


@manifolds
def test_a_mixture_is_a_density_with_its_gradient(manifold: Manifold) -> None:
    law = mixture(manifold)
    for sigma in (0.0, 0.7):
        x = law.sample(8, 1, sigma).requires_grad_()
        (gradient,) = torch.autograd.grad(law.log_density(x, sigma).sum(), x)
        metric = 2 if isinstance(manifold, SO3) else 1
        assert torch.allclose(metric * manifold.project(x, gradient), law(x, sigma), rtol=1e-8, atol=1e-9)
    x, log_volume = manifold.uniform(3000, 0, dtype=F64), math.log(manifold.volume)
    p = (law.log_density(x, 0.5) + log_volume).exp()
    assert abs(float(p.mean()) - 1) < 4 * float(p.std()) / math.sqrt(len(p))
    if manifold == Sphere(2):
        x, weight = sphere_rule(80)
        assert abs(float((law.log_density(x).exp() * weight).sum()) - 1) < 1e-10


@small
def test_noised_draws_have_the_noised_law(manifold: Manifold) -> None:
    """The mean of `p_a / uniform` over draws of p_b is the same either way round: both are the integral of both."""
    law, n = mixture(manifold), 1500
    x = manifold.diffuse(law.sample(n, 0), noise(manifold, n, 1), 0.6)
    there, here = law.log_density(x, 0.0).exp(), law.log_density(law.sample(n, 2), 0.6).exp()
    error = math.hypot(float(there.std()), float(here.std())) / math.sqrt(n)
    assert abs(float(there.mean()) - float(here.mean())) < 4 * error


def test_mixtures_that_are_none_are_refused() -> None:
    x = Torus(1).uniform(2, 0)
    with pytest.raises(ValueError, match="sigmas of a HeatMixture must be positive"):
        HeatMixture(Torus(1), torch.ones(2), x, torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="weights and sigmas"):
        HeatMixture(Torus(1), torch.ones(3), x, torch.ones(2))


# ---------------------------------------------------------------------------------------------------------- losses


@small
def test_both_losses_are_least_at_the_true_score(manifold: Manifold) -> None:
    """Scale: the k that minimises the mean of L(k * true score), a parabola in k, is 1 within its error."""
    law, n, sigma = mixture(manifold), 600, 0.4
    x, z = law.sample(n, 0), noise(manifold, n)
    score = at(law, sigma)
    noised = manifold.diffuse(x, z, sigma)
    for loss, points in (
        (lambda k: denoising(manifold, lambda y: k * score(y), x, sigma, z), noised),
        (lambda k: implicit(manifold, lambda y: k * score(y), noised), noised),
    ):
        minus, zero, plus = (loss(k).detach() for k in (-1.0, 0.0, 1.0))
        bend, slope = plus + minus - 2 * zero, (plus - minus) / 2
        best = -float(slope.mean() / bend.mean())
        error = float((slope + bend).std()) / math.sqrt(n) / float(bend.mean())
        assert abs(best - 1) < 4 * error, (best, error, len(points))
        assert error < 0.1


@manifolds
def test_the_objective_of_the_trainer_weighs_levels_alike(manifold: Manifold) -> None:
    """With no model at all its mean is the dimension for little noise, and stays of that order for much."""
    from scorefield.levels import Ladder

    n = 1000
    x = manifold.uniform(n, 0, dtype=F64)
    draws = Draws(noise(manifold, n), torch.full((n,), 0.5), torch.arange(n))
    for sigma, most in ((0.01, 1.15), (1.0, 3.5), (2.5, 3.5)):
        loss = Denoising(manifold, Ladder((sigma,)))(lambda y, s: torch.zeros_like(y), x, draws)
        assert 0.85 / 1.3 < float(loss.mean()) / manifold.dim < most


# ----------------------------------------------------------------------------------------- walks and probability flow


@small
def test_walks_converge_to_the_heat_kernel_with_weak_order_1(manifold: Manifold) -> None:
    """The mean of the first eigenfunction after k steps is `m(sigma^2 / k)^k`, m known: errors halve with twice k."""
    sigma, n = 1.0, 4000
    z = torch.linspace(0, 12, 20_001, dtype=F64)
    d = 1 if isinstance(manifold, Torus) else manifold.dim
    chi = z ** (d - 1) * (-z.square() / 2).exp()
    chi[0] /= 2  # the trapezoidal rule
    chi = chi / chi.sum()

    def mean(steps: int) -> float:
        angle = sigma / math.sqrt(steps) * z
        wave = (1 + 2 * angle.cos()) / 3 if isinstance(manifold, SO3) else angle.cos()
        return float((chi * wave).sum()) ** steps

    y = manifold.uniform(1, 0, dtype=F64).expand(n, *manifold.shape)
    x = walk(manifold, y, sigma, 3, seed=0)
    angle = (x - y) if isinstance(manifold, Torus) else manifold.distance(x, y)[:, None]
    wave = (1 + 2 * angle.cos()) / 3 if isinstance(manifold, SO3) else angle.cos()
    wave = wave.mean(1)
    assert abs(float(wave.mean()) - mean(3)) < 4 * float(wave.std()) / math.sqrt(n)
    exact = math.exp(-manifold.eigenvalue * sigma**2 / 2)
    errors = [abs(mean(k) - exact) for k in (16, 32, 64)]
    if isinstance(manifold, Torus):
        assert max(errors) < 1e-9  # flat: every walk is exact
    else:
        assert 1.9 < errors[0] / errors[1] < 2.1 and 1.9 < errors[1] / errors[2] < 2.1


@small
def test_reversed_walks_and_the_flow_end_in_the_law(manifold: Manifold) -> None:
    """Means of all that `embed` gives, against the exact draws: within the error, and 1 / steps for the walk."""
    law, low, n = mixture(manifold), 0.2, 250
    high = largest(manifold, 1e-3)
    exact = manifold.embed(law.sample(4000, 1, low))
    score = law
    walked = sample(manifold, score, n, sigma_min=low, sigma_max=high, steps=40, seed=0, dtype=F64)
    manifold.check(walked)
    error = exact.std(0) / math.sqrt(n)
    assert bool(((manifold.embed(walked).mean(0) - exact.mean(0)).abs() < 4 * error + 2 / 40).all())
    few = 60
    start = manifold.uniform(few, 2, dtype=F64)
    moved = transport(manifold, score, start, start=high, end=low, tolerance=1e-3)
    assert bool(((manifold.embed(moved).mean(0) - exact.mean(0)).abs() < 4 * exact.std(0) / math.sqrt(few)).all())


@pytest.mark.parametrize("manifold", (Torus(1), Torus(3), Sphere(1), Sphere(2), SO3()), ids=str)
def test_the_flow_has_the_exact_density(manifold: Manifold) -> None:
    """To the tolerance of a step times the few dozens that there are, and there and back again."""
    law = mixture(manifold)
    x = law.sample(3, 0, 0.3)
    nats = tolerance = 1e-5 if manifold.dim == 3 else 1e-6
    high = largest(manifold, nats)
    found = log_density(manifold, law, x, sigma_min=0.3, sigma_max=high, tolerance=tolerance)
    assert torch.allclose(found.value, law.log_density(x, 0.3), rtol=0, atol=50 * tolerance)
    if manifold.dim < 3:
        back = transport(manifold, law, found.end, start=high, end=0.3, tolerance=tolerance)
        assert float(manifold.distance(back, x).max()) < 1e-3


def test_ranges_of_noise_that_are_none_are_refused() -> None:
    law = mixture(Torus(2))
    for low, high in ((0.0, 1.0), (1.0, 1.0), (2.0, 1.0), (0.1, math.inf)):
        with pytest.raises(ValueError, match="0 < sigma_min < sigma_max"):
            sample(law.manifold, law, 3, sigma_min=low, sigma_max=high)
    with pytest.raises(ValueError, match="nats between 0 and 1"):
        largest(Sphere(2), 0.0)
    with pytest.raises(ValueError, match="sigma > 0 and steps >= 1"):
        walk(Torus(2), torch.zeros(1, 2), 1.0, 0, seed=0)


# -------------------------------------------------------------------------------------------------------- training


@manifolds
def test_a_network_is_tangent_and_starts_as_its_base(manifold: Manifold) -> None:
    law = mixture(manifold)
    score = TangentScore(manifold, law, width=16, depth=1)
    x = law.sample(5, 0).float()
    assert torch.equal(score(x, 0.5), law(x, 0.5))
    with torch.no_grad():
        for p in score.parameters():
            p.add_(0.05)
    s = score(x, torch.full((5,), 0.5))
    assert s.shape == x.shape and torch.allclose(manifold.project(x, s), s, atol=1e-5)
    assert float((s - law(x, 0.5)).abs().max()) > 1e-3
    assert torch.allclose(score(x[:1], 0.5), s[:1], atol=1e-5)


def test_a_trained_score_is_of_a_density_that_integrates_to_1() -> None:
    law = HeatMixture(Torus(1), torch.tensor([1.0, 1.0]), torch.tensor([[-1.0], [1.5]]), torch.tensor([0.3, 0.6]))
    x, held = law.sample(2000, 0), law.sample(500, 1)
    settings = Settings(steps=200, batch=256, learning_rate=5e-3, evaluate_every=100, warmup=10)
    found = fit(Torus(1), x, held=held, settings=settings, width=32, depth=1, sigma_min=0.05)
    angle = torch.linspace(-math.pi, math.pi, 161)[:-1, None]
    value = found.log_density(angle, tolerance=1e-4)
    assert abs(float(value.exp().sum()) * (2 * math.pi / 160) - 1) < 5e-3
    uniform, exact = -math.log(2 * math.pi), float(law.log_density(held, 0.05).mean())
    learned = float(found.log_density(held[:200]).mean())
    assert uniform + 0.7 * (exact - uniform) < learned < exact + 0.1
    assert float(torch.cdist(found.sample(300, 0, steps=30).sort(0).values.T, law.sample(300, 4).sort(0).values.T)) < 6


# --------------------------------------------------------------------------------------------------------- baselines


@pytest.mark.parametrize("dimensions", [2, 3, 4])
def test_von_mises_fisher_laws(dimensions: int) -> None:
    k = torch.tensor([0.01, 1.0, 10.0, 1e4], dtype=F64)
    assert torch.allclose(concentration(mean_length(k, dimensions), dimensions), k, rtol=1e-6)
    if dimensions == 3:
        x, weight = sphere_rule(60)
        law = VonMisesFisherMixture(torch.tensor([0.3, 0.7], dtype=F64), Sphere(2).uniform(2, 0, dtype=F64), k[1:3])
        assert abs(float((law.log_density(x).exp() * weight).sum()) - 1) < 1e-9
        heat = law.heat_mixture()  # of the same mean
        p = law.log_density(x).exp() - heat.log_density(x).exp()
        assert float(((p * weight)[:, None] * x).sum(0).abs().max()) < 1e-9


def test_a_fitted_mixture_is_a_maximum_of_the_likelihood() -> None:
    law = HeatMixture(Sphere(2), torch.ones(3), Sphere(2).uniform(3, 5, dtype=F64), torch.full((3,), 0.2))
    x = law.sample(600, 0)
    best = fit_von_mises_fisher(x, 3, seed=0, tolerance=1e-10)
    most = float(best.log_density(x).mean())
    assert abs(most - float(law.log_density(x).mean())) < 0.02
    for factor in (0.97, 1.03):
        other = VonMisesFisherMixture(best.weights, best.directions, best.concentrations * factor)
        assert float(other.log_density(x).mean()) < most
    turned = torch.nn.functional.normalize(best.directions + 0.01 * Sphere(2).uniform(3, 1, dtype=F64))
    assert float(VonMisesFisherMixture(best.weights, turned, best.concentrations).log_density(x).mean()) < most
    with pytest.raises(ValueError, match="components must be from 1 to the 600"):
        fit_von_mises_fisher(x, 601, seed=0)


@small
def test_a_saved_score_comes_back_bit_for_bit(manifold: Manifold, tmp_path: Path) -> None:
    centres = HeatMixture(manifold, torch.ones(1), manifold.uniform(1, seed=3), torch.ones(1)).sample(2, seed=1)
    base = HeatMixture(manifold, torch.tensor([1.0, 2.0]), centres, torch.tensor([0.4, 0.7]))
    for law in (None, base):
        found = fit(manifold, base.sample(64, seed=0), base=law, settings=Settings(steps=3), width=16, depth=1)
        found.save(tmp_path / "run")
        again = TrainedScore.load(tmp_path / "run")
        x = base.sample(5, seed=4).float()
        assert repr(again) == repr(found) and torch.equal(again(x, 0.3), found(x, 0.3))
        assert torch.equal(again.sample(4, steps=8), found.sample(4, steps=8))


def test_a_score_that_cannot_be_stored_or_read_says_so(tmp_path: Path) -> None:
    found = fit(Torus(2), torch.rand(16, 2), settings=Settings(steps=1), width=8, depth=1)
    found.save(tmp_path)
    header = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    for name, value, said in (
        ("manifold", {"name": "Torus", "d": 3}, "sees 42 numbers, got 28"),
        ("manifold", {"name": "Klein bottle"}, "the manifold is SO3, or Sphere or Torus"),
        ("frequencies", "many", "a list of numbers, got 'many'"),
        ("sigma_min", 9.0, "0 < sigma_min < sigma_max"),
        ("format", "scorefield", "expected a score on a manifold"),
    ):
        (tmp_path / "model.json").write_text(json.dumps({**header, name: value}), encoding="utf-8")
        with pytest.raises(FileError, match=said):
            TrainedScore.load(tmp_path)

    class Klein(Torus):
        pass

    with pytest.raises(ValueError, match="scores on Sphere, Torus and SO3 can be saved"):
        TrainedScore(TangentScore(Klein(2), width=8, depth=1), 0.1, 1.0).save(tmp_path)
