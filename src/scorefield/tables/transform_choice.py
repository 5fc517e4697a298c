"""The transform of a column: detected, or as the user has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from scorefield.data.dataset import Array, DataError
from scorefield.tables.edge import Edge, Edges
from scorefield.tables.marks import Grid
from scorefield.tables.schema import Column
from scorefield.tables.series import tick_digits
from scorefield.tables.transforms import (
    INTERVALS,
    TRANSFORMS,
    Asinh,
    Identity,
    Log,
    Logit,
    Transform,
    asinh_for,
    choose_transform,
    edges_for,
    fitting,
    robust_std,
    walled,
)
from scorefield.tables.wall import Wall, Walls, walls_around
from scorefield.tables.wall_test import find_walls

_NEXT_TO_ATOM = 0.15  # of a robust standard deviation: how near values come to an atom that is a wall for them


def transform_for(
    base: Column,
    x: Array,
    lattice: Grid | None,
    low: float | None,
    high: float | None,
    choice: Mapping[str, Any],
    cell: float,
    atoms: tuple[float, ...],
) -> Transform:
    """The transform of a fine column.

    Args:
        base: what is known of the column.
        x: `(n,)` its values but atoms.
        lattice: on which they lie.
        low: as the user says.
        high: as the user says.
        choice: the user's other settings.
        cell: the width of cells where values repeat.
        atoms: of the column; one at an end of the values is a wall for the others.

    Raises:
        DataError: for settings that do not fit the values or each other.
    """
    wanted = choice.get("transform")
    if wanted is None:
        if low is None and high is None:
            return _detected_transform(base, x, lattice, cell, atoms)
        wanted = "log" if low is None or high is None else "logit"
    if wanted not in TRANSFORMS:
        raise DataError(f"column {base.name!r}: the transform is one of {', '.join(TRANSFORMS)}, got {wanted!r}.")
    if wanted == "identity":
        return Identity()
    if wanted == "asinh":
        usual = asinh_for(x)
        return Asinh(float(choice.get("centre", usual.centre)), float(choice.get("scale", usual.scale)))
    if wanted in ("wall", "walls", "edge", "edges"):
        return _given_walls(base, wanted, x, lattice, low, high, choice)
    low = 0.0 if low is None and high is None else low
    if wanted == "log" and (low is None) != (high is None):
        if low is None:
            return Log(_beyond(base, high or 0.0, x, lattice, up=True), above=False)
        return Log(_beyond(base, low, x, lattice, up=False))
    if wanted == "logit" and low is not None and high is not None:
        return Logit(_beyond(base, low, x, lattice, up=False), _beyond(base, high, x, lattice, up=True))
    raise DataError(f"column {base.name!r}: log needs one of low and high, logit both; got low={low}, high={high}.")


def _detected_transform(
    base: Column, x: Array, lattice: Grid | None, cell: float, atoms: tuple[float, ...]
) -> Transform:
    usual = choose_transform(x, lattice, bounded=base.holds == "numbers")
    epoch = base.origin / 10.0 ** tick_digits(base.dtype) if base.holds == "times" else None
    ends = find_walls(x, lattice, cell, epoch, shifted=base.origin != 0)
    half = lattice.width / 2 if lattice else 0.0
    low, high = (None if end is None else end + sign * half for end, sign in zip(ends, (-1, 1), strict=True))
    below, above = _last_atoms(x, atoms)
    if below is not None and not math.isfinite(usual.bounds[0]):
        low = below + half
    if above is not None and not math.isfinite(usual.bounds[1]):
        high = above - half
    return walled(x, usual, low, high, lattice)


def _last_atoms(x: Array, atoms: tuple[float, ...]) -> tuple[float | None, float | None]:
    """The atoms that lie beyond all other values, as 0 does below amounts, and next to them; None where none does."""
    near = _NEXT_TO_ATOM * robust_std(x)
    below = [atom for atom in atoms if x.min() - near < atom < x.min()]
    above = [atom for atom in atoms if x.max() < atom < x.max() + near]
    return max(below, default=None), min(above, default=None)


def _given_walls(
    base: Column,
    wanted: str,
    x: Array,
    lattice: Grid | None,
    low: float | None,
    high: float | None,
    choice: Mapping[str, Any],
) -> Transform:
    """The walls that the user has set: half a cell beyond the last possible values of a lattice."""
    half = lattice.width / 2 if lattice else 0.0
    for bound, worst, outside in ((low, x.min(), np.less), (high, x.max(), np.greater)):
        if bound is not None and outside(worst, bound):
            raise DataError(f"column {base.name!r} is to be bounded by {bound:g} and holds {worst:g}; move the bound.")
    two = wanted in ("walls", "edges")
    if (low is None or high is None) if two else (low is None) == (high is None):
        needed = f"{wanted} needs both low and high" if two else f"{wanted} needs one of low and high, {wanted}s both"
        raise DataError(f"column {base.name!r}: {needed}; got low={low}, high={high}.")
    low, high = (None if low is None else low - half), (None if high is None else high + half)
    if wanted in ("edge", "edges"):
        edge = fitting(edges_for(x, low, high), x)
        return replace(edge, scale=float(choice.get("scale", edge.scale)))
    if low is not None and high is not None:
        return Walls(low, high)
    wall = fitting(walls_around(x, low if low is not None else high or 0.0, above=low is not None), x)
    return replace(wall, scale=float(choice.get("scale", wall.scale)), shape=float(choice.get("shape", wall.shape)))


def _beyond(base: Column, bound: float, x: Array, lattice: Grid | None, *, up: bool) -> float:
    """The bound itself, or half a cell beyond it where the values of a lattice touch it."""
    worst = float(x.max() if up else x.min())
    if (worst > bound) if up else (worst < bound):
        raise DataError(f"column {base.name!r} is to be bounded by {bound:g} and holds {worst:g}; move the bound.")
    if worst != bound:
        return bound
    if lattice is None:
        raise DataError(f"column {base.name!r} holds its bound {bound:g} itself; make that an atom, or move the bound.")
    return bound + lattice.width / 2 * (1 if up else -1)


def last_values(transform: Transform, lattice: Grid | None) -> tuple[float | None, float | None]:
    """The bounds that the user sees: the last possible values, without the half cell beyond them."""
    if isinstance(transform, (Log, Logit)):
        low, high = (_data_bound(bound) for bound in transform.bounds)
        return low, high
    if isinstance(transform, Walls | Edges):
        ends: tuple[float | None, float | None] = transform.low, transform.high
    elif isinstance(transform, Wall | Edge):
        ends = (transform.bound, None) if transform.above else (None, transform.bound)
    else:
        return None, None
    low, high = (
        end if end is None or lattice is None else float(lattice.nearest(np.array(end + sign * lattice.width / 2)))
        for end, sign in zip(ends, (1, -1), strict=True)
    )
    return low, high


def _data_bound(bound: float) -> float | None:
    """The bound that the user sees: the end of an interval, without the half cell beyond it."""
    ends = {end for interval in INTERVALS for end in interval}
    return min(ends, key=lambda end: abs(end - bound)) if math.isfinite(bound) else None
