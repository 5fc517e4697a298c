"""What it saves to answer rows that share a pattern together, and to integrate a density beside the mixture's.

    python benchmarks/rows.py

Ratios within one run, on a mixture of 240 components in 10 dimensions with a network of the usual size: the seconds of
the slower way over those of the quicker one, and the largest difference of their answers.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.analytic import GaussianMixture
from scorefield.analytic.conditional import DecompositionCache
from scorefield.analytic.partial import PartialMixture, Pattern, combine_components
from scorefield.tables import density
from scorefield.tables.denoiser import MaskedDenoiser
from scorefield.tables.density import row_log_density
from scorefield.tables.network import MaskedMLP
from scorefield.tables.row_model import Layout

DIM, COMPONENTS, ROWS = 10, 240, 64


def law() -> GaussianMixture:
    draw = torch.Generator().manual_seed(0)
    a = torch.randn(COMPONENTS, DIM, DIM, generator=draw, dtype=torch.float64) / DIM**0.5
    means = torch.randn(COMPONENTS, DIM, generator=draw, dtype=torch.float64)
    return GaussianMixture(torch.ones(COMPONENTS), means, 0.1 * a @ a.mT + 0.01 * torch.eye(DIM))


def seconds(work: Callable[[], Tensor], times: int = 3) -> tuple[float, Tensor]:
    found = work()
    begun = time.perf_counter()
    for _ in range(times):
        found = work()
    return (time.perf_counter() - begun) / times, found


def told(name: str, slow: tuple[float, Tensor], quick: tuple[float, Tensor]) -> None:
    gap = float((slow[1] - quick[1]).abs().max())
    print(f"{name}: {slow[0] / quick[0]:.1f} times quicker ({quick[0] / ROWS * 1e3:.1f} ms a row), gap {gap:.1e}")


def patterns() -> None:
    """One denoising step of rows of which half is given, all with one pattern."""
    mixture = law()
    x = mixture.sample(ROWS, seed=1).double()
    given = torch.where(torch.arange(DIM) % 2 == 0, x, torch.nan)
    pattern, sigma = Pattern.of(given), torch.logspace(-2, 1, ROWS, dtype=torch.float64)[:, None]
    kinds, partial = DecompositionCache(mixture), PartialMixture(mixture)
    one = torch.ones_like(sigma)
    alone = seconds(
        lambda: combine_components(partial.component_estimates(x, one, sigma, pattern), x, one, sigma).eps[
            pattern.queried
        ]
    )
    together = seconds(lambda: kinds.grouped(pattern).estimate(x, one, sigma).eps[pattern.queried])
    told("rows that share a pattern, together", alone, together)


def densities() -> None:
    """The log-density of whole rows, beside the mixture's and by the whole ODE."""
    mixture = law()
    network = MaskedMLP(DIM, width=256, depth=3, seed=1)
    draw = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data.add_(0.01 * torch.randn(parameter.shape, generator=draw))
    model, layout = MaskedDenoiser(network, mixture).eval(), Layout(DIM, 0, (-1,) * DIM)
    x = mixture.sample(ROWS, seed=2).double()
    beside = seconds(lambda: row_log_density(model, layout, x).value, 1)
    bound, density.Bound = density.Bound, type(None)  # as a model of which no reference is known
    whole = seconds(lambda: row_log_density(model, layout, x).value, 1)
    density.Bound = bound
    told("log-densities beside the mixture's", whole, beside)


if __name__ == "__main__":
    torch.set_num_threads(1)
    patterns()
    densities()
