"""What the scenes are about: mixtures in the plane, the user's points, a trained model; all answer one question."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from scorefield.analytic import Empirical, GaussianMixture
from scorefield.core import Level, Model
from scorefield.data.toys import ring
from scorefield.posterior.trained import TrainedPosterior
from scorefield.records.latent_codec import LatentCodec
from scorefield.records.trained import TrainedModel

if TYPE_CHECKING:
    from scorefield.explorer.session import Session


def mixture_of(
    weights: Sequence[float], means: Sequence[Sequence[float]], covariances: Sequence[Sequence[Sequence[float]]]
) -> GaussianMixture:
    """A mixture in float64 from nested lists of numbers."""
    return GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in (weights, means, covariances)))


def _round(means: Sequence[Sequence[float]], std: float, weights: Sequence[float] | None = None) -> GaussianMixture:
    """Equal round modes."""
    covariance = [[std**2, 0.0], [0.0, std**2]]
    return mixture_of(weights or [1.0] * len(means), means, [covariance] * len(means))


def _curve(point: Callable[[float], tuple[float, float]], start: float, stop: float, count: int, brush: float) -> (
    list[tuple[tuple[float, float], list[list[float]]]]
):  # fmt: skip
    """Modes along a curve, each as long as its piece and as wide as the brush."""
    width = (stop - start) / count
    modes = []
    for i in range(count):
        t = start + (i + 0.5) * width
        (x, y), (a, b) = point(t - width / 2), point(t + width / 2)
        u, v = (a - x) / math.sqrt(12), (b - y) / math.sqrt(12)  # the spread of a uniform piece
        modes.append((point(t), [[u * u + brush**2, u * v], [u * v, v * v + brush**2]]))
    return modes


def _drawn(modes: list[tuple[tuple[float, float], list[list[float]]]]) -> GaussianMixture:
    return mixture_of([1.0] * len(modes), [mean for mean, _ in modes], [c for _, c in modes])


def _moons() -> GaussianMixture:
    upper = _curve(lambda t: (2 * math.cos(t) - 1, 2 * math.sin(t) - 0.5), 0, math.pi, 8, 0.2)
    lower = _curve(lambda t: (1 - 2 * math.cos(t), 0.5 - 2 * math.sin(t)), 0, math.pi, 8, 0.2)
    return _drawn(upper + lower)


def _spiral() -> GaussianMixture:
    return _drawn(_curve(lambda t: (t / 3 * math.cos(t), t / 3 * math.sin(t)), 1.5, 10.0, 16, 0.15))


PRESETS: Mapping[str, GaussianMixture] = MappingProxyType(
    {
        "two modes": _round([[-2.0, 0.0], [2.0, 0.0]], 0.5),
        "unequal weights": _round([[-2.0, 0.0], [2.0, 0.0]], 0.5, [0.2, 0.8]),
        "ring of eight": _round(ring().centres.tolist(), ring().std),
        "correlated": mixture_of([1.0], [[0.0, 0.0]], [[[2.0, 1.6], [1.6, 2.0]]]),
        "cross": mixture_of([1.0, 1.0], [[0.0, 0.0]] * 2, [[[3.0, 0.0], [0.0, 0.1]], [[0.1, 0.0], [0.0, 3.0]]]),
        "moons": _moons(),
        "spiral": _spiral(),
    }
)
"""Mixtures that a page offers by name, none of more than 16 modes."""


def described(law: GaussianMixture) -> dict[str, object]:
    """A mixture as nested lists, as `mixture_of` takes them."""
    return {name: getattr(law, name).tolist() for name in ("weights", "means", "covariances")}


def trained(session: Session) -> TrainedModel:
    """The open run, of arrays or images.

    Raises:
        ValueError: where none is open, or it is a model of a table or a posterior.
    """
    if session.run is None:
        raise ValueError("no run is open; start the explorer with a run's folder.")
    if not isinstance(session.run, TrainedModel):
        what = "posterior" if isinstance(session.run, TrainedPosterior) else "model of a table"
        raise ValueError(f"the open run is a {what}; this scene needs one of arrays or images.")
    return session.run


def plane(session: Session) -> Model:
    """The open run's model, of standardised points of the plane: of an array, or of a table of two numbers.

    Raises:
        ValueError: where the run's records are not two numbers.
    """
    run = session.run
    if run is not None and not isinstance(run, TrainedModel | TrainedPosterior):
        if run.codec.continuous != 2 or run.codec.sizes:
            what = f"{run.codec.continuous} numbers and {len(run.codec.sizes)} codes"
            raise ValueError(f"this scene needs a run of points of the plane, got rows of {what}.")
        return run.model
    run = trained(session)
    if tuple(run.codec.shape) != (2,) or isinstance(run.codec, LatentCodec):
        raise ValueError(f"this scene needs a run of points of the plane, got records of shape {run.codec.shape}.")
    return run.model


def dtype_of(model: object) -> torch.dtype:
    """Of the points that a model takes: float64 for exact laws, for networks their own."""
    parameters = getattr(model, "parameters", None)
    first = next(parameters(), None) if callable(parameters) else None
    return torch.float64 if first is None else first.dtype


def check_range(model: object, sigma: float) -> None:
    """Raise unless the model answers at this noise level."""
    low, high = getattr(model, "sigma_min", 0.0), getattr(model, "sigma_max", math.inf)
    if isinstance(model, Empirical) and sigma == 0:
        raise ValueError("separate points have no density or score at sigma = 0; choose sigma > 0.")
    if not low <= sigma <= high:
        raise ValueError(f"the run was trained for sigma from {low:g} to {high:g}, got {sigma:g}.")


def spread(law: GaussianMixture) -> float:
    """The standard deviation of a coordinate, over both."""
    return math.sqrt(float(law.covariance.diagonal().mean()))


def noised(law: GaussianMixture, level: Level) -> GaussianMixture:
    """The mixture that the noised data have: `N(alpha m_k, alpha^2 C_k + sigma^2)`."""
    return _noised(law, *(float(v) for v in level))


@lru_cache(maxsize=64)
def _noised(law: GaussianMixture, alpha: float, sigma: float) -> GaussianMixture:
    noise = sigma**2 * torch.eye(law.means.shape[1], dtype=torch.float64)
    return GaussianMixture(law.weights, alpha * law.means, alpha**2 * law.covariances + noise)


def shares(law: GaussianMixture, x: Tensor, level: Level) -> Tensor:
    """The mean probability of each mode given the points x `(n, 2)` at a level: `(K,)`; weights for exact samples."""
    joint = [w.log() + part.log_density(x, level) for w, part in zip(law.weights, components(law), strict=True)]
    return torch.stack(joint, 1).softmax(1).mean(0)


@lru_cache(maxsize=64)
def components(law: GaussianMixture) -> tuple[GaussianMixture, ...]:
    """Each mode by itself."""
    return tuple(
        GaussianMixture(law.weights[k : k + 1], law.means[k : k + 1], law.covariances[k : k + 1])
        for k in range(len(law.weights))
    )
