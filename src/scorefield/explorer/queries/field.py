"""The score field: log-density and arrows on a grid, and the estimates at a single noisy point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import torch
from torch import Tensor

from scorefield.analytic import Empirical, GaussianMixture
from scorefield.core import Estimate, Level, Model
from scorefield.explorer.queries.laws import PRESETS, check_range, described, dtype_of, plane
from scorefield.explorer.queries.params import Checked, Extent, Law, Pair, Points, Seed, Within, law_of
from scorefield.explorer.queries.pauses import in_pieces, paced
from scorefield.likelihood import log_density
from scorefield.numerics.random import normal

if TYPE_CHECKING:
    from scorefield.explorer.session import Session


_MOST_PAIRS = 25_000_000  # of a node and a point of the user's: a second, and 100 MB


@dataclass(frozen=True)
class Presets(Checked):
    """Nothing is to be chosen."""


def presets(p: Presets, session: Session) -> dict[str, Any]:
    """The mixtures that are offered, in order: `presets`, a list of `{name, mixture}`."""
    return {"presets": [{"name": name, "mixture": described(law)} for name, law in PRESETS.items()]}


@dataclass(frozen=True)
class Source:
    """What a picture is of.

    Args:
        mixture: unless points or a run are given.
        points: `(n, 2)`, the user's own.
        run: the open run; its coordinates are standardised, sigma is in the data's standard deviations.
    """

    mixture: Law = "two modes"
    points: Points | None = None
    run: bool = False


def chosen(p: Source, session: Session) -> GaussianMixture | Empirical | Model:
    """The model that a request is about: the run where it is requested, else the points, else the mixture.

    Raises:
        ValueError: for a run where none is open, or one that does not live in the plane.
    """
    if p.run:
        return plane(session)
    if p.points is not None:
        return Empirical(torch.tensor(p.points, dtype=torch.float64))
    return law_of(p.mixture)


@dataclass(frozen=True)
class Grid(Source, Checked):
    """A window of the plane at a noise level.

    Args:
        sigma: noise level, >= 0.
        x_range: from left to right.
        y_range: from bottom to top.
        n: points of the log-density along each axis.
        arrows: points of the score along each axis.
        landscape: for a run, whose log-density costs an ODE: draw it too, on a grid of at most 40 points an axis.
    """

    sigma: Annotated[float, Within(0, 1000)] = 0.5
    x_range: Extent = (-5.0, 5.0)
    y_range: Extent = (-5.0, 5.0)
    n: Annotated[int, Within(2, 256)] = 96
    arrows: Annotated[int, Within(2, 64)] = 20
    landscape: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.points or ()) * self.n**2 > _MOST_PAIRS:
            raise ValueError(
                f"n^2 times the points must be at most {_MOST_PAIRS:,}, got {len(self.points or ()):,} points."
            )


@torch.no_grad()
def grid(p: Grid, session: Session) -> dict[str, Any]:
    """`x`, `y` `(n,)`; `log_density` `(n, n)`, rows are y, or None; its `max`; `at`, `score` `(m, m, 2)`; `longest`."""
    model, level = chosen(p, session), Level(1.0, p.sigma)
    check_range(model, p.sigma)
    x, y, nodes = window(p.x_range, p.y_range, p.n)
    values: Tensor | None = None
    if isinstance(model, GaussianMixture | Empirical):
        # all nodes at once would take a quarter of a gigabyte with 5,000 points of the user's
        law = model
        values = in_pieces(lambda x: law.log_density(x, level), nodes)
    elif p.landscape:
        x, y, nodes = window(p.x_range, p.y_range, min(p.n, 40))
        values = log_density(paced(model), nodes, level=level, evaluations=7).value
    at = window(p.x_range, p.y_range, p.arrows)[2]
    arrows = score(model, at, level)
    return {
        "x": x.numpy(),
        "y": y.numpy(),
        "log_density": None if values is None else values.float().reshape(len(y), len(x)).numpy(),
        "max": None if values is None else float(values.max()),
        "at": at.reshape(p.arrows, p.arrows, 2).numpy(),
        "score": arrows.float().reshape(p.arrows, p.arrows, 2).numpy(),
        "longest": float(arrows.norm(dim=1).max()),
    }


def window(x_range: tuple[float, float], y_range: tuple[float, float], n: int) -> tuple[Tensor, Tensor, Tensor]:
    """Axes `(n,)` and all nodes `(n * n, 2)`, x fastest; float32."""
    x, y = (torch.linspace(*ends, n) for ends in (x_range, y_range))
    rows, columns = torch.meshgrid(y, x, indexing="ij")
    return x, y, torch.stack([columns, rows], 2).reshape(-1, 2)


def score(model: GaussianMixture | Empirical | Model, x: Tensor, level: Level) -> Tensor:
    """`grad log p(x)` at a level, `(n, 2)`: at sigma = 0 only mixtures have one."""
    if isinstance(model, GaussianMixture | Empirical):
        return in_pieces(lambda piece: model.score(piece, level), x)
    return in_pieces(lambda piece: model(piece, level).score(level), x.to(dtype_of(model)))


@dataclass(frozen=True)
class Point(Source, Checked):
    """A noisy point of the plane at a noise level.

    Args:
        sigma: noise level, > 0.
        x: the noisy point.
        count: of clean points that x may come from.
        seed: of these.
    """

    sigma: Annotated[float, Within(1e-3, 1000)] = 0.5
    x: Pair = (0.0, 0.0)
    count: Annotated[int, Within(2, 5000)] = 200
    seed: Seed = 0


@torch.no_grad()
def point(p: Point, session: Session) -> dict[str, Any]:
    """At x: `x0`, `eps`, `score` `(2,)`, `log_density` or None, the residuals of `alpha x0 + sigma eps = x` (`pair`)
    and of `score + eps / sigma = 0` (`tweedie`); for mixtures `candidates`: clean `points` that x may come from, the
    score `conditional` on each at x, their `mean`, its `standard_error`: the mean is the marginal score at x.
    """
    model, level = chosen(p, session), Level(1.0, p.sigma)
    check_range(model, p.sigma)
    x = torch.tensor([p.x], dtype=dtype_of(model))
    estimate, marginal = model(x, level), score(model, x, level)
    exact = isinstance(model, GaussianMixture | Empirical)
    return {
        "x0": estimate.x0[0].double().tolist(),
        "eps": estimate.eps[0].double().tolist(),
        "score": marginal[0].double().tolist(),
        "log_density": float(model.log_density(x, level)) if isinstance(model, GaussianMixture | Empirical) else None,
        "exact": exact,
        "residuals": {
            "pair": float((estimate.at(level) - x).abs().max()),
            "tweedie": float((marginal - estimate.score(level)).abs().max()),
        },
        "candidates": _candidates(model, x, level, p) if isinstance(model, GaussianMixture) else None,
    }


def _candidates(law: GaussianMixture, x: Tensor, level: Level, p: Point) -> dict[str, Any]:
    """Draws of the clean point given the noisy one, and what each would say of the score."""
    noise = torch.eye(2, dtype=torch.float64) * p.sigma**2
    x0 = law.posterior(x[0], torch.eye(2, dtype=torch.float64), noise).sample(p.count, p.seed)
    each = Estimate(x0, (x - x0) / p.sigma).score(level)
    return {
        "points": x0.float().numpy(),
        "conditional": each.float().numpy(),
        "mean": each.mean(0).tolist(),
        "standard_error": (each.std(0) / p.count**0.5).tolist(),
    }


@dataclass(frozen=True)
class Cloud(Source, Checked):
    """A clean point whose noised cloud is to be drawn.

    Args:
        sigma: noise level, > 0.
        clean: the point.
        count: of noisy points.
        seed: of the noise.
    """

    sigma: Annotated[float, Within(1e-3, 1000)] = 0.5
    clean: Pair = (0.0, 0.0)
    count: Annotated[int, Within(2, 5000)] = 200
    seed: Seed = 0


@torch.no_grad()
def cloud(p: Cloud, session: Session) -> dict[str, Any]:
    """Noisy `points` `(count, 2)` of the clean one, the score `conditional` on it of each, `-eps / sigma`, and the
    `marginal` score there.
    """
    model, level = chosen(p, session), Level(1.0, p.sigma)
    check_range(model, p.sigma)
    eps = normal(p.count, (2,), p.seed, "explorer cloud", dtype=dtype_of(model))
    x0 = torch.tensor([p.clean], dtype=eps.dtype).expand_as(eps)
    x = level.noised(x0, eps)
    return {
        "points": x.float().numpy(),
        "conditional": Estimate(x0, eps).score(level).float().numpy(),
        "marginal": score(model, x, level).float().numpy(),
    }
