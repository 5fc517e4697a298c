"""Laws of the metrics: known values on Gaussians, unbiasedness, symmetry, invariance, honest p-values and errors."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
import torch
from torch import Tensor

from scorefield import metrics
from scorefield.numerics.random import normal

PHI = NormalDist().cdf
DTYPE = torch.float64


def gaussian(n: int, d: int, seed: int, shift: float = 0.0) -> Tensor:
    x = normal(n, (d,), seed, "test", dtype=DTYPE)
    x[:, 0] += shift
    return x


def mean_and_error(values: list[float]) -> tuple[float, float]:
    v = torch.tensor(values, dtype=DTYPE)
    return float(v.mean()), float(v.std() / math.sqrt(len(v)))


DISTANCES = {
    "energy": metrics.energy_distance,
    "sliced": lambda x, y: metrics.sliced_wasserstein(x, y, projections=32, seed=3),
    "frechet": metrics.frechet,
    "mmd": lambda x, y: metrics.mmd(x, y, permutations=1).value,
}
OTHERS = {
    "memorisation": lambda x, y: metrics.memorisation(x, y, gaussian(40, 3, 9) + torch.as_tensor(y).mean(0)),
    "density": lambda x, y: metrics.coverage(x, y).density,
    "coverage": lambda x, y: metrics.coverage(x, y).coverage,
}
ALL = {**DISTANCES, **OTHERS}


# ------------------------------------------------------------------------------------------------ laws of all of them


@pytest.mark.parametrize("name", ALL)
def test_invariant_to_the_order_of_rows_and_to_translation(name):
    metric, x, y = ALL[name], gaussian(60, 3, 1), gaussian(45, 3, 2, shift=0.5)
    value = metric(x, y)
    g = torch.Generator().manual_seed(0)
    shuffled = metric(x[torch.randperm(60, generator=g)], y[torch.randperm(45, generator=g)])
    assert shuffled == pytest.approx(value, rel=1e-9, abs=1e-12)
    assert metric(x + 1000.0, y + 1000.0) == pytest.approx(value, rel=1e-8, abs=1e-11)


@pytest.mark.parametrize("name", DISTANCES)
def test_symmetric(name):
    metric, x, y = DISTANCES[name], gaussian(60, 3, 1), gaussian(45, 3, 2, shift=0.5)
    assert metric(x, y) == pytest.approx(metric(y, x), rel=1e-9)


@pytest.mark.parametrize("name", ALL)
def test_arrays_images_and_single_columns(name):
    metric, x, y = ALL[name], gaussian(40, 3, 1), gaussian(40, 3, 2)
    value = metric(x, y)
    assert metric(x.numpy(), y.float().double().numpy()) == pytest.approx(value, rel=1e-4, abs=1e-5)
    if name != "memorisation":
        assert metric(x.reshape(40, 1, 3, 1), y.reshape(40, 1, 3, 1)) == value
        assert math.isfinite(metric(x[:, :1], y[:, :1]))


@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_chunks_change_nothing(chunk):
    x, y = gaussian(50, 3, 1), gaussian(33, 3, 2)
    assert metrics.energy_distance(x, y, chunk=chunk) == pytest.approx(metrics.energy_distance(x, y), rel=1e-9)
    ours, default = metrics.mmd(x, y, chunk=chunk), metrics.mmd(x, y)
    assert ours.value == pytest.approx(default.value, rel=1e-9) and ours.p_value == default.p_value
    assert torch.equal(metrics.nearest(x, y, chunk=chunk)[1], metrics.nearest(x, y)[1])

    class Slices(list):  # rows that are made when asked for
        def __getitem__(self, index):
            return y[index]

    distance, index = metrics.nearest(x, Slices(y), chunk=chunk)
    assert torch.equal(index, metrics.nearest(x, y)[1])
    torch.testing.assert_close(distance, metrics.nearest(x, y)[0])
    assert metrics.coverage(x, y, chunk=chunk) == metrics.coverage(x, y)


def test_a_seed_gives_one_answer():
    x, y = gaussian(60, 3, 1), gaussian(60, 3, 2)
    for metric in (
        lambda seed: metrics.c2st(x, y, seed=seed, epochs=3),
        lambda seed: metrics.sliced_wasserstein(x, y, projections=4, seed=seed),
    ):
        before = torch.get_rng_state()
        assert metric(1) == metric(1) != metric(2)
        assert torch.equal(before, torch.get_rng_state())


# -------------------------------------------------------------------------------------------------------- known values


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
def test_energy_distance_and_mmd_are_unbiased(shift):
    s = math.sqrt(2)
    apart = s * math.sqrt(2 / math.pi) * math.exp(-(shift**2) / (2 * s**2)) + shift * (1 - 2 * PHI(-shift / s))
    energy = 2 * apart - 2 * s * math.sqrt(2 / math.pi)
    h = 0.8
    kernel = 2 * h / math.sqrt(h**2 + 2) * (1 - math.exp(-(shift**2) / (2 * (h**2 + 2))))
    pairs = [(gaussian(40, 1, 2 * k), gaussian(25, 1, 2 * k + 1, shift)) for k in range(300)]
    for truth, values in (
        (energy, [metrics.energy_distance(x, y) for x, y in pairs]),
        (kernel, [metrics.mmd(x, y, bandwidth=h, permutations=1).value for x, y in pairs]),
    ):
        mean, error = mean_and_error(values)
        assert abs(mean - truth) < 4 * error


@pytest.mark.parametrize("d", [1, 2, 5])
def test_sliced_wasserstein_of_a_shift(d):
    x = gaussian(50, d, 0)
    mean_cosine = math.gamma(d / 2) / (math.sqrt(math.pi) * math.gamma((d + 1) / 2))  # E|u_1| on the sphere
    spread = math.sqrt(max(1 / d - mean_cosine**2, 0.0) / 4000)
    value = metrics.sliced_wasserstein(x, x + 3 * torch.eye(d, dtype=DTYPE)[0], projections=4000)
    assert abs(value / 3 - mean_cosine) <= 4 * spread + 1e-12


@pytest.mark.parametrize(("n", "m"), [(1, 1), (5, 5), (4, 6), (7, 3), (50, 1)])
def test_wasserstein_on_the_line_is_scipys(n, m):
    stats = pytest.importorskip("scipy.stats")
    x, y = gaussian(n + 1, 1, 0), gaussian(m + 1, 1, 1, shift=0.3)
    expected = stats.wasserstein_distance(x[:, 0].numpy(), y[:, 0].numpy())
    assert metrics.sliced_wasserstein(x, y) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("d", [1, 2, 6])
def test_frechet_of_gaussians(d):
    linalg = pytest.importorskip("scipy.linalg")
    A = torch.eye(d, dtype=DTYPE) + 0.3 * gaussian(d, d, 5)
    x, y = gaussian(80, d, 1), gaussian(60, d, 2) @ A.T + 1.5
    a, b = (np.atleast_2d(np.cov(v.numpy(), rowvar=False)) for v in (x, y))
    means = (x.mean(0) - y.mean(0)).square().sum()
    expected = float(means) + np.trace(a + b - 2 * np.real(linalg.sqrtm(a @ b)))
    assert metrics.frechet(x, y) == pytest.approx(expected, rel=1e-8)
    assert metrics.frechet(x, x) == pytest.approx(0, abs=1e-10)


def test_frechet_with_fewer_rows_than_columns():
    x = gaussian(5, 20, 1)
    assert metrics.frechet(x, x + 2.0) == pytest.approx(4 * 20, rel=1e-6)


def test_permutation_p_values_are_honest():
    p = [metrics.mmd(gaussian(15, 2, 2 * k), gaussian(20, 2, 2 * k + 1), permutations=39).p_value for k in range(400)]
    for level in (0.05, 0.25, 0.5):
        share = sum(v <= level for v in p) / len(p)
        assert abs(share - level) < 4 * math.sqrt(level * (1 - level) / len(p))
    assert metrics.mmd(gaussian(60, 2, 0), gaussian(60, 2, 1, shift=2.0)).p_value == 1 / 200


@pytest.mark.parametrize(("d", "shift"), [(1, 0.0), (1, 2.0), (2, 1.0), (2, 0.0)])
def test_c2st_reaches_the_accuracy_of_bayes(d, shift):
    value, error = metrics.c2st(gaussian(1000, d, 1), gaussian(1300, d, 2, shift))
    assert error == pytest.approx(math.sqrt(value * (1 - value) / 2000), rel=0.01)
    assert PHI(shift / 2) - 4 * error - 0.01 * (shift > 0) < value < PHI(shift / 2) + 4 * error


def test_c2st_sees_what_means_and_covariances_do_not():
    x = gaussian(600, 2, 1)
    y = gaussian(600, 2, 2)
    y = y / y.norm(dim=1, keepdim=True) * math.sqrt(2)  # a ring with the same mean and covariance
    assert metrics.c2st(x, y).value > 0.75  # a linear classifier is at chance
    assert metrics.c2st(torch.zeros(30, 2), torch.zeros(30, 2)).value == pytest.approx(0.5)


@pytest.mark.parametrize("epochs", [1, 2, 10])
def test_c2st_takes_any_number_of_epochs(epochs: int) -> None:
    x = normal(64, (2,), 0, "few")
    assert 0 <= metrics.c2st(x, x + 9, epochs=epochs).value <= 1


def test_c2st_is_unbiased_on_equal_laws_of_few_rows():
    values = [metrics.c2st(gaussian(30, 3, 2 * k), gaussian(30, 3, 2 * k + 1), epochs=5).value for k in range(40)]
    mean, error = mean_and_error(values)
    assert abs(mean - 0.5) < 4 * error


def test_density_and_coverage_of_equal_laws():
    n, m, k = 60, 40, 3
    runs = [metrics.coverage(gaussian(n, 2, 2 * s), gaussian(m, 2, 2 * s + 1), k=k) for s in range(200)]
    reached = 1 - math.prod((n - i) / (n + m - i) for i in range(1, k + 1))
    for truth, values in ((1.0, [r.density for r in runs]), (reached, [r.coverage for r in runs])):
        mean, error = mean_and_error(values)
        assert abs(mean - truth) < 4 * error


def test_a_lost_mode_lowers_coverage_and_a_copied_set_is_memorised():
    train, held = gaussian(400, 2, 1), gaussian(400, 2, 2)
    generated = gaussian(400, 2, 3)
    assert metrics.coverage(held, generated[generated[:, 0] > 0]).coverage < 0.65
    assert metrics.memorisation(generated, train, held) == pytest.approx(1, abs=0.2)
    assert metrics.memorisation(train[:50] + 1e-9, train, held) < 1e-6
    distance, index = metrics.nearest(train[:9], train)
    assert index.tolist() == list(range(9)) and float(distance.max()) < 1e-6


def test_floor_splits_once():
    real = gaussian(31, 2, 0)
    a, b = metrics.floor(lambda x, y: (x, y), real, seed=4)
    assert len(a) == len(b) == 15
    rows = {tuple(r) for r in torch.cat([a, b]).tolist()}
    assert len(rows) == 30 and rows <= {tuple(r) for r in real.tolist()}
    assert metrics.floor(metrics.energy_distance, real.numpy()) == metrics.floor(metrics.energy_distance, real)


# -------------------------------------------------------------------------------------------------------------- errors

X = torch.zeros(9, 2)
NAN = torch.tensor([[0.0, 1.0], [math.nan, 0.0]])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("x", "error", "says"),
    [
        (torch.zeros(5, 4), ValueError, "one shape"),
        (NAN, ValueError, "row 1"),
        (torch.zeros(5), ValueError, "n, \\*shape"),
        ([[0.0, 1.0, 2.0]], TypeError, "tensor or an array"),
    ],
)
def test_bad_samples_are_named(name, x, error, says):
    with pytest.raises(error, match=says):
        ALL[name](x, gaussian(30, 3, 0))


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: metrics.energy_distance(X[:1], X), "n >= 2"),
        (lambda: metrics.sliced_wasserstein(X, X, projections=0), "projections"),
        (lambda: metrics.mmd(X, X), "bandwidth"),
        (lambda: metrics.mmd(X, X, permutations=0), "permutations"),
        (lambda: metrics.c2st(X, X), "fewer folds"),
        (lambda: metrics.coverage(X, X, k=9), "lower k"),
        (lambda: metrics.memorisation(X, X, X), "no reference"),
        (lambda: metrics.energy_distance(X, X, chunk=0), "chunk"),
        (lambda: metrics.floor(metrics.energy_distance, X[:3]), "at least 4"),
    ],
)
def test_errors_speak(call, says):
    with pytest.raises(ValueError, match=says):
        call()
