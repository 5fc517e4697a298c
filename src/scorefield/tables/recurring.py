"""Which columns recur together: rows agree in them far more often than rows that are moved by a few cells."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scorefield.tables.codec import RowCodec
from scorefield.tables.schema import Name

Codes = NDArray[np.int64]

_ROWS = 4000  # that are compared
_REACH = 7  # cells that a value is moved within
_NUDGE = 1e-4  # standard deviations, where values lie on no lattice
_MOST_COLUMNS, _PAIRED, _STARTS = 60, 15, 3
_LEAST = 0.3  # cells of a row that are repeats
_SURE = 4.0  # standard errors
NOTHING = 1e300
"""Stands for a number that does not exist, where values are compared."""


@dataclass(frozen=True, eq=False)
class _Marks:
    """A number for each column that stands for a row's value: of the rows, and of the rows moved by a few cells.

    Args:
        own: `(n, d)` int64, sums of which stand for combinations.
        moved: likewise.
        here: `(n, d)` bool, where there is a value.
    """

    own: Codes
    moved: Codes
    here: NDArray[np.bool_]

    def gain(self, columns: tuple[int, ...]) -> tuple[float, float]:
        """How much more often a row agrees with another in these columns than a moved one does, and its error."""
        use = list(columns)
        here = self.here[:, use].all(1)
        n = int(here.sum())
        if n < 2:
            return 0.0, 1.0
        own, moved = self.own[here][:, use].sum(1), self.moved[here][:, use].sum(1)
        values, counts = np.unique(own, return_counts=True)
        again = counts[np.searchsorted(values, own)] > 1
        place = np.minimum(np.searchsorted(values, moved), len(values) - 1)
        others = counts[place] - (moved == own)
        by_chance = (values[place] == moved) & (others > 0)
        gain = again.astype(float) - by_chance
        return float(gain.mean()), float(gain.std() / np.sqrt(n))

    def score(self, columns: tuple[int, ...]) -> float:
        """The cells of a row that are repeats and not by chance; 0 where that is not sure."""
        gain, error = self.gain(columns)
        return len(columns) * gain if gain > _SURE * error else 0.0


def recurring_columns(codec: RowCodec, rows: Tensor, seed: int = 0) -> tuple[Name, ...]:
    """The columns whose values recur together, in the schema's order; none where a density could as well be.

    A density does not notice a move by a few cells of the lattice: as many rows as before agree with another one then.
    Values that recur as such are left by it. Of all sets of columns but the whole, the one with the most cells that are
    repeats is looked for, column by column.

    Args:
        codec: of the rows.
        rows: of training, encoded, at the centres of their cells.
        seed: of the rows compared and of their moves.
    """
    names = tuple(place.column.name for place in codec.schema.places() if codec.entries_of(place.column.name))
    if len(names) < 2 or not codec.continuous:
        return ()
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed + 1))
    some = rows[order[:_ROWS]].double()
    marks = _marks(codec, some, _moved(codec, some, seed), names)
    best = _searched(marks, len(names))
    return tuple(names[j] for j in sorted(best)) if marks.score(best) >= _LEAST else ()


def _searched(marks: _Marks, d: int) -> tuple[int, ...]:
    """The set of columns, not all of them, with the greatest score that adding columns one by one finds."""
    alone = {j: marks.gain((j,))[0] for j in range(d)}
    order = sorted(alone, key=lambda j: (-alone[j], j))[:_MOST_COLUMNS]
    pairs = combinations(sorted(order[:_PAIRED]), 2) if d > 2 else ()
    starts = sorted([*((j,) for j in order), *pairs], key=lambda c: (-marks.score(c), c))[:_STARTS]
    grown = [_grown(marks, start, order, d) for start in starts]
    return max(grown, key=marks.score)


def _grown(marks: _Marks, start: tuple[int, ...], order: list[int], d: int) -> tuple[int, ...]:
    best, score = start, marks.score(start)
    while len(best) < d - 1:
        tried = [(*best, j) for j in order if j not in best]
        found = max(tried, key=marks.score, default=best)
        if marks.score(found) <= score:
            break
        best, score = found, marks.score(found)
    return best


def _moved(codec: RowCodec, rows: Tensor, seed: int) -> Tensor:
    """The rows with every number moved by up to three cells to either side, or by next to nothing without a lattice."""
    spread = codec.dequantise(rows, seed) - rows
    plain = (spread == 0) & rows.isfinite()
    plain[:, codec.continuous :] = False
    noise = torch.randn(rows.shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    free = rows + torch.where(plain, _NUDGE * noise, _REACH * spread)
    return codec.encode(codec.decode(free))


def _marks(codec: RowCodec, rows: Tensor, moved: Tensor, names: tuple[Name, ...]) -> _Marks:
    rng = np.random.default_rng(0)
    own, other = (np.zeros((len(rows), len(names)), dtype=np.int64) for _ in range(2))
    for j, name in enumerate(names):
        entries = list(codec.entries_of(name))
        both = torch.cat([rows[:, entries], moved[:, entries]])
        _, place = torch.unique(both.nan_to_num(nan=NOTHING), dim=0, return_inverse=True)
        marks = rng.integers(-(2**62), 2**62, int(place.max()) + 1)
        own[:, j], other[:, j] = np.split(marks[place.numpy()], 2)
    return _Marks(own, other, np.stack([present(codec, rows, name).numpy() for name in names], 1))


def present(codec: RowCodec, rows: Tensor, name: Name) -> Tensor:
    """Where encoded rows have a value in a column, bool `(n,)`: a number, a code, or a code in place of a number."""
    values = rows[:, list(codec.entries_of(name))]
    here = torch.isfinite(values[:, -1])
    return here if values.shape[1] == 1 else here & (torch.isfinite(values[:, 0]) | (values[:, 1] > 0))
