"""How much the observations tell of each parameter, and how far its posterior lies from the truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Contraction:
    """Of one parameter, over simulations.

    Args:
        name: of the parameter.
        shrinkage: `1 - var(posterior) / var(prior)` of each simulation, `(m,)`: 0 if the observation tells nothing of
            the parameter, 1 if it tells all.
        z: `(mean(posterior) - truth) / sd(posterior)`, `(m,)`.

    Source:
        Betancourt (2018); Schad, Betancourt and Vasishth (2021).
    """

    name: str
    shrinkage: np.ndarray
    z: np.ndarray

    @property
    def mean(self) -> float:
        """The mean shrinkage."""
        return float(self.shrinkage.mean())

    @property
    def error(self) -> float:
        """The root mean square of z: 1 for a right posterior of normal form, greater for an over-confident one."""
        return float(np.sqrt((self.z**2).mean()))


def contraction(name: str, truth: np.ndarray, draws: np.ndarray, prior_sd: float) -> Contraction:
    """Shrinkage and z of one parameter.

    Args:
        name: of the parameter.
        truth: `(m,)`.
        draws: `(m, n)`, n >= 2.
        prior_sd: the prior's standard deviation.

    Example:
        >>> found = contraction("a", np.array([1.0]), np.array([[0.0, 2.0]]), 2.0)
        >>> found.shrinkage.tolist(), found.z.tolist()
        ([0.5], [0.0])
    """
    variance = draws.var(1, ddof=1)
    shrinkage = 1 - variance / prior_sd**2 if prior_sd > 0 else np.zeros(len(truth))
    sd = np.sqrt(np.where(variance > 0, variance, np.inf))
    return Contraction(name, shrinkage, (draws.mean(1) - truth) / sd)
