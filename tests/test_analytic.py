"""The exact laws against stored high-precision answers, against each other, and at the ends of the noise."""

import math

import pytest
import torch

from scorefield.analytic import Empirical, Gaussian, GaussianMixture, _law
from scorefield.core import Level
from scorefield.denoiser import at
from tables import F64, LAWS, NOISE_LEVELS, SMOOTH_LAWS, doubles, law_nodes, mixture_1d, reference, reference_law

STORED = [(name, k) for name in ("ring", "blend") for k in range(7)]


def points(law, n=20, level=None, dtype=F64):
    return law.sample(n, seed=1, level=level).to(dtype)


def relative(answer, truth):
    return ((answer.double() - truth).norm(dim=1) / truth.norm(dim=1)).max()


# ------------------------------------------------------------------------------------------- the stored answers


@pytest.mark.parametrize(("name", "k"), STORED)
def test_stored_answers_to_1e_8(name, k):
    stored, law = reference(name), reference_law(name)
    x, level = stored["points"][k], Level(1.0, float(stored["sigmas"][k]))
    log_density = stored["log_density"][k]
    assert ((law.log_density(x, level) - log_density).abs() <= 1e-8 * log_density.abs().clamp(min=1)).all()
    assert relative(law.score(x, level), stored["score"][k]) < 1e-8
    assert relative(law(x, level).x0, stored["posterior_mean"][k]) < 1e-8


@pytest.mark.parametrize(("name", "k"), STORED)
def test_stored_answers_in_float32(name, k):
    # x itself is rounded, by u |x|; a score moves with x by at most 1 / v, v the least noised variance, and answers
    # are sums of a few hundred rounded terms: 1e-6 in units of the answers' natural scales.
    stored, law = reference(name), reference_law(name)
    sigma = float(stored["sigmas"][k])
    x, level = stored["points"][k].float(), Level(1.0, sigma)
    assert law.score(x, level).dtype == torch.float32
    log_density = stored["log_density"][k]
    assert ((law.log_density(x, level) - log_density).abs() <= 1e-5 * log_density.abs().clamp(min=1)).all()
    assert relative(law.score(x, level), stored["score"][k]) < 2e-5
    estimate, size = law(x, level), stored["points"][k].norm(dim=1) + law.means.norm(dim=1).max()
    assert ((estimate.x0 - stored["posterior_mean"][k]).norm(dim=1) < 1e-6 * size.clamp(max=10)).all()
    if sigma:
        assert relative(estimate.score(level), stored["score"][k]) < 2e-5


# --------------------------------------------------------------------------------------------------- consistency


@pytest.mark.parametrize("name", SMOOTH_LAWS)
@pytest.mark.parametrize("level", NOISE_LEVELS)
def test_the_score_is_the_gradient_of_the_log_density(name, level):
    law, level = LAWS[name], NOISE_LEVELS[level]
    x = points(law, level=level)
    gradient = torch.func.grad(lambda y: law.log_density(y, level).sum())(x)
    assert relative(law.score(x, level), gradient) < 1e-9


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("level", NOISE_LEVELS)
def test_the_pair_is_x_and_its_score(name, level):
    law, level = LAWS[name], NOISE_LEVELS[level]
    x = points(law, level=level)
    estimate = law(x, level)
    assert torch.allclose(estimate.at(level), x, rtol=1e-14, atol=1e-13 * float(x.abs().max()))
    assert torch.allclose(at(law, level)(x), law.score(x, level), rtol=1e-7, atol=1e-9)
    single = law(x.float(), level)
    assert single.x0.dtype == single.eps.dtype == torch.float32
    assert torch.allclose(single.at(level), x.float(), rtol=1e-6, atol=1e-6 * float(x.abs().max()))


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_both_ends(name, dtype):
    law = LAWS[name]
    x = points(law, dtype=dtype)
    clean = law(x, Level(1.0, 0.0))
    assert torch.equal(clean.x0, x)
    assert not clean.eps.any()
    noise = law(x, Level(0.0, 1.0))
    assert torch.equal(noise.eps, x)
    rounding = 1e-6 if dtype == torch.float32 else 1e-13
    assert torch.allclose(noise.x0, law.mean.to(dtype).expand_as(x), rtol=rounding, atol=rounding)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("level", [Level(1.0, 0.0), Level(1.0, 0.01), Level(1.0, 80.0), Level(0.0, 1.0)])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_finite_far_from_the_data(name, level, dtype):
    law = LAWS[name]
    x = 1e4 * points(law, dtype=dtype)
    estimate = law(x, level)
    assert torch.isfinite(estimate.x0).all() and torch.isfinite(estimate.eps).all()
    if level.sigma or name in SMOOTH_LAWS:
        assert torch.isfinite(law.score(x, level)).all()
        assert torch.isfinite(law.log_density(x, level)).all()


@pytest.mark.parametrize("name", LAWS)
def test_a_level_per_sample_is_each_alone(name):
    law = LAWS[name]
    x = points(law, 4)
    level = Level(doubles(1.0, 0.8, 1.0, 0.0), doubles(0.0, 0.6, 80.0, 1.0))
    both = law(x, level)
    for i in range(4):
        alone = law(x[i : i + 1], Level(level.alpha[i], level.sigma[i]))
        assert torch.allclose(both.x0[i], alone.x0[0], rtol=1e-12, atol=1e-12)
        assert torch.allclose(both.eps[i], alone.eps[0], rtol=1e-12, atol=1e-12)
    noisy = Level(1.0, doubles(0.1, 0.6, 80.0, 1.0))
    one = [law.log_density(x[i : i + 1], Level(1.0, noisy.sigma[i])) for i in range(4)]
    assert torch.allclose(law.log_density(x, noisy), torch.cat(one), rtol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_a_large_batch_is_answered_in_pieces(name, monkeypatch):
    law = LAWS[name]
    x = points(law, 9)
    level = Level(1.0, torch.linspace(0.1, 2.0, 9, dtype=F64))
    whole = [*law(x, level), law.log_density(x, level), law.noise_variance(x, level)]
    monkeypatch.setattr(_law, "_LARGEST_BLOCK", 200)
    pieces = [*law(x, level), law.log_density(x, level), law.noise_variance(x, level)]
    for a, b in zip(whole, pieces, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", LAWS)
def test_crosses_function_transforms(name):
    law = LAWS[name]
    x = points(law, 3)
    flat = x[0].numel()

    def noise(y, sigma):
        return law(y, Level(1.0, sigma)).eps

    sigma = doubles(0.7)
    jacobian = torch.func.jacrev(lambda y: noise(y[None], sigma)[0])(x[0]).reshape(flat, flat)
    columns = [
        torch.func.jvp(lambda y: noise(y, sigma), (x[:1],), (e.reshape(x[:1].shape),))[1].flatten()
        for e in torch.eye(flat, dtype=F64)
    ]
    assert torch.allclose(jacobian, torch.stack(columns, 1), atol=1e-12)
    assert torch.allclose(jacobian, jacobian.T, atol=1e-12)  # eps is a gradient
    alone = torch.func.vmap(lambda y, s: noise(y[None], s)[0])(x, sigma.expand(3))
    assert torch.allclose(alone, noise(x, sigma), atol=1e-12)
    slope = torch.func.jvp(lambda s: noise(x, s), (sigma,), (torch.ones_like(sigma),))[1]
    h = 1e-5
    assert torch.allclose(slope, (noise(x, sigma + h) - noise(x, sigma - h)) / (2 * h), atol=1e-7, rtol=1e-6)


@pytest.mark.parametrize("level", [Level(1.0, 0.0), Level(0.0, 1.0)])
def test_derivatives_are_finite_at_both_ends(level):
    law = mixture_1d()
    x = points(law, 3)
    for pick in (0, 1):
        assert torch.isfinite(torch.func.jacrev(lambda y, pick=pick: law(y, level)[pick])(x)).all()


# ------------------------------------------------------------------------------------------------------- densities


@pytest.mark.parametrize("sigma", [0.0, 0.5, 3.0])
def test_densities_integrate_to_one(sigma):
    level = Level(0.9, sigma)
    grid = torch.linspace(-40, 40, 20001, dtype=F64)[:, None]
    for law in (mixture_1d(), Gaussian(doubles([0.3]), doubles([[0.5]])), Empirical(doubles([[-1.0], [2.0], [0.5]]))):
        if sigma or not isinstance(law, Empirical):
            assert torch.trapezoid(law.log_density(grid, level).exp(), grid[:, 0]) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("name", ["mixture_1d", "mixture_2d"])
@pytest.mark.parametrize("sigma", [0.3, 1.0, 10.0])
def test_estimates_are_posterior_means(name, sigma):
    law, level = LAWS[name], Level(0.7, sigma)
    x = points(law, 5, level)
    nodes, weights = law_nodes(law, 120 if len(law.mean) == 1 else 60)
    eps = (x[:, None] - 0.7 * nodes) / sigma
    posterior = (weights.log() - eps.square().sum(2) / 2).softmax(1)
    x0, mean = posterior @ nodes, torch.einsum("nm,nmd->nd", posterior, eps)
    spread = (posterior * (eps - mean[:, None]).square().sum(2)).sum(1)
    estimate = law(x, level)
    assert torch.allclose(estimate.x0, x0, atol=1e-6)
    assert torch.allclose(estimate.eps, mean, atol=1e-6)
    assert torch.allclose(law.noise_variance(x, level), spread, atol=1e-6)


@pytest.mark.parametrize("level", NOISE_LEVELS)
def test_empirical_is_a_mixture_of_points(level):
    data, level = LAWS["points"].data, NOISE_LEVELS[level]
    law = GaussianMixture(torch.ones(30), data, torch.zeros(30, 3, 3))
    x = points(law, 20, level)
    for a, b in zip(LAWS["points"](x, level), law(x, level), strict=True):
        assert torch.allclose(a, b, rtol=1e-8, atol=1e-8)
    assert torch.allclose(LAWS["points"].log_density(x, level), law.log_density(x, level), rtol=1e-8)
    known, variance = LAWS["points"].noise_variance(x, level), law.noise_variance(x, level)
    assert torch.allclose(known, variance, rtol=1e-7, atol=1e-6 if level.sigma < 0.01 else 1e-9)
    assert torch.allclose(LAWS["points"].covariance, law.covariance)


@pytest.mark.parametrize("name", LAWS)
@pytest.mark.parametrize("level", [None, Level(0.8, 0.6)])
def test_samples_have_the_moments(name, level):
    law, n = LAWS[name], 40000
    x = law.sample(n, seed=3, level=level).flatten(1).double()
    alpha, sigma = level or Level(1.0, 0.0)
    d = x.shape[1]
    mean, covariance = law.mean.flatten(), law.covariance
    covariance = alpha**2 * covariance + sigma**2 * torch.eye(d, dtype=F64)
    assert ((x.mean(0) - alpha * mean).abs() < 5 * (covariance.diagonal() / n).sqrt()).all()
    centred = x - x.mean(0)
    products = centred[:, :, None] * centred[:, None, :]
    assert ((products.mean(0) - covariance).abs() < 5 * products.std(0) / math.sqrt(n) + 1e-12).all()


@pytest.mark.parametrize("name", LAWS)
def test_a_sample_depends_on_its_index_alone(name):
    law = LAWS[name]
    whole = law.sample(10, seed=4, level=Level(1.0, 0.5))
    tail = law.sample(4, seed=4, level=Level(1.0, 0.5), first=3)
    assert torch.allclose(whole[3:7], tail, rtol=1e-13, atol=1e-13)  # matrix kernels round by batch
    assert not torch.equal(whole, law.sample(10, seed=5, level=Level(1.0, 0.5)))


def test_samples_have_the_dtype_of_the_parameters():
    assert Gaussian(torch.zeros(2), torch.eye(2)).sample(3, seed=0).dtype == torch.float32
    assert Gaussian(torch.zeros(2, dtype=F64), torch.eye(2)).sample(3, seed=0).dtype == F64


# ------------------------------------------------------------------------------------------------------ posteriors


@pytest.mark.parametrize("name", SMOOTH_LAWS)
@pytest.mark.parametrize("m", [1, 2])
def test_the_posterior_is_bayes_rule(name, m):
    law = LAWS[name]
    d = len(law.mean)
    draw = torch.Generator().manual_seed(7)
    A = torch.randn(m, d, generator=draw, dtype=F64)
    noise = 0.1 * torch.eye(m, dtype=F64) + 0.05
    y = A @ points(law, 1)[0] + 0.1
    posterior = law.posterior(y, A, noise)
    assert type(posterior) is type(law)
    x = points(law, 30)
    likelihood = Gaussian(y, noise).log_density(x @ A.T)
    evidence = law.log_density(x) + likelihood - posterior.log_density(x)
    assert torch.allclose(evidence, evidence[:1].expand(30), rtol=1e-8, atol=1e-8)
    mixture = law.as_mixture if isinstance(law, Gaussian) else law
    seen = GaussianMixture(mixture.weights, mixture.means @ A.T, A @ mixture.covariances @ A.T + noise)
    assert evidence[0] == pytest.approx(float(seen.log_density(y[None])), rel=1e-8)


def test_a_posterior_of_a_singular_law():
    law = LAWS["flat gaussian"]
    posterior = law.posterior(doubles([3.0]), doubles([[1.0, 0.0]]), doubles([[1e-12]]))
    assert torch.allclose(posterior.mean, doubles(3.0, 2.0), atol=1e-9)
    with pytest.raises(ValueError, match="singular"):
        law.posterior(doubles(3.0, 1.0), torch.eye(2, dtype=F64), torch.zeros(2, 2, dtype=F64))


# ---------------------------------------------------------------------------------------------------------- errors


def test_errors_speak():
    eye = torch.eye(2)
    with pytest.raises(ValueError, match="positive semi-definite"):
        Gaussian(torch.zeros(2), -eye)
    with pytest.raises(ValueError, match="symmetric"):
        Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.0, 1.0]]))
    with pytest.raises(ValueError, match="weights must be positive"):
        GaussianMixture(torch.tensor([1.0, 0.0]), torch.zeros(2, 2), torch.stack([eye, eye]))
    with pytest.raises(ValueError, match="needs weights"):
        GaussianMixture(torch.ones(3), torch.zeros(2, 2), torch.stack([eye, eye]))
    with pytest.raises(ValueError, match="finite"):
        Empirical(torch.tensor([[float("nan")]]))
    with pytest.raises(ValueError, match=r"2 dimensions"):
        Gaussian(torch.zeros(2), eye)(torch.zeros(5, 3), Level(1.0, 1.0))
    with pytest.raises(TypeError, match="floating-point"):
        Gaussian(torch.zeros(2), eye)(torch.zeros(5, 2, dtype=torch.int64), Level(1.0, 1.0))
    with pytest.raises(TypeError, match="seed"):
        Gaussian(torch.zeros(2), eye).sample(3, seed=None)


@pytest.mark.parametrize("name", ["flat gaussian", "points", "images"])
def test_no_density_without_noise_is_an_error(name):
    law = LAWS[name]
    x = points(law, 2)
    for ask in (law.score, law.log_density):
        with pytest.raises(ValueError, match="sigma = 0"):
            ask(x)
