"""Each column of generated rows beside that of real ones: where their shares of values differ most."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from torch import Tensor

from scorefield.tables.codec import RowCodec
from scorefield.tables.measures import is_number, modelled, values_of
from scorefield.tables.schema import Column

LEVEL = 0.01
"""Probability that any of a table's columns is called off although all are right."""


class Marginal(NamedTuple):
    """Where a column's generated values differ most from its real ones.

    Args:
        column: what it is.
        at: a number, seconds since 1970, or the place of a category.
        real: the share of real values that are at most `at`, or are that category.
        new: likewise of generated ones.
        chance: the greatest difference of the two that is no sign of anything (all columns together: 99 %).
        below: the share of generated values below all real ones; 0 where chance explains it.
        above: likewise above.
        range: the least and the greatest real value of a column of numbers.
    """

    column: Column
    at: float
    real: float
    new: float
    chance: float
    below: float = 0.0
    above: float = 0.0
    range: tuple[float, float] = (math.nan, math.nan)

    @property
    def gap(self) -> float:
        """The difference of the shares; of numbers the Kolmogorov-Smirnov distance."""
        return abs(self.new - self.real)

    @property
    def off(self) -> bool:
        """Whether chance does not explain the difference."""
        return self.gap > self.chance or self.below > 0 or self.above > 0


def marginals(codec: RowCodec, real: Tensor, new: Tensor) -> tuple[Marginal, ...]:
    """Each column in the model that has values in both, real `(n, entries)` beside new `(m, entries)` encoded rows."""
    columns, found = modelled(codec), []
    for column in columns:
        a, b = (v[np.isfinite(v)] for v in (values_of(codec, column, rows) for rows in (real, new)))
        if len(a) and len(b):
            level = LEVEL / len(columns)
            found.append(_of_numbers(column, a, b, level) if is_number(column) else _of_codes(column, a, b, level))
    return tuple(found)


def worst_first(found: Sequence[Marginal]) -> list[Marginal]:
    """Those that are off, the greatest difference over what chance allows first."""
    return sorted((m for m in found if m.off), key=lambda m: -m.gap / m.chance)


def _of_numbers(column: Column, real: np.ndarray, new: np.ndarray, level: float) -> Marginal:
    """By the distance of Kolmogorov (1933) and Smirnov (1939), with its bound for large samples."""
    values = np.unique(np.concatenate([real, new]))
    shares = [np.searchsorted(np.sort(v), values, side="right") / len(v) for v in (real, new)]
    k = int(np.abs(shares[1] - shares[0]).argmax())
    chance = math.sqrt(math.log(2 / level) / 2 * (1 / len(real) + 1 / len(new)))
    ends = float(real.min()), float(real.max())
    counts = int((new < ends[0]).sum()), int((new > ends[1]).sum())
    below, above = (_unless_chance(count, len(real), len(new), level) for count in counts)
    return Marginal(column, float(values[k]), float(shares[0][k]), float(shares[1][k]), chance, below, above, ends)


def _unless_chance(count: int, real: int, new: int, level: float) -> float:
    """The share of new values beyond all real ones; 0 where so many are no surprise.

    Of all values in order the last `count` are new ones with probability `prod_k (new - k) / (real + new - k)`.
    """
    k = np.arange(count)
    surprise = float(np.prod((new - k) / (real + new - k)))
    return count / new if 2 * surprise < level else 0.0


def _of_codes(column: Column, real: np.ndarray, new: np.ndarray, level: float) -> Marginal:
    """By the category whose shares differ most in standard errors."""
    from scipy.stats import norm

    size = column.size
    counts = [np.bincount(v.astype(int), minlength=size) for v in (real, new)]
    shares = [count / count.sum() for count in counts]
    pooled = (counts[0] + counts[1] + 1) / (len(real) + len(new) + 2)
    error = np.sqrt(pooled * (1 - pooled) * (1 / len(real) + 1 / len(new)))
    k = int((np.abs(shares[1] - shares[0]) / error).argmax())
    chance = float(norm.isf(level / (2 * size)) * error[k])
    return Marginal(column, float(k), float(shares[0][k]), float(shares[1][k]), chance)
