"""The sequential Hyvarinen score: exact on conjugate models, indifferent to constants, consistent."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield.metrics import linear_model_score, particle_score
from scorefield.numerics.random import normal


def simulated(n: int, seed: int, slope: float = 1.0) -> tuple[Tensor, Tensor]:
    """y and a design of a constant and a covariate."""
    z = normal(n, (2,), seed, "data", dtype=torch.float64)
    design = torch.stack([torch.ones(n, dtype=torch.float64), z[:, 0]], 1)
    return 0.5 + slope * z[:, 0] + z[:, 1], design


PRIORS = {
    "known": {"variance": 1.7},
    "unknown": {"variance": None, "shape": 1.5, "rate": 2.0},
}
PRECISION = torch.tensor([[2.0, 0.3], [0.3, 0.5]], dtype=torch.float64)
MEAN = torch.tensor([0.2, -1.0], dtype=torch.float64)


def marginal(design: Tensor, variance: float | None, shape: float = 0.0, rate: float = 0.0) -> object:
    """The joint law of all observations."""
    cov = torch.eye(len(design)).double() + design @ torch.linalg.inv(PRECISION) @ design.T
    mean = design @ MEAN
    if variance is not None:
        return stats.multivariate_normal(mean.numpy(), variance * cov.numpy())
    return stats.multivariate_t(mean.numpy(), rate / shape * cov.numpy(), df=2 * shape)


@pytest.mark.parametrize("name", PRIORS)
def test_the_scores_are_those_of_the_marginal_law(name: str) -> None:
    """Log densities add up to the joint one; H is that of derivatives of the joint law in its last observation."""
    y, design = simulated(6, 0)
    found = linear_model_score(y, design, prior_mean=MEAN, prior_precision=PRECISION, **PRIORS[name])
    assert bool(found.scored.all())
    for t in range(6):
        law = marginal(design[: t + 1], **PRIORS[name])

        def log_density(last: float, law: object = law, t: int = t) -> float:
            return float(law.logpdf(np.append(y[:t].numpy(), last)))

        h, at = 1e-3, float(y[t])
        up, here, down = (log_density(at + k * h) for k in (1, 0, -1))
        slope, curve = (up - down) / (2 * h), (up - 2 * here + down) / h**2
        assert math.isclose(float(found.each[t]), 2 * curve + slope**2, rel_tol=1e-4, abs_tol=1e-4)
        assert math.isclose(float(found.log_each[: t + 1].sum()), here, rel_tol=1e-9)


@pytest.mark.parametrize("name", PRIORS)
def test_a_flat_prior_is_the_limit_of_wide_ones(name: str) -> None:
    """Whose scores converge, where log marginal likelihoods fall without end."""
    y, design = simulated(12, 1)
    options = dict(PRIORS[name])
    # N(0, variance / k) has the factor variance^-p/2 that a flat prior has not: a shape of p / 2 less
    flat = linear_model_score(y, design, **{**options, **({"shape": 2.5} if "shape" in options else {})})
    wide = [linear_model_score(y, design, prior_precision=k, **options) for k in (1e-4, 1e-8)]
    late = slice(2, None)
    torch.testing.assert_close(wide[1].each[late], flat.each[late], rtol=1e-5, atol=1e-6)
    assert not flat.scored[:2].any() and bool(flat.scored[2:].all())
    assert float(wide[0].each[:2].abs().max()) > float(wide[1].each[:2].abs().max())
    assert float(wide[1].log_each.sum()) < float(wide[0].log_each.sum()) - 8  # log(10^4) for each of two directions
    assert abs(wide[1].total - wide[0].total) < 0.01


def test_the_reference_prior_gives_least_squares() -> None:
    """Flat, density 1 / variance: the last prediction is Student's t of n - 1 - p degrees of freedom."""
    y, design = simulated(9, 2)
    found = linear_model_score(y, design)
    assert found.scored.tolist() == [False] * 3 + [True] * 6
    past, before = design[:-1], y[:-1]
    theta = torch.linalg.lstsq(past, before[:, None]).solution[:, 0]
    rest = float((before - past @ theta).square().sum()) / 6
    leverage = float(design[-1] @ torch.linalg.inv(past.T @ past) @ design[-1])
    exact = stats.t(6, float(design[-1] @ theta), math.sqrt(rest * (1 + leverage))).logpdf(float(y[-1]))
    assert math.isclose(float(found.log_each[-1]), exact, rel_tol=1e-9)


def log_likelihood(theta: Tensor, y: Tensor) -> Tensor:
    return -0.5 * (y - theta[:, 0]) ** 2


@pytest.mark.parametrize("offset", [0.0, 5.0])
def test_particles_give_the_closed_form_whatever_the_priors_constant(offset: float) -> None:
    y = simulated(25, 3, 0.0)[0]
    theta = 2 * normal(4000, (1,), 0, "prior", dtype=torch.float64)
    found = particle_score(y, log_likelihood, theta, log_prior=lambda t: offset - t[:, 0] ** 2 / 8, seed=1)
    exact = linear_model_score(y, torch.ones(25, 1), variance=1.0, prior_precision=0.25)
    error = 4 * float((1 / found.effective).sum().sqrt())  # each term is off by about effective^-1/2
    assert abs(found.total - exact.total) < error < 0.7, (found.total, exact.total, error)
    torch.testing.assert_close(found.each, exact.each, rtol=0, atol=0.25)


def test_particles_of_an_improper_prior_start_from_another_law() -> None:
    y = simulated(15, 4, 0.0)[0]
    theta = 3 * normal(4000, (1,), 0, "start", dtype=torch.float64)

    def run(constant: float) -> Tensor:
        return particle_score(
            y, log_likelihood, theta, log_prior=lambda t: 0 * t[:, 0] + constant,
            log_first=lambda t: -t[:, 0] ** 2 / 18, unscored=1, seed=1,
        ).each  # fmt: skip

    exact = linear_model_score(y, torch.ones(15, 1), variance=1.0)
    torch.testing.assert_close(run(0.0), exact.each, rtol=0, atol=0.2)
    torch.testing.assert_close(run(0.0), run(7.0))


@pytest.mark.parametrize("variance", [1.0, None])
def test_with_more_data_the_true_model_wins(variance: float | None) -> None:
    """A missing covariate costs in proportion to n; a needless one little, and less than nothing of it in the end."""

    def factors(n: int, slope: float) -> np.ndarray:
        found = []
        for k in range(10):
            y, design = simulated(n, 100 + k, slope)
            small, large = (linear_model_score(y, d, variance=variance) for d in (design[:, :1], design))
            found.append(large.factor(small))
        return np.array(found)

    needed = factors(50, 1.0)
    assert (needed > 0).mean() > 0.9 and needed.mean() > 3 * factors(15, 1.0).mean() > 0
    assert (factors(50, 0.0) < 0).mean() > 0.7


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "rows": (lambda: linear_model_score(torch.ones(3), torch.ones(2, 1)), "as many rows, got 3 and 2"),
    "NaN": (lambda: linear_model_score(torch.tensor([1.0, math.nan]), torch.ones(2, 1)), "y has NaN .* row 1"),
    "prior": (lambda: linear_model_score(torch.ones(2), torch.ones(2, 1), prior_mean=torch.ones(2)), r"\(1,\)"),
    "variance": (lambda: linear_model_score(torch.ones(2), torch.ones(2, 1), variance=0.0), "variance"),
    "particles": (
        lambda: particle_score(torch.ones(2), log_likelihood, torch.ones(4, 1), log_prior=lambda t: t[:, 0]),
        "at least 8 particles",
    ),
    "far": (
        lambda: particle_score(torch.ones(2), lambda t, y: t[:, 0] * -math.inf + y, torch.ones(9, 1), log_prior=len),
        "no particle explains",
    ),
    "lengths": (
        lambda: linear_model_score(torch.rand(3), torch.ones(3, 1), variance=1.0).factor(
            linear_model_score(torch.rand(2), torch.ones(2, 1), variance=1.0)
        ),
        "same observations",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_is_refused(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()
