"""What the lessons share: exact averages by quadrature, tables, figures, checked exercises."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield.analytic import Gaussian, GaussianMixture
from scorefield.core import Level

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

F64 = torch.float64
Table = tuple[list[str], list[list[str]]]  # head, rows
COLOURS = ("#3b6fb6", "#c8553d", "#3a8f5c", "#8a5fb0", "#b08a2e", "#555555")


class Check(NamedTuple):
    """An answer worked out by hand beside what the library gives."""

    name: str
    by_hand: float
    by_library: float
    tolerance: float = 1e-6


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=F64)


def gaussian(mean: list[float], variances: list[float]) -> Gaussian:
    """A Gaussian with a diagonal covariance."""
    return Gaussian(doubles(*mean), torch.diag(doubles(*variances)))


def modes(weight: float, distance: float, variance: float = 1.0) -> GaussianMixture:
    """`weight N(-distance, variance) + (1 - weight) N(distance, variance)` in one dimension."""
    means = doubles(-distance, distance)[:, None]
    return GaussianMixture(doubles(weight, 1 - weight), means, torch.full((2, 1, 1), variance, dtype=F64))


def hermite(law: Gaussian, count: int = 12) -> tuple[Tensor, Tensor]:
    """Points `(n, d)` and weights `(n,)` whose averages are those of the law, exact for polynomials."""
    nodes, weights = (torch.from_numpy(v) for v in np.polynomial.hermite_e.hermegauss(count))
    d = len(law.mean)
    grid = torch.cartesian_prod(*[nodes] * d).reshape(-1, d)
    mass = torch.cartesian_prod(*[weights / weights.sum()] * d).reshape(-1, d).prod(1)
    return law.mean + grid @ torch.linalg.cholesky(law.covariance).T, mass


def line(law: GaussianMixture, level: Level | None = None, count: int = 4001) -> tuple[Tensor, Tensor]:
    """Points `(n, 1)` over all of a law on the line, and its probabilities there (trapezoidal rule)."""
    sigma = 0.0 if level is None else float(level.sigma)
    reach = 14 * (float(law.covariances.amax()) + sigma**2) ** 0.5
    x = torch.linspace(float(law.means.min()) - reach, float(law.means.max()) + reach, count, dtype=F64)[:, None]
    mass = law.log_density(x, level).exp()
    return x, mass / mass.sum()


def least(loss: Callable[[float], float]) -> float:
    """Where a parabola is least: from its values at 0, 1/2 and 1."""
    a, b, c = (loss(k) for k in (0.0, 0.5, 1.0))
    return (3 * a - 4 * b + c) / (4 * (a - 2 * b + c))


def field(ax: Axes, law: GaussianMixture, level: Level, reach: float = 5.0) -> None:
    """The log-density of a law in the plane, and its score as arrows, as the scene Field draws them."""
    side = torch.linspace(-reach, reach, 100, dtype=F64)
    grid = torch.cartesian_prod(side, side)
    height = law.log_density(grid, level).reshape(100, 100).T
    ax.contourf(side, side, (height - height.max()).clamp(min=-12), levels=24, cmap="Blues", vmin=-12, vmax=8)
    few = torch.cartesian_prod(*[torch.linspace(-reach, reach, 15, dtype=F64)] * 2)
    arrows = law.score(few, level)
    arrows = arrows / arrows.norm(dim=1, keepdim=True).clamp(min=1e-9) * arrows.norm(dim=1, keepdim=True).log1p()
    ax.quiver(*few.T, *arrows.T, color="#222", width=0.004)
    ax.set(aspect="equal", xlim=(-reach, reach), ylim=(-reach, reach), title=f"σ = {level.sigma:g}")


def axes(columns: int = 1, width: float = 4.2, height: float = 2.9) -> tuple[Figure, list[Axes]]:
    """A figure with axes side by side."""
    from matplotlib.figure import Figure

    figure = Figure((width * columns, height), layout="constrained")
    made = [figure.add_subplot(1, columns, k + 1) for k in range(columns)]
    for ax in made:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, made
