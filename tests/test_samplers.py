"""Laws of the samplers of unnormalised targets: exact samples stay exact, moments, integrators, log Z, diagnostics."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.mcmc import (
    Chains,
    Ladder,
    annealed_importance,
    diagnostics,
    hmc,
    ladder,
    langevin,
    nuts,
    replica_exchange,
    tuned_ladder,
    underdamped,
)
from scorefield.mcmc.adapting import Averaging, Moments
from scorefield.mcmc.driving import leapfrog
from scorefield.mcmc.metric import metric_of
from scorefield.mcmc.tempered import tempered
from scorefield.mcmc.underdamped import Moving, split_step
from scorefield.numerics.random import normal

F64 = torch.float64


# ---------------------------------------------------------------------------------------------------------- targets


class Target(NamedTuple):
    """An energy with exact draws, and for each of some functions of x the distribution function it has.

    `scale` is about the narrowest standard deviation.
    """

    energy: Callable[[Tensor], Tensor]
    draw: Callable[[int, int], Tensor]
    laws: tuple[tuple[Callable[[Tensor], Tensor], Callable[[np.ndarray], np.ndarray]], ...]
    scale: float


def _column(j: int) -> Callable[[Tensor], Tensor]:
    return lambda x: x[:, j]


def _gaussian(covariance: Tensor) -> Target:
    d = len(covariance)
    law = Gaussian(torch.linspace(-1, 1, d, dtype=F64), covariance)
    P = torch.linalg.inv(covariance)
    edges = [(_column(j), stats.norm(law.mean[j], covariance[j, j].sqrt()).cdf) for j in {0, d - 1}]
    square = lambda x: torch.einsum("ni,ij,nj->n", x - law.mean, P, x - law.mean)  # noqa: E731
    scale = float(torch.linalg.eigvalsh(covariance)[0].sqrt())
    return Target(lambda x: square(x) / 2, law.sample, (*edges, (square, stats.chi2(d).cdf)), scale)


def _energy(law: GaussianMixture) -> Callable[[Tensor], Tensor]:
    """Of a mixture of round components, -log p, quicker than by the law itself."""
    d = law.means.shape[1]
    variances = law.covariances[:, 0, 0]
    constants = law.weights.log() - d / 2 * (2 * math.pi * variances).log()
    return lambda x: -(constants - (x[:, None] - law.means).square().sum(2) / (2 * variances)).logsumexp(1)


def _mixture() -> Target:
    law = GaussianMixture(
        torch.tensor([0.3, 0.7], dtype=F64),
        torch.tensor([[-1.5], [1.5]], dtype=F64),
        torch.tensor([[[1.0]], [[0.25]]], dtype=F64),
    )
    cdf = lambda v: 0.3 * stats.norm(-1.5, 1).cdf(v) + 0.7 * stats.norm(1.5, 0.5).cdf(v)  # noqa: E731
    return Target(_energy(law), law.sample, ((_column(0), cdf),), 0.5)


def _banana() -> Target:
    """z normal, x = (z0, z1 + (z0^2 - 1) / 2): volumes are kept."""
    normal_again = lambda x: x[:, 1] - (x[:, 0] ** 2 - 1) / 2  # noqa: E731

    def draw(n: int, seed: int) -> Tensor:
        z = normal(n, (2,), seed, "banana", dtype=F64)
        return torch.stack([z[:, 0], z[:, 1] + (z[:, 0] ** 2 - 1) / 2], 1)

    energy = lambda x: (x[:, 0] ** 2 + normal_again(x) ** 2) / 2  # noqa: E731
    return Target(energy, draw, ((_column(0), stats.norm.cdf), (normal_again, stats.norm.cdf)), 0.5)


def _funnel() -> Target:
    """v normal, x | v normal of variance exp(v) (Neal 2003)."""

    def draw(n: int, seed: int) -> Tensor:
        z = normal(n, (2,), seed, "funnel", dtype=F64)
        return torch.stack([z[:, 0], z[:, 1] * (z[:, 0] / 2).exp()], 1)

    energy = lambda x: (x[:, 0] ** 2 + x[:, 1] ** 2 * (-x[:, 0]).exp() + x[:, 0]) / 2  # noqa: E731
    again = lambda x: x[:, 1] * (-x[:, 0] / 2).exp()  # noqa: E731
    return Target(energy, draw, ((_column(0), stats.norm.cdf), (again, stats.norm.cdf)), 0.4)


def _half_line() -> Target:
    """Exponential: an edge, where the energy is infinite."""
    energy = lambda x: torch.where(x[:, 0] > 0, x[:, 0], torch.inf)  # noqa: E731
    draw = lambda n, seed: -(normal(n, (2,), seed, "edge", dtype=F64).square().sum(1, keepdim=True) / -2)  # noqa: E731
    return Target(energy, draw, ((_column(0), stats.expon.cdf),), 0.7)


def _covariance(d: int) -> Tensor:
    A = torch.eye(d, dtype=F64) + 0.5 * normal(d, (d,), 5, "A", dtype=F64) / math.sqrt(d)
    return A @ A.T


TARGETS = {
    "normal": _gaussian(torch.tensor([[2.0]], dtype=F64)),
    "correlated": _gaussian(torch.tensor([[2.0, 0.9, 0.0], [0.9, 1, 0.2], [0, 0.2, 0.5]], dtype=F64)),
    "64 dimensions": _gaussian(_covariance(64)),
    "mixture": _mixture(),
    "banana": _banana(),
    "funnel": _funnel(),
    "half-line": _half_line(),
}

# --------------------------------------------------------------------------------------------------------- samplers

Sampler = Callable[..., Chains]
"""`(energy, x, h, steps, **options)`: h in units of x."""


def _preconditioned(energy: Callable[[Tensor], Tensor], x: Tensor, h: float, steps: int, **k: object) -> Chains:
    C = torch.eye(x.shape[1], dtype=x.dtype) + 0.5
    return langevin.adjusted(energy, x, h**2 / 4, steps, covariance=C, **k)


def _own(energy: Callable[[Tensor], Tensor], x: Tensor, h: float, steps: int, **k: object) -> Chains:
    """A preconditioner and a step of each chain's own."""
    from scorefield.mcmc.metric import rooted

    n, d = x.shape
    each = torch.linspace(0.5, 2.0, n, dtype=x.dtype)
    metric = rooted(torch.diag_embed(each[:, None].expand(n, d)) + 0.2, True)
    return hmc(energy, x, h * torch.linspace(0.5, 1.0, n, dtype=x.dtype), steps, leaps=2, covariance=metric, **k)


SAMPLERS: dict[str, Sampler] = {
    "langevin": lambda energy, x, h, steps, **k: langevin.adjusted(energy, x, h**2 / 2, steps, **k),
    "langevin, preconditioned": _preconditioned,
    "hmc": lambda energy, x, h, steps, **k: hmc(energy, x, h, steps, leaps=3, **k),
    "hmc, own metrics": _own,
    "underdamped": lambda energy, x, h, steps, **k: underdamped.adjusted(energy, x, h, steps, friction=0.5, **k),
    "underdamped, leaps": lambda energy, x, h, steps, **k: underdamped.adjusted(energy, x, h, steps, leaps=3, **k),
    "hmc, any field": lambda energy, x, h, steps, **k: hmc(energy, x, h, steps, leaps=2, score=lambda y: 0.3 - y, **k),
}


PAIRS = [(sampler, target) for sampler in SAMPLERS for target in TARGETS]
PAIRS = [
    pair for pair in PAIRS if pair != ("hmc, any field", "64 dimensions")
]  # of whose proposals hardly one is taken


@pytest.mark.parametrize(("sampler", "target"), PAIRS)
def test_exact_samples_stay_exact(sampler: str, target: str) -> None:
    """Detailed balance, or at least invariance: 4,000 chains that start in the target are still in it after 8 steps."""
    at = TARGETS[target]
    x = at.draw(4000, 1)
    chains = SAMPLERS[sampler](at.energy, x, 0.9 * at.scale, 8, seed=2)
    for values, cdf in at.laws:
        assert stats.kstest(values(chains.state).numpy(), cdf).pvalue > 1e-4
    moved = (chains.state != x).any(1).double().mean()
    assert float(moved) > 0.3  # it is the sampler that kept the law, not its standing still


def test_replicas_of_a_target_stay_exact() -> None:
    """Each rung started in its own law, N(0, 1 / b): so are all of them after exchanges and moves."""
    b = torch.tensor([0.1, 0.4, 1.0], dtype=F64)
    z = normal(1500, (3, 2), 3, "rungs", dtype=F64) / b.sqrt()[:, None]
    rungs = Ladder(b, 0.9 / b.sqrt())
    found = replica_exchange(lambda x: x.square().sum(1) / 2, z[:, -1], rungs, 7, seed=1, leaps=2, state=z)
    for k in range(3):
        r = found.state[:, k].square().sum(1) * b[k]
        assert stats.kstest(r.numpy(), stats.chi2(2).cdf).pvalue > 1e-4
    again = replica_exchange(lambda x: x.square().sum(1) / 2, z[:, -1], rungs, 4, seed=1, leaps=2, state=z)
    rest = replica_exchange(
        lambda x: x.square().sum(1) / 2, z[:, -1], rungs, 3, seed=1, leaps=2, state=again.state, start=4
    )
    assert torch.equal(rest.state, found.state)
    alone = replica_exchange(
        lambda x: x.square().sum(1) / 2, z[5:6, -1], rungs, 7, seed=1, leaps=2, state=z[5:6], first=5
    )
    torch.testing.assert_close(alone.state, found.state[5:6], rtol=1e-12, atol=1e-14)


# ----------------------------------------------------------------------------------------------------- convergence


def _check_mean(values: Tensor, truth: Tensor) -> None:
    """The mean of `(kept, n, k)` is the truth within its own error."""
    error = diagnostics.mean_error(values)
    assert bool(((values.double().mean((0, 1)) - truth).abs() < 4.5 * error).all())
    assert float(error.max()) < 0.15 * float(values.flatten(0, 1).double().std(0).max())


ADAPTIVE = {
    "langevin, diagonal": (
        0.574, lambda e, x: langevin.adjusted(e, x, 1e-4, 700, seed=3, burn_in=500, adapt="diagonal")
    ),
    "hmc, dense": (0.8, lambda e, x: hmc(e, x, 100.0, 300, seed=3, leaps=3, burn_in=240, adapt="dense")),
    "underdamped, dense": (
        0.9, lambda e, x: underdamped.adjusted(e, x, 0.01, 700, seed=3, burn_in=500, adapt="dense")
    ),
}  # fmt: skip
"""The acceptance that is aimed at, and a run with far too short or too long a step to begin with."""


@pytest.mark.parametrize("sampler", ADAPTIVE)
def test_adapted_chains_find_scales_and_correlations(sampler: str) -> None:
    """Standard deviations from 0.2 to 5: exact moments, and a metric that is about the covariance."""
    scales = torch.tensor([0.2, 1.0, 5.0], dtype=F64)
    C = torch.tensor([[1.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 1.0]], dtype=F64)
    P = torch.linalg.inv(C)
    target, run = ADAPTIVE[sampler]
    chains = run(
        lambda x: torch.einsum("ni,ij,nj->n", x / scales, P, x / scales) / 2, torch.ones(40, 3, dtype=F64) * scales
    )
    z = chains.samples / scales
    _check_mean(z, torch.zeros(3, dtype=F64))
    _check_mean((z[..., :, None] * z[..., None, :]).flatten(2), C.flatten())
    found = chains.metric.covariance
    variances = found.diagonal(dim1=1, dim2=2) if found.ndim == 3 else found
    assert bool(((variances.log() - 2 * scales.log()).mean(0).abs() < 0.5).all())
    assert -0.05 < float(chains.acceptance.mean()) - target < 0.15  # short burn-ins end on the safe side
    assert float((chains.step / chains.step[0] - 1).abs().max()) > 1e-6  # each chain's own


def test_replicas_cross_between_modes_that_chains_do_not() -> None:
    law = GaussianMixture(
        torch.tensor([0.25, 0.75], dtype=F64),
        torch.tensor([[-6.0, 0.0], [6.0, 1.0]], dtype=F64),
        torch.stack([0.3 * torch.eye(2, dtype=F64), torch.eye(2, dtype=F64)]),
    )
    energies = _energy(law), (lambda x: x.square().sum(1) / 72)
    x = torch.tensor([[6.0, 1.0]], dtype=F64).expand(40, 2)
    rungs = tuned_ladder(energies[0], x, 6, seed=0, base=energies[1], rounds=3, steps=20, leaps=2)
    found = replica_exchange(energies[0], x, rungs, 180, seed=1, base=energies[1], burn_in=40, leaps=2)
    rates = found.exchanged.mean(0)
    assert float(rates.max() - rates.min()) < 0.2 and float(rates.min()) > 0.3  # a tuned ladder's are all alike
    assert int(found.arrivals.sum()) > 100
    _check_mean((found.chains.samples[..., :1] < 0).double(), torch.tensor([0.25], dtype=F64))
    _check_mean(found.chains.samples, law.mean)
    stuck = hmc(energies[0], x, 0.5, 100, seed=1, leaps=2)
    assert bool((stuck.samples[..., 0] > 0).all())


@pytest.mark.parametrize("d", [1, 8])
def test_replicas_exchange_as_often_as_theory_says(d: int) -> None:
    """Of N(0, I / b): gaps are Gamma(d / 2) of rate b; the mean of min(1, exp((b - b') (gap - gap'))) by quadrature."""
    b = torch.tensor([0.4, 1.0], dtype=F64)
    q = (np.arange(2000) + 0.5) / 2000
    low, high = (stats.gamma(d / 2, scale=1 / float(v)).ppf(q) for v in b)
    expected = np.minimum(1, np.exp((0.4 - 1.0) * (low[:, None] - high[None]))).mean()
    start = normal(600, (2, d), 4, "exact", dtype=F64) / b.sqrt()[:, None]
    found = replica_exchange(
        lambda x: x.square().sum(1) / 2, start[:, 1], Ladder(b, 1 / b.sqrt()), 20, seed=2, leaps=2, state=start
    )
    error = float(found.exchanged.std()) / math.sqrt(600)
    assert abs(float(found.exchanged.mean()) - expected) < 4 * error


# ------------------------------------------------------------------------------------------------------ integrators


def test_the_leapfrog_is_reversible_and_keeps_volume() -> None:
    at, n = TARGETS["banana"], 4
    score = lambda x: -torch.func.grad(lambda y: at.energy(y).sum())(x)  # noqa: E731
    metric = metric_of(torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=F64), torch.zeros(n, 2, dtype=F64))
    h = torch.full((n,), 0.3, dtype=F64)

    def flow(x: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        y, half = leapfrog(lambda v: score(v), x, p, h[: len(x)], 5, metric)
        return y, half + 0.15 * metric.inward(score(y))

    x, p = at.draw(n, 0), normal(n, (2,), 1, "p", dtype=F64)
    y, q = flow(x, p)
    back, minus = flow(y, -q)
    torch.testing.assert_close(back, x, rtol=0, atol=1e-12)
    torch.testing.assert_close(-minus, p, rtol=0, atol=1e-12)
    step = 1e-6
    for i in range(n):
        z = torch.cat([x[i], p[i]])
        ends = []
        for sign in (1, -1):
            moved = z + sign * step * torch.eye(4, dtype=F64)
            metric_4 = flow(moved[:, :2], moved[:, 2:]) if n == 4 else None
            ends.append(torch.cat(metric_4, 1))
        J = (ends[0] - ends[1]) / (2 * step)
        assert float(torch.linalg.det(J)) == pytest.approx(1, abs=1e-7)


def test_the_energy_error_of_the_leapfrog_is_of_second_order() -> None:
    at = TARGETS["banana"]
    score = lambda x: -torch.func.grad(lambda y: at.energy(y).sum())(x)  # noqa: E731
    x, p = at.draw(50, 0), normal(50, (2,), 1, "p", dtype=F64)
    metric = metric_of(None, x)
    errors = []
    for leaps in (40, 80, 160):
        h = torch.full((50,), 2 / leaps, dtype=F64)
        y, half = leapfrog(score, x, p, h, leaps, metric)
        q = half + score(y) / leaps
        change = at.energy(y) - at.energy(x) + (q.square().sum(1) - p.square().sum(1)) / 2
        errors.append(float(change.square().mean().sqrt()))
    for a, b in pairwise(errors):
        assert math.log2(a / b) == pytest.approx(2, abs=0.05)


@pytest.mark.parametrize("h", [0.2, 1.0, 1.7])
@pytest.mark.parametrize("friction", [0.3, 3.0])
@pytest.mark.parametrize("parts", ["BAOAB", "OBABO"])
def test_the_variance_of_splittings_on_an_oscillator(parts: str, friction: float, h: float) -> None:
    """One step on N(0, s^2) is linear, z = A z + B noise: its stationary covariance solves S = A S A^T + B B^T."""
    s = 1.3
    metric = metric_of(torch.tensor([0.5], dtype=F64), torch.zeros(2, 1, dtype=F64))
    L = math.sqrt(0.5)
    size = torch.full((2, 1), h * s / L, dtype=F64)  # so that h is in units of s

    def step(z: Tensor, draws: list[Tensor]) -> Tensor:
        x, p = z[:, :1], z[:, 1:]
        now = split_step(
            parts, lambda y: -y / s**2, Moving(x, p, -L * x / s**2), size[: len(z)], friction, metric, draws
        )
        return torch.cat([now.x, now.p], 1)

    noises, nought = parts.count("O"), torch.zeros(2, 1, dtype=F64)
    A = step(torch.eye(2, dtype=F64), [nought] * noises).T
    columns = [
        step(torch.zeros(2, 2, dtype=F64), [torch.ones(2, 1, dtype=F64) * (i == j) for j in range(noises)])[0]
        for i in range(noises)
    ]
    BB = sum(torch.outer(c, c) for c in columns)
    S = torch.linalg.solve(torch.eye(4, dtype=F64) - torch.kron(A, A), BB.flatten()).reshape(2, 2)
    exact = s**2 if parts == "BAOAB" else s**2 / (1 - h**2 / 4)
    assert float(S[0, 0]) == pytest.approx(exact, rel=1e-9)
    assert float(S[0, 1]) == pytest.approx(0, abs=1e-9)


def test_unadjusted_chains_have_the_variance_that_theory_says() -> None:
    start = torch.zeros(400, 1, dtype=F64)
    for parts, variance in (("BAOAB", 1.0), ("OBABO", 1 / (1 - 1 / 4))):
        chains = underdamped.unadjusted(lambda x: -x, start, 1.0, 130, seed=1, splitting=parts, burn_in=30)
        _check_mean(chains.samples**2, torch.tensor([variance], dtype=F64))
    quick = langevin.unadjusted(
        lambda x: -x / torch.tensor([1e-4, 1.0]).double(), torch.zeros(400, 2, dtype=F64), 0.5, 80, seed=1, burn_in=30,
        covariance=torch.tensor([1e-4, 1.0], dtype=F64),
    )  # fmt: skip
    _check_mean(quick.samples**2, torch.tensor([1e-4, 1.0], dtype=F64) / (1 - 0.5 / 2))


# ------------------------------------------------------------------------------------------------------- adaptation


def test_dual_averaging_finds_the_step_of_an_acceptance() -> None:
    """On acceptances exp(-h^2 / 2) in the mean, with noise: from steps five orders of magnitude apart to the root."""
    averaging = Averaging(torch.tensor([1e-3, 1.0, 100.0], dtype=F64), 0.8)
    for k in range(600):
        mean = (-(averaging.step**2) / 2).exp()
        averaging.hear((mean + 0.1 * (normal(3, (), 0, "noise", row=k, dtype=F64))).clamp(0, 1))
    torch.testing.assert_close(
        averaging.settled, torch.full((3,), math.sqrt(-2 * math.log(0.8)), dtype=F64), rtol=0.06, atol=0
    )


@pytest.mark.parametrize("dense", [False, True])
def test_windows_measure_covariances(dense: bool) -> None:
    z = normal(300, (2, 3), 0, "window", dtype=F64)
    moments = Moments(z[0], dense)
    for x in z:
        moments.hear(x)
    found = moments.metric(metric_of(None, z[0])).covariance
    for i in range(2):
        truth = torch.cov(z[:, i].T)
        expected = (1 - 8 / 308) * truth + 8 / 308 * truth.diagonal().diag() if dense else truth.diagonal()
        torch.testing.assert_close(found[i], expected)
    still = Moments(z[0], dense)
    for _ in range(30):
        still.hear(z[0] * torch.tensor([[1.0], [0.0]]))  # a chain that never moved keeps its metric
    kept = still.metric(metric_of(torch.tensor([4.0, 5.0, 6.0]), z[0])).covariance
    assert (kept[1].diagonal() if dense else kept[1]).tolist() == pytest.approx([4, 5, 6])


# ------------------------------------------------------------------------------------------------------------ log Z

BASE = Gaussian(torch.zeros(2, dtype=F64), 4 * torch.eye(2, dtype=F64))
MIXED = GaussianMixture(
    torch.tensor([0.5, 0.5], dtype=F64),
    torch.tensor([[-1.5, 0.0], [1.5, 0.5]], dtype=F64),
    torch.stack([0.3 * torch.eye(2, dtype=F64), 0.8 * torch.eye(2, dtype=F64)]),
)
SCALED = {
    "normal": (lambda x: (x - 1).square().sum(1) / 0.5 / 2, math.log(2 * math.pi * 0.5)),
    "mixture": (lambda x: 3 + _energy(MIXED)(x), -3.0),
}
"""Energies, and log Z."""
FIRST = lambda x: x.square().sum(1) / 8 + math.log(8 * math.pi)  # noqa: E731


def _check_log_z(runs: list[tuple[float, float]], truth: float) -> None:
    """Of pairs (log Z, standard error): Z is unbiased, 95 % intervals of log Z hold it."""
    ratio = np.array([math.exp(log_z - truth) for log_z, _ in runs])
    assert abs(ratio.mean() - 1) < 4 * ratio.std(ddof=1) / math.sqrt(len(ratio))
    assert ratio.std() < 0.3  # the law has teeth
    held = sum(abs(log_z - truth) < 1.96 * error for log_z, error in runs)
    assert stats.binomtest(held, len(runs), 0.95).pvalue > 1e-3


@pytest.mark.parametrize("target", SCALED)
def test_the_normalising_constant_is_unbiased_and_its_error_bars_cover(target: str) -> None:
    """Without resampling samples are independent: one run of 100 x 200 is a hundred of 200."""
    energy, truth = SCALED[target]
    found = annealed_importance(
        energy, BASE.sample(20_000, 1), ladder(7, 0.7, curve=2), base=FIRST, seed=2, leaps=1
    )  # fmt: skip
    runs = []
    for part in found.log_weights.reshape(100, 200):
        w = (part - part.max()).exp()
        runs.append((float(part.logsumexp(0)) - math.log(200), float(w.std() / w.mean()) / math.sqrt(200)))
    _check_log_z(runs, truth)
    assert abs(found.log_z - truth) < 4 * found.standard_error
    w = found.weights
    assert found.standard_error == pytest.approx(float(w.std() / w.mean()) / math.sqrt(len(w)), rel=1e-6)


@pytest.mark.parametrize("resample", [0.6, 1.0])
def test_resampling_leaves_the_constant_unbiased(resample: float) -> None:
    energy, truth = SCALED["mixture"]
    found = [
        annealed_importance(
            energy, BASE.sample(400, 100 + r), ladder(5, 0.7, curve=2), base=FIRST, seed=r, leaps=1, resample=resample
        )
        for r in range(35)
    ]
    assert all(run.resamplings > 0 for run in found)
    _check_log_z([(run.log_z, run.standard_error) for run in found], truth)


def test_weighted_samples_have_the_targets_moments() -> None:
    energy, _ = SCALED["mixture"]
    x = BASE.sample(3000, 5)
    found = annealed_importance(energy, x, ladder(9, 0.7), base=FIRST, seed=1, leaps=2)
    values = torch.cat([found.samples, found.samples**2], 1)
    mean, error = found.mean(values)
    exact = torch.cat([MIXED.mean, MIXED.covariance.diagonal() + MIXED.mean**2])
    assert bool(((mean - exact).abs() < 4 * error).all()) and float(error.max()) < 0.1
    alone = annealed_importance(energy, x[7:9], ladder(9, 0.7), base=FIRST, seed=1, leaps=2, first=7)
    torch.testing.assert_close(alone.samples, found.samples[7:9], rtol=1e-10, atol=1e-12)
    assert float(found.log_weights.logsumexp(0)) - math.log(3000) == pytest.approx(found.log_z)


# --------------------------------------------------------------------------------------------------- random streams

STREAMED: dict[str, Callable[..., Chains]] = {
    "hmc": lambda x, steps, **k: hmc(lambda z: z.pow(4).flatten(1).sum(1) / 4, x, 0.3, steps, seed=3, leaps=2, **k),
    "underdamped": lambda x, steps, **k: underdamped.adjusted(
        lambda z: z.pow(4).flatten(1).sum(1) / 4, x, 0.3, steps, seed=3, **k
    ),
    "underdamped, unadjusted": lambda x, steps, **k: underdamped.unadjusted(
        lambda z: -(z**3), x, 0.3, steps, seed=3, **k
    ),
}


@pytest.mark.parametrize("name", STREAMED)
@pytest.mark.parametrize("shape", [(1,), (2, 3, 2)])
def test_chain_i_depends_on_nothing_else_and_runs_split(name: str, shape: tuple[int, ...]) -> None:
    sample, x = STREAMED[name], torch.ones(5, *shape, dtype=F64)
    whole = sample(x, 12)
    alone = sample(x[2:3], 12, first=2)
    torch.testing.assert_close(alone.samples, whole.samples[:, 2:3], rtol=1e-12, atol=0)
    half = sample(x, 7)
    kept = {"momentum": half.momentum} if name != "hmc" else {}
    rest = sample(half.state, 5, start=7, **kept)
    assert torch.equal(torch.cat([half.samples, rest.samples]), whole.samples)
    assert whole.samples.shape == (12, 5, *shape)


def test_adapted_chains_run_on_from_their_step_and_metric() -> None:
    at = TARGETS["correlated"]
    whole = hmc(at.energy, at.draw(3, 0), 0.5, 80, seed=1, leaps=2, burn_in=60, adapt="dense")
    half = hmc(at.energy, at.draw(3, 0), 0.5, 70, seed=1, leaps=2, burn_in=60, adapt="dense")
    rest = hmc(at.energy, half.state, half.step, 10, seed=1, leaps=2, start=70, covariance=half.metric)
    torch.testing.assert_close(torch.cat([half.samples, rest.samples]), whole.samples, rtol=1e-12, atol=1e-14)
    alone = hmc(at.energy, at.draw(3, 0)[1:2], 0.5, 80, seed=1, leaps=2, burn_in=60, adapt="dense", first=1)
    torch.testing.assert_close(alone.samples, whole.samples[:, 1:2], rtol=1e-9, atol=1e-9)
    assert half.metric is not None and "one for each chain" in repr(half.metric)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_dtype_of_the_start_is_kept(dtype: torch.dtype) -> None:
    x = torch.zeros(2, 3, dtype=dtype)
    energy = lambda z: z.square().sum(1) / 2  # noqa: E731
    for chains in (
        hmc(energy, x, 0.5, 30, seed=0, burn_in=25, adapt="diagonal"),
        underdamped.unadjusted(lambda z: -z, x, 0.5, 5, seed=0),
        replica_exchange(energy, x, ladder(3, 0.5, lowest=0.1), 5, seed=0).chains,
    ):
        assert chains.samples.dtype == chains.state.dtype == dtype


# ------------------------------------------------------------------------------------------------------ diagnostics


def _autoregression(phi: float, n: int, m: int) -> Tensor:
    z = normal(n, (m, 1), 7, f"ar {phi}", dtype=F64)
    x = [z[0]]
    for k in range(1, n):
        x.append(phi * x[-1] + math.sqrt(1 - phi**2) * z[k])
    return torch.stack(x)


CHAINS = {
    "independent": _autoregression(0.0, 60, 4),
    "slow": _autoregression(0.9, 101, 3),
    "alternating": _autoregression(-0.6, 80, 4),
    "hardly moved": _autoregression(0.999, 60, 2),
    "apart": _autoregression(0.3, 50, 4) + torch.tensor([0.0, 0, 0, 3]).reshape(1, 4, 1),
    "scales": _autoregression(0.3, 50, 4) * torch.tensor([1.0, 1, 1, 5]).reshape(1, 4, 1),
    "ties": _autoregression(0.5, 80, 4).round(),
    "heavy tails": _autoregression(0.5, 80, 4).sinh().sinh(),
}
ARVIZ = Path(__file__).parent / "data" / "arviz_diagnostics.json"
"""What ArviZ 0.23.4 says of `CHAINS`."""
OURS = {
    "rhat": lambda x: diagnostics.rank_r_hat(x),
    "rhat split": lambda x: diagnostics.split_r_hat(x),
    "ess bulk": lambda x: diagnostics.bulk_ess(x),
    "ess tail": lambda x: diagnostics.tail_ess(x),
    "mcse mean": lambda x: diagnostics.mean_error(x),
}


@pytest.mark.parametrize("name", CHAINS)
def test_diagnostics_are_those_of_arviz(name: str) -> None:
    stored = json.loads(ARVIZ.read_text(encoding="utf-8"))[name]
    for what, ours in OURS.items():
        assert float(ours(CHAINS[name])) == pytest.approx(stored[what], rel=1e-6), what


def test_chains_that_stand_still_apart_have_not_mixed() -> None:
    """Of two chains at two places all distances from the median are one: only the places tell them apart."""
    x = torch.cat([torch.zeros(50, 1, 1), torch.ones(50, 1, 1)], 1)
    assert float(diagnostics.rank_r_hat(x)) == float(diagnostics.split_r_hat(x)) == math.inf
    assert float(diagnostics.tail_ess(x)) < 3 and float(diagnostics.bulk_ess(x)) < 3
    assert math.isnan(float(diagnostics.rank_r_hat(torch.zeros(50, 2, 1))))


def test_chains_go_to_arviz() -> None:
    az = pytest.importorskip("arviz")
    chains = hmc(lambda x: x.square().sum(1) / 2, torch.zeros(4, 2, dtype=F64), 0.8, 60, seed=0, leaps=2)
    data = chains.to_arviz(["a", "b"])
    assert data.posterior["b"].shape == (4, 60)
    assert float(az.rhat(data)["b"]) == pytest.approx(float(diagnostics.rank_r_hat(chains.samples)[1]), rel=1e-9)
    assert data.sample_stats["acceptance_rate"].shape == (4, 60)
    assert chains.to_arviz().posterior["x"].shape == (4, 60, 2)


def test_the_no_u_turn_sampler_of_pyro_is_one_of_these() -> None:
    pytest.importorskip("pyro")
    at = TARGETS["correlated"]
    before = torch.get_rng_state()
    chains = nuts(at.energy, at.draw(2, 0), 160, seed=1, burn_in=80, dense=True)
    assert torch.equal(before, torch.get_rng_state())
    _check_mean(chains.samples, torch.linspace(-1, 1, 3, dtype=F64))
    alone = nuts(at.energy, at.draw(2, 0)[1:2], 160, seed=1, burn_in=80, dense=True, first=1)
    assert torch.equal(alone.samples, chains.samples[:, 1:2])


# ------------------------------------------------------------------------------------- targets that end somewhere


def _gamma_energy(x: Tensor) -> Tensor:
    """`x^1.5 exp(-x)` on x > 0, of mass Gamma(2.5); +inf beyond the edge, where its derivative is NaN."""
    return -1.5 * x[:, 0].clamp(min=0).log() + x[:, 0]


def _normal_energy(x: Tensor) -> Tensor:
    return x[:, 0].square() / 8 + math.log(2 * math.sqrt(2 * math.pi))


def test_a_target_with_an_edge_beside_a_base_without_one() -> None:
    """The target's energy and derivative do not count at power 0, nor the base's at power 1, whatever they are."""
    start = torch.full((60, 1), 2.0, dtype=F64)
    rungs = tuned_ladder(_gamma_energy, start, 5, seed=0, base=_normal_energy, leaps=2, rounds=2, steps=20)
    found = replica_exchange(_gamma_energy, start, rungs, 120, seed=1, base=_normal_energy, leaps=2, burn_in=20)
    assert float(found.chains.pooled.min()) > 0 > float(found.state[:, 0].min())
    _check_mean(found.chains.samples, torch.tensor([2.5], dtype=F64))
    one = replica_exchange(_gamma_energy, start, rungs, 60, seed=1, base=_normal_energy, leaps=2)
    two = replica_exchange(
        _gamma_energy, start, rungs, 60, seed=1, base=_normal_energy, leaps=2, start=60, state=one.state
    )
    assert torch.equal(two.state, found.state)
    x = 2 * normal(800, (1,), 0, "start", dtype=F64)
    mass = annealed_importance(_gamma_energy, x, ladder(16, 0.5), base=_normal_energy, seed=0, leaps=2)
    assert mass.log_z == pytest.approx(math.lgamma(2.5), abs=4 * mass.standard_error) and mass.standard_error < 0.1


def test_the_error_of_particles_holds_where_their_moves_are_too_few() -> None:
    """Six coordinates, four moves at each law: particles of one ancestor are still alike. Sum of z^2 of 20 runs; the
    weights of each step alone would give 255."""
    squares, d = 0.0, 6
    for k in range(20):
        x = normal(1000, (d,), k, "start", dtype=F64)
        narrow = lambda x: x.square().sum(1) / 2 - 2 * (x - 1).square().sum(1)  # noqa: E731
        found = tempered(x, narrow, lambda x: -x.square().sum(1) / 2, seed=k, moves=4, last_moves=0)
        squares += ((found.log_evidence + d * math.log(2)) / found.standard_error) ** 2
    assert stats.chi2(20).ppf(1e-4) < squares < stats.chi2(20).ppf(1 - 1e-4)
    few = tempered(x[:40], narrow, lambda x: -x.square().sum(1) / 2, moves=1, last_moves=0)
    assert math.isnan(few.standard_error)  # fewer than ten ancestors


# ------------------------------------------------------------------------------------------------------------ errors

X = torch.zeros(3, 2)
ENERGY = lambda x: x.square().sum(1) / 2  # noqa: E731
HOLE = lambda x: torch.where(x[:, 0] > 0.5, math.nan, x.square().sum(1) / 2)  # noqa: E731
RUNGS = ladder(4, 0.5, lowest=0.1)


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "NaN energy": (lambda: hmc(HOLE, X, 2.0, 50, seed=0), r"the energy is NaN at step \d+ in chain \d"),
    "NaN gradient": (
        lambda: hmc(lambda x: x.abs().sqrt().sum(1), X, 0.1, 5, seed=0),
        "score is NaN at step 0 in chain 0",
    ),
    "no end below": (
        lambda: hmc(lambda x: torch.where(x[:, 0] > 0.5, -math.inf, x.square().sum(1)), X, 2.0, 50, seed=0),
        r"the energy is -inf at step \d+ in chain \d",
    ),
    "no derivative": (lambda: hmc(lambda x: ENERGY(x.detach()), X, 0.1, 5, seed=0), "way that can be differentiated"),
    "a score that is NaN": (
        lambda: langevin.unadjusted(lambda x: x / x, X, 0.1, 5, seed=0),
        "the score is NaN at step 0 in chain 0",
    ),
    "a force that is NaN": (
        lambda: underdamped.unadjusted(lambda x: torch.where(x > 0.5, math.nan, -x), X, 0.5, 99, seed=0),
        r"the score is NaN at step \d+ in chain \d",
    ),
    "no coordinate": (lambda: hmc(ENERGY, X[:, :0], 0.1, 5, seed=0), "x has no coordinate"),
    "a root for a covariance": (
        lambda: hmc(ENERGY, X, 0.1, 5, seed=0, covariance=torch.tensor([[1.0, 0.0], [0.5, 1.0]])),
        r"not symmetric: entry \(0, 1\) is 0 and \(1, 0\) is 0.5",
    ),
    "a hole of the target": (
        lambda: replica_exchange(HOLE, X, ladder(3, 2.0), 50, seed=0, base=ENERGY),
        "is NaN at step",
    ),
    "energy's shape": (lambda: hmc(lambda x: x**2, X, 0.1, 5, seed=0), r"one number per chain, \(3,\), got \(3, 2\)"),
    "energy of replicas": (lambda: replica_exchange(lambda x: x, X, RUNGS, 5, seed=0), "one number per chain"),
    "energy's type": (lambda: hmc(lambda x: 1.0, X, 0.1, 5, seed=0), "got float"),
    "start": (
        lambda: hmc(lambda x: torch.where(x[:, 0] < 1, math.inf, 0 * x[:, 0]), X, 0.1, 5, seed=0),
        "chain 0 starts",
    ),
    "score's shape": (lambda: hmc(ENERGY, X, 0.1, 5, seed=0, score=ENERGY), "x's shape"),
    "covariance's shape": (
        lambda: hmc(ENERGY, X, 0.1, 5, seed=0, covariance=torch.ones(3)),
        r"variances of shape \(2,\)",
    ),
    "covariance": (lambda: hmc(ENERGY, X, 0.1, 5, seed=0, covariance=-torch.eye(2)), "not positive definite"),
    "variance": (lambda: hmc(ENERGY, X, 0.1, 5, seed=0, covariance=torch.tensor([1.0, 0.0])), "of coordinate 1"),
    "adapt": (lambda: hmc(ENERGY, X, 0.1, 5, seed=0, adapt="all"), "adapt must be one of step, diagonal, dense"),
    "no burn-in": (lambda: hmc(ENERGY, X, 0.1, 5, seed=0, adapt="step"), "needs a burn_in"),
    "acceptance": (lambda: hmc(ENERGY, X, 0.1, 5, seed=0, adapt="step", burn_in=2, acceptance=1.0), "between 0 and 1"),
    "leaps": (lambda: hmc(ENERGY, X, 0.1, 5, seed=0, leaps=0), "leaps must be an integer >= 1"),
    "friction": (lambda: underdamped.adjusted(ENERGY, X, 0.1, 5, seed=0, friction=0.0), "friction must be positive"),
    "splitting": (lambda: underdamped.unadjusted(lambda x: -x, X, 0.1, 5, seed=0, splitting="ABO"), "BAOAB, OBABO"),
    "momentum": (lambda: underdamped.adjusted(ENERGY, X, 0.1, 5, seed=0, momentum=X[:1]), "momentum must be finite"),
    "too large a step": (lambda: underdamped.unadjusted(lambda x: -x, X, 3.0, 900, seed=0), "step = 3 is too large"),
    "no base": (lambda: replica_exchange(ENERGY, X, ladder(4, 0.5), 5, seed=0), "give base=, or begin at a power > 0"),
    "powers": (lambda: Ladder(torch.tensor([0.5, 0.2, 1.0]), torch.ones(3)), "powers must rise"),
    "ladder's steps": (lambda: Ladder(torch.tensor([0.5, 1.0]), torch.tensor([1.0, 0.0])), "at rung 1"),
    "state": (lambda: replica_exchange(ENERGY, X, RUNGS, 5, seed=0, state=X), "of all rungs"),
    "first law": (lambda: annealed_importance(ENERGY, X, RUNGS, base=ENERGY, seed=0), "from power 0"),
    "few": (lambda: annealed_importance(ENERGY, X[:1], ladder(4, 0.5), base=ENERGY, seed=0), "at least 2"),
    "no mass": (
        lambda: annealed_importance(lambda x: x.sum(1) + math.inf, X, ladder(4, 0.5), base=ENERGY, seed=0),
        "no mass where the first law",
    ),
    "NaN row": (
        lambda: annealed_importance(HOLE, X + torch.tensor([0.0, 0, 1])[:, None], ladder(4, 0.5), base=ENERGY, seed=0),
        "NaN at step 1 in chain 2",
    ),
    "few states": (lambda: diagnostics.bulk_ess(torch.zeros(5, 2, 1)), "at least 8 states"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_errors_name_what_is_wrong(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("what", ["arviz", "pyro"])
def test_what_is_not_installed_is_said_in_one_sentence(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    for name in ("arviz", "pyro", "pyro.infer"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ValueError, match=rf"needs the package {what} .*pip install"):
        if what == "arviz":
            langevin.unadjusted(lambda x: -x, X, 0.1, 5, seed=0).to_arviz()
        else:
            nuts(ENERGY, X, 5, seed=0, burn_in=1)
