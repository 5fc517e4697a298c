"""Lesson 6: densities by the ODE with error bars, data to latent and back, editing by partial noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from parts import COLOURS, F64, Check, Table, axes, doubles, gaussian, modes
from torch import Tensor

from scorefield import editing, log_density, plans
from scorefield.analytic import GaussianMixture
from scorefield.core import Level

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LAW = modes(0.4, 2.0, 0.25)
COUNT = 4000
SHOWN = (0.5, 1.0, 2.0, 4.0, 16.0)


def wide() -> GaussianMixture:
    """Two modes in eight dimensions, each with its own covariance."""
    means = torch.stack([torch.full((8,), -1.0, dtype=F64), torch.ones(8, dtype=F64)])
    slope = torch.linspace(0.1, 1.5, 8, dtype=F64)
    turn = torch.full((8, 8), 0.25, dtype=F64)
    covariances = torch.stack([torch.diag(slope) + 0.2 * turn, torch.diag(slope.flip(0)) + turn])
    return GaussianMixture(doubles(0.3, 0.7), means, covariances)


def density_errors(tolerance: float) -> tuple[float, float, float]:
    """The largest error of the log-density at 40 points, the largest reported, the mean of states evaluated."""
    law = wide()
    x = law.sample(40, seed=0)
    found = log_density(law, x, tolerance=tolerance)
    error = (found.value - law.log_density(x)).abs().max()
    return float(error), float(found.solver_error.max()), float(found.evaluations.double().mean())


def covered(probes: int) -> tuple[float, float]:
    """Over 100 points: the share whose interval holds the exact log-density, and the mean standard error."""
    law = wide()
    x = law.sample(100, seed=1)
    found = log_density(law, x, divergence="hutchinson", probes=probes, tolerance=1e-4, seed=2)
    exact = law.log_density(x)
    inside = (found.interval[:, 0] <= exact) & (exact <= found.interval[:, 1])
    return float(inside.double().mean()), float(found.standard_error.mean())


def distribution(x: Tensor, sigma: float = 0.0) -> Tensor:
    """The distribution function of LAW at a noise level."""
    deviation = (LAW.covariances[:, 0, 0] + sigma**2).sqrt()
    return torch.special.ndtr((x - LAW.means[:, 0]) / deviation) @ LAW.weights


def quantile_error() -> float:
    """How far the latents of ten points lie, in probability, from the same quantiles of the noised law."""
    x = torch.linspace(-3, 3, 10, dtype=F64)[:, None]
    latent = editing.invert(LAW, x, editing.Route(200, sigma_max=20.0))
    return float((distribution(latent, 20.0) - distribution(x)).abs().max())


def round_trip(evaluations: int) -> float:
    """The largest difference that data to latent and back leaves."""
    x = LAW.sample(200, seed=0)
    route = editing.Route(evaluations, sigma_max=20.0)
    return float((editing.regenerate(LAW, editing.invert(LAW, x, route), route) - x).abs().max())


def crossing(sigma: float, build: editing.Build | None = None) -> float:
    """The share of points of the right mode that partial noise moves to the left one."""
    right = gaussian([2.0], [0.25])
    edited = editing.partial_noise(LAW, right.sample(COUNT, seed=0), sigma, evaluations=60, build=build)
    return float((edited < 0).double().mean())


def crossing_ode(sigma: float) -> float:
    """The same by the exact ODE: what lies below the point at sigma that the ODE carries to 0."""
    low, high = doubles(-30 * (1 + sigma)), doubles(30 * (1 + sigma))
    for _ in range(60):
        middle = (low + high) / 2
        below = distribution(middle[:, None], sigma) < distribution(torch.zeros(1, 1, dtype=F64))
        low, high = torch.where(below, middle, low), torch.where(below, high, middle)
    return float(torch.special.ndtr((high - 2) / math.sqrt(0.25 + sigma**2)))


def crossing_posterior(sigma: float) -> float:
    """The same by exact draws of x0 given the noisy point: the mean of the left mode's posterior weight."""
    level, right, left = Level(1.0, sigma), gaussian([2.0], [0.25]), gaussian([-2.0], [0.25])
    x = torch.linspace(-8 - 12 * sigma, 8 + 12 * sigma, 8001, dtype=F64)[:, None]
    mass = right.log_density(x, level).exp()
    odds = math.log(0.4 / 0.6) + left.log_density(x, level) - right.log_density(x, level)
    return float((mass * odds.sigmoid()).sum() / mass.sum())


def values() -> dict[str, float]:
    return {"quantile": quantile_error()}


def tables() -> dict[str, Table]:
    densities = []
    for tolerance in (1e-2, 1e-4, 1e-6):
        error, reported, states = density_errors(tolerance)
        densities.append([f"{tolerance:g}", f"{error:.0e}", f"{reported:.0e}", f"{5 * round(states / 5)}"])
    # an eigenbasis, whose signs are the processor's, turns the probes: other ones elsewhere, so few digits are shown
    bars = [[f"{m}", *(f"{v:.1f}" for v in covered(m))] for m in (4, 16)]
    trips = [[f"{n}", f"{round_trip(n):.0e}"] for n in (20, 50, 100)]
    edits = []
    for sigma in SHOWN:
        shares = crossing(sigma), crossing_ode(sigma), crossing(sigma, plans.ancestral), crossing_posterior(sigma)
        edits.append([f"{sigma:g}", *(f"{share:.3f}" for share in shares)])
    return {
        "densities": (["tolerance", "largest error", "largest error reported", "evaluations, in fives"], densities),
        "bars": (["probes", "share of intervals that hold the truth", "mean standard error"], bars),
        "trips": (["evaluations each way", "largest difference"], trips),
        "edits": (["σ", "moved by the ODE", "exact ODE", "moved by ancestral", "exact posterior"], edits),
    }


def figures() -> dict[str, Figure]:
    figure, (left, right) = axes(2)
    x = torch.linspace(-3.5, 3.5, 200, dtype=F64)[:, None]
    latent = editing.invert(LAW, x, editing.Route(100, sigma_max=20.0))
    left.plot(x[:, 0], latent[:, 0] / 20, color=COLOURS[0])
    left.set(xlabel="data", ylabel="latent / 20", title="data to latent")
    sigmas = torch.logspace(-0.5, 1.3, 40).tolist()
    right.plot(sigmas, [crossing_ode(s) for s in sigmas], color=COLOURS[0], label="ODE")
    right.plot(sigmas, [crossing_posterior(s) for s in sigmas], color=COLOURS[1], label="posterior")
    right.set(xscale="log", xlabel="σ", title="moved to the other mode")
    right.legend(frameon=False)
    return {"latents": figure}


def exercise_1() -> list[Check]:
    """The log-density of N(0, 1) at 1, by the ODE."""
    by_ode = log_density(gaussian([0.0], [1.0]), doubles(1.0)[:, None], covariance=4.0)  # told a wrong covariance
    right = log_density(gaussian([0.0], [1.0]), doubles(1.0)[:, None])
    by_hand = -0.5 * math.log(2 * math.pi) - 0.5
    return [
        Check("ex1_density", by_hand, float(right.value), 1e-4),
        Check("ex1_wrong", by_hand, float(by_ode.value), 1e-4),
    ]


def exercise_2() -> list[Check]:
    """The latent at sigma 10 of x = 1, data N(0, 1)."""
    latent = editing.invert(gaussian([0.0], [1.0]), doubles(1.0)[:, None], editing.Route(100, sigma_max=10.0))
    return [Check("ex2_latent", 101**0.5, float(latent), 1e-3)]


def exercise_3() -> list[Check]:
    """Half way from (1, 0) to (0, 1) through the latents, data N(0, I)."""
    a, b = doubles(1.0, 0.0)[None], doubles(0.0, 1.0)[None]
    middle = editing.interpolate(gaussian([0.0, 0.0], [1.0, 1.0]), a, b, doubles(0.5))[0, 0]
    return [Check("ex3_middle", 0.5**0.5, float(middle[0]), 1e-4), Check("ex3_norm", 1.0, float(middle.norm()), 1e-4)]


def exercises() -> dict[str, list[Check]]:
    return {"1": exercise_1(), "2": exercise_2(), "3": exercise_3()}
