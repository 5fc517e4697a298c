"""How precise neighbours of score matching are, where asymptotic variances are known: the tables of docs/energies.md.

Run `python benchmarks/efficiency.py [--runs 200]`. Three tables: the variance of an estimate over maximum likelihood's,
from the closed forms of `objectives.efficiency` by quadrature; the same for noise contrast in many dimensions; and
the variances over many simulated samples beside the closed forms, with their Monte Carlo errors.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from scorefield import objectives
from scorefield.numerics.random import normal, uniform
from scorefield.objectives import contrastive, efficiency, minimum
from scorefield.objectives.closed_form import exponential_family

F64 = torch.float64
Z = torch.linspace(-9, 9, 181, dtype=F64)  # of a normal law, by the trapezoidal rule
V = (-Z.square() / 2).softmax(0)


class Family:
    """`exp(theta . T(x))` on the line, by quadrature."""

    def __init__(self, name: str, statistics: Callable[[Tensor], Tensor], theta: list[float]) -> None:
        self.name, self.statistics, self.theta = name, statistics, torch.tensor(theta, dtype=F64)
        wide = torch.linspace(-40, 40, 8001, dtype=F64)[:, None]
        log_p = statistics(wide) @ self.theta
        end = float(wide[log_p > log_p.max() - 600].abs().max())  # beyond, ratios of densities would overflow
        self.nodes = torch.linspace(-end, end, 2001, dtype=F64)[:, None]
        self.T = statistics(self.nodes)
        self.spacing = math.log(2 * end / 2000)
        self.log_normaliser = float((self.T @ self.theta).logsumexp(0)) + self.spacing
        self.log_p = self.T @ self.theta - self.log_normaliser
        self.w = self.log_p.softmax(0)
        self.scale = float((self.w @ self.nodes.square() - (self.w @ self.nodes).square())[0].sqrt())

    def draw(self, n: int, seed: int) -> Tensor:
        """By the distribution function, linear between nodes."""
        u = uniform(n, (), seed, "efficiency", dtype=F64)
        edges = np.concatenate([[0.0], self.w.cumsum(0).numpy()])
        half = math.exp(self.spacing) / 2
        ends = np.concatenate([self.nodes[:1, 0] - half, self.nodes[:, 0] + half])
        return torch.from_numpy(np.interp(u.numpy(), edges / edges[-1], ends))[:, None]

    def energy(self, theta: Tensor) -> Callable[[Tensor], Tensor]:
        """At theta, whose last entry may be the log-normaliser."""
        return lambda x: -self.statistics(x) @ theta[: len(self.theta)]

    def noise_log_density(self, width: float) -> Callable[[Tensor], Tensor]:
        """Of N(0, (width scale)^2)."""
        s = width * self.scale
        return lambda x: -(x[:, 0] ** 2) / (2 * s**2) - math.log(s * math.sqrt(2 * math.pi))


def well(barrier: float) -> Family:
    """Two modes near -1 and 1, the barrier between them in nats, one a little heavier."""
    b = 4 * barrier
    return Family(f"two modes, barrier {barrier:g}", lambda x: torch.cat([x, x**2 / 2, -(x**4) / 4], 1), [0.2, b, b])


FAMILIES = [Family("normal", lambda x: torch.cat([x, -(x**2) / 2], 1), [0.0, 1.0]), *map(well, (0.5, 2, 4, 8))]


def near(family: Family, slope: Callable[[Tensor], Tensor], width: float, k: float) -> Tensor:
    """The asymptotic covariance with k neighbours at `width` standard deviations of the family."""
    y = (family.nodes + width * family.scale * Z).reshape(-1, 1)
    others = family.statistics(y).reshape(len(family.nodes), len(Z), -1)
    return efficiency.neighbours(slope, family.T, family.theta, others, family.w, V, k)


def contrast(family: Family, width: float, k: float) -> Tensor:
    """The asymptotic covariance of noise contrast."""
    log_q = family.noise_log_density(width)(family.nodes)
    return efficiency.noise_contrastive(family.T, family.log_p, log_q, family.w, k)


COLUMNS: dict[str, Callable[[Family], Tensor]] = {
    "score matching": lambda f: efficiency.score_matching(f.statistics, f.theta, f.nodes, f.w),
    "noise contrast, k = 1": lambda f: contrast(f, 1.5, 1),
    "k = 10": lambda f: contrast(f, 1.5, 10),
    "flow, near": lambda f: near(f, efficiency.flow_slope, 0.3, 10),
    "flow, wide": lambda f: near(f, efficiency.flow_slope, 1.0, 10),
    "conditional, near": lambda f: near(f, efficiency.logistic_slope, 0.3, 10),
    "conditional, wide": lambda f: near(f, efficiency.logistic_slope, 1.5, 10),
}


def table_of_families() -> None:
    """Variance of the first parameter over maximum likelihood's."""
    print("| family | " + " | ".join(COLUMNS) + " |\n" + "|---" * (1 + len(COLUMNS)) + "|")
    for family in FAMILIES:
        best = efficiency.maximum_likelihood(family.T, family.w)[0, 0]
        cells = [f"{float(column(family)[0, 0] / best):.3g}" for column in COLUMNS.values()]
        print(f"| {family.name} | " + " | ".join(cells) + " |")


def table_of_dimensions() -> None:
    """Of `N(0, I / theta)`, theta = 1, by noise contrast with N(0, s^2 I): by quantiles of |x|^2."""
    from scipy import stats

    print("| d | s = 1 | s = 1.2 | s = 1.5 | s = 2 | s = 1.5, k = 100 |\n" + "|---" * 6 + "|")
    for d in (1, 4, 16, 64, 256):
        r = np.linspace(*stats.chi2(d).ppf([1e-13, 1 - 1e-13]), 20_001)
        w = torch.from_numpy(stats.chi2(d).pdf(r)[1:])
        square = torch.from_numpy(r[1:])
        w, T, log_p = w / w.sum(), -square[:, None] / 2, -square / 2
        best = float(efficiency.maximum_likelihood(T, w))
        cells = []
        for s, k in ((1.0, 1), (1.2, 1), (1.5, 1), (2.0, 1), (1.5, 100)):
            found = efficiency.noise_contrastive(T, log_p, -square / (2 * s**2) - d * math.log(s), w, k)
            cells.append(f"{float(found[0, 0]) / best:.3g}")
        print(f"| {d} | " + " | ".join(cells) + " |")


def simulated(family: Family, runs: int, n: int) -> None:
    """n times the variance of the first parameter over many samples, beside the closed form."""
    start, c = family.theta, family.theta.new_tensor([family.log_normaliser])
    noise = family.noise_log_density(1.5)

    def likelihood(x: Tensor, seed: int) -> Tensor:
        loss = lambda t: family.energy(t)(x) + (family.T @ t).logsumexp(0) + family.spacing  # noqa: E731
        return minimum(loss, start).theta

    def matched(x: Tensor, seed: int) -> Tensor:
        return exponential_family(x, family.statistics).theta

    def contrasted(x: Tensor, seed: int) -> Tensor:
        y = 1.5 * family.scale * normal(n, (1,), seed, "noise", dtype=F64)[None]
        loss = lambda t: objectives.noise_contrastive(family.energy(t), x, y, noise, t[-1])  # noqa: E731
        return minimum(loss, torch.cat([start, c])).theta

    def flowed(x: Tensor, seed: int) -> Tensor:
        y = contrastive.perturbed(x, family.scale, 10, seed)
        return minimum(lambda t: objectives.minimum_probability_flow(family.energy(t), x, y), start).theta

    def conditional(x: Tensor, seed: int) -> Tensor:
        y = contrastive.perturbed(x, 1.5 * family.scale, 10, seed)
        return minimum(lambda t: objectives.conditional_noise_contrastive(family.energy(t), x, y), start).theta

    methods = {
        "maximum likelihood": (likelihood, efficiency.maximum_likelihood(family.T, family.w)),
        "score matching": (matched, COLUMNS["score matching"](family)),
        "noise contrast, k = 1": (contrasted, COLUMNS["noise contrast, k = 1"](family)),
        "flow, wide": (flowed, COLUMNS["flow, wide"](family)),
        "conditional, wide": (conditional, COLUMNS["conditional, wide"](family)),
    }
    print(f"| {family.name}, {runs} samples of {n:,} | simulated | closed form | z |\n|---|---|---|---|")
    for name, (method, exact) in methods.items():
        found = torch.stack([method(family.draw(n, 1000 + r), r)[0] for r in range(runs)])
        variance = float(found.var()) * n
        error = variance * math.sqrt(2 / (runs - 1))
        truth = float(exact[0, 0])
        print(
            f"| {name} | {variance:.3g} +- {error:.2g} | {truth:.3g} | {(variance - truth) / error:+.1f} |", flush=True
        )


def main() -> None:
    """All tables."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100)
    runs = parser.parse_args().runs
    table_of_families()
    print()
    table_of_dimensions()
    for family in FAMILIES[:1] + FAMILIES[2:3]:
        print()
        simulated(family, runs, 1000)


if __name__ == "__main__":
    main()
