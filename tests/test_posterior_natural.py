"""Exponential families in their natural parameters: a potential's derivatives, and a posterior that is exact."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from scorefield import posterior
from scorefield._files import FileError
from scorefield.numerics.random import normal, uniform
from scorefield.posterior import PosteriorEstimator, TrainedPosterior
from scorefield.posterior.conditional import Whitening
from scorefield.posterior.natural import NaturalLikelihood, Potential, fit_natural
from scorefield.posterior.observations import ObservationCodec
from scorefield.posterior.training import Recipe
from scorefield.training.checkpoint import Settings

F64 = torch.float64
PRIOR = posterior.gaussian([0.0, 0.0], 2.0)
DESIGN = normal(30, (2,), 5, "design", dtype=F64)


def tosses(n: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Parameters of a logistic regression, and the sufficient statistics of thirty tosses."""
    theta = PRIOR.sample(n, seed)
    heads = uniform(n, (len(DESIGN),), seed, "heads", dtype=F64) < (theta @ DESIGN.T).sigmoid()
    return theta, heads.double() @ DESIGN


@pytest.fixture(scope="module")
def wild() -> Potential:
    """A potential with parameters of size one."""
    potential = Potential(3, 8)
    with torch.no_grad():
        for k, parameter in enumerate(potential.parameters()):
            parameter.add_(0.5 * normal(len(parameter), parameter.shape[1:], k, "wild"))
    return potential.double()


def test_mean_and_covariance_are_the_derivatives_of_one_convex_function(wild: Potential) -> None:
    v = normal(20, (3,), 0, "v", dtype=F64).requires_grad_()
    (slope,) = torch.autograd.grad(wild(v).sum(), v)
    torch.testing.assert_close(wild.slope(v), slope)
    curvature = torch.stack([torch.autograd.functional.hessian(lambda one: wild(one[None])[0], one) for one in v])
    torch.testing.assert_close(wild.curvature(v), curvature)
    assert float(torch.linalg.eigvalsh(curvature).min()) > 0


def test_residuals_have_the_slope_that_they_say(wild: Potential) -> None:
    v, t = (normal(5, (3,), k, "point", dtype=F64) for k in (1, 2))
    away, slope = wild.residual(v, t)
    step = torch.func.vmap(torch.func.jacrev(lambda v, t: wild.residual(v[None], t[None])[0][0], 1))(v, t)
    torch.testing.assert_close(torch.linalg.slogdet(step)[1], slope)
    spread = wild.statistic(t) - wild.slope(v)
    square = (spread * torch.linalg.solve(wild.curvature(v), spread[..., None])[..., 0]).sum(1)
    torch.testing.assert_close(away.square().sum(1), square, rtol=1e-4, atol=0)  # but for the floor of the variance


def test_a_linear_problem_starts_with_its_own_curvature() -> None:
    """v has covariance 4 and residuals of covariance 1: the observation's information is 1 - 1/4."""
    v = 2 * normal(4000, (2,), 0, "v")
    potential = Potential(2)
    potential.start(v)
    trace = potential.curvature(v).diagonal(dim1=1, dim2=2).sum(1).mean()
    assert float(trace.detach()) == pytest.approx(1.5, rel=0.03)


def test_several_observations_add_up(wild: Potential) -> None:
    codec = ObservationCodec.measured(normal(50, (4,), 0, "x", dtype=F64))
    whitening = Whitening(torch.zeros(3).double(), torch.eye(3).double())
    weight, bias = normal(3, (4,), 1, "weight", dtype=F64), torch.ones(3).double()
    law = NaturalLikelihood(Potential(3, 8), whitening, weight, bias, codec)
    u, seen = normal(6, (3,), 2, "u", dtype=F64), law.observed(normal(2, (4,), 3, "seen", dtype=F64))
    both = law.log_density(u, seen)
    torch.testing.assert_close(both, law.log_density(u, seen[:1]) + law.log_density(u, seen[1:]), rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def fitted() -> TrainedPosterior:
    recipe = Recipe(width=32, depth=1, settings=Settings(steps=150, condition_dropout=0.0))
    theta, x = tosses(3000)
    codec = ObservationCodec.measured(x)
    law = fit_natural(PRIOR.coordinates.inward(theta), x, codec, recipe)
    assert law is not None and law.holds
    score = PosteriorEstimator(PRIOR, steps=2, recipe=recipe, by="score").fit(theta, x).fitted
    return TrainedPosterior(**{**vars(score), "likelihood": law, "by": "likelihood"})


def test_the_posterior_of_a_logistic_regression(fitted: TrainedPosterior) -> None:
    """Mean and deviations against sums over a grid: within a fifth of a deviation, of 3,000 simulations."""
    axis = torch.linspace(-6, 6, 121, dtype=F64)
    grid = torch.cartesian_prod(axis, axis)
    partition = torch.nn.functional.softplus(grid @ DESIGN.T).sum(1)
    away = []
    seen = tosses(6, seed=1)[1]
    for x, found in zip(seen, fitted.sample_many(seen, 500), strict=True):
        share = (grid @ x - partition + PRIOR.log_density(grid)).softmax(0)
        mean = share @ grid
        spread = (share @ (grid - mean).square()).sqrt()
        away.append(torch.stack([(found.mean(0) - mean) / spread, (found.std(0) / spread).log()]))
    assert float(torch.stack(away).square().mean().sqrt()) < 0.2


def test_it_is_kept_in_a_folder(fitted: TrainedPosterior, tmp_path: Path) -> None:
    fitted.save(tmp_path)
    loaded, x = TrainedPosterior.load(tmp_path), tosses(1, seed=2)[1][0]
    assert torch.equal(loaded.sample(x, 20), fitted.sample(x, 20))
    assert isinstance(loaded.likelihood, NaturalLikelihood) and loaded.likelihood.holds
    text = (tmp_path / "model.json").read_text()
    (tmp_path / "model.json").write_text(text.replace('"width": 128', '"width": 127'))
    with pytest.raises(FileError, match="cannot be read as a posterior"):
        TrainedPosterior.load(tmp_path)


def test_what_is_no_such_family_is_told_apart() -> None:
    """Noise whose deviation depends on the parameter: its mean is linear, so its variance had to be constant."""
    theta = PRIOR.sample(3000, 0)
    x = theta + theta.abs() * normal(3000, (2,), 1, "noise", dtype=F64)
    recipe = Recipe(settings=Settings(steps=60, condition_dropout=0.0))
    law = fit_natural(PRIOR.coordinates.inward(theta), x, ObservationCodec.measured(x), recipe)
    assert law is not None and not law.holds


def test_what_says_nothing_in_a_linear_way_is_not_tried() -> None:
    theta = PRIOR.sample(1000, 0)
    x = torch.stack([theta[:, 0], theta[:, 1].square()], 1)
    assert fit_natural(PRIOR.coordinates.inward(theta), x, ObservationCodec.measured(x), Recipe()) is None
