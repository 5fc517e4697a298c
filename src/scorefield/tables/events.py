"""Conditions on a column as sets of its codes and intervals of its number."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from scorefield._files import shown
from scorefield.data.dataset import Array, DataError
from scorefield.tables.cells import shown as shown_value
from scorefield.tables.codec import RowCodec
from scorefield.tables.detection import coordinate
from scorefield.tables.given import Among, Between, Condition, known
from scorefield.tables.schema import Column, Name, describe
from scorefield.tables.series import read_numbers, read_times

Intervals = list[tuple[float, float]]
_EVERYTHING: Intervals = [(-math.inf, math.inf)]
_FAR = 10.0  # training ranges beyond the training range


class Event(NamedTuple):
    """What is allowed of a column.

    Args:
        number: its entry among an encoded row's numbers; None without one.
        code: its entry among the codes.
        codes: which codes are allowed, `(K,)` bool; None: no codes, or all of them.
        intervals: of the encoded number, disjoint, ascending; None: no number.
        point: the encoded number where a single value is given; its code then is given, too.
    """

    number: int | None
    code: int | None
    codes: Array | None
    intervals: Intervals | None
    point: float | None = None


def event(codec: RowCodec, name: Name, wanted: Sequence[Condition]) -> Event | None:
    """The event that a column fulfils all conditions; None where it always does.

    Raises:
        ValueError: for a value or range that the model knows nothing of, or conditions that exclude each other.
    """
    column = codec.schema[known(name, codec.schema)]
    column = codec.schema[column.of] if column.kind == "copy" else column
    if column.kind == "constant" or column.coded:
        allowed = _allowed(column, [_value_of(column, v) for v in column.values], wanted)
        if not allowed.any():
            raise _impossible(column, wanted)
        return None if column.kind == "constant" else Event(None, codec.entries_of(name)[0], allowed, None)
    return _of_number(codec, column, name, wanted)


def _of_number(codec: RowCodec, column: Column, name: Name, wanted: Sequence[Condition]) -> Event:
    entries = codec.entries_of(name)
    number, code = entries[0], entries[1] if len(entries) > 1 else None
    inside = _EVERYTHING
    for condition in wanted:
        inside = _intersection(inside, _intervals(codec, column, number, condition))
    atoms = _allowed(column, list(column.atoms), wanted)
    single = [c for c in wanted if isinstance(c, Among) and len(c.values) == 1]
    if single and not atoms.any() and inside:
        x = _checked(codec, column, number, single[0].values[0])
        codes = None if code is None else np.array([True] + [False] * len(atoms))
        return Event(number, code, codes, None, _encoded(codec, column, number, x))
    ordinary = bool(inside) and not (single and atoms.any())
    if not ordinary and not atoms.any():
        raise _impossible(column, wanted)
    ends = [tuple(_encoded(codec, column, number, x) for x in ends) for ends in inside]
    codes = None if code is None else np.array([ordinary, *atoms])
    return Event(number, code, codes, ends if ordinary else None)  # type: ignore[arg-type]


def _allowed(column: Column, values: list[Any], wanted: Sequence[Condition]) -> Array:
    """Which of the values, on the column's own scale, fulfil all conditions."""
    return np.array([all(_fulfils(column, value, c) for c in wanted) for value in values], dtype=bool)


def _fulfils(column: Column, value: Any, condition: Condition) -> bool:
    if isinstance(condition, Between):
        if column.holds not in ("numbers", "times") or column.kind == "categorical":
            raise ValueError(
                f"column {column.name!r} has categories, which have no order; give them with = or in, no range."
            )
        low, high = (None if end is None else _value_of(column, end) for end in (condition.low, condition.high))
        above = low is None or (value > low if condition.open_low else value >= low)
        return above and (high is None or (value < high if condition.open_high else value <= high))
    values = [_value_of(column, v) for v in condition.values]
    if column.coded or column.kind == "constant":
        known = [_value_of(column, v) for v in column.values]
        for raw, own in zip(condition.values, values, strict=True):
            if own not in known:
                raise ValueError(
                    f"column {column.name!r} was never {shown(raw)} at training; it had {describe(column)}."
                )
    return (value in values) == isinstance(condition, Among)


def _value_of(column: Column, value: Any) -> Any:
    """A value as the column's own scale has it: a float of numbers and times, else as it is stored."""
    import pandas as pd

    if column.holds == "booleans":
        return str(value).strip().lower() in ("true", "yes", "1") if str(value).strip().lower() in _TRUTHS else value
    if column.holds == "text":
        return str(value)
    try:
        if column.holds == "times":
            if isinstance(value, int):  # ticks, as they are stored
                return float(coordinate(column, np.array([value]))[0])
            zone = "," in column.dtype
            series = pd.Series(pd.to_datetime([value], utc=True if zone else None))
            return float(coordinate(column, read_times(series, column.name, column.dtype))[0])
        number = pd.to_numeric(value)
        return float(coordinate(column, read_numbers(pd.Series([number]), column.name))[0])
    except (ValueError, TypeError, DataError):
        what = "a time" if column.holds == "times" else "a number"
        raise ValueError(f"column {column.name!r} has {what[2:]}s, and {shown(value)} is not {what}.") from None


_TRUTHS = ("true", "yes", "1", "false", "no", "0")


def _intervals(codec: RowCodec, column: Column, number: int, condition: Condition) -> Intervals:
    """Where the number fulfils a condition, on its own scale; the cells of the values where they lie on a lattice."""
    if isinstance(condition, Between):
        low, high = (_end(column, condition, side) for side in ("low", "high"))
        return [(low, high)] if low < high else []
    found = [_cell(codec, column, number, value, len(condition.values)) for value in condition.values]
    cells = sorted(cell for cell in found if cell is not None)
    if isinstance(condition, Among):
        return cells
    ends = [-math.inf, *(end for cell in cells for end in cell), math.inf]
    return [(a, b) for a, b in zip(ends[::2], ends[1::2], strict=True) if a < b]


def _end(column: Column, condition: Between, side: str) -> float:
    """One end of a range; on a lattice the border of the last cell whose value is in it."""
    sign, bound = (1, condition.low) if side == "low" else (-1, condition.high)
    if bound is None:
        return -sign * math.inf
    x, lattice = _value_of(column, bound), column.lattice
    if lattice is None or column.holds == "times":
        return float(x)
    open_end = condition.open_low if side == "low" else condition.open_high
    near = float(lattice.nearest(np.array([x]))[0])
    slack = 1e-6 * lattice.width
    beside = lattice.nearest(near + sign * lattice.width * np.arange(-1.0, 3.0))
    first = next((v for v in beside if sign * (v - x) > (slack if open_end else -slack)), None)
    if first is None:  # beyond the last mark
        return float(x)
    return float(lattice.ends(np.array([first]), lattice.width)[sign < 0][0])


def _cell(codec: RowCodec, column: Column, number: int, value: Any, count: int) -> tuple[float, float] | None:
    """The cell of a value; None for an atom, which has none."""
    x, lattice = _value_of(column, value), column.lattice
    if x in column.atoms:
        return None
    x = _checked(codec, column, number, value)
    if lattice is not None and column.holds != "times":
        start, end = lattice.ends(lattice.nearest(np.array([x])), lattice.width)
        return float(start[0]), float(end[0])
    if count > 1:
        raise ValueError(f"column {column.name!r} is continuous; give one value of it or a range, as in low<=x<=high.")
    return (x, math.nextafter(x, math.inf))


def _checked(codec: RowCodec, column: Column, number: int, value: Any) -> float:
    """A value of the number that the model has a place for, on the column's own scale."""
    x = float(_value_of(column, value))
    low, high = column.transform.bounds
    least, most = codec.least[number], codec.most[number]
    if column.kind == "integer" and column.lattice is not None:
        if abs(float(column.lattice.nearest(np.array([x]))[0]) - x) > 1e-6 * column.lattice.width:
            raise ValueError(f"column {column.name!r} is never {shown(value)}: it has {describe(column)}.")
    reach = _FAR * (most - least)
    if not low < x < high or not least - reach <= x <= most + reach:
        raise ValueError(
            f"column {column.name!r} was never near {shown(value)} at training, and the model knows nothing there; it "
            f"went from {_text(column, least)} to {_text(column, most)}."
        )
    return x


def _encoded(codec: RowCodec, column: Column, number: int, x: float) -> float:
    low, high = column.transform.bounds
    if not low < x < high:
        return -math.inf if x <= low else math.inf
    return float((column.transform.forward(np.array([x]))[0] - codec.mean[number]) / codec.std[number])


def _intersection(a: Intervals, b: Intervals) -> Intervals:
    pairs = [(max(p[0], q[0]), min(p[1], q[1])) for p in a for q in b]
    return sorted((low, high) for low, high in pairs if low < high)


def _impossible(column: Column, wanted: Sequence[Condition]) -> ValueError:
    text = " and ".join(map(str, wanted))
    return ValueError(f"no value of column {column.name!r} is {text}; at training it had {describe(column)}.")


def _text(column: Column, x: float) -> str:
    """A number on the column's own scale as the user writes it."""
    near = x if column.lattice is None or column.holds == "times" else float(column.lattice.nearest(np.array([x]))[0])
    return shown_value(column, near)
