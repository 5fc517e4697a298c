"""Evenly spaced values that rounding has moved: numbers converted from another unit, or standardised whole numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np

from scorefield.data.dataset import Array
from scorefield.tables.lattice import Lattice

_ENOUGH = 20  # distinct values
_MOST = 4096  # marks
_LONGEST = 1 << 17  # decimals from the first value to the last
_COARSER = 1.9  # times the decimals, at least
_CHANCE = 1e-6  # of finding marks in values that lie on all decimals
_OFF = 1.0  # of the decimals' width: how far from evenly spaced values may lie, where half is rounding
_TWINS = 0.1  # of the values are the second one at a place
_MARGIN = 0.25  # of the range, beyond it to either side
_FINE = 8  # frequencies for each that can be told apart
_TOLERANCE = 1e-7  # of the range, within which gaps of floats are multiples of one another


@dataclass(frozen=True)
class Marks:
    """The values that a column can have, about evenly spaced: degrees Fahrenheit written as Celsius with one decimal.

    A cell reaches half-way to the next values. Between 10.0 and 10.6 there is nothing, although the values have one
    decimal; a density on cells of a tenth would be a comb.

    Args:
        values: ascending.
        width: the mean distance of neighbours, > 0.

    Example:
        >>> Marks((9.4, 10.0, 10.6, 11.1), 0.556).nearest(np.array([10.2, 30.0]))
        array([10. , 11.1])
    """

    values: tuple[float, ...]
    width: float

    def __post_init__(self) -> None:
        ascending = len(self.values) > 1 and bool((np.diff(self.values) > 0).all())
        if not (ascending and self.width > 0 and math.isfinite(self.width) and np.isfinite(self.values).all()):
            raise ValueError(f"marks are at least 2 finite ascending values and a width > 0, got {len(self.values)}.")

    def nearest(self, x: Array) -> Array:
        """The nearest values; NaN stays NaN."""
        return np.where(np.isnan(x), np.nan, self._at[np.searchsorted(self._between, x)])

    def inside(self, x: Array, low: float, high: float) -> Array:
        """The nearest values strictly between low and high, which may be infinite; NaN stays NaN."""
        first = int(np.searchsorted(self._at, low, side="right"))
        last = int(np.searchsorted(self._at, high, side="left")) - 1
        place = np.clip(np.searchsorted(self._between, x), min(first, last), max(first, last))
        return np.where(np.isnan(x), np.nan, self._at[place])

    def ends(self, x: Array, width: float) -> tuple[Array, Array]:
        """The ends of the cells of some of the values: half-way to the next ones, and `width` / 2 at the last ones.

        Of NaN they are NaN.
        """
        place = np.searchsorted(self._between, x)
        edges = np.concatenate([[self._at[0] - width / 2], self._between, [self._at[-1] + width / 2]])
        start, end = (np.where(np.isnan(x), np.nan, edges[at]) for at in (place, place + 1))
        return start, end

    @cached_property
    def _at(self) -> Array:
        return np.array(self.values)

    @cached_property
    def _between(self) -> Array:
        return np.asarray((self._at[1:] + self._at[:-1]) / 2)


Grid: TypeAlias = Lattice | Marks
"""The values that a column of numbers can have."""


def find_marks(x: Array, lattice: Lattice | None, precision: float = 1e-15) -> Marks | None:
    """Marks that hold all values, about twice as far apart as the lattice's at least; None where there are none.

    Offset and step are those that leave the smallest greatest distance (Chebyshev's), at most one decimal: rounding
    makes half a one, and a table may have been rounded twice. On a lattice the step is looked for by its frequency
    (Schuster's periodogram), and taken where as many values on all decimals would be as near in less than one of a
    million tables; without a lattice it is the greatest common divisor of the gaps. Values that did not occur have
    marks, too, and so has a quarter of the range beyond them.

    Args:
        x: `(n,)` finite.
        lattice: of decimals, on which they lie.
        precision: the relative one of the floats.
    """
    distinct = np.unique(x)
    if len(distinct) < _ENOUGH:
        return None
    error = 16 * precision * float(np.abs(distinct).max())
    step, tried = (_common(distinct, error), 1) if lattice is None else _frequent(distinct, lattice.width)
    if step is None or not np.ptp(distinct) / step < _MOST / (1 + 2 * _MARGIN):
        return None
    place = _places(distinct, step)
    if len(place) - len(np.unique(place)) > (_TWINS * len(place) if lattice else 0):
        return None
    offset, step, worst = _chebyshev(distinct, place)
    unit = lattice.width if lattice else 0.0
    if worst > _OFF * unit + error or not step >= _COARSER * unit:
        return None
    if lattice is not None and not _is_no_chance(len(distinct), step / unit / (1 + int(2 * worst / unit)), tried):
        return None
    return _made(distinct, place, offset, step, lattice)


def _made(distinct: Array, place: Array, offset: float, step: float, lattice: Lattice | None) -> Marks:
    """The values, and those of the places without one."""
    beyond = math.ceil(_MARGIN * (place[-1] - place[0]))
    free = np.setdiff1d(np.arange(place[0] - beyond, place[-1] + beyond + 1), place)
    values = offset + step * free
    values = values if lattice is None else lattice.nearest(values)
    return Marks(tuple(np.union1d(distinct, values).tolist()), step)


def _common(distinct: Array, error: float) -> float | None:
    """The greatest common divisor of the gaps of floats, None where there is none (Euclid's algorithm)."""
    gaps = np.diff(distinct)
    slack = max(_TOLERANCE * float(gaps.sum()) / _MOST, error)
    found = float(gaps.min())
    for gap in np.unique(gaps):
        a, b = float(gap), found
        while b > slack:
            a, b = b, abs(a - b * round(a / b))
        found = a
        if found <= 16 * slack:
            return None
    return found


def _frequent(distinct: Array, unit: float) -> tuple[float | None, int]:
    """The step that most of the values are multiples of, but for a constant, and how many were tried."""
    units = np.rint((distinct - distinct[0]) / unit).astype(np.int64)
    if units[-1] > _LONGEST:
        return None, 0
    there = np.zeros(units[-1] + 1)
    there[units] = 1.0
    n = 1 << math.ceil(math.log2(_FINE * len(there)))
    power = np.abs(np.fft.rfft(there, n))
    low, high = (math.ceil(n / steps) for steps in (np.median(np.diff(units)) + 1, _COARSER))
    if high <= low:
        return None, 0
    return unit * n / (low + int(power[low:high].argmax())), high - low


def _is_no_chance(count: int, coarser: float, tried: int) -> bool:
    """Whether so many values on all decimals, of which one in `coarser` is near enough, would not all be."""
    if coarser <= 1:
        return False
    return math.log(tried * count**2) - (count - 2) * math.log(coarser) < math.log(_CHANCE)


def _places(distinct: Array, step: float) -> Array:
    """Which multiple of about a step each value is, counted from one to the next: whole float64."""
    phase = np.angle(np.exp(2j * np.pi * (distinct - distinct[0]) / step).mean()) / (2 * np.pi)
    return np.asarray(np.rint((distinct - distinct[0]) / step - phase))


def _chebyshev(y: Array, x: Array) -> tuple[float, float, float]:
    """The line a + b x with the smallest greatest distance from y, and that distance."""
    from scipy.optimize import linprog

    centre, scale = float(y.mean()), float(np.ptp(y))
    ones = np.ones_like(x)
    t = (x - x.mean()) / np.ptp(x)
    z = (y - centre) / scale
    above = np.column_stack([ones, t, -ones])
    below = np.column_stack([-ones, -t, -ones])
    found = linprog([0, 0, 1], np.concatenate([above, below]), np.concatenate([z, -z]), bounds=(None, None))
    a, b, worst = found.x
    step = b * scale / np.ptp(x)
    return float(centre + a * scale - step * x.mean()), float(step), float(worst * scale)
