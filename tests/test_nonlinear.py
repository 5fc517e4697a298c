"""Posteriors of measurements that are not linear, against linear ones and against sums over a grid."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.conditioning.inverse import likelihood_samples
from scorefield.conditioning.inverse.likelihoods import Intensity, LogLikelihood, Normal, Poisson, Saturated
from scorefield.conditioning.inverse.operators import Matrix
from tables import F64, doubles, some_covariance


def test_a_linear_measurement_of_normal_data_is_exact_at_any_number_of_steps() -> None:
    law = Gaussian(torch.linspace(-1, 1, 3, dtype=F64), some_covariance(3, seed=1))
    A, y, n = doubles([[1.0, 0.5, -1.0], [0.0, 1.0, 0.3]]), doubles(0.7, -0.2), 2000
    exact = law.posterior(y, A, 0.1 * torch.eye(2, dtype=F64))
    draws = likelihood_samples(law, Normal(Matrix(A), y, 0.1), n, shape=(3,), steps=3, particles=n, seed=1)
    evidence = torch.distributions.MultivariateNormal(
        A @ law.mean, A @ law.covariance @ A.T + 0.1 * torch.eye(2, dtype=F64)
    ).log_prob(y)
    assert float(draws.effective) > n * (1 - 1e-3) and abs(float(draws.log_evidence - evidence)) < 1e-6
    x0, deviation = draws.x0.double(), exact.covariance.diagonal().sqrt()
    assert ((x0.mean(0) - exact.mean).abs() < 4.5 * deviation / math.sqrt(n)).all()
    wide = math.sqrt(2 / n) * deviation[:, None] * deviation
    assert ((x0.T.cov() - exact.covariance).abs() < 4.5 * wide).all()


def modes() -> GaussianMixture:
    means = doubles([[-1.0, 0.5], [1.2, 0.3], [0.2, -1.0]])
    return GaussianMixture(doubles(0.5, 0.3, 0.2), means, 0.09 * torch.eye(2, dtype=F64).expand(3, 2, 2))


ROW = Matrix(doubles([[0.8, 0.6]]))
MEASUREMENTS: dict[str, Callable[[], LogLikelihood]] = {
    "phase retrieval": lambda: Normal(Intensity(ROW), doubles([0.8]), 0.04),
    "saturation": lambda: Normal(Saturated(ROW, -0.5, 0.5), doubles([0.5]), 0.01),
    "counts": lambda: Poisson(lambda x: (x + 2).clamp(min=0), doubles(6.0, 5.0), gain=2.0, dark=0.2),
}


def on_a_grid(law: GaussianMixture, log_likelihood: LogLikelihood) -> tuple[Tensor, Tensor, float]:
    """Points, their probabilities given y, and log p(y)."""
    line = torch.linspace(-3, 3, 401, dtype=F64)
    points = torch.cartesian_prod(line, line)
    logs = law.log_density(points) + log_likelihood(points)
    return points, logs.softmax(0), float(logs.logsumexp(0)) + 2 * math.log(6 / 400)


def features(x: Tensor) -> Tensor:
    """Moments, and how often each of four quarters is met."""
    quarter = 2 * (x[:, 0] > 0).long() + (x[:, 1] > 0).long()
    return torch.cat([x, x.square(), x.prod(1, keepdim=True), torch.nn.functional.one_hot(quarter, 4).to(x)], 1)


@pytest.mark.parametrize("name", MEASUREMENTS)
def test_draws_have_the_law_that_a_grid_has(name: str) -> None:
    """From independent systems, whose spread is the error; the bias is bounded by the variance of their evidence."""
    law, log_likelihood, systems = modes(), MEASUREMENTS[name](), 5
    points, shares, log_evidence = on_a_grid(law, log_likelihood)
    drawn = [
        likelihood_samples(law, log_likelihood, 128, shape=(2,), steps=12, particles=128, seed=k)
        for k in range(systems)
    ]
    expected = (shares[:, None] * features(points)).sum(0)
    found = torch.stack([features(one.x0.double()).mean(0) for one in drawn])
    evidence = torch.stack([one.log_evidence for one in drawn])
    ratios = (evidence - log_evidence).exp()
    scale = ((features(points) - expected).square() * shares[:, None]).sum(0).sqrt()
    error = torch.maximum(found.std(0) / math.sqrt(systems), scale / math.sqrt(128 * systems))
    assert ((found.mean(0) - expected).abs() < 4.5 * error + ratios.var() * scale).all()
    assert abs(float(ratios.mean()) - 1) < 4.5 * float(ratios.std()) / math.sqrt(systems) + 0.4 / 12


WRONG = {
    "exact": (lambda: Normal(ROW, doubles([1.0]), 0.0), "> 0"),
    "half a count": (lambda: Poisson(ROW, doubles([0.5])), "whole numbers"),
    "no dark": (lambda: Poisson(ROW, doubles([1.0]), dark=0.0), "dark > 0"),
    "no range": (lambda: Saturated(ROW, 1.0, 1.0), "low < high"),
    "impossible": (
        lambda: likelihood_samples(modes(), lambda x: x.sum(1) * math.nan, 2, shape=(2,), steps=2, particles=2),
        "not a number",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_said(name: str) -> None:
    call, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        call()
