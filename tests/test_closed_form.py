"""Closed-form score matching: exact recovery, equality with the sample's moments, and honest standard errors."""

import math

import pytest
import torch

from scorefield import closed_form, objectives
from scorefield.analytic import Gaussian
from scorefield.core import Level
from tables import F64, doubles, law_nodes, mixture_2d, some_covariance

LAW = Gaussian(doubles(1.0, -2.0, 0.5), some_covariance(3, 0))


def quadratic(x):
    """The statistics of a Gaussian: x, and minus half of all products of two coordinates, each pair once."""
    i, j = torch.triu_indices(x.shape[1], x.shape[1])
    return torch.cat([x, -x[:, i] * x[:, j] / torch.where(i == j, 2.0, 1.0)], 1)


def precision_of(theta, d):
    P = torch.zeros(d, d, dtype=F64)
    i, j = torch.triu_indices(d, d)
    P[i, j] = P[j, i] = theta[d:]
    return P


def well_statistics(x):
    """log p = theta . (x, x^2, -x^4)"""
    return torch.cat([x, x**2, -(x**4)], 1)


WELL = doubles(0.3, 1.0, 0.5)
GRID = torch.linspace(-6, 6, 4001, dtype=F64)[:, None]
WELL_DENSITY = (well_statistics(GRID) @ WELL).softmax(0)


def well_samples(n, seed):
    """Samples of the double well by its inverse distribution function."""
    u = torch.rand(n, generator=torch.Generator().manual_seed(seed), dtype=F64)
    mass = WELL_DENSITY.cumsum(0) - WELL_DENSITY / 2
    k = torch.searchsorted(mass, u).clamp(1, len(mass) - 1)
    share = (u - mass[k - 1]) / (mass[k] - mass[k - 1])
    return (GRID[k - 1, 0] + share * (GRID[1, 0] - GRID[0, 0]))[:, None]


# ------------------------------------------------------------------------------------------------------- Gaussian


def test_gaussian_is_the_samples_mean_and_inverse_covariance():
    x = LAW.sample(200, seed=0)
    fit = closed_form.gaussian(x)
    assert torch.allclose(fit.mean, x.mean(0), atol=1e-12)
    assert torch.allclose(fit.precision, torch.linalg.inv(torch.cov(x.T, correction=0)), rtol=1e-10)
    y = LAW.sample(10, seed=1)
    assert torch.allclose(fit.score(y), fit.law.score(y), rtol=1e-9)
    assert torch.allclose(-torch.func.grad(lambda z: fit.energy(z).sum())(y), fit.score(y), rtol=1e-10)
    assert fit.score(y.float()).dtype == torch.float32
    assert fit.law(y, Level(1.0, 0.5)).x0.shape == y.shape


def test_gaussian_minimises_the_implicit_loss():
    x = LAW.sample(50, seed=0)
    fit = closed_form.gaussian(x)
    A, b = (-fit.precision).requires_grad_(), fit.mean.clone().requires_grad_()
    loss = objectives.implicit(lambda y: (y - b) @ A.T, x).mean()
    for gradient in torch.autograd.grad(loss, [A, b]):
        assert gradient.abs().max() < 1e-10


def test_gaussian_agrees_with_the_exponential_family():
    x = LAW.sample(300, seed=2)
    fit, family = closed_form.gaussian(x), closed_form.exponential_family(x, quadratic)
    assert torch.allclose(precision_of(family.theta, 3), fit.precision, rtol=1e-8)
    assert torch.allclose(family.theta[:3], fit.precision @ fit.mean, rtol=1e-8)
    assert torch.allclose(precision_of(family.standard_error, 3), fit.precision_error, rtol=1e-8)
    y = LAW.sample(5, seed=3)
    assert torch.allclose(family.score(y), fit.score(y), rtol=1e-8)


def test_gaussian_recovers_mean_and_precision():
    n = 200_000
    fit = closed_form.gaussian(LAW.sample(n, seed=4))
    assert ((fit.mean - LAW.mean).abs() < 5 * fit.mean_error).all()
    assert ((fit.precision - torch.linalg.inv(LAW.covariance)).abs() < 5 * fit.precision_error).all()
    # for Gaussian data the asymptotic variance of an entry of the precision is P_ii P_jj + P_ij^2
    P = torch.linalg.inv(LAW.covariance)
    theory = ((P.diagonal()[:, None] * P.diagonal() + P.square()) / n).sqrt()
    assert torch.allclose(fit.precision_error, theory, rtol=0.03)


# ---------------------------------------------------------------------------------------------- exponential family


def test_exact_recovery_by_quadrature():
    fit = closed_form.exponential_family(GRID, well_statistics, weights=WELL_DENSITY)
    assert torch.allclose(fit.theta, WELL, atol=1e-9)
    x, w = law_nodes(LAW, 4)
    gaussian = closed_form.exponential_family(x, quadratic, weights=w)
    assert torch.allclose(precision_of(gaussian.theta, 3), torch.linalg.inv(LAW.covariance), rtol=1e-9)
    assert torch.allclose(gaussian.theta[:3], torch.linalg.solve(LAW.covariance, LAW.mean), rtol=1e-9)


@pytest.mark.parametrize("ridge", [0.0, 0.5])
def test_it_minimises_the_implicit_loss(ridge):
    x = mixture_2d().sample(200, seed=0)

    def statistics(y):
        return torch.cat([quadratic(y), torch.sin(y), torch.cos(y[:, :1] * y[:, 1:])], 1)

    fit = closed_form.exponential_family(x, statistics, ridge)
    theta = fit.theta.clone().requires_grad_()

    def score(y):
        return torch.func.grad(lambda z: (statistics(z) @ theta).sum())(y)

    loss = objectives.implicit(score, x).mean() + ridge * theta.square().sum() / 2
    (gradient,) = torch.autograd.grad(loss, [theta])
    assert gradient.abs().max() < 1e-9
    assert torch.allclose(fit.score(x), score(x))


def test_samples_of_any_shape():
    x = torch.randn(100, 2, 3, generator=torch.Generator().manual_seed(0), dtype=F64)
    flat = closed_form.exponential_family(x.flatten(1), quadratic)
    shaped = closed_form.exponential_family(x, lambda y: quadratic(y.flatten(1)))
    assert torch.allclose(flat.theta, shaped.theta)
    assert shaped.score(x).shape == x.shape


def test_pieces_do_not_change_the_fit(monkeypatch):
    x = mixture_2d().sample(100, seed=0)
    whole = closed_form.exponential_family(x, quadratic)
    monkeypatch.setattr(closed_form, "_ROWS", 50)
    pieces = closed_form.exponential_family(x, quadratic)
    assert torch.allclose(whole.theta, pieces.theta, rtol=1e-12)
    assert torch.allclose(whole.covariance, pieces.covariance, rtol=1e-10)


def test_weights_count_samples():
    x = mixture_2d().sample(60, seed=0)
    twice = closed_form.exponential_family(torch.cat([x, x[:20]]), quadratic)
    weighted = closed_form.exponential_family(x, quadratic, weights=torch.ones(60).index_fill(0, torch.arange(20), 2.0))
    assert torch.allclose(twice.theta, weighted.theta)


# --------------------------------------------------------------------------------------------------- standard errors


def covered(fits, truth):
    inside = torch.stack([(fit.theta - truth).abs() < 1.96 * fit.standard_error for fit in fits])
    return inside.double().mean(0)


def test_standard_errors_cover():
    # 95 % intervals over 400 repetitions: within 4 standard errors of 0.95, and 0.015 for n = 2000 being finite
    fits = [closed_form.exponential_family(well_samples(2000, seed), well_statistics) for seed in range(400)]
    rate = covered(fits, WELL)
    assert ((rate - 0.95).abs() < 4 * math.sqrt(0.95 * 0.05 / 400) + 0.015).all(), rate
    spread = torch.stack([fit.theta for fit in fits]).std(0)
    stated = torch.stack([fit.standard_error for fit in fits]).mean(0)
    assert torch.allclose(spread, stated, rtol=0.2)


def test_standard_errors_cover_when_the_family_is_wrong():
    # a Gaussian fitted to a double well: the target is the minimiser under the true density
    truth = closed_form.exponential_family(GRID, quadratic, weights=WELL_DENSITY).theta
    fits = [closed_form.exponential_family(well_samples(1000, seed), quadratic) for seed in range(400)]
    rate = covered(fits, truth)
    assert ((rate - 0.95).abs() < 4 * math.sqrt(0.95 * 0.05 / 400) + 0.015).all(), rate


# ---------------------------------------------------------------------------------------------------------- errors


def test_errors_speak():
    x = mixture_2d().sample(50, seed=0)
    with pytest.raises(ValueError, match="number 1 is constant"):
        closed_form.exponential_family(x, lambda y: torch.stack([y[:, 0], 0 * y[:, 0] + 1], 1))
    with pytest.raises(ValueError, match="combinations"):
        closed_form.exponential_family(x, lambda y: torch.cat([y, y.sum(1, keepdim=True)], 1))
    with pytest.raises(ValueError, match="number 0 is constant"):
        closed_form.gaussian(torch.ones(5, 1))
    with pytest.raises(ValueError, match="combinations"):
        closed_form.gaussian(x[:2])
    with pytest.raises(ValueError, match="finite"):
        closed_form.gaussian(torch.tensor([[float("nan")], [1.0]]))
    with pytest.raises(ValueError, match="ridge"):
        closed_form.exponential_family(x, quadratic, ridge=-1.0)
    with pytest.raises(ValueError, match=r"\(n, k\)"):
        closed_form.exponential_family(x, lambda y: y.sum(1))
    with pytest.raises(ValueError, match="weights"):
        closed_form.exponential_family(x, quadratic, weights=torch.ones(3))


def test_a_ridge_makes_dependent_statistics_solvable():
    x = mixture_2d().sample(50, seed=0)
    fit = closed_form.exponential_family(x, lambda y: torch.cat([quadratic(y), y], 1), ridge=1e-3)
    assert torch.allclose(fit.theta[:2], fit.theta[-2:])
    assert "theta" in repr(fit)
