"""An observation as a few standardised numbers, for whatever compares observations by a distance or a linear law."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

_MOST = 64
"""Numbers that an observation becomes at most: beyond, its greatest principal components."""


@dataclass(frozen=True, eq=False)
class Features:
    """From observations `(m, ...)` to standardised numbers `(m, k)`; missing ones (NaN) become the mean and a mark.

    Args:
        mean: of each entry, `(e,)`.
        scale: its standard deviation, 1 where it is constant.
        gaps: the entries that are missing somewhere.
        basis: directions to keep, `(e, k)`; None: all.
    """

    mean: np.ndarray
    scale: np.ndarray
    gaps: np.ndarray
    basis: np.ndarray | None

    @staticmethod
    def of(x: np.ndarray) -> Features:
        """As some observations suggest.

        Example:
            >>> Features.of(np.array([[0.0, 5.0], [2.0, 5.0]]))(np.array([[3.0, 5.0]])).tolist()
            [[2.0, 0.0]]
        """
        flat = _flat(x)
        there = np.isfinite(flat)
        count = np.maximum(there.sum(0), 1)
        mean = np.where(there, flat, 0).sum(0) / count
        scale = np.sqrt((np.where(there, flat - mean, 0) ** 2).sum(0) / count)
        scale = np.where(scale > 1e-12 * np.abs(mean), scale, 1.0)
        whole = Features(mean, scale, (~there).any(0).nonzero()[0], None)
        values = whole(x)
        if values.shape[1] <= _MOST:
            return whole
        basis = np.linalg.svd(values, full_matrices=False)[2][:_MOST].T
        return Features(mean, scale, whole.gaps, basis)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """The numbers of observations."""
        flat = _flat(x)
        there = np.isfinite(flat)
        z = np.where(there, (np.where(there, flat, 0) - self.mean) / self.scale, 0.0)
        z = np.concatenate([z, 1.0 - there[:, self.gaps]], 1)
        return z if self.basis is None else z @ self.basis

    def linear(self, x: np.ndarray, y: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
        """The least-squares guess of y `(m, d)` from the numbers of x, a little ridged."""
        z = self(x)
        middle, centre = z.mean(0), y.mean(0)
        gram = (z - middle).T @ (z - middle)
        ridge = (1e-3 * np.trace(gram) / max(len(gram), 1) + 1e-12) * np.eye(len(gram))
        weights = np.linalg.solve(gram + ridge, (z - middle).T @ (y - centre))
        return lambda new: (self(new) - middle) @ weights + centre


def _flat(x: np.ndarray) -> np.ndarray:
    return np.asarray(x, dtype=np.float64).reshape(len(x), -1)
