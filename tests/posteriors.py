"""An exact posterior, and the same spoilt on purpose: for the tests of proofs and their reports."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

A = np.array([[1.0, 0.5], [0.0, 1.0], [0.3, -0.4]])
NOISE = 0.5
GAIN = np.linalg.inv(np.eye(2) + A.T @ A / NOISE**2)
"""The posterior's covariance, of theta ~ N(0, 1) and x = A theta + noise."""
SD = np.sqrt(np.diag(GAIN))
ROOT = np.linalg.cholesky(GAIN)


def simulations(m: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """`(theta (m, 2), x (m, 3))`."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(size=(m, 2))
    return theta, simulator(theta, seed + 10_000)


def simulator(theta: np.ndarray, seed: int) -> np.ndarray:
    """`(m, 2) -> (m, 3)`."""
    return theta @ A.T + NOISE * np.random.default_rng(seed).normal(size=(len(theta), 3))


def middle(x: np.ndarray) -> np.ndarray:
    """The posterior's mean, `(m, 3) -> (m, 2)`."""
    return x @ A @ GAIN / NOISE**2


@dataclass(frozen=True)
class LinearGaussian:
    """The exact posterior, changed as told.

    Args:
        scale: of its standard deviations, a factor for each parameter and observation: `x (m, 3) -> (m, 1, 2)`.
        shift: of its mean, in its standard deviations.
        root: of its covariance.
    """

    scale: float | Callable[[np.ndarray], np.ndarray] = 1.0
    shift: tuple[float, float] = (0.0, 0.0)
    root: np.ndarray | None = None

    def __call__(self, x: np.ndarray, n: int, seed: int) -> np.ndarray:
        x = np.asarray(x, dtype=np.float64)
        z = np.random.default_rng([seed, 1]).normal(size=(len(x), n, 2))
        scale = self.scale(x) if callable(self.scale) else self.scale
        return (
            middle(x)[:, None] + np.array(self.shift) * SD + scale * (z @ (ROOT if self.root is None else self.root).T)
        )


def log_density(theta: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Of the exact posterior, `(m, k, 2), (m, 3) -> (m, k)`, but for a constant."""
    away = theta - middle(x)[:, None]
    return -np.einsum("mki,ij,mkj->mk", away, np.linalg.inv(GAIN), away) / 2
