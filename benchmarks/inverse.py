"""Posteriors of mixtures, which are known exactly: `posterior_samples` beside DPS, PiGDM, DiffPIR and DAPS.

    python benchmarks/inverse.py                # writes benchmarks/inverse.md; minutes on one core
    python benchmarks/inverse.py --quick        # in the plane alone

The exact model of a random mixture is the denoiser of all methods. The other methods are written here from their
papers: DPS (Chung and others 2023, arXiv 2209.14687), PiGDM (Song and others 2023, ICLR), DiffPIR (Zhu and others 2023,
arXiv 2305.08995), DAPS (Zhang and others 2025, arXiv 2407.01521, with its inner Langevin chain replaced by what that
converges to, an exact draw from its normal law, at no evaluation). DPS and DiffPIR have the step size or weight that is
best of a grid, by the energy distance, in each row: chosen with hindsight.

Draws of all methods have as many evaluations of the model each: `posterior_samples` spends them on 8 particles, of
which one is taken, the others on eight times as many steps. Its evaluations have the Jacobian with them (those of DPS
and PiGDM one backward pass).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.analytic import GaussianMixture
from scorefield.conditioning.inverse import operators, posterior_samples
from scorefield.core import Level
from scorefield.metrics import c2st, energy_distance

F64 = torch.float64
PARTICLES = 8
SETS = 12  # of exact draws, that say how far two samples of one law are apart


class Problem(NamedTuple):
    """A law, a measurement of one of its points, and the posterior."""

    name: str
    law: GaussianMixture
    A: Tensor
    y: Tensor
    noise: float
    exact: GaussianMixture


def mixture(d: int, components: int, seed: int) -> GaussianMixture:
    """Well separated modes of uneven weight and width; in 64 dimensions each of low rank, thickened."""
    draw = torch.Generator().manual_seed(seed)
    means = torch.randn(components, d, generator=draw, dtype=F64) * (2.0 if d == 2 else 1.0)
    root = torch.randn(components, d, min(d, 4), generator=draw, dtype=F64) / math.sqrt(d)
    weights = torch.rand(components, generator=draw, dtype=F64) + 0.2
    thick = 0.05 if d == 2 else 0.02
    return GaussianMixture(weights, means, 0.5 * root @ root.mT + thick * torch.eye(d, dtype=F64))


def problems(quick: bool) -> list[Problem]:
    """All rows of the tables."""
    plane = mixture(2, 12, 3)
    found = [
        _problem(f"2-D, {name}, noise {noise:g}", plane, A, noise, seed)
        for seed, (name, A) in enumerate(
            {
                "coordinate": torch.tensor([[1.0, 0.0]], dtype=F64),
                "oblique": torch.tensor([[0.6, -0.8]], dtype=F64),
            }.items()
        )
        for noise in (0.05, 0.3)
    ]
    if quick:
        return found
    image = mixture(64, 8, 5)
    shape = (8, 8)
    hidden = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.25
    ops = {
        "mask": operators.Mask(hidden),
        "blur": operators.Blur(shape, 1.5),
        "downsample": operators.Downsample(shape, 4),
    }
    for seed, (noise, (name, A)) in enumerate(zip((0.1, 0.3, 0.5), ops.items(), strict=True)):
        found.append(_problem(f"64-D, {name}, noise {noise:g}", image, operators.dense(A), noise, 10 + seed))
    return found


def _problem(name: str, law: GaussianMixture, A: Tensor, noise: float, seed: int) -> Problem:
    truth = law.sample(1, seed=seed)[0]
    y = A @ truth + noise * torch.randn(len(A), generator=torch.Generator().manual_seed(seed), dtype=F64)
    return Problem(name, law, A, y, noise, law.posterior(y, A, noise**2 * torch.eye(len(A), dtype=F64)))


# ------------------------------------------------------------------------------------------------------ the others


def sigmas(problem: Problem, steps: int) -> Tensor:
    """EDM's levels (Karras and others 2022) from far above the data to 0.01, then 0."""
    ramp = torch.linspace(0, 1, steps, dtype=F64)
    high, low = 40.0 ** (1 / 7), 0.01 ** (1 / 7)
    return torch.cat([(high + ramp * (low - high)) ** 7, torch.zeros(1, dtype=F64)])


def start(problem: Problem, n: int, seed: int) -> tuple[Tensor, torch.Generator]:
    draw = torch.Generator().manual_seed(seed)
    return 40.0 * torch.randn(n, problem.A.shape[1], generator=draw, dtype=F64), draw


def ancestral(x: Tensor, x0: Tensor, now: Tensor, then: Tensor, draw: torch.Generator) -> Tensor:
    """The step of DDPM between two noise levels, given an estimate of x0."""
    keep = (then / now) ** 2
    noise = then * (1 - keep).clamp(min=0).sqrt()
    return x0 + keep * (x - x0) + noise * torch.randn(x.shape, generator=draw, dtype=F64)


def dps(problem: Problem, n: int, evaluations: int, seed: int, size: float) -> Tensor:
    """Diffusion posterior sampling: a step along the gradient of |y - A x0(x)|, through the model."""
    x, draw = start(problem, n, seed)
    grid = sigmas(problem, evaluations)
    for now, then in pairwise(grid):
        x = x.requires_grad_()
        with torch.enable_grad():
            x0 = problem.law(x, Level(1.0, float(now))).x0
            off = (problem.y - x0 @ problem.A.T).norm(dim=1)
            (slope,) = torch.autograd.grad(off.sum(), x)
        x = ancestral(x.detach(), x0.detach(), now, then, draw) - size * slope
    return x


def pigdm(problem: Problem, n: int, evaluations: int, seed: int, _: float) -> Tensor:
    """Pseudoinverse guidance: the likelihood of x with a variance of x0 that depends on the level alone."""
    x, draw = start(problem, n, seed)
    grid, m = sigmas(problem, evaluations), len(problem.y)
    data = float(problem.law.covariance.diagonal().mean())
    for now, then in pairwise(grid):
        x = x.requires_grad_()
        with torch.enable_grad():
            x0 = problem.law(x, Level(1.0, float(now))).x0
            wide = float(now**2 * data / (now**2 + data))
            S = wide * problem.A @ problem.A.T + problem.noise**2 * torch.eye(m, dtype=F64)
            weights = torch.linalg.solve(S, (problem.y - x0 @ problem.A.T).detach().T).T
            (slope,) = torch.autograd.grad((x0 @ problem.A.T * weights).sum(), x)
        x = ancestral(x.detach(), (x0 + now**2 * slope).detach(), now, then, draw)
    return x


def diffpir(problem: Problem, n: int, evaluations: int, seed: int, weight: float) -> Tensor:
    """Plug-and-play restoration: a proximal step towards the measurement, then part of the noise anew."""
    x, draw = start(problem, n, seed)
    fresh, eye = 0.3, torch.eye(problem.A.shape[1], dtype=F64)
    grid = sigmas(problem, evaluations)
    for now, then in pairwise(grid):
        x0 = problem.law(x, Level(1.0, float(now))).x0
        rho = weight * problem.noise**2 / float(now) ** 2
        x0 = torch.linalg.solve(problem.A.T @ problem.A + rho * eye, (problem.y @ problem.A + rho * x0).T).T
        eps = (x - x0) / now
        z = torch.randn(x.shape, generator=draw, dtype=F64)
        x = x0 + then * (math.sqrt(1 - fresh) * eps + math.sqrt(fresh) * z)
    return x


def daps(problem: Problem, n: int, evaluations: int, seed: int, _: float) -> Tensor:
    """Decoupled annealing: x0 by a short ODE, a draw near it given y, noise anew at the next level."""
    x, draw = start(problem, n, seed)
    inner = 5
    grid, eye = sigmas(problem, evaluations // inner), torch.eye(problem.A.shape[1], dtype=F64)
    for now, then in pairwise(grid):
        x0 = x
        ladder = torch.cat(
            [float(now) * torch.linspace(1, 0, inner + 1, dtype=F64)[:-1] ** 3, torch.zeros(1, dtype=F64)]
        )
        for a, b in pairwise(ladder):
            estimate = problem.law(x0, Level(1.0, float(a)))
            x0 = estimate.x0 + b * estimate.eps
        precision = eye / now**2 + problem.A.T @ problem.A / problem.noise**2
        factor = torch.linalg.cholesky(precision)
        mean = torch.cholesky_solve((x0 / now**2 + problem.y @ problem.A / problem.noise**2).T, factor).T
        z = torch.randn(x.shape, generator=draw, dtype=F64)
        x0 = mean + torch.linalg.solve_triangular(factor.T, z.T, upper=True).T
        x = x0 + then * torch.randn(x.shape, generator=draw, dtype=F64)
    return x


def ours(problem: Problem, n: int, evaluations: int, seed: int, _: float) -> Tensor:
    """Twisted sequential Monte Carlo: as many systems of 8 particles as draws, weighed against each other."""
    steps = evaluations // PARTICLES
    found = posterior_samples(
        problem.law, problem.A, problem.y, problem.noise**2, PARTICLES * n,
        steps=steps, particles=PARTICLES, pooled=True, seed=seed,
    )  # fmt: skip
    return found.x0[:n]  # they come in random order


METHODS: dict[str, tuple[Callable[..., Tensor], tuple[float, ...]]] = {
    "scorefield": (ours, (0.0,)),
    "DPS": (dps, (0.1, 0.3, 1.0)),
    "PiGDM": (pigdm, (0.0,)),
    "DiffPIR": (diffpir, (1.0, 7.0)),
    "DAPS": (daps, (0.0,)),
}

# -------------------------------------------------------------------------------------------------------- figures


def figures(problem: Problem, x: Tensor, many: Tensor, labels: bool) -> dict[str, float]:
    """How far draws are from the posterior, in posterior standard deviations."""
    exact = problem.exact
    values, basis = torch.linalg.eigh(exact.covariance)
    whiten = basis / values.clamp(min=1e-12).sqrt()
    z, reference = ((v - exact.mean) @ whiten for v in (x, many))
    found = {
        "energy distance": energy_distance(z, reference),
        "mean": float(z.mean(0).norm()) / math.sqrt(z.shape[1]),
        "covariance": float((z.T.cov() - torch.eye(z.shape[1], dtype=F64)).norm()) / math.sqrt(z.shape[1]),
        "mode weights": 0.5 * float((shares(problem, x) - exact.weights / exact.weights.sum()).abs().sum()),
    }
    if labels:
        found["C2ST"] = c2st(z, reference, epochs=20, width=64).value
    return found


def shares(problem: Problem, x: Tensor) -> Tensor:
    """The expected number of draws of each mode, by the exact posterior's responsibilities."""
    exact = problem.exact
    modes = torch.distributions.MultivariateNormal(exact.means, exact.covariances)
    return (modes.log_prob(x[:, None]) + exact.weights.log()).softmax(1).nan_to_num().mean(0)


def measure(problem: Problem, n: int, evaluations: int) -> dict[str, dict[str, tuple[float, float]]]:
    """The figures of every method, and `(figure - exact) / s.e.`, exact being that of SETS exact samples."""
    many = problem.exact.sample(4 * n, seed=77)
    exact = [figures(problem, problem.exact.sample(n, seed=100 + k), many, True) for k in range(SETS)]
    found = {}
    for name, (method, sizes) in METHODS.items():
        begun = time.process_time()
        tried = [method(problem, n, evaluations, 1, size).nan_to_num(1e6).clamp(-1e6, 1e6) for size in sizes]
        best = min(tried, key=lambda x: figures(problem, x, many, False)["energy distance"])
        row = figures(problem, best, many, True)
        found[name] = {}
        for key, value in row.items():
            floor = torch.tensor([e[key] for e in exact if key in e], dtype=F64)
            found[name][key] = (value, (value - float(floor.mean())) / max(float(floor.std()), 1e-12))
        print(f"{problem.name:32} {name:10} {time.process_time() - begun:6.1f} s ", _line(found[name]), flush=True)
    found["exact"] = {k: (sum(e[k] for e in exact if k in e) / sum(k in e for e in exact), 0.0) for k in exact[0]}
    return found


def _line(row: dict[str, tuple[float, float]]) -> str:
    return "  ".join(f"{key} {value:.3f} ({z:+.1f})" for key, (value, z) in row.items())


def page(found: dict[str, dict[str, dict[str, tuple[float, float]]]], n: int, evaluations: int) -> str:
    """The tables as Markdown."""
    text = [
        "# Posteriors of mixtures\n",
        f"`python benchmarks/inverse.py`: {n} draws (in 64 dimensions 64) of the exact posterior of a random mixture,",
        f"each with {evaluations} evaluations of the model (in 64 dimensions {100 * PARTICLES}). `scorefield` is",
        "`posterior_samples(particles=8, pooled=True)`, 8 particles for each draw; the others, with as many steps, are",
        "written from their papers in that file (their own packages were not run). In brackets: by how many standard",
        f"errors a figure is off that of {SETS} samples of as many exact draws; within 2 is as good as exact.\n",
    ]
    for key in ("energy distance", "C2ST", "mean", "covariance", "mode weights"):
        text += [f"## {key.capitalize() if key != 'C2ST' else key}\n", f"| | {' | '.join((*METHODS, 'exact'))} |"]
        text += ["|---|" + "---|" * (len(METHODS) + 1)]
        for name, row in found.items():
            cells = [f"{row[m][key][0]:.3f} ({row[m][key][1]:+.1f})" for m in METHODS]
            text.append(f"| {name} | {' | '.join(cells)} | {row['exact'][key][0]:.3f} |")
        text.append("")
    return "\n".join(text)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--draws", type=int, default=512)
    parser.add_argument("--evaluations", type=int, default=50 * PARTICLES)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("inverse.md"))
    given = parser.parse_args()
    torch.set_num_threads(1)
    found = {}
    for problem in problems(given.quick):
        n, evaluations = (given.draws, given.evaluations) if problem.law.means.shape[1] == 2 else (64, 100 * PARTICLES)
        found[problem.name] = measure(problem, n, evaluations)
        given.output.write_text(page(found, given.draws, given.evaluations), encoding="utf-8")


if __name__ == "__main__":
    main()
