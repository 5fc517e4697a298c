"""Regions of the whole posterior: how often those of each probability hold the truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np

from scorefield.numerics.random import normal
from scorefield.posterior.proof.features import Features
from scorefield.posterior.proof.ranks import Ranks, ranks_among

LogDensity: TypeAlias = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""`log_density(theta (m, k, d), x (m, ...)) -> (m, k)`: of a posterior, in nats."""

REGIONS, DISTANCES, DENSITY = "regions", "distances", "density"
"""What the ranks of the functions below are called."""


def density_ranks(log_density: LogDensity, theta: np.ndarray, x: np.ndarray, draws: np.ndarray, seed: int) -> Ranks:
    """Ranks of minus the posterior's own log-density: the truth lies within the highest-density region of a
    probability as often as that says.

    Args:
        log_density: of the posterior.
        theta: the truths `(m, d)`.
        x: their observations `(m, ...)`.
        draws: `(m, n, d)`.
        seed: of places among equals.

    Source:
        Hermans and others (2022).
    """
    values = -np.asarray(log_density(np.concatenate([theta[:, None], draws], 1), x), dtype=np.float64)
    return ranks_among(DENSITY, values[:, 0], values[:, 1:], seed)


def region_ranks(theta: np.ndarray, draws: np.ndarray, seed: int) -> Ranks:
    """As `density_ranks`, without a density: how lonely the truth is among the draws, and each draw among the others.

    A point's loneliness is the distance to its k-th neighbour among the truth and all draws, k about the square root of
    their number; of a right posterior truth and draws are alike, so the ranks are uniform, exactly, whatever its form.

    Args:
        theta: the truths `(m, d)`.
        draws: `(m, n, d)`.
        seed: of places among equals.

    Example:
        >>> draws = np.linspace(-1, 1, 19)[None, :, None]
        >>> region_ranks(np.array([[5.0]]), draws, 0).ranks.tolist()
        [19]
    """
    found = np.stack([_loneliness(points) for points in _scaled(np.concatenate([theta[:, None], draws], 1))])
    return ranks_among(REGIONS, found[:, 0], found[:, 1:], seed)


def distance_ranks(theta: np.ndarray, x: np.ndarray, draws: np.ndarray, seed: int) -> Ranks:
    """Ranks of the distance from a reference point that depends on the observation and chance alone: TARP.

    The reference is a linear guess of the parameters from the observation, learned from the other half of the
    simulations, plus noise of its residuals' size: so it also finds a posterior that ignores the observation, which
    references that do not depend on it cannot.

    Args:
        theta: the truths `(m, d)`.
        x: their observations `(m, ...)`.
        draws: `(m, n, d)`.
        seed: of the reference points and of places among equals.

    Source:
        Lemos and others (2023), "Sampling-based accuracy testing of posterior estimators".
    """
    scale = _nonzero(theta.std(0))
    reference = references(theta / scale, x, seed)[:, None]
    truth = np.linalg.norm(theta[:, None] / scale - reference, axis=-1)[:, 0]
    return ranks_among(DISTANCES, truth, np.linalg.norm(draws / scale - reference, axis=-1), seed)


def references(theta: np.ndarray, x: np.ndarray, seed: int) -> np.ndarray:
    """Reference points `(m, d)` that depend on x and chance, not on the truth of the same simulation."""
    noise = normal(len(theta), theta.shape[1:], seed, "reference points").double().numpy()
    found = np.empty(theta.shape, dtype=np.float64)
    half = np.arange(len(theta)) % 2 == 0
    for here in (half, ~half):
        features = Features.of(x[~here])
        guess = features.linear(x[~here], theta[~here])
        residual = (theta[~here] - guess(x[~here])).std(0)
        found[here] = guess(x[here]) + residual * noise[here]
    return found


def _scaled(points: np.ndarray) -> Iterator[np.ndarray]:
    """The points `(m, k, d)` of each simulation, in their own standard deviations."""
    for own in points:
        yield (own - own.mean(0)) / _nonzero(own.std(0))


def _loneliness(points: np.ndarray) -> np.ndarray:
    """The distance of each point `(k, d)` to its neighbour number sqrt(k)."""
    square = (points**2).sum(1)
    distance = square[:, None] + square - 2 * points @ points.T
    neighbour = max(1, int(len(points) ** 0.5))
    return np.asarray(np.partition(distance, neighbour, axis=1)[:, neighbour])


def _nonzero(scale: np.ndarray) -> np.ndarray:
    return np.where(scale > 0, scale, 1.0)
