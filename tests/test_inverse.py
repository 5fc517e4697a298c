"""Posteriors of linear measurements, where Gaussians and mixtures know the exact answer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from scorefield import log_density
from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.conditioning.inverse import impute, operators, posterior, posterior_samples
from scorefield.core import Estimate, Level
from scorefield.denoiser import Denoiser
from scorefield.levels import flow
from scorefield.nets import ResidualMLP
from scorefield.plans import ancestral
from tables import F64, doubles, some_covariance

NAN = math.nan


def gaussian(d: int = 4) -> Gaussian:
    return Gaussian(torch.linspace(-1, 1, d, dtype=F64), some_covariance(d, seed=1))


def flat_gaussian() -> Gaussian:
    """Rank 2 in 5 dimensions."""
    root = torch.randn(5, 2, generator=torch.Generator().manual_seed(2), dtype=F64)
    return Gaussian(torch.zeros(5, dtype=F64), root @ root.T)


def ring(width: float = 0.12) -> GaussianMixture:
    angle = torch.arange(8, dtype=F64) * math.pi / 4
    means = torch.stack([angle.cos(), angle.sin()], 1)
    return GaussianMixture(torch.arange(1, 9, dtype=F64), means, width**2 * torch.eye(2, dtype=F64).expand(8, 2, 2))


def low_rank() -> GaussianMixture:
    """Three modes of rank 2, a little thickened, in 8 dimensions."""
    draw = torch.Generator().manual_seed(3)
    root = torch.randn(3, 8, 2, generator=draw, dtype=F64)
    means = torch.randn(3, 8, generator=draw, dtype=F64)
    return GaussianMixture(doubles(0.5, 0.2, 0.3), means, 0.3 * root @ root.mT + 0.02 * torch.eye(8, dtype=F64))


def rows(A: Tensor, d: int) -> Tensor:
    """A as a matrix."""
    if A.is_floating_point():
        return A
    return torch.eye(d, dtype=F64)[A.reshape(-1) if A.dtype == torch.bool else A]


# ------------------------------------------------------------------------------------------------- Model -> Model

LEVELS = {
    "0.002": Level(1.0, 0.002),
    "1": Level(1.0, 1.0),
    "VP": Level(0.6, 0.8),
    "80": Level(1.0, 80.0),
    "noise": Level(0.0, 1.0),
    "each its own": Level(doubles(1.0, 0.0, 0.3, 0.8), doubles(0.1, 1.0, 0.9, 0.4)),
}
OPERATORS = {
    "matrix": doubles([[1.0, 0.5, 0.0, -1.0], [0.2, -0.4, 1.0, 0.3]]),
    "coordinates": torch.tensor([3, 1]),
    "mask": torch.tensor([True, False, False, True]),
}
NOISES: dict[str, float | Tensor] = {
    "none": 0.0,
    "number": 0.3,
    "variances": doubles(0.1, 0.4),
    "matrix": doubles([[0.3, 0.1], [0.1, 0.2]]),
}


def as_matrix(noise: float | Tensor, m: int) -> Tensor:
    value = torch.as_tensor(noise, dtype=F64)
    return value if value.ndim == 2 else (value.expand(m) + 1e-13).diag()


class Halves:
    """As another library's physics: differences of neighbours."""

    def A(self, x: Tensor) -> Tensor:
        return x[..., 1:] - x[..., :-1]

    def A_adjoint(self, y: Tensor) -> Tensor:
        return torch.nn.functional.pad(y, (1, 0)) - torch.nn.functional.pad(y, (0, 1))


AS_OPERATORS = {
    "matrix": (operators.Matrix(OPERATORS["matrix"]), OPERATORS["matrix"]),
    "mask": (operators.Mask(OPERATORS["mask"]), OPERATORS["mask"]),
    "physics": (Halves(), doubles([[-1.0, 1, 0, 0], [0, -1.0, 1, 0], [0, 0, -1.0, 1]])),
}


@pytest.mark.parametrize("name", AS_OPERATORS)
def test_operators_answer_as_their_matrices_do(name: str) -> None:
    law, (A, matrix) = gaussian(), AS_OPERATORS[name]
    y, x = doubles(0.7, -0.2, 0.1)[: 3 if name == "physics" else 2], gaussian().sample(3, seed=4)
    level = Level(1.0, 0.7)
    torch.testing.assert_close(posterior(law, A, y, 0.1)(x, level), posterior(law, matrix, y, 0.1)(x, level))
    one, two = (posterior_samples(law, op, y, 0.1, 5, steps=3, particles=5).x0 for op in (A, matrix))
    torch.testing.assert_close(one, two)


@pytest.mark.parametrize("name", ["matrix", "physics"])
@pytest.mark.parametrize("observed", ["all", "one hole"])
def test_large_measurements_give_the_same_draws_without_a_matrix(
    name: str, observed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Conjugate gradients against the factorisation, from the same noise."""
    law, (A, _) = gaussian(), AS_OPERATORS[name]
    y = doubles(0.7, -0.2, 0.1)[: 3 if name == "physics" else 2].repeat(2, 1)
    y[1, 0] = NAN if observed == "one hole" else y[1, 0]
    options = {"n": 3, "steps": 4, "particles": 1, "jacobian": False}
    written = posterior_samples(law, A, y, 0.1, **options)
    monkeypatch.setattr(operators, "MOST_NUMBERS", 0)
    called = posterior_samples(law, A, y, 0.1, **options)
    torch.testing.assert_close(called.x0, written.x0, rtol=1e-6, atol=1e-6)
    assert called.log_evidence.isnan().all() and not written.log_evidence.isnan().any()
    with pytest.raises(ValueError, match="too large to write out"):
        posterior_samples(law, A, y, 0.1, 3, steps=4)


def test_pooled_systems_are_as_one_of_all_their_particles() -> None:
    """Two particles in a system are far too few here; their estimates of p(y) tell which systems count."""
    law = GaussianMixture(doubles(0.7, 0.3), doubles([[-1.0], [1.0]]), doubles([[[0.04]], [[0.02]]]))
    y, n = doubles([0.2]), 4000
    exact = law.posterior(y, doubles([[1.0]]), doubles([[0.3]]))
    draws = posterior_samples(law, doubles([[1.0]]), y, 0.3, n, steps=40, particles=2, pooled=True)
    again = posterior_samples(law, doubles([[1.0]]), y, 0.3, n, steps=40, particles=2, pooled=True)
    assert torch.equal(draws.x0, again.x0)
    share = float(exact.weights[exact.means[:, 0] > 0].sum())
    error = math.sqrt(share * (1 - share) / n) * (1 + float(draws.standard_error) * math.sqrt(n))
    assert abs(float((draws.x0 > 0).double().mean()) - share) < 4.5 * error


@pytest.mark.parametrize("noise", NOISES)
@pytest.mark.parametrize("operator", OPERATORS)
def test_a_gaussian_given_measurements_is_exact_at_every_level(operator: str, noise: str) -> None:
    law, A, y = gaussian(), OPERATORS[operator], doubles(0.7, -0.2)
    exact = law.posterior(y, rows(A, 4), as_matrix(NOISES[noise], 2))
    by_jacobian = posterior(law, A, y, NOISES[noise])
    by_prior = posterior(law, A, y, NOISES[noise], jacobian=False)
    assert by_jacobian.mean is not None and by_jacobian.covariance is not None
    torch.testing.assert_close(by_jacobian.mean, exact.mean, rtol=0, atol=1e-9)
    torch.testing.assert_close(by_jacobian.covariance, exact.covariance, rtol=0, atol=1e-9)
    z = torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=F64)
    for level in LEVELS.values():
        x = level.noised(exact.sample(4, seed=1), z)
        expected = exact(x, level)
        for model in (by_jacobian, by_prior):
            found = model(x, level)
            torch.testing.assert_close(found.x0, expected.x0, rtol=0, atol=1e-6)
            torch.testing.assert_close(level.noised(found.x0, found.eps), x, rtol=1e-12, atol=1e-12)
            if noise != "none":  # at 0.002 the 1e-13 of the exact law's noise is a part in 1e7 of what is known
                torch.testing.assert_close(found.eps, expected.eps, rtol=0, atol=1e-8)


def test_every_sample_has_its_own_y_and_its_own_holes() -> None:
    law, level = gaussian(), Level(1.0, 0.7)
    y = doubles([[0.3, NAN, -1.0], [NAN, NAN, NAN], [0.1, 0.2, 0.3]])
    A = doubles([[1.0, 1.0, 0.0, 0.0], [0.0, 1.0, -1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
    x = law.sample(3, seed=4)
    for jacobian in (True, False):
        together = posterior(law, A, y, 0.1, jacobian=jacobian)(x, level)
        for i in range(3):
            seen = ~y[i].isnan()
            alone = posterior(law, A[seen], y[i][seen], 0.1, jacobian=jacobian)(x[i : i + 1], level)
            torch.testing.assert_close(together.x0[i], alone.x0[0], rtol=1e-9, atol=1e-9)
        torch.testing.assert_close(together.x0[1], law(x, level).x0[1], rtol=1e-12, atol=1e-12)


def test_a_variance_for_images_goes_by_coordinates_alone() -> None:
    law = Gaussian(torch.zeros(4, dtype=F64), 2 * torch.eye(4, dtype=F64))

    def pictures(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        return Estimate(*(v.reshape(x.shape) for v in law(x.reshape(len(x), 4), level)))

    mask = torch.tensor([[[True, False], [False, True]]])
    x, level = torch.randn(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)), Level(0.8, 0.6)
    found = posterior(pictures, mask, doubles(1.0, -1.0), 0.2, jacobian=False, covariance=2.0)(x, level)
    exact = law.posterior(doubles(1.0, -1.0), rows(mask, 4), 0.2 * torch.eye(2))(x.reshape(3, 4), level)
    torch.testing.assert_close(found.x0.reshape(3, 4), exact.x0, rtol=1e-5, atol=1e-5)
    assert found.x0.dtype == torch.float32


def test_the_density_of_a_posterior_model_is_the_exact_one() -> None:
    law, A, y = gaussian(3), doubles([[1.0, 0.0, 1.0]]), doubles([0.4])
    exact = law.posterior(y, A, doubles([[0.2]]))
    x = exact.sample(4, seed=0)
    found = log_density(posterior(law, A, y, 0.2), x)
    torch.testing.assert_close(found.value, exact.log_density(x), rtol=0, atol=1e-5)


# ---------------------------------------------------------------------------------------------------------- draws


@dataclass(frozen=True)
class Case:
    law: GaussianMixture
    A: Tensor
    y: Tensor
    noise: float
    particles: int = 128
    slack: float = 0.0


CASES = {
    "1-D, noisy": Case(
        GaussianMixture(doubles(0.7, 0.3), doubles([[-1.0], [1.0]]), doubles([[[0.04]], [[0.02]]])),
        doubles([[1.0]]), doubles([0.2]), 0.3,
    ),
    "2-D, two modes, exact": Case(ring(), torch.tensor([0]), doubles([0.7]), 0.0),
    "2-D, two modes, exact, with slack": Case(ring(), torch.tensor([0]), doubles([0.7]), 0.0, slack=0.1),
    "2-D, oblique": Case(ring(), doubles([[1.0, 0.6]]), doubles([0.5]), 0.05),
    "8-D, low rank, exact": Case(low_rank(), torch.tensor([5, 2]), doubles([0.2, -0.4]), 0.0),
}  # fmt: skip
SYSTEMS, STEPS = 24, 40


def exact_answer(case: Case) -> tuple[GaussianMixture, float]:
    """The posterior and log p(y)."""
    m, A = len(case.y), rows(case.A, case.law.means.shape[1])
    noise = max(case.noise, 1e-13) * torch.eye(m, dtype=F64)
    projected = GaussianMixture(case.law.weights, case.law.means @ A.T, A @ case.law.covariances @ A.T + noise)
    return case.law.posterior(case.y, A, noise), float(projected.log_density(case.y[None]))


def features(exact: GaussianMixture, x: Tensor) -> Tensor:
    """What is compared: whitened coordinates and their squares, 50 and 90 % intervals, the modes."""
    many = exact.sample(200_000, seed=9)
    deviation = exact.covariance.diagonal().sqrt()
    free = deviation > 1e-5  # others are observed
    z = ((x - exact.mean) / deviation)[..., free]
    products = (z[..., None] * z[..., None, :]).flatten(-2)
    inside = []
    for share in (0.5, 0.9):
        low, high = (torch.quantile(many[:, free], q, dim=0) for q in ((1 - share) / 2, (1 + share) / 2))
        inside.append(((x[..., free] > low) & (x[..., free] < high)).double())
    nearest = torch.cdist(x[..., free].flatten(0, -2), exact.means[:, free]).argmin(1)
    modes = torch.nn.functional.one_hot(nearest, len(exact.means)).double().reshape(*x.shape[:-1], -1)
    return torch.cat([z, products, *inside, modes], -1)


@pytest.mark.parametrize("name", CASES)
def test_draws_have_the_exact_conditional_law(name: str) -> None:
    """Mean, covariance, coverage and modes, from independent particle systems, whose spread is the Monte Carlo error.

    A system of P particles is biased by at most the relative variance of its estimate of p(y), in deviations.
    """
    case = CASES[name]
    exact, log_evidence = exact_answer(case)
    y = case.y.expand(SYSTEMS, -1)
    draws = posterior_samples(
        case.law,
        case.A,
        y,
        case.noise,
        case.particles,
        particles=case.particles,
        steps=STEPS,
        slack=case.slack,
        seed=3,
    )
    expected = features(exact, exact.sample(200_000, seed=8)).mean(0)
    found = features(exact, draws.x0).mean(0)
    error = found.std(0) / math.sqrt(SYSTEMS) + 1 / math.sqrt(200_000)
    ratios = (draws.log_evidence - draws.log_evidence.logsumexp(0) + math.log(SYSTEMS)).exp()
    assert ((found.mean(0) - expected).abs() < 4.5 * error + ratios.var()).all()
    if not case.A.is_floating_point() and case.noise == 0:
        assert (draws.x0[..., case.A] == case.y).all()
    spread = float(ratios.std()) / math.sqrt(SYSTEMS)
    found_evidence = float(draws.log_evidence.logsumexp(0)) - math.log(SYSTEMS)
    assert abs(found_evidence - log_evidence) < 4.5 * spread + 0.4 / STEPS  # and an error of first order in the step
    claimed = float(draws.standard_error.square().mean().sqrt())
    assert 0.4 < claimed / float(draws.log_evidence.std()) < 2


GAUSSIANS = {
    "matrix, noisy": (gaussian(), doubles([[1.0, 0.5, 0.0, -1.0], [0.2, -0.4, 1.0, 0.3]]), doubles(0.7, -0.2), 0.1),
    "exact": (gaussian(), torch.tensor([0, 2]), doubles(0.7, -0.2), 0.0),
    "everything": (gaussian(), torch.arange(4), doubles(0.7, -0.2, 0.1, 0.0), 0.0),
    "twice the same": (gaussian(), doubles([[1.0, 0, 0, 0], [2.0, 0, 0, 0]]), doubles(0.7, 1.4), 0.0),
    "singular": (flat_gaussian(), torch.tensor([0, 1, 2]), flat_gaussian().sample(1, seed=5)[0, :3], 0.0),
}


@pytest.mark.parametrize("steps", [1, 3, 20])
@pytest.mark.parametrize("name", GAUSSIANS)
def test_for_gaussians_all_weights_are_equal_at_any_number_of_steps(name: str, steps: int) -> None:
    law, A, y, noise = GAUSSIANS[name]
    n, d = 2000, len(law.mean)
    draws = posterior_samples(law, A, y, noise, n, particles=n, steps=steps, seed=1)
    assert float(draws.effective) > n * (1 - 1e-3) and float(draws.standard_error) < 1e-3
    assert draws.evaluations == n * steps
    M = rows(A, d)
    # the law of the sample itself, by the pseudo-inverse
    S = M @ law.covariance @ M.T + noise * torch.eye(len(y), dtype=F64)
    gain = law.covariance @ M.T @ torch.linalg.pinv(S, rtol=1e-9)
    mean, covariance = law.mean + gain @ (y - M @ law.mean), law.covariance - gain @ M @ law.covariance
    deviation = covariance.diagonal().clamp(min=0).sqrt()
    assert ((draws.x0.mean(0) - mean).abs() < 4.5 * deviation / math.sqrt(n) + 1e-4).all()
    wide = math.sqrt(2 / n) * deviation[:, None] * deviation
    assert ((draws.x0.T.cov() - covariance).abs() < 4.5 * wide + 1e-4).all()
    if name in ("matrix, noisy", "exact"):
        exact = torch.distributions.MultivariateNormal(M @ law.mean, S).log_prob(y)
        assert abs(float(draws.log_evidence - exact)) < 1e-6


def test_a_prior_covariance_in_place_of_jacobians_has_the_same_limit() -> None:
    law = gaussian(3)
    exact = law.posterior(doubles([0.5]), doubles([[1.0, 0.0, 0.0]]), doubles([[0.2]]))
    y = doubles([0.5]).expand(16, 1)
    draws = posterior_samples(
        law, torch.tensor([0]), y, 0.2, 256, particles=256, steps=100, jacobian=False, covariance=1.0, seed=1
    )
    means = draws.x0.mean(0)
    bias = float(draws.log_evidence.var())
    deviation = exact.covariance.diagonal().sqrt()
    assert ((means.mean(0) - exact.mean).abs() < 4.5 * means.std(0) / 4 + (bias + 1 / 100) * deviation).all()


def test_levels_and_plans_say_where_the_particles_stop() -> None:
    law, grid = gaussian(2), flow(7, 20.0, 0.01)
    a = posterior_samples(law, torch.tensor([0]), doubles([0.5]), 0.1, 4, plan=grid, particles=4)
    b = posterior_samples(law, torch.tensor([0]), doubles([0.5]), 0.1, 4, plan=ancestral(grid), particles=4)
    assert torch.equal(a.x0, b.x0) and a.evaluations == 28


# --------------------------------------------------------------------------------------------------------- holes


def holed(dtype: torch.dtype = F64) -> Tensor:
    return torch.tensor(
        [[0.1, -0.3], [0.7, NAN], [NAN, NAN], [NAN, 0.2], [0.1, 1 / 3], [NAN, NAN]], dtype=dtype
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_observed_entries_come_back_bit_for_bit(dtype: torch.dtype) -> None:
    x = holed(dtype)
    filled = impute(ring(), x, 5, steps=10, particles=4)
    assert filled.shape == (5, 6, 2) and filled.dtype == dtype and not filled.isnan().any()
    seen = ~x.isnan()
    assert torch.equal(filled[:, seen], x[seen].expand(5, -1))
    complete = x[[0, 4]]
    assert torch.equal(impute(ring(), complete, 3), complete.expand(3, 2, 2))


def test_a_draw_depends_on_its_seed_row_and_number_alone() -> None:
    x = holed()
    whole = impute(ring(), x, 10, steps=10, particles=4, seed=7)
    torch.testing.assert_close(impute(ring(), x, 3, steps=10, particles=4, seed=7), whole[:3])
    torch.testing.assert_close(impute(ring(), x[3:], 10, steps=10, particles=4, seed=7, first=3), whole[:, 3:])
    torch.testing.assert_close(impute(ring(), x, 10, steps=10, particles=4, seed=7, batch=1), whole)
    assert not torch.equal(whole[:, 2], whole[:, 5])  # rows alike have noise of their own
    assert not torch.equal(impute(ring(), x, 10, steps=10, particles=4, seed=8), whole)


def test_filled_tables_cover_and_rows_without_observations_are_samples() -> None:
    """Intervals from draws hold the truth as often as they say, over tables whose cells are removed at random."""
    law, n = low_rank(), 100
    truth = law.sample(n, seed=11)
    x = truth.clone()
    x[torch.rand(n, 8, generator=torch.Generator().manual_seed(0)) < 0.4] = NAN
    x[0] = NAN
    draws = impute(law, x, 32, steps=20, particles=32, seed=2)
    holes = x.isnan()
    for share in (0.5, 0.9):
        # the rank of the truth among 32 draws is uniform on 33 places: those inside are exactly known
        rank = (draws < truth).sum(0)[holes]
        cut = round((1 - share) / 2 * 33)
        inside = ((rank >= cut) & (rank < 33 - cut)).double()
        rate = (33 - 2 * cut) / 33
        by_row = torch.zeros(n, dtype=F64).index_add(
            0, holes.nonzero()[:, 0], inside - rate
        )  # holes of a row go together
        assert abs(float(by_row.sum())) < 4 * float(by_row.square().sum().sqrt())
    free = impute(law, torch.full((60, 8), NAN, dtype=F64), 32, steps=40, seed=4).reshape(-1, 8)
    z = (free.mean(0) - law.mean) / (law.covariance.diagonal() / len(free)).sqrt()
    assert (z.abs() < 4.5).all()


def test_slack_keeps_a_network_that_is_sure_and_wrong_within_bounds() -> None:
    """A coordinate without variance, observed a little off what the model says."""
    law = Gaussian(torch.zeros(2, dtype=F64), doubles([[1.0, 0.0], [0.0, 0.0]]))
    draws = posterior_samples(law, torch.arange(2), doubles(0.3, 1e-3), 0.0, 64, slack=0.1, steps=10)
    assert float(draws.log_evidence.abs()) < 20 and torch.isfinite(draws.x0).all()


def test_networks_fill_holes_too() -> None:
    model = Denoiser(ResidualMLP(2, width=8, depth=1))
    x = torch.tensor([[0.5, NAN], [NAN, NAN]])
    filled = impute(model, x, 3, steps=4, particles=4)
    assert filled.dtype == torch.float32 and torch.isfinite(filled).all()
    draws = posterior_samples(model, torch.tensor([0]), torch.tensor([0.5]), 0.1, 3, steps=4, particles=4, shape=(2,))
    assert draws.x0.shape == (3, 2) and draws.log_evidence.shape == ()


# -------------------------------------------------------------------------------------------------------- errors

WRONG = {
    "A of another width": (lambda: posterior(gaussian(), torch.ones(1, 3), doubles([1.0])), "matrix"),
    "y of another length": (lambda: posterior(gaussian(), torch.ones(1, 4), doubles(1.0, 2.0)), "1 observations"),
    "negative noise": (lambda: posterior(gaussian(), torch.tensor([0]), doubles([1.0]), -0.1), ">= 0"),
    "no covariance": (
        lambda: posterior(gaussian(), torch.tensor([0, 1]), doubles(1.0, 2.0), doubles([[1.0, 2], [2, 1]])),
        "semi-definite",
    ),
    "infinite y": (lambda: posterior(gaussian(), torch.tensor([0]), doubles([math.inf])), "infinite"),
    "coordinate 4 of 4": (lambda: posterior(gaussian(), torch.tensor([4]), doubles([1.0])), "from 0 to 3"),
    "twice": (lambda: posterior(gaussian(), torch.tensor([1, 1]), doubles(1.0, 1.0)), "twice"),
    "no draws": (lambda: posterior_samples(gaussian(), torch.tensor([1]), doubles([1.0]), n=0), "n must be"),
    "no shape": (lambda: posterior_samples(Denoiser(ResidualMLP(2)), torch.tensor([1]), doubles([1.0])), "shape="),
    "rising": (
        lambda: posterior_samples(gaussian(), torch.tensor([1]), doubles([1.0]), plan=flow(5, 20.0, 0.01).rising()),
        "falling",
    ),
    "infinite cell": (lambda: impute(gaussian(), doubles([[math.inf, NAN, 0.0, 0.0]])), "infinite"),
    "other rows": (
        lambda: posterior(gaussian(), torch.tensor([0]), torch.zeros(3, 1))(torch.zeros(2, 4), Level(1.0, 1.0)),
        "3 rows",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_said(name: str) -> None:
    call, words = WRONG[name]
    with pytest.raises((ValueError, TypeError), match=words):
        call()
