"""Eight tasks of simulation-based inference, each with its prior, simulator and exact likelihood.

The tasks and their constants are those of Lueckmann, Boelts, Greenberg, Goncalves and Macke (2021), "Benchmarking
simulation-based inference", appendix T; where a definition leaves something open, it is said at the function.

    task = TASKS["two_moons"]
    theta = task.draw(10_000, seed=0)           # (n, d) from the prior
    x = task.simulate(theta, seed=1)            # (n, k)
    task.log_likelihood(theta, x)               # (n,)

`simulate` and `log_likelihood` take float32 or float64 and compute in float64; rows are independent of each other.
`log_likelihood(theta, x)` is log p(x | theta) with all constants, and is differentiable in theta.

| task | d | k | prior | x |
|---|---|---|---|---|
| two_moons | 2 | 2 | box [-1, 1] | a half-moon around (-abs(theta1 + theta2), theta2 - theta1) / sqrt 2 |
| gaussian_mixture | 2 | 2 | box [-10, 10] | theta plus noise of deviation 1 or 0.1, equally likely |
| gaussian_linear | 10 | 10 | normal, variance 0.1 | theta plus noise of variance 0.1 |
| gaussian_linear_uniform | 10 | 10 | box [-1, 1] | theta plus noise of variance 0.1 |
| slcp | 5 | 8 | box [-3, 3] | four points of a normal in the plane with mean and covariance from theta |
| bernoulli_glm | 10 | 10 | normal, smooth | sufficient statistics of 100 coin tosses |
| lotka_volterra | 4 | 20 | log-normal | two populations at 10 times, log-normal noise of 0.1 |
| sir | 2 | 10 | log-normal | infected among 1,000 tested at 10 times |
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.distributions import Distribution, Independent, LogNormal, MultivariateNormal, Normal, Uniform
from torch.nn.functional import logsigmoid


@dataclass(frozen=True)
class Task:
    """A prior over parameters and a simulator with a known likelihood.

    Args:
        name: short, as in `TASKS`.
        title: for tables.
        parameters: d names.
        prior: over vectors (d,).
        simulator: from theta (n, d), float64, and a generator to x (n, k).
        log_density: from theta (n, d) and x (n, k), float64, to log p(x | theta), (n,).
    """

    name: str
    title: str
    parameters: tuple[str, ...]
    prior: Distribution
    simulator: Callable[[Tensor, Generator], Tensor]
    log_density: Callable[[Tensor, Tensor], Tensor]

    def draw(self, n: int, seed: int) -> Tensor:
        """Draws n parameters (n, d) from the prior."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.prior.sample((n,))

    def simulate(self, theta: Tensor, seed: int) -> Tensor:
        """One x (n, k) for each theta (n, d), in theta's precision."""
        return self.simulator(theta.double(), torch.Generator().manual_seed(seed)).to(theta.dtype)

    def log_likelihood(self, theta: Tensor, x: Tensor) -> Tensor:
        """log p(x | theta), float64, (n,), for theta (n, d) and x (n, k) or (k,)."""
        return self.log_density(theta.double(), x.double().expand(len(theta), -1))


def box(half: float, d: int) -> Distribution:
    return Independent(Uniform(torch.full((d,), -half), torch.full((d,), half)), 1)


def normal_like(x: Tensor, generator: Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, dtype=x.dtype)


def log_normal_density(x: Tensor, mean: Tensor, deviation: float) -> Tensor:
    """Of independent normal components, summed over the last axis."""
    return Normal(mean, deviation).log_prob(x).sum(-1)


# Two moons: x = p + m(theta), where p lies on a half circle of radius about 0.1 around (0.25, 0).

MOON_RADIUS, MOON_WIDTH, MOON_CENTER = 0.1, 0.01, 0.25


def moon_mean(theta: Tensor) -> Tensor:
    z = torch.stack((-(theta[:, 0] + theta[:, 1]).abs(), theta[:, 1] - theta[:, 0]), 1)
    return z / math.sqrt(2)


def moon_noise(n: int, generator: Generator) -> Tensor:
    angle = math.pi * (torch.rand(n, generator=generator, dtype=torch.float64) - 0.5)
    radius = MOON_RADIUS + MOON_WIDTH * torch.randn(n, generator=generator, dtype=torch.float64)
    return torch.stack((radius * angle.cos() + MOON_CENTER, radius * angle.sin()), 1)


def two_moons(theta: Tensor, generator: Generator) -> Tensor:
    return moon_mean(theta) + moon_noise(len(theta), generator)


def two_moons_density(theta: Tensor, x: Tensor) -> Tensor:
    """In polar coordinates the radius is normal and the angle uniform over pi; the area element is the radius."""
    p = x - moon_mean(theta)
    right = p[:, 0] - MOON_CENTER
    radius = torch.hypot(right, p[:, 1])
    inside = Normal(MOON_RADIUS, MOON_WIDTH).log_prob(radius) - math.log(math.pi) - radius.log()
    return torch.where(right > 0, inside, -math.inf)


# Gaussian mixture: each row has its own choice of the two widths.

MIXTURE_DEVIATIONS = (1.0, 0.1)


def gaussian_mixture(theta: Tensor, generator: Generator) -> Tensor:
    which = torch.randint(2, (len(theta), 1), generator=generator)
    deviation = torch.tensor(MIXTURE_DEVIATIONS, dtype=theta.dtype)[which]
    return theta + deviation * normal_like(theta, generator)


def gaussian_mixture_density(theta: Tensor, x: Tensor) -> Tensor:
    both = torch.stack([log_normal_density(x, theta, deviation) for deviation in MIXTURE_DEVIATIONS])
    return both.logsumexp(0) - math.log(2)


# The linear Gaussian tasks: 0.1 is the variance, as in the published software.

LINEAR_VARIANCE = 0.1


def gaussian_linear(theta: Tensor, generator: Generator) -> Tensor:
    return theta + math.sqrt(LINEAR_VARIANCE) * normal_like(theta, generator)


def gaussian_linear_density(theta: Tensor, x: Tensor) -> Tensor:
    return log_normal_density(x, theta, math.sqrt(LINEAR_VARIANCE))


# SLCP, simple likelihood and complex posterior (Papamakarios, Sterratt and Murray 2019).

SLCP_POINTS, SLCP_JITTER = 4, 1e-6


def slcp_normal(theta: Tensor) -> MultivariateNormal:
    """Of one point: deviations theta3^2 and theta4^2, correlation tanh theta5, and the published 1e-6 on variances."""
    first, second, correlation = theta[:, 2] ** 2, theta[:, 3] ** 2, theta[:, 4].tanh()
    top = (first**2 + SLCP_JITTER).sqrt()
    cross = correlation * first * second / top
    bottom = (second**2 + SLCP_JITTER - cross**2).sqrt()
    zero = torch.zeros_like(top)
    rows = torch.stack((top, zero, cross, bottom), -1).unflatten(-1, (2, 2))
    return MultivariateNormal(theta[:, :2], scale_tril=rows, validate_args=False)


def slcp(theta: Tensor, generator: Generator) -> Tensor:
    law = slcp_normal(theta)
    noise = torch.randn(len(theta), SLCP_POINTS, 2, generator=generator, dtype=theta.dtype)
    return (law.loc[:, None] + torch.einsum("nij,npj->npi", law.scale_tril, noise)).flatten(1)


def slcp_density(theta: Tensor, x: Tensor) -> Tensor:
    points = x.unflatten(1, (SLCP_POINTS, 2)).transpose(0, 1)
    return slcp_normal(theta).log_prob(points).sum(0)


# Bernoulli GLM: a neuron that fires or not in 100 bins; offset and filter of nine lags over a frozen stimulus.

GLM_BINS, GLM_LAGS = 100, 9


def glm_design() -> Tensor:
    """(100, 10): ones, and the stimulus at lags 0 to 8; the stimulus is the published one (its seed, 42)."""
    stimulus = torch.from_numpy(np.random.RandomState(42).randn(GLM_BINS).astype(np.float32)).double()
    lagged = [torch.cat((torch.zeros(lag, dtype=torch.float64), stimulus[: GLM_BINS - lag])) for lag in range(GLM_LAGS)]
    return torch.stack((torch.ones(GLM_BINS, dtype=torch.float64), *lagged), 1)


def glm_prior() -> Distribution:
    """Offset of variance 2; the filter's second differences are penalised, the more the later the lag."""
    differences = torch.eye(GLM_LAGS) - torch.diag(torch.ones(GLM_LAGS - 1), -1)
    root = differences @ differences + torch.diag((torch.arange(GLM_LAGS) / GLM_LAGS).sqrt())
    precision = torch.zeros(GLM_LAGS + 1, GLM_LAGS + 1)
    precision[0, 0] = 0.5
    precision[1:, 1:] = root.T @ root
    return MultivariateNormal(torch.zeros(GLM_LAGS + 1), precision_matrix=precision)


DESIGN = glm_design()


def bernoulli_glm(theta: Tensor, generator: Generator) -> Tensor:
    fires = torch.bernoulli((theta @ DESIGN.T).sigmoid(), generator=generator)
    return fires @ DESIGN


def bernoulli_glm_density(theta: Tensor, x: Tensor) -> Tensor:
    """Of the one series of firings that has these statistics."""
    return (theta * x).sum(1) + logsigmoid(-theta @ DESIGN.T).sum(1)


# Two systems of differential equations of one form, du1/dt = a1 + b1 exp u2 and du2/dt = a2 + b2 exp u1, in the
# logarithms of the populations; integrated by the classical Runge-Kutta method of fixed steps.


def series(own: Tensor, other: Tensor, start: tuple[float, float], span: float, points: int, steps: int) -> Tensor:
    """Logarithms (points, 2, n) at times `span` apart, the first is `start`; `steps` steps between two of them.

    Args:
        own: a, (2, n).
        other: b, (2, n).
    """

    def slope(u: Tensor) -> Tensor:
        return torch.addcmul(own, other, u.flip(0).exp())

    h = span / steps
    u = torch.tensor(start, dtype=own.dtype)[:, None].expand_as(own)
    states = [u]
    for _ in range(points - 1):
        for _ in range(steps):
            first = slope(u)
            second = slope(torch.add(u, first, alpha=h / 2))
            third = slope(torch.add(u, second, alpha=h / 2))
            fourth = slope(torch.add(u, third, alpha=h))
            u = torch.add(u, torch.add(first + fourth, second + third, alpha=2), alpha=h / 6)
        states.append(u)
    return torch.stack(states)


CHUNK = 8192
"""Rows integrated together: as many as stay in the cache."""


def in_chunks(solve: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    return torch.cat([solve(part) for part in theta.split(CHUNK)])


# Lotka-Volterra: dx/dt = alpha x - beta x y, dy/dt = -gamma y + delta x y from (30, 1), at t = 0, 2.1, ..., 18.9.
# 84 steps are right to 2e-4 in the logarithms for 99.9 % of the prior, 0.2 in the worst of 10,000 draws.

PREY, PREDATORS, HUNT_SPAN, HUNT_STEPS = 30.0, 1.0, 2.1, 84
HUNT_DEVIATION, HUNT_LEAST, HUNT_MOST = 0.1, 1e-10, 1e4


def log_populations(theta: Tensor) -> Tensor:
    """(n, 20): logarithms of the prey at ten times, then of the predators, within the published limits."""
    alpha, beta, gamma, delta = theta.unbind(1)
    start = (math.log(PREY), math.log(PREDATORS))
    found = series(torch.stack((alpha, -gamma)), torch.stack((-beta, delta)), start, HUNT_SPAN, 10, HUNT_STEPS)
    return found.permute(2, 1, 0).flatten(1).clamp(math.log(HUNT_LEAST), math.log(HUNT_MOST))


def lotka_volterra(theta: Tensor, generator: Generator) -> Tensor:
    mean = in_chunks(log_populations, theta)
    return (mean + HUNT_DEVIATION * normal_like(mean, generator)).exp()


def lotka_volterra_density(theta: Tensor, x: Tensor) -> Tensor:
    return log_normal_density(x.log(), in_chunks(log_populations, theta), HUNT_DEVIATION) - x.log().sum(1)


# SIR: ds/dt = -beta s i, di/dt = beta s i - gamma i with one infected of a million, at t = 0, 17, ..., 153 days.

INHABITANTS, TESTS, EPIDEMIC_SPAN, EPIDEMIC_STEPS = 1e6, 1000, 17.0, 68


def log_infected(theta: Tensor) -> Tensor:
    """(n, 10): logarithms of the infected share at ten times."""
    beta, gamma = theta.unbind(1)
    start = (math.log1p(-1 / INHABITANTS), -math.log(INHABITANTS))
    own = torch.stack((torch.zeros_like(gamma), -gamma))
    return series(own, torch.stack((-beta, beta)), start, EPIDEMIC_SPAN, 10, EPIDEMIC_STEPS)[:, 1].T


def sir(theta: Tensor, generator: Generator) -> Tensor:
    share = in_chunks(log_infected, theta).exp()
    return torch.binomial(torch.full_like(share, TESTS), share, generator=generator)


def sir_density(theta: Tensor, x: Tensor) -> Tensor:
    share = in_chunks(log_infected, theta)
    ways = math.lgamma(TESTS + 1) - torch.lgamma(x + 1) - torch.lgamma(TESTS - x + 1)
    return (ways + x * share + (TESTS - x) * torch.log1p(-share.exp())).sum(1)


def log_normal(logs: tuple[float, ...], deviations: tuple[float, ...]) -> Distribution:
    return Independent(LogNormal(torch.tensor(logs), torch.tensor(deviations)), 1)


def numbered(d: int) -> tuple[str, ...]:
    return tuple(f"theta{i + 1}" for i in range(d))


def linear_prior() -> Distribution:
    return Independent(Normal(torch.zeros(10), math.sqrt(LINEAR_VARIANCE)), 1)


ALL = (
    Task("two_moons", "two moons", numbered(2), box(1.0, 2), two_moons, two_moons_density),
    Task("gaussian_mixture", "Gaussian mixture", numbered(2), box(10.0, 2), gaussian_mixture, gaussian_mixture_density),
    Task("gaussian_linear", "linear Gaussian", numbered(10), linear_prior(), gaussian_linear, gaussian_linear_density),
    Task(
        "gaussian_linear_uniform",
        "uniform linear",
        numbered(10),
        box(1.0, 10),
        gaussian_linear,
        gaussian_linear_density,
    ),
    Task("slcp", "SLCP", numbered(5), box(3.0, 5), slcp, slcp_density),
    Task(
        "bernoulli_glm",
        "Bernoulli GLM",
        ("offset", *(f"filter{lag}" for lag in range(GLM_LAGS))),
        glm_prior(),
        bernoulli_glm,
        bernoulli_glm_density,
    ),
    Task(
        "lotka_volterra",
        "Lotka-Volterra",
        ("alpha", "beta", "gamma", "delta"),
        log_normal((-0.125, -3.0, -0.125, -3.0), (0.5,) * 4),
        lotka_volterra,
        lotka_volterra_density,
    ),
    Task(
        "sir",
        "SIR",
        ("beta", "gamma"),
        log_normal((math.log(0.4), math.log(0.125)), (0.5, 0.2)),
        sir,
        sir_density,
    ),
)

TASKS: Mapping[str, Task] = {task.name: task for task in ALL}
