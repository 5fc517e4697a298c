"""Lesson 6: densities by the ODE with error bars, data to latent and back, editing by partial noise."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from parts import COLOURS, F64, Check, Table, axes, doubles, gaussian, line, modes
from torch import Tensor

from scorefield import editing, log_density, plans
from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.core import Level
from scorefield.numerics.divergence import jacobian_trace

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


def reference() -> Gaussian:
    """The Gaussian with the mean and the variance of LAW."""
    return Gaussian(LAW.mean, LAW.covariance)


def better_denoised(count: int = 241) -> float:
    """`1/2 int (mmse_G - mmse) dgamma` of LAW, gamma = 1 / sigma^2, by the trapezoidal rule in log sigma."""
    variance = float(LAW.covariance)
    times = torch.linspace(math.log(1e-3), math.log(1e3), count, dtype=F64)
    each = []
    for sigma in times.exp().tolist():
        x, mass = line(LAW, Level(1.0, sigma))
        unknown = mass @ LAW.noise_variance(x, Level(1.0, sigma)) * sigma**2
        each.append((variance * sigma**2 / (variance + sigma**2) - float(unknown)) / sigma**2)
    return float(torch.trapezoid(doubles(*each), times))  # dgamma / 2 = dsigma / sigma^3 = dt / sigma^2


def values() -> dict[str, float]:
    x, mass = line(LAW)
    by_definition = float(mass @ (LAW.log_density(x) - reference().log_density(x)))
    return {"quantile": quantile_error(), "immse_kl": by_definition, "immse_integral": better_denoised()}


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


def at_quantile(share: float, sigma: float) -> float:
    """The point below which this share of LAW lies, at a noise level."""
    low, high = -30.0 * (1 + sigma), 30.0 * (1 + sigma)
    for _ in range(60):
        middle = (low + high) / 2
        below = float(distribution(doubles(middle)[:, None], sigma)) < share
        low, high = (middle, high) if below else (low, middle)
    return high


def flips() -> dict[str, dict[str, Figure]]:
    """The path of one quantile, and the densities it goes through."""
    sigmas = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0]
    x = torch.linspace(-9, 9, 500, dtype=F64)[:, None]
    fine = torch.linspace(0, 4, 33).tolist()
    shares = (0.02, 0.1, 0.25, 0.35, 0.38, 0.4, 0.42, 0.45, 0.6, 0.75, 0.9, 0.98)
    paths = {share: [at_quantile(share, sigma) for sigma in fine] for share in shares}
    frames = {}
    for share in shares:
        figure, (ax,) = axes(1, width=7.0, height=3.6)
        for path in paths.values():
            ax.plot(path, fine, color="#ccc", linewidth=0.8)
        for sigma in sigmas:
            density = LAW.log_density(x, Level(1.0, sigma)).exp()
            ax.fill_between(x[:, 0], sigma, sigma + 0.7 * density / density.max(), color=COLOURS[0], alpha=0.25)
        ax.plot(paths[share], fine, color=COLOURS[1], linewidth=2)
        ax.plot(paths[share][:1], [0], "o", color=COLOURS[1])
        ax.set(xlabel="x", ylabel="σ", title=f"{share:.0%} of the law lie to the left, at every σ", xlim=(-9, 9))
        frames[f"quantile {share:g}"] = figure
    return {"quantiles": frames}


def identities() -> list[Check]:
    """The change of the log-density along a path, the integral in coordinates at rest, and the trace as a variance."""
    sigma, h, x = 0.9, 1e-4, doubles(0.7)[:, None]

    def answer(y: Tensor, at: float = sigma) -> Tensor:
        return LAW(y, Level(1.0, at)).eps

    value, trace = jacobian_trace(answer, x)
    up, down = (x + s * h * value + h**2 / 2 * _bend(x, sigma) for s in (1, -1))
    later, sooner = (LAW.log_density(y, Level(1.0, sigma + s * h)) for y, s in ((up, 1), (down, -1)))
    level = Level(1.0, sigma)
    unknown = LAW.noise_variance(x, level) * sigma**2  # Cov[x0 | x]
    values_ = values()
    return [
        Check("along a path", -float(trace), float(later - sooner) / (2 * h)),
        Check("trace", 1 / sigma - float(unknown) / sigma**3, float(trace)),
        Check("I-MMSE", values_["immse_kl"], values_["immse_integral"], 1e-4),
    ]


def _bend(x: Tensor, sigma: float, h: float = 1e-4) -> Tensor:
    """The second derivative of a path of the ODE by sigma."""
    up, down = (LAW(x + s * h * LAW(x, Level(1.0, sigma)).eps, Level(1.0, sigma + s * h)).eps for s in (1, -1))
    return (up - down) / (2 * h)


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
