"""Inversion, interpolation and partial noising: against flows and laws that are known exactly."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scorefield import editing, plans
from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.conditioning.editing import Route
from scorefield.core import Estimate, Level, Levels
from scorefield.denoiser import Denoiser
from scorefield.nets import ResidualMLP
from tables import F64, LAWS, doubles, some_covariance

Law = Gaussian | GaussianMixture
WEIGHTS = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=F64)


def smooth(name: str) -> Law:
    law = LAWS[name]
    assert isinstance(law, Law)
    return law


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


# -------------------------------------------------------------------------------------------------------- inversion

# RMS of a round trip of 100 evaluations each way; the two mixtures of few points' width have the sharper flows
ROUND_TRIPS = {"gaussian": 1e-7, "mixture_1d": 1e-6, "mixture_2d": 1e-6, "ring": 3e-5, "blend": 3e-5}


@pytest.mark.parametrize(("name", "bound"), ROUND_TRIPS.items())
def test_data_come_back_from_their_latents(name: str, bound: float) -> None:
    law = smooth(name)
    x0 = law.sample(100, seed=1).double()
    assert rms(editing.regenerate(law, editing.invert(law, x0)) - x0) < bound


def test_float32_data_come_back_too() -> None:
    law = smooth("mixture_2d")
    x0 = law.sample(100, seed=1).float()
    back = editing.regenerate(law, editing.invert(law, x0))
    assert back.dtype == torch.float32 and rms(back - x0) < 1e-5


def test_latents_come_back_from_their_data() -> None:
    law = smooth("mixture_2d")
    z = 80 * torch.randn(50, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    assert rms(editing.invert(law, editing.regenerate(law, z)) - z) < 80 * 1e-6


@pytest.mark.parametrize(("build", "order"), [(plans.ddim, 1), (plans.midpoint, 3), (plans.rk4, 5)])
def test_the_round_trip_converges_at_its_order(build: editing.Build, order: int) -> None:
    """A method of odd order p makes twice its error up and down; of even order its leading errors cancel: p + 1."""
    law = smooth("mixture_2d")
    x0 = law.sample(50, seed=1).double()
    errors = []
    for n in (50, 100):
        route = Route(n, sigma_min=0.1, build=build)
        errors.append(rms(editing.regenerate(law, editing.invert(law, x0, route), route) - x0))
    assert math.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.25 + 0.1 * order), errors


@pytest.mark.parametrize("build", [None, plans.ddim], ids=["default", "ddim"])
def test_refinements_bring_data_back_to_rounding_through_a_coarse_route(build: editing.Build | None) -> None:
    law = smooth("mixture_2d")
    x0 = law.sample(50, seed=1).double()
    route = Route(20, build=build)
    errors = [rms(editing.regenerate(law, editing.invert(law, x0, route, refinements=k), route) - x0) for k in range(4)]
    factor = 2 if build else 10  # about as much smaller than the one before as the first is than the data
    assert errors[0] > factor * errors[1] > factor**2 * errors[2] > factor**3 * errors[3]


@pytest.mark.parametrize("name", ["gaussian", "off-centre gaussian"])
def test_the_latent_of_a_gaussian_keeps_its_standardised_coordinates(name: str) -> None:
    law = smooth(name)
    route = Route()
    low, high = (float(route.levels(law)[k].sigma) for k in (-1, 0))
    x0 = law.sample(50, seed=2).double()
    variance, basis = torch.linalg.eigh(law.covariance)
    stretch = ((variance + high**2) / (variance + low**2)).sqrt()
    want = law.mean + (x0 - law.mean) @ basis * stretch @ basis.T
    assert torch.allclose(editing.invert(law, x0, route), want, rtol=0, atol=1e-6 * high)


@pytest.mark.parametrize("name", ["mixture_1d", "mixture_2d", "ring", "points"])
def test_latents_of_data_are_normal_with_the_right_mean_and_covariance(name: str) -> None:
    law, n = LAWS[name], 3000
    route = Route(60, scale=1.0, sigma_min=0.01)
    lv = route.levels(law)
    x = law.sample(n, 3).double()
    high = float(lv[0].sigma)
    covariance = law.covariance + high**2 * torch.eye(x.shape[1], dtype=F64)
    z = (editing.invert(law, x, route, seed=4) - law.mean) @ torch.linalg.inv(torch.linalg.cholesky(covariance)).T
    assert float(z.mean(0).abs().max()) < 4 / math.sqrt(n)
    assert float((z.T @ z / n - torch.eye(z.shape[1], dtype=F64)).abs().max()) < 4 * math.sqrt(2 / n)
    ordered = z[:, 0].sort().values  # Kolmogorov and Smirnov: 1.95 / sqrt(n) is passed once in a thousand
    uniform = torch.special.ndtr(ordered)
    assert float((uniform - (torch.arange(n, dtype=F64) + 0.5) / n).abs().max()) < 1.95 / math.sqrt(n)


def two_classes(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
    """Exact: N(m_c, C) for the classes 0 and 1."""
    assert condition is not None
    parts = [CLASSES[c](x, level) for c in (0, 1)]
    chosen = condition[:, None] == 0
    return Estimate(*(torch.where(chosen, *pair) for pair in zip(*parts, strict=True)))


CLASSES = [Gaussian(doubles(c, -c), (1 + c) * some_covariance(2, 1)) for c in (0.0, 1.0)]


def test_regenerating_as_another_class_keeps_the_standardised_coordinates() -> None:
    x0 = CLASSES[0].sample(20, seed=4)
    route = Route(sigma_min=1e-3, sigma_max=500.0)
    classes = torch.zeros(len(x0), dtype=torch.int64)
    z = editing.invert(two_classes, x0, route, condition=classes)
    got = editing.regenerate(two_classes, z, route, condition=classes + 1)
    want = CLASSES[1].mean + math.sqrt(2) * (x0 - CLASSES[0].mean)
    assert float((got - want).abs().max()) < 3 / 500  # the classes' latents differ by their means and variances


def test_a_route_takes_what_it_needs_from_the_model() -> None:
    model = Denoiser(ResidualMLP(3, width=8, depth=1), sigma_data=0.5, sigma_min=0.01, sigma_max=30.0).eval()
    route = Route(7)
    up, down = route.up(model), route.down(model)
    assert (up.evaluations, down.evaluations) == (7, 7)
    assert up.levels.sigma.tolist() == down.levels.sigma.flip(0).tolist()
    assert (float(up.levels.sigma[0]), float(up.levels.sigma[-1])) == (0.01, 30.0)
    assert editing.invert(model, torch.zeros(2, 3), route).shape == (2, 3)
    law = smooth("off-centre gaussian")
    scale = math.sqrt(float(law.covariance.diagonal().mean()))
    assert float(Route(5).levels(law)[0].sigma) == pytest.approx(80 * scale)
    assert float(Route(5, sigma_max=3.0).levels(law)[0].sigma) == 3.0


# ---------------------------------------------------------------------------------------------------- interpolation


def test_interpolation_ends_at_the_ends() -> None:
    law = smooth("ring")
    a, b = law.sample(10, seed=1).double(), law.sample(10, seed=2).double()
    path = editing.interpolate(law, a, b, WEIGHTS)
    assert path.shape == (4, 10, 2)
    assert rms(path[0] - a) < 3e-5 and rms(path[-1] - b) < 3e-5
    assert float(law.log_density(path[2]).median()) > float(law.log_density((a + b) / 2).median())


def test_between_gaussian_data_of_equal_length_the_length_stays() -> None:
    law = Gaussian(torch.zeros(64, dtype=F64), 4.0 * torch.eye(64, dtype=F64))
    a, b = (law.sample(5, seed=k).double() for k in (1, 2))
    b = b * a.norm(dim=1, keepdim=True) / b.norm(dim=1, keepdim=True)
    path = editing.interpolate(law, a, b, WEIGHTS, Route(60))
    assert torch.allclose(path.norm(dim=2), a.norm(dim=1).expand(4, -1), rtol=1e-5)


@pytest.mark.parametrize("shape", [(2,), (5,), (1, 4, 4)])
def test_spherical_interpolation_turns_evenly_and_changes_norms_evenly(shape: tuple[int, ...]) -> None:
    draw = torch.Generator().manual_seed(0)
    a, b = (torch.randn(6, *shape, generator=draw, dtype=F64) for _ in range(2))
    path = editing.between(a, 3 * b, WEIGHTS).flatten(2)
    assert torch.allclose(path[0], a.flatten(1)) and torch.allclose(path[-1], 3 * b.flatten(1))
    norms = torch.lerp(path[0].norm(dim=1), path[-1].norm(dim=1), WEIGHTS[:, None])
    assert torch.allclose(path.norm(dim=2), norms)

    def angle(x: Tensor, y: Tensor) -> Tensor:
        return torch.acos((x * y).sum(1) / (x.norm(dim=1) * y.norm(dim=1)))

    whole = angle(path[0], path[-1])
    assert torch.allclose(angle(path[0], path[1]), whole / 4) and torch.allclose(angle(path[0], path[2]), whole / 2)


def test_parallel_latents_are_joined_by_a_line() -> None:
    a = doubles([[1.0, 2.0], [1.0, 2.0], [0.0, 0.0]])
    b = doubles([[3.0, 6.0], [-1.0, -2.0], [0.0, 0.0]])
    assert torch.allclose(editing.between(a, b, WEIGHTS), torch.lerp(a, b, WEIGHTS[:, None, None]))
    one_dimension = editing.between(doubles([[2.0]]), doubles([[-4.0]]), WEIGHTS)
    assert one_dimension.reshape(-1).tolist() == [2.0, 0.5, -1.0, -4.0]


# ---------------------------------------------------------------------------------------------------- partial noise


@pytest.mark.parametrize("sigma", [0.1, 1.0, 20.0])
def test_partial_noise_on_a_gaussian_is_its_exact_flow(sigma: float) -> None:
    law = Gaussian(doubles(1.0, -2.0), doubles([[0.5, 0.0], [0.0, 2.0]]))
    x0 = doubles([[0.0, 0.0], [3.0, 1.0]])
    got = editing.partial_noise(law, x0, sigma, evaluations=80, sigma_min=1e-5, seed=7)
    noised = plans.ddim(plans.default(3, sigma_max=sigma).levels).start_from(x0, 7)
    want = law.mean + (law.covariance.diagonal() / (law.covariance.diagonal() + sigma**2)).sqrt() * (noised - law.mean)
    assert torch.allclose(got, want, atol=2e-5)


def stochastic(lv: Levels) -> plans.Plan:
    return plans.dpmpp(lv, order=2, eta=1.0)


@pytest.mark.parametrize("build", [None, stochastic], ids=["default", "SDE"])
@pytest.mark.parametrize(
    ("name", "sigma"), [("gaussian", 0.5), ("mixture_2d", 0.3), ("mixture_2d", 3.0), ("ring", 1.0)]
)
def test_partial_noise_keeps_the_law_of_the_data(name: str, sigma: float, build: editing.Build | None) -> None:
    law, n = smooth(name), 4000
    x0 = law.sample(n, seed=5).double()
    new = editing.partial_noise(law, x0, sigma, evaluations=60, build=build, seed=6)
    deviation = law.covariance.diagonal().sqrt()
    assert float(((new.mean(0) - law.mean) / deviation).abs().max()) < 4 / math.sqrt(n)
    error = (torch.cov(new.T).reshape_as(law.covariance) - law.covariance) / deviation / deviation[:, None]
    assert float(error.abs().max()) < 4 * math.sqrt(2 / n) + 0.01  # and the 60 steps' own error
    each = law.log_density(new)
    true = law.log_density(law.sample(n, seed=8).double())
    spread = math.sqrt(float(each.var() + true.var()) / n)
    assert abs(float(each.mean() - true.mean())) < 4 * spread + 0.01


def test_more_noise_keeps_less() -> None:
    law = smooth("ring")
    x0 = law.sample(200, seed=5).double()
    kept = [rms(editing.partial_noise(law, x0, s, evaluations=20, seed=1) - x0) for s in (0.01, 0.1, 1.0, 10.0)]
    assert kept == sorted(kept) and kept[0] < 0.02


def test_partial_noise_of_a_sample_does_not_depend_on_its_batch() -> None:
    law = smooth("mixture_2d")
    x0 = law.sample(10, seed=5).double()
    whole = editing.partial_noise(law, x0, 1.0, evaluations=10, build=stochastic, seed=1)
    part = editing.partial_noise(law, x0[4:], 1.0, evaluations=10, build=stochastic, seed=1, first=4)
    assert torch.allclose(whole[4:], part, rtol=0, atol=1e-12)


# ------------------------------------------------------------------------------------------------------------ errors


def test_what_cannot_be_done_is_said() -> None:
    law, x = smooth("mixture_2d"), torch.zeros(2, 2, dtype=F64)
    with pytest.raises(ValueError, match="deterministic plan"):
        Route(build=plans.ancestral).down(law)
    with pytest.raises(ValueError, match="whole number"):
        Route(0)
    with pytest.raises(ValueError, match="sigma_min < sigma_max"):
        editing.invert(law, x, Route(sigma_min=2.0, sigma_max=1.0))
    with pytest.raises(ValueError, match="refinements"):
        editing.invert(law, x, refinements=-1)
    with pytest.raises(ValueError, match="one shape"):
        editing.interpolate(law, x, x[:1], WEIGHTS)
    with pytest.raises(ValueError, match="in the model's range"):
        editing.partial_noise(law, x, sigma=1e-5)
    with pytest.raises(TypeError, match="tensor"):
        editing.invert(law, [[0.0, 0.0]])  # type: ignore[arg-type]
