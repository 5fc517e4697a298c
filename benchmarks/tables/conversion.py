"""From a density with respect to mixed measures to the density of noised, standardised columns.

A native density counts some values (a discrete column, an integer, an atom) and is per unit of length for others. The
benchmark adds to each value v noise within its cell, x = v + r (u - 1/2), and compares densities of x / std. Column by
column, the noised law is a sum over the values that x may come from:

    counted           p(x) = sum of P(v) / r over the values v with |x - v| <= r / 2
    per unit length   p(x) = p(x): the native density is taken as that of the noised column; where the cell is wider
                      than the native one and reaches over a bound, p(middle of the part inside) * its share of the cell
    with an atom a    p(x) = p(x) + P(a) / r [|x - a| <= r / 2]

and over several columns a sum over the product of these choices. In standard units sum(log std) is added.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tables.problems import Column

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Law:
    """How a native density treats a column.

    Args:
        measure: `lebesgue`, `counting`, or `mixed` where only `values` are counted.
        values: the values that are counted; none for a whole lattice.
        step: the distance of neighbours on the lattice.
        offset: a value on the lattice.
        low: lower bound of what is not counted.
        high: its upper bound.
        width: of the native cells of what is not counted.
    """

    measure: str
    values: tuple[float, ...] = ()
    step: float = 1.0
    offset: float = 0.0
    low: float = -np.inf
    high: float = np.inf
    width: float = np.inf


def uncounted(column: Column, law: Law, x: float) -> list[tuple[float, float]]:
    """Where to query the density per unit of length, with the log of its weight; nowhere where x cannot be."""
    if not column.repeats or column.resolution <= law.width * (1 + 1e-6):
        return [(x, 0.0)] if law.low < x < law.high else []
    low, high = x - column.resolution / 2, x + column.resolution / 2
    if law.low < low and high < law.high:
        return [(x, 0.0)]
    low, high = max(low, law.low), min(high, law.high)
    return [((low + high) / 2, float(np.log((high - low) / column.resolution)))] if low < high else []


def choices(column: Column, law: Law, x: float) -> list[tuple[float, float]]:
    """The values that x may come from, each with the log of its weight."""
    if law.measure == "lebesgue":
        return uncounted(column, law, x)
    width = column.resolution
    weight = -float(np.log(width))
    # x was made by adding the noise: a cell's edge is good to rounding alone.
    reach = width / 2 * (1 + 1e-9) + 1e-12 * abs(x)
    if not column.repeats and law.measure == "counting":
        return [(x, weight)]
    if law.measure == "counting" and not law.values:
        low, high = (int(f((x - law.offset + sign * reach) / law.step)) for f, sign in ((np.ceil, -1), (np.floor, 1)))
        return [(float(np.round(law.offset + law.step * i, 12)), weight) for i in range(low, high + 1)]
    near = [(v, weight) for v in law.values if abs(x - v) <= reach]
    return near if law.measure == "counting" else [*near, *uncounted(column, law, x)]


def expanded(noised: Floats, columns: Sequence[Column], laws: Sequence[Law]) -> tuple[Floats, NDArray[np.int_], Floats]:
    """All rows that the noised rows may come from: (m, d), with the noised row and the log weight of each, (m,)."""
    owner, rows, weights = np.arange(len(noised)), np.array(noised, dtype=float), np.zeros(len(noised))
    for j, (column, law) in enumerate(zip(columns, laws, strict=True)):
        options = [choices(column, law, float(x)) for x in noised[:, j]]
        counts = np.array([len(options[i]) for i in owner], dtype=int)
        chosen = [pair for i in owner for pair in options[i]]
        owner, rows, weights = (np.repeat(a, counts, axis=0) for a in (owner, rows, weights))
        if chosen:
            values, logs = np.array(chosen).T
            rows[:, j], weights = values, weights + logs
    return rows, owner, weights


def noised_log_density(
    native: Callable[[Floats], Floats], noised: Floats, columns: Sequence[Column], laws: Sequence[Law], scale: Floats
) -> Floats:
    """Log-density of noised rows in standard units.

    Args:
        native: rows (m, d) in the table's units to native log-densities (m,).
        noised: (n, d) rows in the table's units, with noise.
        columns: one for each column.
        laws: how the native density treats each.
        scale: (d,) standard deviations.

    Returns:
        (n,), minus infinity where a row comes from no value that is counted.
    """
    rows, owner, weights = expanded(noised, columns, laws)
    total = np.full(len(noised), -np.inf)
    if len(rows):
        np.logaddexp.at(total, owner, native(rows) + weights)
    return total + np.log(scale).sum()


def check() -> str:
    """A toy with the exact answer: unequal gaps (cells overlap), an atom, and a column that depends on both.

    Raises:
        AssertionError: the conversion differs from the law of the noised toy, or that law does not sum to 1.
    """
    from scipy.stats import norm

    grid, mass = np.array([0.0, 1.0, 3.0]), np.array([0.5, 0.3, 0.2])
    columns = (
        Column("steps", "discrete", 2.0, tuple(grid), True, 0),
        Column("zeros", "atom", 0.5, (0.0,), True, 1),
        Column("free", "continuous", 0.01, (), True, 2),
    )
    laws = (Law("counting", tuple(grid)), Law("mixed", (0.0,)), Law("lebesgue"))
    assert choices(columns[0], Law("counting", (), 0.5, 0.25), 1.0) == [
        (v, -np.log(2.0)) for v in (0.25, 0.75, 1.25, 1.75)
    ]
    bounded = Law("mixed", (0.0,), low=0.0, width=0.1)
    assert choices(columns[1], bounded, -0.05) == [(0.0, np.log(2.0)), (0.1, np.log(0.4))]
    assert choices(columns[1], bounded, 0.6) == [(0.6, 0.0)]
    scale = np.array([1.1, 0.7, 2.0])

    def native(rows: Floats) -> Floats:
        k = np.abs(rows[:, :1] - grid).argmin(1)
        assert np.isin(rows[:, 0], grid).all()
        zero = rows[:, 1] == 0
        second = np.where(zero, np.log(0.4), np.log(0.6) + norm.logpdf(rows[:, 1], k))
        return np.log(mass[k]) + second + norm.logpdf(rows[:, 2], k + rows[:, 1])

    def exact(x: Floats) -> Floats:
        total = np.zeros(len(x))
        for k, v in enumerate(grid):
            first = mass[k] * (np.abs(x[:, 0] - v) <= 1.0) / 2.0
            atom = 0.4 * (np.abs(x[:, 1]) <= 0.25) / 0.5 * norm.pdf(x[:, 2], k)
            total += first * (atom + 0.6 * norm.pdf(x[:, 1], k) * norm.pdf(x[:, 2], k + x[:, 1]))
        return total

    rng = np.random.default_rng(0)
    low, high = np.array([-1.5, -6.0, -12.0]), np.array([4.5, 8.0, 16.0])
    rows = low + (high - low) * rng.random((200_000, 3))
    found = np.exp(noised_log_density(native, rows, columns, laws, scale))
    assert np.allclose(found, exact(rows) * scale.prod(), rtol=1e-9)
    volume = ((high - low) / scale).prod()
    total, error = found.mean() * volume, found.std() * volume / np.sqrt(len(rows))
    assert abs(total - 1) < 4 * error, (total, error)
    return f"the conversion agrees with the toy's exact law, which sums to {total:.3f} +- {error:.3f}"
