"""Laws of Langevin chains: exact moments when adjusted, the known bias when not, honest sizes and errors."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from scorefield.mcmc.langevin import Chains, adjusted, effective_sample_size, split_r_hat, unadjusted
from scorefield.numerics.random import normal

DTYPE = torch.float64


def _covariance(d: int) -> Tensor:
    A = torch.eye(d, dtype=DTYPE) + 0.4 * normal(d, (d,), 5, "A", dtype=DTYPE)
    return A @ A.T


class Normal:
    """N(mean, covariance) as energy and score."""

    def __init__(self, d: int) -> None:
        self.mean = torch.linspace(-1, 1, d, dtype=DTYPE) if d > 1 else torch.tensor([0.5], dtype=DTYPE)
        self.covariance = _covariance(d)
        self.precision = torch.linalg.inv(self.covariance)

    def energy(self, x: Tensor) -> Tensor:
        r = x - self.mean
        return torch.einsum("ni,ij,nj->n", r, self.precision, r) / 2

    def score(self, x: Tensor) -> Tensor:
        return -(x - self.mean) @ self.precision

    def draw(self, n: int) -> Tensor:
        return self.mean + normal(n, self.mean.shape, 8, "draw", dtype=DTYPE) @ torch.linalg.cholesky(self.covariance).T


def _check_mean(chains: Chains, values: Tensor, truth: Tensor) -> None:
    """The mean of `values` (kept, n, k) is the truth within its error by effective sample size."""
    error = values.flatten(0, 1).std(0) / effective_sample_size(values).sqrt()
    assert bool(((values.mean((0, 1)) - truth).abs() < 4.5 * error).all())
    assert float(error.max()) < 0.1 * float(values.flatten(0, 1).std(0).max())  # the law has teeth


# ------------------------------------------------------------------------------------------------------------ laws


@pytest.mark.parametrize("d", [1, 3])
@pytest.mark.parametrize("step", [0.05, 0.3])
def test_adjusted_chains_have_the_exact_moments(d, step):
    target = Normal(d)
    chains = adjusted(target.energy, target.draw(100), step, 600, seed=1)
    _check_mean(chains, chains.samples, target.mean)
    r = chains.samples - target.mean
    second = (r[..., :, None] * r[..., None, :]).flatten(2)
    _check_mean(chains, second, target.covariance.flatten())
    halves = effective_sample_size(chains.samples) / 200  # draws' worth in half a chain
    assert bool((chains.r_hat < (1 + 2 / halves).sqrt()).all())


@pytest.mark.parametrize("step", [0.1, 0.4, 1.0, 1.5])
def test_unadjusted_chains_have_their_known_bias(step):
    chains = unadjusted(lambda x: -x, torch.zeros(200, 1, dtype=DTYPE), step, 800, seed=2, burn_in=100)
    _check_mean(chains, chains.samples**2, torch.tensor([1 / (1 - step / 2)], dtype=DTYPE))
    _check_mean(chains, chains.samples, torch.zeros(1, dtype=DTYPE))


def test_the_bias_of_unadjusted_chains_is_of_first_order():
    """On the energy x^2 / 2 + cos(2 x) / 2: the stationary law of one step's transition matrix on a grid."""
    score = lambda x: -x + (2 * x).sin()  # noqa: E731
    q = torch.linspace(-7, 7, 701, dtype=DTYPE)
    density = (-(q**2) / 2 - (2 * q).cos() / 2).exp()
    truth = float((density * q**2).sum() / density.sum())
    steps, bias = [0.1, 0.05, 0.025], []
    for h in steps:
        P = (-((q[None] - (q + h * score(q))[:, None]) ** 2) / (4 * h)).exp()
        P = P / P.sum(1, keepdim=True)
        p = torch.linalg.matrix_power(P, 1024)[350]
        bias.append(float(p @ q**2) - truth)
        chains = unadjusted(score, torch.zeros(400, 1, dtype=DTYPE), h, 1000, seed=3, burn_in=400)
        _check_mean(chains, chains.samples**2, torch.tensor([truth + bias[-1]], dtype=DTYPE))
    slopes = [math.log2(a / b) for a, b in pairwise(bias)]
    assert 0.85 < slopes[1] < 1.15 and abs(slopes[1] - 1) < abs(slopes[0] - 1)


def test_any_drift_leaves_adjusted_chains_exact():
    target = Normal(2)
    chains = adjusted(target.energy, target.draw(100), 0.3, 600, seed=4, score=lambda x: -0.3 * x + 0.2)
    r = chains.samples - target.mean
    _check_mean(chains, r[..., :1] * r[..., 1:], target.covariance[0, 1:])
    exact = adjusted(target.energy, target.draw(100), 0.3, 50, seed=4, score=target.score)
    automatic = adjusted(target.energy, target.draw(100), 0.3, 50, seed=4)
    torch.testing.assert_close(exact.samples, automatic.samples, rtol=1e-8, atol=1e-8)


def test_a_mixture_is_sampled_with_its_weights():
    def energy(x: Tensor) -> Tensor:
        modes = torch.stack([math.log(0.3) - (x[:, 0] + 1.5) ** 2 / 2, math.log(0.7) - (x[:, 0] - 1.5) ** 2 / 2])
        return -modes.logsumexp(0)

    x = torch.where(torch.arange(300) % 2 == 0, -1.5, 1.5).to(DTYPE)[:, None]
    chains = adjusted(energy, x, 1.0, 700, seed=5, burn_in=100)
    below = 0.3 * 0.5 * math.erfc(-1.5 / math.sqrt(2)) + 0.7 * 0.5 * math.erfc(1.5 / math.sqrt(2))
    _check_mean(chains, (chains.samples < 0).to(DTYPE), torch.tensor([below], dtype=DTYPE))


def test_a_support_with_an_edge_is_kept():
    energy = lambda x: torch.where((x > 0).all(1), x.sum(1), torch.inf)  # noqa: E731
    chains = adjusted(energy, torch.ones(200, 2), 0.5, 800, seed=6, burn_in=50)
    assert bool((chains.samples > 0).all())
    _check_mean(chains, chains.samples.to(DTYPE), torch.ones(2, dtype=DTYPE))


@pytest.mark.parametrize("h", [0.2, 1.0])
def test_acceptance_is_the_mean_acceptance_probability(h):
    """On N(0, 1) from its own law: E min(1, exp(h (x^2 - y^2) / 4)), y = (1 - h) x + sqrt(2 h) z, by fresh draws."""
    x, z = normal(2, (10**6,), 0, "acceptance", dtype=DTYPE)
    y = (1 - h) * x + math.sqrt(2 * h) * z
    expected = (h * (x**2 - y**2) / 4).clamp(max=0).exp()
    start = normal(4000, (1,), 1, "start", dtype=DTYPE)
    chains = adjusted(lambda x: x.square().sum(1) / 2, start, h, 50, seed=7)
    error = float(chains.acceptance.std()) / math.sqrt(4000) + 1e-3
    assert abs(float(chains.acceptance.mean()) - float(expected.mean())) < 4 * error


# -------------------------------------------------------------------------------------------------- random streams

SAMPLERS = {
    "unadjusted": lambda x, steps, **k: unadjusted(lambda z: -(z**3), x, 0.1, steps, seed=3, **k),
    "adjusted": lambda x, steps, **k: adjusted(lambda z: z.pow(4).flatten(1).sum(1) / 4, x, 0.1, steps, seed=3, **k),
}


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("shape", [(1,), (2, 3, 2)])
def test_chain_i_depends_on_nothing_else_and_runs_split(name, shape):
    sample, x = SAMPLERS[name], torch.ones(5, *shape, dtype=DTYPE)
    whole = sample(x, 20)
    alone = sample(x[2:3], 20, first=2)
    torch.testing.assert_close(alone.samples, whole.samples[:, 2:3], rtol=1e-12, atol=0)
    half = sample(x, 12)
    rest = sample(half.state, 8, start=12)
    assert torch.equal(torch.cat([half.samples, rest.samples]), whole.samples)
    thinned = sample(x, 20, burn_in=5, thin=4)
    assert torch.equal(thinned.samples, whole.samples[8:20:4]) and torch.equal(thinned.state, whole.state)
    assert whole.samples.shape == (20, 5, *shape) and whole.ess.shape == shape == whole.r_hat.shape


def test_steps_per_chain():
    steps = torch.tensor([0.05, 0.5])
    both = unadjusted(lambda z: -z, torch.ones(2, 1), steps, 10, seed=0)
    for i in range(2):
        one = unadjusted(lambda z: -z, torch.ones(1, 1), float(steps[i]), 10, seed=0, first=i)
        torch.testing.assert_close(both.samples[:, i : i + 1], one.samples)


# ------------------------------------------------------------------------------------------------------ diagnostics


@pytest.mark.parametrize("phi", [-0.5, 0.0, 0.5, 0.9])
def test_effective_size_of_an_autoregression(phi):
    n, m = 4000, 8
    z = normal(n, (m, 1), 3, "ar", dtype=DTYPE)
    x = [z[0]]
    for k in range(1, n):
        x.append(phi * x[-1] + math.sqrt(1 - phi**2) * z[k])
    size = float(effective_sample_size(torch.stack(x)))
    assert size == pytest.approx(n * m * (1 - phi) / (1 + phi), rel=0.12)
    assert float(split_r_hat(torch.stack(x))) == pytest.approx(1, abs=0.01)


def test_chains_that_disagree_count_for_little():
    z = normal(500, (2, 1), 3, "apart", dtype=DTYPE)
    z[:, 1] += 10
    assert float(effective_sample_size(z)) < 5 and float(split_r_hat(z)) > 3
    constant = torch.ones(10, 2, 1)
    assert math.isnan(float(effective_sample_size(constant))) and math.isnan(float(split_r_hat(constant)))


# ------------------------------------------------------------------------------------------------------------ errors

X = torch.zeros(3, 2)
ENERGY = lambda x: x.square().sum(1) / 2  # noqa: E731


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: unadjusted(lambda x: -x, X, 3.0, 1000, seed=0), ValueError, "step = 3 is too large"),
        (
            lambda: unadjusted(lambda x: -x, X, torch.tensor([0.1, 4.0, 0.1]), 1000, seed=0),
            ValueError,
            "chain 1 .* 4 is",
        ),
        (lambda: unadjusted(ENERGY, X, 0.1, 10, seed=0), ValueError, "for an energy use adjusted"),
        (lambda: adjusted(lambda x: -x, X, 0.1, 10, seed=0), ValueError, "a score alone cannot be adjusted"),
        (lambda: adjusted(lambda x: x.sum(1) * math.nan, X, 0.1, 10, seed=0), ValueError, "NaN at step 0"),
        (lambda: adjusted(lambda x: x.sum(1) + math.inf, X, 0.1, 10, seed=0), ValueError, "start elsewhere"),
        (lambda: adjusted(ENERGY, X, 0.0, 10, seed=0), ValueError, "step must be positive"),
        (lambda: adjusted(ENERGY, X, 0.1, 0, seed=0), ValueError, "steps"),
        (lambda: adjusted(ENERGY, X, 0.1, 10, seed=0, burn_in=10), ValueError, "keeps no sample"),
        (lambda: adjusted(ENERGY, X, 0.1, 10, seed=None), TypeError, "seed"),
        (lambda: adjusted(ENERGY, X / 0, 0.1, 10, seed=0), ValueError, "finite"),
        (lambda: unadjusted(lambda x: -x, X[0], 0.1, 10, seed=0), ValueError, "batch first"),
        (lambda: unadjusted(lambda x: -x, X, 0.1, 2, seed=0).ess, ValueError, "keep more states"),
    ],
)
def test_errors_speak(call, error, says):
    with pytest.raises(error, match=says):
        call()
