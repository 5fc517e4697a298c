"""Laws of log-densities: exact answers, samples by themselves, any view of a model, honest intervals, the bound."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from scorefield import levels
from scorefield.analytic import Empirical, Gaussian, GaussianMixture
from scorefield.core import Estimate, Level, Model
from scorefield.data import load
from scorefield.denoiser import Denoiser
from scorefield.likelihood import log_density, variational_bound
from scorefield.likelihood.student import student_quantile
from scorefield.nets import ResidualMLP
from scorefield.numerics.random import normal, uniform
from scorefield.records.codec import fit_codec
from scorefield.records.density import Options, bits_per_dim, record_log_density
from scorefield.records.fit import moments
from scorefield.records.image_codec import ImageCodec
from scorefield.records.trained import TrainedModel
from tables import SCHEDULES, SMOOTH_LAWS, mixture_1d, mixture_2d, reference, reference_law

F64 = torch.float64


def low_rank_mixture(d: int = 64, count: int = 10, rank: int = 6, seed: int = 0) -> GaussianMixture:
    """Modes of low rank plus a small diagonal."""
    means = normal(count, (d,), seed, "means", dtype=F64)  # torch's own draws depend on the processor
    factors = 0.5 * normal(count, (d, rank), seed, "factors", dtype=F64) / math.sqrt(rank)
    weights = uniform(count, (), seed, "weights", dtype=F64) + 0.2
    return GaussianMixture(weights, means, factors @ factors.mT + 0.01 * torch.eye(d, dtype=F64))


def rms(error: Tensor) -> float:
    return float(error.square().mean().sqrt())


# ---------------------------------------------------------------------------------------------------- exact answers


@pytest.mark.parametrize("name", SMOOTH_LAWS)
def test_exact_models_give_their_density(name: str) -> None:
    law = SMOOTH_LAWS[name]
    x = law.sample(24, 0).double()
    for sigma in (0.0, 0.3):
        noised = law.sample(24, 0, Level(1.0, sigma)).double() if sigma else x
        r = log_density(law, noised, sigma_min=sigma, tolerance=1e-6)
        assert rms(r.value - law.log_density(noised, Level(1.0, sigma))) < 1e-5
        assert bool((r.standard_error == 0).all()) and torch.equal(r.interval, r.value[:, None].expand(-1, 2))


def test_a_gaussian_costs_nothing_and_is_exact_by_any_divergence() -> None:
    law = SMOOTH_LAWS["gaussian"]
    x = 3 * law.sample(5, 0).double()
    for divergence in ("exact", "hutchinson", "hutch++"):
        r = log_density(law, x, divergence=divergence, probes=6)
        torch.testing.assert_close(r.value, law.log_density(x), rtol=1e-9, atol=1e-9)
        assert int(r.evaluations.max()) == 19 and float(r.standard_error.max()) < 1e-9
    assert float(log_density(law, x, evaluations=7).value.sub(law.log_density(x)).abs().max()) < 1e-9


@pytest.mark.parametrize(("tolerance", "error", "count"), [(3e-5, 1e-4, 100), (1e-4, 3e-4, 80)])
def test_the_ring_in_few_evaluations(tolerance: float, error: float, count: int) -> None:
    law = reference_law("ring")
    stored = reference("ring")
    for k, sigma in enumerate(stored["sigmas"].tolist()):
        r = log_density(law, stored["points"][k], sigma_min=sigma, tolerance=tolerance)
        assert rms(r.value - stored["log_density"][k]) < error
        assert float(r.evaluations.double().mean()) < count


def test_64_dimensions_in_few_evaluations() -> None:
    law = low_rank_mixture()
    x = law.sample(24, 0)
    truth = law.log_density(x)
    for tolerance, error, count in ((1e-3, 1e-2, 100), (1e-4, 1e-3, 150)):
        r = log_density(law, x, tolerance=tolerance)
        assert rms(r.value - truth) < error and float(r.evaluations.double().mean()) < count


def test_fixed_steps_spend_what_they_are_given() -> None:
    law = reference_law("ring")
    x = law.sample(64, 0)
    for given, spent, error in ((50, 49, 0.1), (200, 199, 1e-3)):
        r = log_density(law, x, evaluations=given)
        assert set(r.evaluations.tolist()) == {spent} and rms(r.value - law.log_density(x)) < error


def test_the_density_integrates_to_one() -> None:
    law = mixture_2d()
    edge = torch.linspace(-6, 6, 41, dtype=F64)
    grid = torch.cartesian_prod(edge, edge)
    total = log_density(law, grid, tolerance=1e-3).value.exp().sum() * (edge[1] - edge[0]) ** 2
    assert float(total) == pytest.approx(1, abs=1e-3)


def test_the_solver_error_is_about_the_error() -> None:
    law = reference_law("blend")
    x = law.sample(64, 0)
    for tolerance, covered in ((1e-4, 0.5), (1e-5, 0.9)):
        r = log_density(law, x, tolerance=tolerance)
        error = (r.value - law.log_density(x)).abs()
        assert float((error <= r.solver_error).double().mean()) >= covered
        assert float(r.solver_error.max()) < 50 * tolerance


# -------------------------------------------------------------------------------------------------- independence


@pytest.mark.parametrize("divergence", ["exact", "hutchinson", "hutch++"])
def test_a_point_does_not_see_its_batch(divergence: str) -> None:
    law = low_rank_mixture(12, 3, 2)
    x = law.sample(5, 0)
    whole = log_density(law, x, divergence=divergence, probes=6, tolerance=1e-3)
    pieces = log_density(law, x, divergence=divergence, probes=6, tolerance=1e-3, batch=2, chunk=1)
    one = log_density(law, x[3:4], divergence=divergence, probes=6, tolerance=1e-3, first=3)
    for other, part in ((pieces, slice(None)), (one, slice(3, 4))):
        torch.testing.assert_close(other.value, whole.value[part], rtol=1e-9, atol=1e-9)
        assert torch.equal(other.evaluations, whole.evaluations[part])


@pytest.mark.parametrize("name", SCHEDULES)
def test_the_same_density_in_every_schedule(name: str) -> None:
    """Points of one law at alpha != 1, and a model that knows levels in that schedule's scale only."""
    schedule = SCHEDULES[name]
    law = mixture_2d()
    level = schedule(0.3 * schedule.t_max)
    x = law.sample(6, 0, level)

    def view(x: Tensor, at: Level, condition: Tensor | None = None) -> Estimate:
        size = (torch.as_tensor(at.alpha) ** 2 + torch.as_tensor(at.sigma) ** 2).sqrt()
        return law(x / size.reshape(-1, 1), Level(at.alpha / size, at.sigma / size))

    truth = law.log_density(x, level)
    for model in (law, view):
        r = log_density(model, x, level=level, tolerance=1e-6, mean=law.mean, covariance=law.covariance)
        torch.testing.assert_close(r.value, truth, rtol=0, atol=1e-5)


def test_any_reference_gives_the_same_density() -> None:
    law = reference_law("ring")
    x = law.sample(8, 0)
    for mean, covariance in ((0.0, 1.0), (torch.tensor([0.3, 0.0]), torch.tensor([0.2, 0.4])), (law.mean, None)):
        r = log_density(law, x, mean=mean, covariance=covariance, tolerance=1e-6)
        torch.testing.assert_close(r.value, law.log_density(x), rtol=0, atol=1e-5)


def test_shaped_points_and_conditions() -> None:
    law = Empirical(torch.randn(4, 1, 2, 2, generator=torch.Generator().manual_seed(0), dtype=F64))
    x = law.sample(3, 0, Level(1.0, 0.5))
    r = log_density(law, x, sigma_min=0.5, covariance=1.0)
    torch.testing.assert_close(r.value, law.log_density(x, Level(1.0, 0.5)), rtol=0, atol=1e-3)
    two = mixture_1d()

    def shifted(x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        e = two(x - torch.as_tensor(level.alpha).reshape(-1, 1) * condition.reshape(-1, 1), level)
        return Estimate(e.x0 + condition.reshape(-1, 1), e.eps)

    y, c = two.sample(4, 0), torch.arange(4.0, dtype=F64)
    r = log_density(shifted, y + c[:, None], condition=c, covariance=3.0, tolerance=1e-6)
    torch.testing.assert_close(r.value, two.log_density(y), rtol=0, atol=1e-5)


# ------------------------------------------------------------------------------------------------------ intervals


@pytest.mark.parametrize("freedom", [1, 2, 3, 7, 15, 40])
def test_student(freedom: int) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert student_quantile(0.975, freedom) == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-12)


@pytest.mark.parametrize("law", [reference_law("ring"), low_rank_mixture(16, 6, 3)], ids=["ring", "16-d"])
def test_hutchinsons_interval_covers(law: GaussianMixture) -> None:
    """95 %: between 93 and 97 % over seeds and points, plus two standard errors of the count."""
    x = law.sample(400, 1)
    truth, covered, squares, variances = law.log_density(x), [], [], []
    for seed in range(3):
        r = log_density(law, x, divergence="hutchinson", tolerance=1e-2, seed=seed)
        covered.append(((r.interval[:, 0] <= truth) & (truth <= r.interval[:, 1])).double().mean())
        squares.append((r.value - truth).square().mean())
        variances.append(r.standard_error.square().mean())
    slack = 2 * math.sqrt(0.95 * 0.05 / 1200)
    assert 0.93 - slack < float(sum(covered)) / 3 < 0.97 + slack
    assert float(sum(squares) / sum(variances)) == pytest.approx(1, abs=0.2)


def test_one_probe_has_no_error_and_hutch_plus_plus_less_than_hutchinson() -> None:
    law = low_rank_mixture(32, 4, 3)
    x = law.sample(40, 0)
    one = log_density(law, x[:2], divergence="hutchinson", probes=1, tolerance=1e-2)
    assert bool(one.standard_error.isnan().all() and one.interval.isnan().all() and one.value.isfinite().all())
    truth = law.log_density(x)
    errors = {
        d: rms(log_density(law, x, divergence=d, probes=24, tolerance=1e-2).value - truth)
        for d in ("hutchinson", "hutch++")
    }
    assert errors["hutch++"] < 0.7 * errors["hutchinson"]


# ------------------------------------------------------------------------------------------------------- networks


def small_network() -> Denoiser:
    model = Denoiser(ResidualMLP(2, width=16, depth=1), sigma_data=0.8, sigma_min=0.01, sigma_max=20.0).eval()
    g = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g))
    return model


def test_a_float32_network_is_answered_as_its_float64_copy() -> None:
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(1))
    model = small_network()
    single = log_density(model, x).value
    double = log_density(model.double(), x).value
    assert single.dtype == F64 and rms(single - double) < 2e-4  # 1e-4 nats per dimension


def test_the_density_of_a_network_integrates_to_one() -> None:
    edge = torch.linspace(-7, 7, 71, dtype=F64)
    grid = torch.cartesian_prod(edge, edge)
    total = log_density(small_network(), grid, tolerance=1e-3).value.exp().sum() * (edge[1] - edge[0]) ** 2
    assert float(total) == pytest.approx(1, abs=1e-3)


class _Known(nn.Module):
    """An exact model with a network's range."""

    def __init__(self, law: Model, low: float, high: float) -> None:
        super().__init__()
        self.law, self.sigma_min, self.sigma_max, self.sigma_data = law, low, high, 1.0

    def forward(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        return self.law(x, level)


def test_a_models_own_range_is_kept() -> None:
    law = mixture_2d()
    x = law.sample(8, 0, Level(1.0, 0.1))
    r = log_density(_Known(law, 0.1, 80.0), x, mean=law.mean, covariance=law.covariance)
    torch.testing.assert_close(r.value, law.log_density(x, Level(1.0, 0.1)), rtol=0, atol=1e-4)


def test_records_are_in_the_users_units() -> None:
    data = load("iris")
    codec = fit_codec(data)
    law = Gaussian(torch.zeros(4, dtype=F64), torch.eye(4, dtype=F64) * 0.9 + 0.1)
    records = data.records[:6]
    r = record_log_density(law, codec, records, Options())
    spread = torch.diag(torch.tensor(codec.std, dtype=F64))
    users = Gaussian(torch.tensor(codec.mean, dtype=F64), spread @ law.covariance @ spread)
    torch.testing.assert_close(r.value, users.log_density(torch.as_tensor(records)), rtol=0, atol=1e-4)


def test_a_trained_model_keeps_its_moments(tmp_path: Path) -> None:
    data = load("iris")
    codec = fit_codec(data)
    x = codec.encode(data.records)
    network = Denoiser(ResidualMLP(4, width=16, depth=1), sigma_min=0.05, sigma_max=20.0).eval()
    made = TrainedModel(network, codec, {}, None, {}, *moments(x))
    made.save(tmp_path)
    read = TrainedModel.load(tmp_path)
    assert read.mean is not None and read.covariance is not None and read.covariance.shape == (4, 4)
    torch.testing.assert_close(read.covariance, torch.cov(x.double().T, correction=0), rtol=1e-6, atol=1e-9)
    records = data.records[:4]
    r = read.log_density(records, tolerance=1e-3)
    direct = log_density(network, x[:4], mean=made.mean, covariance=made.covariance, tolerance=1e-3)
    torch.testing.assert_close(r.value, direct.value + codec.log_det(records))
    with pytest.raises(ValueError, match="integer images"):
        read.bits_per_dim(records)


def test_bits_per_dim_has_the_right_offset() -> None:
    """Uniformly random bytes need 8 bits: a Gaussian of their variance needs KL(uniform | Gaussian) more."""
    std = 256 / math.sqrt(12)
    codec = ImageCodec(8, 8, 1, mean=127.5, std=std, levels=256, dtype="uint8", channel_axis=False)
    law = Gaussian(torch.zeros(64, dtype=F64), torch.eye(64, dtype=F64))
    model = _Shaped(law, (1, 8, 8))
    images = torch.randint(0, 256, (200, 8, 8), generator=torch.Generator().manual_seed(0)).to(torch.uint8).numpy()
    r = bits_per_dim(model, codec, images, Options(covariance=1.0, evaluations=7), draws=2)
    truth = math.log2(std) + 0.5 * math.log2(2 * math.pi * math.e)
    standard_error = float(r.value.std()) / math.sqrt(200)
    assert float(r.value.mean()) == pytest.approx(truth, abs=4 * standard_error)
    x = codec.encode(images, seed=0, row=0).double().flatten(1)
    by_hand = -law.log_density(x) / (64 * math.log(2)) + math.log2(std)
    assert rms(r.value - by_hand) < 4 * float(r.standard_error.mean()) + 1e-3


class _Shaped:
    def __init__(self, law: Model, shape: tuple[int, ...]) -> None:
        self.law, self.shape = law, shape

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        e = self.law(x.flatten(1), level)
        return Estimate(e.x0.reshape(x.shape), e.eps.reshape(x.shape))


# ------------------------------------------------------------------------------------------------------ the bound


def test_the_bound_is_tight_for_a_gaussian_with_any_number_of_levels() -> None:
    law = SMOOTH_LAWS["gaussian"]
    x = law.sample(4000, 0).double()
    entropy = -law.log_density(x)
    for count in (2, 10):
        bound = variational_bound(law, x, levels.karras(count, sigma_max=80, sigma_min=0.01))
        gap = bound.value - entropy
        assert abs(float(gap.mean())) < 4 * float(gap.std()) / math.sqrt(len(x)) + 1e-3  # 1e-3: N(0, 80^2) at the top
        assert float(bound.prior.max()) < 0.01


@pytest.mark.parametrize("sigma_min", [0.0, 0.05])
def test_the_bound_is_above_and_tightens_with_levels(sigma_min: float) -> None:
    law = reference_law("ring")
    x = law.sample(1000, 0, Level(1.0, sigma_min))
    entropy = -log_density(law, x, sigma_min=sigma_min, tolerance=1e-2).value
    gaps = []
    for count in (5, 20, 80):
        grid = levels.karras(count, sigma_max=40, sigma_min=0.002)
        if sigma_min:
            ratio = torch.cat([grid.ratio[grid.ratio > sigma_min], torch.tensor([sigma_min])])
            grid = levels.Levels(torch.full_like(ratio, 0.5), 0.5 * ratio)
        alpha = float(grid.alpha[-1])
        bound = variational_bound(law, alpha * x, grid, draws=2)
        gaps.append((bound.value - 2 * math.log(alpha) - entropy, bound))
    means = [float(gap.mean()) for gap, _ in gaps]
    errors = [float(gap.std()) / math.sqrt(len(x)) for gap, _ in gaps]
    assert all(mean > -3 * error for mean, error in zip(means, errors, strict=True))
    assert means[0] > means[1] > means[2]


# ----------------------------------------------------------------------------------------------------------- errors

RING = reference_law("ring")
X = RING.sample(2, 0)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: log_density(RING, X, divergence="hutchison"), "'hutchinson'"),
        (lambda: log_density(RING, X, probes=0), "probes must be"),
        (lambda: log_density(RING, X, divergence="hutch\\+\\+", probes=5), "divergence must be"),
        (lambda: log_density(RING, X, divergence="hutch++", probes=5), "probes must be an integer >= 6"),
        (lambda: log_density(RING, X, evaluations=3), "evaluations must be"),
        (lambda: log_density(RING, X, tolerance=0.0), "tolerance"),
        (lambda: log_density(RING, X, sigma_min=3.0, sigma_max=2.0), "sigma_min < sigma_max"),
        (lambda: log_density(RING, X, covariance=torch.eye(3)), "2 entries"),
        (lambda: log_density(RING, X, covariance=-1.0), "variance"),
        (lambda: log_density(lambda x, level, condition=None: RING(x, level), X), "give covariance"),
        (lambda: log_density(Gaussian(torch.zeros(2), torch.ones(2, 2)), X), "singular"),
        (lambda: log_density(RING, X, level=Level(1.0, 0.1), sigma_min=0.1), "not both"),
        (lambda: log_density(RING, X / 0), "finite"),
        (lambda: variational_bound(RING, X, levels.karras(3).rising()), "falling"),
        (lambda: variational_bound(RING, X, levels.karras(3), draws=0), "draws"),
    ],
)
def test_errors_speak(call: object, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        call()  # type: ignore[operator]
