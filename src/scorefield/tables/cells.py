"""The cells of one column on their way into a row, and their checks."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import numpy as np

from scorefield.data.dataset import Array, DataError
from scorefield.tables.detection import coordinate
from scorefield.tables.lattice import Lattice
from scorefield.tables.schema import Column, Name, Schema, describe, list_names
from scorefield.tables.series import (
    as_frame,
    plain,
    present,
    read_numbers,
    read_times,
    read_values,
    restore,
    tick_digits,
)

if TYPE_CHECKING:
    import pandas as pd

Unseen: TypeAlias = Literal["error", "missing"]
_WHOLE = 2.0**62


class Cells(NamedTuple):
    """The values of one column: floats on its own scale, or objects; and where there are any."""

    values: Array
    here: Array


def _read(column: Column, series: pd.Series) -> Cells:
    """Numbers and times on the column's own scale, others as objects."""
    here = present(series)
    if column.holds == "numbers":
        return Cells(coordinate(column, read_numbers(series, column.name)), here)
    if column.holds == "times":
        return Cells(coordinate(column, read_times(series, column.name, column.dtype)), here)
    return Cells(read_values(series), here)


def frame_cells(schema: Schema, frame: pd.DataFrame | Array, extra: bool) -> dict[Name, Cells]:
    """The values of all columns but copies, which fill holes of their sources and must agree with them."""
    taken = _checked_frame(schema, frame, extra)
    cells: dict[Name, Cells] = {}
    for column in schema:
        like = replace(schema[column.of], name=column.name) if column.kind == "copy" else column
        found = _read(like, taken[column.name])
        if column.kind != "copy":
            cells[column.name] = found
            continue
        source, here = cells[column.of]
        differ = np.flatnonzero(here & found.here & (source != found.values))
        if len(differ):
            raise DataError(
                f"column {column.name!r} was the same as {column.of!r} at training and is not in row {differ[0] + 1} "
                "(from 1); leave one of them out at training."
            )
        cells[column.of] = Cells(np.where(here, source, found.values), here | found.here)
    return cells


def _checked_frame(schema: Schema, frame: pd.DataFrame | Array, extra: bool) -> pd.DataFrame:
    import pandas as pd

    if isinstance(frame, np.ndarray):
        frame = as_frame(frame, schema.names)
    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"rows come as a pandas DataFrame or an array (n, d), got {type(frame).__name__}.")
    if not frame.columns.is_unique:
        doubled = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"the table has more than one column {doubled!r}; every column needs a name of its own.")
    check_columns(schema, frame.columns, extra)
    return frame


def check_columns(schema: Schema, names: Collection[Name], extra: bool = False) -> None:
    """Raise a DataError for columns that the schema has and a table has not, or the other way round.

    Args:
        schema: of the model.
        names: of the table's columns.
        extra: whether other columns may be there.
    """
    lacking = [name for name in schema.names if name not in names]
    foreign = [name for name in names if name not in schema.names]
    if lacking:
        raise DataError(f"the table lacks the column(s) {list_names(lacking)}; one that is unknown may be empty.")
    if foreign and not extra:
        raise DataError(f"the table has the column(s) {list_names(foreign)}, unknown at training; leave them out.")


def values_array(values: tuple[Any, ...], column: Column) -> Array:
    if column.holds in ("numbers", "times"):
        return np.array(values)
    made = np.empty(len(values), dtype=object)
    made[:] = values
    return made


def codes_of(column: Column, cells: Cells) -> Array:
    """The places of the values among the column's, int64 `(n,)`, -1 for others."""
    import pandas as pd

    categories = values_array(column.values, column)
    if column.holds in ("numbers", "times"):
        found = pd.Index(coordinate(column, categories)).get_indexer(cells.values)
    else:
        found = pd.Index(categories, dtype=object).get_indexer(pd.Index(cells.values, dtype=object))
    return np.asarray(found, dtype=np.int64)


def misfits(column: Column, cells: Cells) -> Array:
    """Which values the column has no place for: unseen ones, beyond its bounds, off its lattice; bool `(n,)`."""
    if column.coded or column.kind == "constant":
        return cells.here & (codes_of(column, cells) < 0)
    ordinary = cells.here & ~np.isin(cells.values, column.atoms)
    low, high = column.transform.bounds
    bad = ~((cells.values > low) & (cells.values < high))
    if column.kind == "integer" and column.lattice is not None:
        bad |= np.abs(column.lattice.nearest(cells.values) - cells.values) > 1e-6 * column.lattice.width
    return np.asarray(ordinary & bad)


def misfit_error(column: Column, cells: Cells, row: int) -> DataError:
    """What is wrong with a value that `misfits` found."""
    value = cells.values[row]
    start = f"column {column.name!r} holds {shown(column, value)} in row {row + 1} (from 1), "
    low, high = column.transform.bounds
    if column.kind == "constant":
        reason = f"and was always {describe(column)} at training; the model knows no other value."
    elif column.coded:
        reason = f"unseen at training; it had {describe(column)}."
    elif not low < value < high:
        reason = f"outside its bounds {low:g} and {high:g}; choose another transform in the schema."
    else:
        lattice = column.lattice if isinstance(column.lattice, Lattice) else Lattice(0)
        what = "whole numbers"
        if lattice.width != 1:
            what = f"{lattice.offset / 10**lattice.digits:g} and multiples of {lattice.width:g} away from it"
        reason = f"and its values are {what}; set its kind or resolution in the schema."
    return DataError(f"{start}{reason} unseen='missing' takes such values as missing.")


def cell_ends(column: Column, x: Array) -> tuple[Array, Array]:
    """The ends of the cells around the lattice values nearest to x, within the bounds of the transform."""
    low, high = column.transform.bounds
    if column.lattice is None:
        raise ValueError(f"column {column.name!r} has no lattice, so it has no cells.")
    centre = column.lattice.inside(x, low, high)
    start, end = column.lattice.ends(centre, column.resolution)
    return np.maximum(start, low), np.minimum(end, high)


def native_of(column: Column, x: Array) -> Array:
    """Values on the column's own scale as numbers or ticks."""
    if column.holds == "times":
        return np.clip(np.rint(x * 10.0 ** tick_digits(column.dtype)), -_WHOLE, _WHOLE).astype(np.int64) + column.origin
    digits = column.lattice.digits if isinstance(column.lattice, Lattice) else None
    if digits == 0 and "float" not in column.dtype.lower() and "double" not in column.dtype:
        return np.clip(np.rint(x), -_WHOLE, _WHOLE).astype(np.int64) + column.origin
    return x


def shown(column: Column, value: Any) -> str:
    """A value on the column's own scale as the user writes it."""
    if column.holds == "times":
        return str(restore(column, native_of(column, np.array([value])), np.array([True])).iloc[0])
    if column.holds == "numbers":
        whole = float(value).is_integer() and abs(value) < _WHOLE
        return str(int(value) + column.origin if whole else float(value))
    return repr(plain(value))
