"""How near generated rows come to the rows of training, beside rows held out."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from torch import Tensor

from scorefield.metrics.neighbours import nearest
from scorefield.tables.codec import RowCodec
from scorefield.tables.measures import features

CLOSE = 0.05
"""The share of held-out rows that are called close to a training row: the nearest ones."""


class Privacy(NamedTuple):
    """Distances to the closest training row, in standard deviations of the numbers; another code is a distance of 1.

    Args:
        new: of generated rows, `(m,)`.
        held: of rows held out, `(n,)`.
    """

    new: np.ndarray
    held: np.ndarray

    @property
    def nearer(self) -> float:
        """The probability that a generated row comes nearer than a held-out one (ties count half): 0.5 if alike."""
        ordered = np.sort(self.held)
        below, upto = (np.searchsorted(ordered, self.new, side=side) for side in ("left", "right"))
        return float(1 - (below + upto).mean() / (2 * len(ordered)))

    @property
    def error(self) -> float:
        """The standard error of `nearer` where both are alike (Mann and Whitney 1947)."""
        m, n = len(self.new), len(self.held)
        return math.sqrt((m + n + 1) / (12 * m * n))

    @property
    def close(self) -> float:
        """The share of generated rows nearer than the nearest 5 % of held-out ones are: 0.05 if alike."""
        return float((self.new < np.quantile(self.held, CLOSE)).mean())

    @property
    def equal(self) -> tuple[float, float]:
        """The shares of generated and of held-out rows that equal a training row."""
        new, held = (float((v == 0).mean()) for v in self)
        return new, held

    @property
    def off(self) -> bool:
        """Whether generated rows come nearer than chance explains (three standard errors)."""
        low = 3 * math.sqrt(CLOSE * (1 - CLOSE) * (1 / len(self.new) + 1 / len(self.held)))
        return self.nearer > 0.5 + 3 * self.error or self.close > CLOSE + low


def privacy(codec: RowCodec, new: Tensor, held: Tensor, training: Tensor) -> Privacy:
    """The distances of encoded rows: new ones, with the holes of those held out, these, and all of training."""
    points = features(codec, training)
    return Privacy(*(_distances(features(codec, rows), points) for rows in (new, held)))


def _distances(rows: Tensor, training: Tensor) -> np.ndarray:
    """To the nearest, 0 only for equal rows: matrix products leave rounding, so the nearest is measured again."""
    index = nearest(rows, training)[1]
    return np.asarray((rows - training[index]).norm(dim=1).numpy())
