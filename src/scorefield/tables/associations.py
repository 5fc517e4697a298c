"""How strongly each pair of a table's columns goes together, in generated rows beside real ones."""

from __future__ import annotations

import math
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from torch import Tensor

from scorefield.tables.codec import RowCodec
from scorefield.tables.measures import is_number, modelled, values_of
from scorefield.tables.schema import Name

if TYPE_CHECKING:
    import pandas as pd

MOST = 40
"""Columns whose pairs are looked at."""
LEVEL = 0.01
"""Probability that any pair is called off although all are right."""
_LEAST = 8  # rows without which two columns have no association


class Pair(NamedTuple):
    """Two columns: their association in real rows, in new ones, and the difference that chance explains."""

    first: Name
    second: Name
    real: float
    new: float
    chance: float

    @property
    def gap(self) -> float:
        """The absolute difference."""
        return abs(self.new - self.real)

    @property
    def off(self) -> bool:
        """Whether chance does not explain it."""
        return self.gap > self.chance


class Associations(NamedTuple):
    """The associations of the columns.

    Of two columns of numbers or times Spearman's rank correlation, -1 to 1; of two of categories Cramer's V, of both
    kinds the correlation ratio of the ranks, 0 to 1 and without their bias in small samples (Bergsma 2013; Kelley
    1935).

    Args:
        names: of the columns.
        real: `(k, k)` symmetric, 1 on the diagonal, NaN where too few rows have both.
        new: likewise of generated rows.
        pairs: that have both values, the greatest difference over what chance allows first.
    """

    names: tuple[Name, ...]
    real: np.ndarray
    new: np.ndarray
    pairs: tuple[Pair, ...]

    @property
    def gaps(self) -> np.ndarray:
        """`|new - real|`, `(k, k)`."""
        return np.asarray(np.abs(self.new - self.real))


def associations(codec: RowCodec, real: Tensor, new: Tensor) -> Associations:
    """The associations of the first 40 columns in the model, in encoded rows, real `(n, entries)` and new ones."""
    from scipy.stats import norm

    columns = modelled(codec)[:MOST]
    names, ordered = tuple(column.name for column in columns), [is_number(column) for column in columns]
    frames = [_ranked(np.stack([values_of(codec, c, rows) for c in columns], 1), ordered) for rows in (real, new)]
    first, second = (_matrix(frame, ordered) for frame in frames)
    here = [frame.notna().to_numpy(dtype=np.float64) for frame in frames]
    counts = [both.T @ both for both in here]
    places = list(combinations(range(len(columns)), 2))
    z = float(norm.isf(LEVEL / (2 * max(1, len(places)))))
    pairs = []
    for i, j in places:
        a, b = (float(m[i, j]) for m in (first, second))
        if math.isfinite(a) and math.isfinite(b):
            chance = z * math.sqrt(sum(1 / (count[i, j] - 1) for count in counts))
            pairs.append(Pair(names[i], names[j], a, b, chance))
    pairs.sort(key=lambda pair: -pair.gap / pair.chance)
    return Associations(names, first, second, tuple(pairs))


def _ranked(values: np.ndarray, ordered: list[bool]) -> pd.DataFrame:
    """Columns of numbers as ranks, codes as they are."""
    import pandas as pd

    frame = pd.DataFrame(values)
    for j, is_ordered in enumerate(ordered):
        if is_ordered:
            frame[j] = frame[j].rank()
    return frame


def _matrix(frame: pd.DataFrame, ordered: list[bool]) -> np.ndarray:
    d = len(ordered)
    out = np.eye(d)
    numbers = [j for j in range(d) if ordered[j]]
    if numbers:
        out[np.ix_(numbers, numbers)] = frame[numbers].corr(min_periods=_LEAST).to_numpy()
    values = frame.to_numpy()
    for i, j in combinations(range(d), 2):
        if not (ordered[i] and ordered[j]):
            out[i, j] = out[j, i] = _with_codes(values[:, i], values[:, j], ordered[i], ordered[j])
    np.fill_diagonal(out, 1.0)
    return out


def _with_codes(x: np.ndarray, y: np.ndarray, x_ordered: bool, y_ordered: bool) -> float:
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < _LEAST:
        return math.nan
    if x_ordered or y_ordered:
        return _correlation_ratio(*((y, x) if x_ordered else (x, y)))
    return _cramer(x, y)


def _correlation_ratio(codes: np.ndarray, ranks: np.ndarray) -> float:
    """The root of the share of the ranks' variance that the codes explain."""
    kinds, place = np.unique(codes, return_inverse=True)
    n, count = len(codes), np.bincount(place)
    means = np.bincount(place, ranks) / count
    total = float(np.square(ranks - ranks.mean()).sum())
    if not total > 0 or n <= len(kinds):
        return math.nan
    within = float(np.square(ranks - means[place]).sum())
    return math.sqrt(max(0.0, 1 - within / total * (n - 1) / (n - len(kinds))))


def _cramer(x: np.ndarray, y: np.ndarray) -> float:
    (a, i), (b, j) = (np.unique(v, return_inverse=True) for v in (x, y))
    n, r, k = len(x), len(a), len(b)
    if r < 2 or k < 2:
        return math.nan
    table = np.bincount(i * k + j, minlength=r * k).reshape(r, k)
    expected = np.outer(table.sum(1), table.sum(0)) / n
    phi = float((np.square(table - expected) / expected).sum()) / n
    phi = max(0.0, phi - (r - 1) * (k - 1) / (n - 1))
    rows, columns = (size - (size - 1) ** 2 / (n - 1) for size in (r, k))
    least = min(rows, columns) - 1
    return math.sqrt(phi / least) if least > 0 else math.nan
