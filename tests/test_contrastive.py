"""Neighbours of score matching: least at the true energy, score matching's limits, estimates with known variances."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield import objectives
from scorefield.analytic import GaussianMixture
from scorefield.core import Level
from scorefield.denoiser import Energy, from_energy
from scorefield.mcmc import hmc
from scorefield.nets import ScalarMLP
from scorefield.numerics.random import normal
from scorefield.objectives import contrastive, efficiency, minimum
from scorefield.objectives.closed_form import exponential_family

F64 = torch.float64
LAW = GaussianMixture(
    torch.tensor([0.4, 0.6], dtype=F64),
    torch.tensor([[-1.0], [0.8]], dtype=F64),
    torch.tensor([[[0.36]], [[0.64]]], dtype=F64),
)
GRID = torch.linspace(-16, 16, 1281, dtype=F64)[:, None]
GRID_STEP = 32 / 1280
WEIGHTS = LAW.log_density(GRID).exp() * GRID_STEP  # the trapezoidal rule, exact to rounding on what is smooth and ends
Z, V = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(40))
V = V / V.sum()


def _features(x: Tensor) -> Tensor:
    return torch.cat([x.sin(), x**2 / (1 + x**2), (2 * x).cos()], 1)


def _normal_log_density(scale: float) -> Callable[[Tensor], Tensor]:
    return lambda x: -(x[:, 0] ** 2) / (2 * scale**2) - math.log(scale * math.sqrt(2 * math.pi))


def _energy(theta: Tensor) -> Callable[[Tensor], Tensor]:
    """The truth at theta = 0, and another energy elsewhere."""
    return lambda x: -LAW.log_density(x) + _features(x) @ theta[:3]


# ---------------------------------------------------------------------------------------------------- expectations

Mean = Callable[[Tensor], Tensor]
"""The expected loss as a function of the parameters, by quadrature."""


def _noise_contrast(scale: float) -> Mean:
    q = _normal_log_density(scale)
    wq = q(GRID).exp() * GRID_STEP

    nought = torch.zeros_like(GRID)

    def mean(theta: Tensor) -> Tensor:
        """One noise for each sample: the loss is a function of x and one of the noise, which stand apart here."""
        of_x = objectives.noise_contrastive(_energy(theta), GRID, nought[None], q, theta[3])
        of_noise = objectives.noise_contrastive(_energy(theta), nought, GRID[None], q, theta[3])
        both_at_0 = objectives.noise_contrastive(_energy(theta), nought[:1], nought[None, :1], q, theta[3])
        return WEIGHTS @ of_x + wq @ of_noise - both_at_0[0]

    return mean


def _of_pairs(loss: Callable[..., Tensor], sigma: float) -> Mean:
    x = GRID.repeat(len(Z), 1)
    y = (GRID + sigma * Z[:, None, None]).reshape(-1, 1)
    w = (V[:, None] * WEIGHTS).flatten()
    return lambda theta: w @ loss(_energy(theta), x, y[None])


def _lopsided(sigma: float) -> Mean:
    """Neighbours that drift to the right: not symmetric."""
    x = GRID.repeat(len(Z), 1)
    y = (GRID + 0.3 + sigma * Z[:, None, None]).reshape(-1, 1)
    w = (V[:, None] * WEIGHTS).flatten()
    there, back = (-((v - 0.3) ** 2) / (2 * sigma**2) for v in ((y - x)[:, 0], (x - y)[:, 0]))
    return lambda theta: w @ objectives.conditional_noise_contrastive(_energy(theta), x, y[None], (there - back)[None])


EXPECTED: dict[str, Mean] = {
    "noise contrast": _noise_contrast(1.5),
    "noise contrast, wide": _noise_contrast(2.5),
    "conditional noise contrast": _of_pairs(objectives.conditional_noise_contrastive, 0.7),
    "conditional noise contrast, near": _of_pairs(objectives.conditional_noise_contrastive, 0.1),
    "conditional noise contrast, lopsided": _lopsided(0.7),
    "probability flow": _of_pairs(objectives.minimum_probability_flow, 0.3),
    "probability flow, near": _of_pairs(objectives.minimum_probability_flow, 0.1),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_the_expected_loss_is_least_at_the_true_energy(name: str) -> None:
    """Its gradient vanishes there, in every direction of an energy's, and it is curved upwards."""
    theta = torch.zeros(4, dtype=F64)
    free = 4 if "noise contrast" in name and "conditional" not in name else 3
    gradient = torch.func.grad(EXPECTED[name])(theta)[:free]
    H = torch.func.hessian(EXPECTED[name])(theta)[:free, :free]
    least = float(torch.linalg.eigvalsh(H)[0])
    assert least > 1e-6 and float(gradient.abs().max()) < 1e-6 * float(H.diagonal().max())
    away = torch.func.grad(EXPECTED[name])(theta + 0.3)[:free]
    assert float(away.abs().max()) > 1e3 * float(gradient.abs().max())


@pytest.mark.parametrize("name", ["conditional_noise_contrastive", "minimum_probability_flow"])
def test_near_neighbours_are_score_matching(name: str) -> None:
    """With z and -z: `(loss - its value at 0) / (c sigma^2)` goes over into the sliced loss, at second order."""
    loss = getattr(objectives, name)
    at_0, c = (2 * math.log(2), 1 / 2) if "noise" in name else (1.0, 1 / 4)
    x, z = LAW.sample(50, 0), normal(50, (1,), 1, "z", dtype=F64)
    energy = _energy(torch.tensor([0.3, -0.2, 0.5, 0.0], dtype=F64))
    exact = objectives.sliced(from_energy(energy), x, variance_reduced=False, directions=z[None])
    errors = []
    for sigma in (0.02, 0.01):
        value = (loss(energy, x, torch.stack([x + sigma * z, x - sigma * z])) - at_0) / (c * sigma**2)
        errors.append(float((value - exact).abs().max()))
    assert errors[1] < 0.05 and errors[0] / errors[1] == pytest.approx(4, rel=0.1)


def test_probability_flow_between_discrete_states_is_least_at_the_truth() -> None:
    """Four spins with their couplings; neighbours are flips of one: the gradient vanishes exactly."""
    states = torch.tensor(list(itertools.product((-1.0, 1.0), repeat=4)), dtype=F64)
    pairs = list(itertools.combinations(range(4), 2))
    statistics = torch.stack([states[:, i] * states[:, j] for i, j in pairs], 1)
    truth = torch.linspace(-0.8, 0.9, 6, dtype=F64)
    p = (statistics @ truth).softmax(0)
    flips = torch.stack([states * (1 - 2 * torch.eye(4, dtype=F64)[i]) for i in range(4)])

    def mean(theta: Tensor) -> Tensor:
        energy = lambda x: -torch.stack([x[:, i] * x[:, j] for i, j in pairs], 1) @ theta  # noqa: E731
        return p @ objectives.minimum_probability_flow(energy, states, flips)

    assert float(torch.func.grad(mean)(truth).abs().max()) < 1e-14
    assert float(torch.func.grad(mean)(truth + 0.1).abs().max()) > 1e-3


# ------------------------------------------------------------------------------------- against the model's own draws


def _gradient_z(each: Tensor) -> Tensor:
    """Of gradients of losses `(n, k)`: their means in standard errors."""
    return each.mean(0) / (each.std(0) / math.sqrt(len(each)))


def test_the_gradient_of_contrastive_divergence_is_that_of_the_likelihood() -> None:
    """Negatives of an exact kernel started at the data: at the truth the gradient is 0; elsewhere, with draws of the
    model, it is `E_data[features] - E_model[features]`."""
    x = LAW.sample(3000, 0)
    theta = torch.zeros(4, dtype=F64)
    moved = hmc(_energy(theta), x, 0.5, 3, seed=1, leaps=2).state
    gradient = torch.func.grad(lambda t: objectives.contrastive_divergence(_energy(t), x, moved).mean())(theta)
    differences = _features(x) - _features(moved)
    torch.testing.assert_close(gradient[:3], differences.mean(0))
    assert bool((_gradient_z(differences).abs() < 4).all())
    apart = GaussianMixture(torch.ones(1, dtype=F64), torch.ones(1, 1, dtype=F64), torch.ones(1, 1, 1, dtype=F64))
    draws = apart.sample(3000, 2)
    gradient = torch.func.grad(lambda t: objectives.contrastive_divergence(_energy(t), x, draws).mean())(theta)[:3]
    exact = WEIGHTS @ _features(GRID) - apart.log_density(GRID).exp() @ _features(GRID) * GRID_STEP
    error = ((_features(x).var(0) + _features(draws).var(0)) / 3000).sqrt()
    assert bool(((gradient - exact).abs() < 4 * error).all()) and float(exact.abs().max()) > 10 * float(error.max())


@pytest.mark.parametrize("k", [1, 4])
def test_recovery_likelihood_has_fishers_information_of_what_noise_left(k: int) -> None:
    """N(m, 1 / q) with statistics (x, -x^2 / 2): x given noisy is normal, its draws exact. The gradient is 0 at the
    truth, and its variance `(1 + 1 / k) E[Cov(T | noisy)]`."""
    n, level, theta = 20_000, Level(0.8, 0.6), torch.tensor([0.5, 2.0], dtype=F64)
    x = 0.25 + normal(n, (1,), 0, "x", dtype=F64) / math.sqrt(2)
    noisy = level.alpha * x + level.sigma * normal(n, (1,), 1, "eps", dtype=F64)
    precision = 2 + level.alpha**2 / level.sigma**2
    mean = (0.5 + level.alpha * noisy / level.sigma**2) / precision
    negatives = mean + normal(k, (n, 1), 2, "negatives", dtype=F64) / math.sqrt(precision)

    def loss(t: Tensor) -> Tensor:
        energy = lambda y: t[1] * y[:, 0] ** 2 / 2 - t[0] * y[:, 0]  # noqa: E731
        return objectives.recovery_likelihood(energy, x, noisy, level, negatives)

    each = torch.func.jacfwd(loss)(theta)
    assert bool((_gradient_z(each).abs() < 4).all())
    grid = torch.linspace(-4, 4.5, 600, dtype=F64)
    w = (-(grid - 0.25).square()).softmax(0)
    points = torch.linspace(-5, 5, 600, dtype=F64)
    kernel = -(((points[:, None] - level.alpha * grid) / level.sigma) ** 2) / 2
    exact = efficiency.recovery(torch.stack([grid, -(grid**2) / 2], 1), w, kernel)
    torch.testing.assert_close(torch.cov(each.T), (1 + 1 / k) * torch.linalg.inv(exact), rtol=0.08, atol=0.01)
    flat = efficiency.recovery(torch.stack([grid, -(grid**2) / 2], 1), w, kernel * 1e-9)
    torch.testing.assert_close(flat, efficiency.maximum_likelihood(torch.stack([grid, -(grid**2) / 2], 1), w))


# --------------------------------------------------------------------------------------------- estimates and errors

THETA = torch.tensor([0.3, 1.2], dtype=F64)  # of T = (x, -x^2 / 2): N(0.25, 1 / 1.2)
NODES = torch.linspace(-8, 8.5, 1500, dtype=F64)[:, None]
STATISTICS = lambda x: torch.cat([x, -(x**2) / 2], 1)  # noqa: E731
NORMALISER = float(THETA[0] ** 2 / (2 * THETA[1]) + 0.5 * math.log(2 * math.pi / float(THETA[1])))
LOG_P = STATISTICS(NODES) @ THETA - NORMALISER
W = LOG_P.softmax(0)
Q = 1.4
SIGMA = 0.6


def _draw(n: int, seed: int) -> Tensor:
    return 0.25 + normal(n, (1,), seed, "data", dtype=F64) / math.sqrt(1.2)


def _linear(theta: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda x: -STATISTICS(x) @ theta[:2]


def _nce(x: Tensor, seed: int, k: int) -> Callable[[Tensor], Tensor]:
    noise = Q * normal(k * len(x), (1,), seed, "noise", dtype=F64).reshape(k, len(x), 1)
    return lambda t: objectives.noise_contrastive(_linear(t), x, noise, _normal_log_density(Q), t[2])


def _near(loss: Callable[..., Tensor], k: int) -> Callable[[Tensor, int], Callable[[Tensor], Tensor]]:
    def made(x: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
        others = contrastive.perturbed(x, SIGMA, k, seed)
        return lambda t: loss(_linear(t), x, others)

    return made


def _neighbours(slope: Callable[[Tensor], Tensor], k: float, sigma: float = SIGMA) -> Tensor:
    others = STATISTICS((NODES + sigma * Z).reshape(-1, 1)).reshape(len(NODES), len(Z), 2)
    return efficiency.neighbours(slope, STATISTICS(NODES), THETA, others, W, V, k)


ESTIMATORS: dict[str, tuple[Callable[[Tensor, int], Callable[[Tensor], Tensor]], Callable[[], Tensor]]] = {
    **{
        f"noise contrast, {k}": (
            lambda x, seed, k=k: _nce(x, seed, k),
            lambda k=k: efficiency.noise_contrastive(STATISTICS(NODES), LOG_P, _normal_log_density(Q)(NODES), W, k),
        )
        for k in (1, 5)
    },
    "conditional, 2": (
        _near(objectives.conditional_noise_contrastive, 2), lambda: _neighbours(efficiency.logistic_slope, 2)
    ),
    "probability flow, 1": (
        _near(objectives.minimum_probability_flow, 1), lambda: _neighbours(efficiency.flow_slope, 1)
    ),
}  # fmt: skip
"""A loss of theta (and the log-normaliser, for noise contrast), and n times the covariance of its estimate."""


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimate_is_the_truth_within_the_variance_of_theory_and_says_so(name: str) -> None:
    """What the sandwich says of one sample is the closed form (benchmarks/efficiency.py simulates many samples)."""
    make, asymptotic = ESTIMATORS[name]
    exact, n = asymptotic(), 20_000
    truth = torch.cat([THETA, torch.tensor([NORMALISER], dtype=F64)])[: len(exact)]
    found = minimum(make(_draw(n, 10), 3), truth * 0.5)
    whitened = torch.linalg.solve_triangular(
        torch.linalg.cholesky(exact / n), (found.theta - truth)[:, None], upper=False
    )
    assert float(whitened.square().sum()) < stats.chi2(len(truth)).ppf(0.9999)
    error = 0.06 * (exact.diagonal()[:, None] * exact.diagonal()).sqrt()
    assert bool(((found.covariance * n - exact).abs() < error).all())


def test_the_limits_of_the_asymptotic_variances() -> None:
    T = STATISTICS(NODES)
    likelihood = efficiency.maximum_likelihood(T, W)
    q = _normal_log_density(Q)(NODES)
    contrast = [efficiency.noise_contrastive(T, LOG_P, q, W, k)[:2, :2] for k in (1, 10, 1e6)]
    torch.testing.assert_close(contrast[2], likelihood, rtol=1e-5, atol=1e-5)
    for worse, better in itertools.pairwise([*contrast, likelihood]):
        assert float(torch.linalg.eigvalsh(worse - better)[0]) > -1e-9
    matching = efficiency.score_matching(STATISTICS, THETA, NODES, W)
    torch.testing.assert_close(matching, likelihood, rtol=1e-6, atol=1e-6)  # of a normal law both are one
    for slope in (efficiency.flow_slope, efficiency.logistic_slope):
        many = torch.stack([_neighbours(slope, 1e9, sigma) for sigma in (0.05, 0.02)])
        torch.testing.assert_close(many[1], matching, rtol=0.01, atol=0.01)


def test_the_asymptotic_variance_of_score_matching_is_that_of_the_closed_form() -> None:
    """On a density with two modes, where it is far from maximum likelihood's."""
    statistics = lambda x: torch.cat([x, x**2 / 2, -(x**4) / 4], 1)  # noqa: E731
    theta = torch.tensor([0.2, 4.0, 4.0], dtype=F64)
    nodes = torch.linspace(-3, 3, 2001, dtype=F64)[:, None]
    w = (statistics(nodes) @ theta).softmax(0)
    exact = efficiency.score_matching(statistics, theta, nodes, w)
    u = (torch.arange(20_000, dtype=F64) + 0.5) / 20_000
    x = nodes[torch.searchsorted(w.cumsum(0), u).clamp(max=2000)]
    fitted = exponential_family(x, statistics)
    torch.testing.assert_close(fitted.covariance * len(x), exact, rtol=0.02, atol=0.02 * float(exact.diagonal().max()))
    assert float(exact[0, 0] / efficiency.maximum_likelihood(statistics(nodes), w)[0, 0]) > 2


# ------------------------------------------------------------------------------------------------------- what it takes


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(1,), (2,), (1, 2, 2)])
def test_any_shape_and_dtype(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    x = torch.ones(3, *shape, dtype=dtype)
    energy = lambda y: y.flatten(1).square().sum(1) / 2  # noqa: E731
    others = contrastive.perturbed(x, 0.5, 2, seed=0)
    assert others.shape == (2, 3, *shape)
    losses = [
        objectives.noise_contrastive(energy, x, others, lambda y: -energy(y), 0.3),
        objectives.conditional_noise_contrastive(energy, x, others),
        objectives.minimum_probability_flow(energy, x, others),
        objectives.contrastive_divergence(energy, x, others[0]),
        objectives.recovery_likelihood(energy, x, others[0], Level(1.0, 0.5), others),
        objectives.recovery_likelihood(energy, x, others[0], Level(torch.ones(3), torch.full((3,), 0.5)), others),
    ]
    assert all(loss.shape == (3,) and loss.dtype == dtype for loss in losses)
    torch.testing.assert_close(losses[-1], losses[-2])


def test_an_energy_of_all_levels_is_trained_by_each() -> None:
    model, level = Energy(ScalarMLP(2, width=8, depth=1)), Level(1.0, 0.7)
    x = torch.ones(4, 2)
    energy = lambda y: model.energy(y, level)  # noqa: E731
    others = contrastive.perturbed(x, 0.5, 1, seed=0)
    for loss in (
        objectives.noise_contrastive(energy, x, others, lambda y: -y.square().sum(1)),
        objectives.conditional_noise_contrastive(energy, x, others),
        objectives.minimum_probability_flow(energy, x, others),
        objectives.contrastive_divergence(energy, x, others[0]),
        objectives.recovery_likelihood(energy, x, others[0], level, others),
    ):
        gradients = torch.autograd.grad(loss.mean(), list(model.parameters()), allow_unused=True)
        assert any(g is not None and bool((g != 0).any()) for g in gradients)


def test_a_minimum_is_that_of_least_squares() -> None:
    A, b = normal(50, (3,), 0, "A", dtype=F64), normal(50, (), 1, "b", dtype=F64)
    found = minimum(lambda t: (A @ t - b).square() / 2, torch.zeros(3))
    torch.testing.assert_close(found.theta, torch.linalg.lstsq(A, b[:, None]).solution[:, 0])
    r = A * (A @ found.theta - b)[:, None]
    inverse = torch.linalg.inv(A.T @ A)
    torch.testing.assert_close(found.covariance, inverse @ r.T @ r @ inverse)


X = torch.zeros(3, 2)
SQUARE = lambda x: x.square().sum(1)  # noqa: E731
HOLE = lambda x: torch.where(torch.arange(len(x)) == 1, math.nan, x.sum(1))  # noqa: E731
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "one neighbour": (lambda: objectives.minimum_probability_flow(SQUARE, X, X), r"neighbours must be \(k, \*\(3, 2"),
    "noise": (lambda: objectives.noise_contrastive(SQUARE, X, X[None, :2], SQUARE), r"for one each, noise\[None\]"),
    "negatives": (lambda: objectives.contrastive_divergence(SQUARE, X, X[:, :1]), "negatives must be"),
    "a score": (lambda: objectives.minimum_probability_flow(lambda x: -x, X, X[None]), r"\(3,\), got \(3, 2\)"),
    "NaN": (lambda: objectives.minimum_probability_flow(HOLE, X, X[None]), "energy is NaN at row 1 of 3"),
    "NaN of q": (lambda: objectives.noise_contrastive(SQUARE, X, X[None], HOLE), "noise_log_density is NaN at row 1"),
    "sigma": (lambda: contrastive.recovery_energy(SQUARE, X, Level(1.0, 0.0)), "sigma > 0"),
    "k": (lambda: contrastive.perturbed(X, 0.1, 0, seed=0), "k must be an integer >= 1"),
    "width": (lambda: contrastive.perturbed(X, 0.0, 1, seed=0), "sigma must be positive"),
    "separation": (
        lambda: minimum(
            lambda t: objectives.noise_contrastive(
                lambda y: -t[0] * y[:, 0], torch.full((9, 1), 5.0).double(), torch.full((1, 9, 1), -5.0).double(),
                lambda y: 0 * y[:, 0], t[1],
            ),
            torch.zeros(2),
        ),
        "lie apart",
    ),
    "same statistics": (lambda: minimum(lambda t: (torch.ones(4) - t.sum()).square(), torch.zeros(2)), "singular"),
    "start": (lambda: minimum(lambda t: torch.tensor([0.0, math.inf]) + t.sum(), torch.zeros(1)), "inf at row 1"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_what_is_wrong(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()
