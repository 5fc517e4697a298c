"""The grid of decimals on which the values of a column lie."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral

import numpy as np

from scorefield.data.dataset import Array

_MOST_DIGITS = 15
_ENOUGH = 20  # distinct values from which on a common divisor is no accident: its chance is below 2^-19


@dataclass(frozen=True)
class Lattice:
    """The values `(offset + step * i) / 10**digits` for whole i, exact as floats are: decimals, or multiples of 0.04.

    Args:
        digits: decimals, 0 to 22.
        step: distance of neighbours in units of the last digit, > 0.
        offset: one of the values in those units.

    Example:
        >>> Lattice(2, 4).nearest(np.array([0.13]))
        array([0.12])
    """

    digits: int
    step: int = 1
    offset: int = 0

    def __post_init__(self) -> None:
        whole = all(isinstance(v, Integral) and abs(v) < 2**63 for v in (self.digits, self.step, self.offset))
        if not (whole and 0 <= self.digits <= 22 and self.step > 0):
            raise ValueError(f"a lattice has 0 to 22 digits and a step > 0, got {self}.")

    @property
    def width(self) -> float:
        """The distance of neighbouring values."""
        return float(self.step / 10**self.digits)

    def units(self, x: Array) -> Array:
        """The nearest lattice values in units of the last digit: whole float64."""
        unit = x * 10.0**self.digits - self.offset
        return np.asarray(np.rint(unit / self.step) * self.step + self.offset, dtype=np.float64)

    def nearest(self, x: Array) -> Array:
        """The nearest lattice values."""
        return np.asarray(self.units(x) / 10.0**self.digits + 0.0, dtype=np.float64)  # no minus zero

    def ends(self, x: Array, width: float) -> tuple[Array, Array]:
        """The ends of cells of a width around some of the values."""
        return x - width / 2, x + width / 2

    def inside(self, x: Array, low: float, high: float) -> Array:
        """The nearest lattice values strictly between low and high, which may be infinite."""
        found = self.nearest(x)
        for bound, up in ((low, True), (high, False)):
            if np.isfinite(bound):
                edge = self.nearest(np.array(bound))
                sign = 1 if up else -1
                if sign * (edge - bound) <= 0:
                    edge = self.nearest(edge + sign * self.width)
                found = np.maximum(found, edge) if up else np.minimum(found, edge)
        return found


def find_lattice(x: Array, dtype: str = "float64") -> Lattice | None:
    """The coarsest decimal lattice that holds all values exactly; None when there is none.

    Args:
        x: `(n,)` finite float64.
        dtype: the floats they came as; float32 has half the digits.

    Example:
        >>> find_lattice(np.array([0.25, 0.5, 1.0]))
        Lattice(digits=2, step=1, offset=0)
    """
    distinct = np.unique(x)
    single = np.dtype(dtype).itemsize < 8
    most = float(np.abs(distinct).max())
    room = 2.0**22 if single else 2.0**52
    for digits in range(_MOST_DIGITS + 1):
        scale = 10.0**digits
        if most * scale >= room:
            return None
        units = np.rint(distinct * scale)
        if np.array_equal((units / scale).astype(dtype).astype(np.float64), distinct):
            return with_step(units.astype(np.int64), digits)
    return None


def with_step(units: Array, digits: int) -> Lattice:
    """The lattice of whole numbers of last digits, with their common divisor as step when the values are many."""
    distinct = np.unique(units)
    if len(distinct) < _ENOUGH:
        return Lattice(digits)
    step = int(np.gcd.reduce(np.diff(distinct)))
    return Lattice(digits, step, int(distinct[0]) % step)
