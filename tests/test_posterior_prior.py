"""Priors and their coordinates: bijections of the support, densities that integrate to one, errors in one sentence."""

import json
import math

import pytest
import torch
from torch import Tensor
from torch import distributions as td

from scorefield import posterior
from scorefield.posterior.coordinates import Coordinates
from scorefield.posterior.prior import Prior, as_prior

PRIORS: dict[str, Prior] = {
    "box": posterior.box([-1.0, 0.0], [2.0, 1e-6]),
    "gaussian": posterior.gaussian([1.0, -2.0], torch.tensor([[1.0, 0.9], [0.9, 2.0]])),
    "log_normal": posterior.log_normal([0.0, 20.0], [1.0, 0.1]),
    "gamma": posterior.of(td.Gamma(torch.tensor([2.0, 5.0]), torch.tensor([1.0, 1e-3]))),
    "beta": posterior.of(
        td.Independent(td.Beta(torch.tensor([1.5, 2.0]).double(), torch.tensor([4.0, 3.0]).double()), 1)
    ),
    "student": posterior.of(td.Independent(td.StudentT(torch.tensor([3.0, 8.0])), 1)),
}
EXACT = ("box", "gaussian", "log_normal")


@pytest.mark.parametrize("name", PRIORS)
def test_coordinates_are_a_bijection_onto_all_of_space(name: str) -> None:
    prior = PRIORS[name]
    theta = prior.sample(2000, seed=1)
    u = prior.coordinates.inward(theta)
    back = prior.coordinates.outward(u)
    assert bool(torch.isfinite(u).all()) and bool(prior.coordinates.inside(back).all())
    spread = theta.std(0)
    assert float(((back - theta).abs() / spread).max()) < 1e-9
    far = prior.coordinates.outward(torch.full((1, 2), 50.0, dtype=torch.float64))
    assert bool(prior.coordinates.inside(far).all())


@pytest.mark.parametrize("name", PRIORS)
def test_the_slope_is_that_of_the_bijection(name: str) -> None:
    prior = PRIORS[name]
    theta = prior.sample(20, seed=2)
    for row in theta:
        jacobian = torch.func.jacrev(lambda t: prior.coordinates.inward(t[None])[0])(row)
        exact = float(torch.linalg.slogdet(jacobian).logabsdet)
        assert float(prior.coordinates.log_slope(row[None])) == pytest.approx(exact, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", EXACT)
def test_known_laws_are_normal_in_their_coordinates(name: str) -> None:
    prior = PRIORS[name]
    theta = prior.sample(50, seed=3)
    u = prior.coordinates.inward(theta)
    direct = prior.log_density(theta) - prior.coordinates.log_slope(theta)
    torch.testing.assert_close(prior.log_density_inward(u), direct, rtol=1e-9, atol=1e-9)
    covariance = torch.cov(prior.coordinates.inward(prior.sample(20_000, seed=4)).T)
    assert prior.covariance is not None
    assert float((covariance - prior.covariance).abs().max()) < 5 * math.sqrt(2 / 20_000)


@pytest.mark.parametrize("name", PRIORS)
def test_densities_in_coordinates_integrate_to_one(name: str) -> None:
    """Within 6 standard deviations, where a double still tells a parameter from its edge; Student's law has mass
    beyond."""
    prior = PRIORS[name]
    grid = torch.linspace(-6, 6, 241, dtype=torch.float64)
    u = torch.cartesian_prod(grid, grid)
    total = prior.log_density_inward(u).exp().sum() * (grid[1] - grid[0]) ** 2
    assert float(total) == pytest.approx(1.0, abs=0.02 if name == "student" else 1e-3)


def test_outside_the_support_nothing_is_probable() -> None:
    outside = torch.tensor([[-2.0, 5e-7], [0.0, 2e-6]])
    assert PRIORS["box"].log_density(outside).tolist() == [-math.inf, -math.inf]


def test_draws_are_a_function_of_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    for prior in PRIORS.values():
        assert torch.equal(prior.sample(5, seed=7), prior.sample(5, seed=7))
        assert not torch.equal(prior.sample(5, seed=7), prior.sample(5, seed=8))
    assert torch.equal(before, torch.get_rng_state())


def test_coordinates_are_kept_as_json() -> None:
    for prior in PRIORS.values():
        stored = Coordinates.from_json(json.loads(json.dumps(prior.coordinates.to_json())))
        theta = prior.sample(5)
        assert torch.equal(stored.inward(theta), prior.coordinates.inward(theta))


@pytest.mark.parametrize("value", [3, {}, {"low": [0], "high": [1], "centre": [0], "scale": ["a"]}, {"low": []}])
def test_other_json_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="coordinates"):
        Coordinates.from_json(value)


def bad_support() -> Tensor:
    return torch.tensor([[0.5, 2.0]] * 3)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: posterior.box(1.0, 1.0), "no room between 1 and 1"),
        (lambda: posterior.box(0.0, math.inf), "finite edges"),
        (lambda: posterior.of(td.Normal(0.0, 1.0)), "law of vectors"),
        (lambda: posterior.of(td.Dirichlet(torch.ones(3))), "no box"),
        (lambda: posterior.of(td.Poisson(torch.ones(3))), "no box"),
        (lambda: posterior.from_samples(bad_support(), high=1.0), "row 0 lie outside"),
        (lambda: posterior.from_samples(torch.ones(5, 1)), "constant"),
        (lambda: posterior.from_samples(torch.rand(9, 1)).sample(3), "only draws of this prior are known"),
        (lambda: as_prior(3), "law of torch.distributions"),  # type: ignore[arg-type]
    ],
)
def test_what_is_no_prior_is_refused(make: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()  # type: ignore[operator]
