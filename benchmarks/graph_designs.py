"""The five designs of the vignette of the R package genscore: `python benchmarks/graph_designs.py` prints a table.

50 columns in five blocks of 10, a pair of a block tied with probability 0.2 by an interaction from U(0.5, 1), the least
eigenvalue of each block 0.1; `mean` or eta from N(0, 1/4), free in the fits; 200 rows; weights and multiplier those of
the vignette. Rows are drawn by Hamiltonian Monte Carlo of the logarithms, a chain for each.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield import graphs, mcmc

D, BLOCK, ROWS = 50, 10, 200


class Design(NamedTuple):
    """A model, its exponents (None: Gaussian, on all numbers), and the area that the vignette prints of its one set."""

    model: graphs.Interactions
    exponents: tuple[float, float] | None
    published: float


DESIGNS = {
    "truncated Gaussian, h = min(x, 3)": Design(graphs.truncated_gaussian(), (1.0, 1.0), 0.675),
    "exponential square root, h = min(x, 3)^1.5": Design(graphs.exponential_square_root(), (0.5, 0.5), 0.842),
    "gamma, h = min(x, 3)^1.5": Design(graphs.gamma(), (0.5, 0.0), 0.686),
    "a = 3/2, b = 1/2, h = min(x, 3)^0.5": Design(graphs.interactions(1.5, 0.5, power=0.5), (1.5, 0.5), 0.815),
    "Gaussian": Design(graphs.gaussian(), None, 0.982),
}


def interactions(draw: np.random.Generator) -> np.ndarray:
    """K."""
    K = np.zeros((D, D))
    for start in range(0, D, BLOCK):
        at = slice(start, start + BLOCK)
        block = np.tril(draw.uniform(0.5, 1, (BLOCK, BLOCK)) * (draw.random((BLOCK, BLOCK)) < 0.2), -1)
        block += block.T
        K[at, at] = block + np.eye(BLOCK) * (0.1 - np.linalg.eigvalsh(block)[0])
    return K


def energy(design: Design, K: Tensor, mean: Tensor) -> Callable[[Tensor], Tensor]:
    """Of `y = log x`: a truncated normal law has eta = K mean, the others eta = mean."""
    a, b = design.exponents or (1.0, 1.0)
    eta = K @ mean if a == b == 1 else torch.where(mean <= -1, -mean, mean)

    def of(y: Tensor) -> Tensor:
        t, linear = (a * y).exp(), y if b == 0 else (b * y).exp() / b
        return ((t @ K) * t).sum(1) / (2 * a) - linear @ eta - y.sum(1)

    return of


def data(design: Design, K: np.ndarray, mean: np.ndarray, seed: int) -> np.ndarray:
    """Rows of the design."""
    if design.exponents is None:
        return np.random.default_rng(900 + seed).multivariate_normal(mean, np.linalg.inv(K), ROWS)
    start = torch.zeros(ROWS, D, dtype=torch.float64)
    of = energy(design, torch.from_numpy(K), torch.from_numpy(mean))
    chains = mcmc.hmc(of, start, 0.05, 500, seed=seed, leaps=10, burn_in=300, adapt="diagonal", thin=200)
    return chains.state.exp().numpy()


def area(K: np.ndarray, matrices: np.ndarray) -> float:
    """Under true against false positive rates, from no edge to all."""
    i, j = np.triu_indices(D, 1)
    there = K[i, j] != 0
    rates = [(float((M[i, j] != 0)[~there].mean()), float((M[i, j] != 0)[there].mean())) for M in matrices]
    false, true = np.array([(0.0, 0.0), *rates, (1.0, 1.0)]).T
    return float(np.trapezoid(true, false))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print("| model | area, mean | standard error | least, greatest | vignette |\n|---|---|---|---|---|", flush=True)
    for name, design in DESIGNS.items():
        areas = []
        for seed in range(repeats):
            draw = np.random.default_rng(seed)
            K, mean = interactions(draw), 0.5 * draw.normal(size=D)
            multiplier = graphs.default_multiplier(ROWS, D)
            x = data(design, K, mean, seed)
            found = graphs.path(x, design.model, multiplier=multiplier, smallest=0.01, tolerance=1e-5)
            areas.append(area(K, found.matrices.numpy()))
        error = np.std(areas, ddof=1) / repeats**0.5 if repeats > 1 else float("nan")
        ends = f"{min(areas):.3f}, {max(areas):.3f}"
        print(f"| {name} | {np.mean(areas):.3f} | {error:.3f} | {ends} | {design.published} |", flush=True)


if __name__ == "__main__":
    main()
