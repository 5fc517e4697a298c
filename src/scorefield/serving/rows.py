"""Rows of a table in JSON: objects by the names of the columns, read without guessing."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield._files import shown
from scorefield.data import DataError
from scorefield.tables.cells import check_columns
from scorefield.tables.schema import Column, Schema
from scorefield.tables.series import plain

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
_LARGEST = 1e300


def check_rows(rows: Any) -> list[Row]:
    """Rows as they came: a list of objects whose cells are numbers, texts, true, false or null.

    Raises:
        DataError: for anything else; says which row, from 1.
    """
    if not isinstance(rows, list) or not rows:
        raise DataError(f"rows must be a list of one object or more, got {shown(rows)}.")
    for i, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"row {i} is {shown(row)}; every row is an object, by the names of the columns.")
        for name, value in row.items():
            if isinstance(value, (dict, list)):
                raise DataError(f"row {i}, {shown(name)}: {shown(value)}; cells are numbers, texts, true, false, null.")
    return rows


def check_cells(schema: Schema, rows: Sequence[Row], optional: str | None = None) -> None:
    """Raise for other columns than the model's, or a cell of another type than its column.

    Args:
        schema: of the model.
        rows: as `check_rows` gives them.
        optional: a column that need not be there, as one that is predicted.

    Raises:
        DataError: says the column and the row, from 1.
    """
    named = {str(column.name): column for column in schema}
    there = dict.fromkeys(name for row in rows for name in row)
    names = [*there, optional] if optional in named else list(there)
    check_columns(schema, [named[name].name if name in named else name for name in names])
    for name in there:
        fits, wanted = _FITS[_kind(named[name])]
        for i, row in enumerate(rows, 1):
            value = row.get(name)
            if value is not None and not fits(value):
                raise DataError(f"column {name!r} takes {wanted} or null, got {shown(value)} in row {i} (from 1).")


def frame_of(schema: Schema, rows: Sequence[Row]) -> pd.DataFrame:
    """Checked rows as a data frame with the model's columns that are in some row, each in its type."""
    import pandas as pd

    there = {name for row in rows for name in row}
    columns = [column for column in schema if str(column.name) in there]
    made = {column.name: _series(column, [row.get(str(column.name)) for row in rows]) for column in columns}
    return pd.DataFrame(made)


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """A data frame as objects with values of JSON: times as ISO texts, null for holes and what is not finite."""
    columns = {str(name): _values(frame.iloc[:, j]) for j, name in enumerate(frame.columns)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _kind(column: Column) -> str:
    if column.holds == "times":
        return "zoned times" if "," in column.dtype else "times"
    return column.holds


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < _LARGEST


def _is_time(value: Any, zoned: bool) -> bool:
    try:
        return isinstance(value, str) and (datetime.datetime.fromisoformat(value).tzinfo is not None) == zoned
    except ValueError:
        return False


_FITS: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "numbers": (_is_number, "a number"),
    "text": (lambda value: isinstance(value, str), "a text"),
    "booleans": (lambda value: isinstance(value, bool), "true, false"),
    "times": (
        lambda value: _is_time(value, False),
        "a time without a zone, such as 2024-05-01T12:30:00,",
    ),
    "zoned times": (lambda value: _is_time(value, True), "a time with its zone, such as 2024-05-01T12:30:00Z,"),
}


def _series(column: Column, values: list[Any]) -> pd.Series:
    import pandas as pd

    if column.holds == "numbers":
        whole = all(value is None or (isinstance(value, int) and abs(value) < 2**63) for value in values)
        if whole and any(value is not None for value in values):
            return pd.Series(values, dtype="Int64" if None in values else "int64")
        return pd.Series([math.nan if value is None else float(value) for value in values])
    if column.holds == "booleans":
        return pd.Series(values, dtype="boolean" if None in values else "bool")
    if column.holds == "times":
        return pd.Series(pd.to_datetime(values, format="ISO8601", utc="," in column.dtype))
    return pd.Series(values, dtype=object)


def _values(series: pd.Series) -> Iterable[Any]:
    missing = series.isna().to_numpy()
    if series.dtype.kind == "f":
        missing = missing | ~np.isfinite(series.to_numpy(dtype=np.float64, na_value=np.nan))
    for value, gone in zip(series.tolist(), missing, strict=True):
        own = plain(value)
        yield None if gone else own.isoformat() if hasattr(own, "isoformat") else own
