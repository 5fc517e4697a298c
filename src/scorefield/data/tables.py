"""Tables of numbers in files: csv and parquet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from scorefield import _files
from scorefield._files import shortened, shown
from scorefield.data.arrowfiles import arrow_table
from scorefield.data.dataset import Array, DataError, Dataset, check_names, not_finite
from scorefield.data.delimited import is_float, is_header, parse, separator_of
from scorefield.data.delimited import records as records_of
from scorefield.data.dialect import Dialect
from scorefield.data.textfiles import decode, read_bytes

_MISSING = frozenset({"", "na", "n/a", "null", "none", "missing", "?", "-"})
_CATEGORICAL = "categorical columns are not supported yet: remove the column or write it as numbers"


def read_csv(path: Path) -> Dataset:
    """A csv file of numbers, with or without a header, in UTF-8, separated as `separator_of` finds.

    Files that numpy's reader takes are read by it; the others cell by cell, which finds the fault.

    Raises:
        DataError: for no data, rows of unequal length, cells that are not finite numbers, unnamed or doubled columns;
            with the column, the data row (from 1, the header not counted) and the line of the file.
    """
    with _files.reading(path, "csv", DataError):
        text, _, _ = decode(read_bytes(path), path, "utf-8")
        names, records = _read_fast(text) or _read_cell_by_cell(text, path)
        check_names(names, str(path))
    return Dataset(records, "table", names, source=str(path))


def _read_fast(text: str) -> tuple[tuple[str, ...], Array] | None:
    """The names and the numbers, or None when the slower reader has to say what is wrong."""
    separator = separator_of(text)
    rows = (record for record in records_of(text, separator) if record.cells)
    first, second = next(rows, None), next(rows, None)
    if first is None or second is None:
        return None
    cells = [cell.strip() for cell in first.cells]
    header = is_header(cells, [cell.strip() for cell in second.cells])
    names = tuple(cells) if header else tuple(f"x{j}" for j in range(len(cells)))
    try:
        file, skip = io.StringIO(text), first.last * header
        records = np.loadtxt(file, delimiter=separator, skiprows=skip, comments=None, quotechar='"', ndmin=2)
    except ValueError:
        return None
    return (names, records) if records.shape[1] == len(names) and np.isfinite(records).all() else None


def _read_cell_by_cell(text: str, path: Path) -> tuple[tuple[str, ...], Array]:
    """Row by row, stopping at the first fault."""
    found = parse(text, path, Dialect(), ".csv")
    records = [
        [_number(cell, path, name, found.where(i)) for cell, name in zip(row, found.names, strict=True)]
        for i, row in enumerate(found.rows)
    ]
    return found.names, np.array(records, dtype=np.float64)


def _number(cell: str, path: Path, column: str, where: str) -> float:
    if is_float(cell):
        value = float(cell)
        if np.isfinite(value):
            return value
        fault, fix = not_finite(value), "fill it in or remove the row, missing values are not supported yet"
    elif cell.lower() in _MISSING:
        fault = f"no number ({shown(cell)})" if cell else "nothing"
        fix = "fill it in or remove the row, missing values are not supported yet"
    elif is_float(cell.replace(",", ".", 1)):
        fault, fix = shown(cell), "write decimals with a point and thousands without a separator"
    elif all(is_float(part) for part in cell.split()):
        fault, fix = shown(cell), "separate columns by commas, semicolons or tabs"
    else:
        fault, fix = f"{shown(cell)}, which is not a number", _CATEGORICAL
    raise DataError(f"{path}: column {shown(column)} holds {fault} in {where}; {fix}.")


def read_parquet(path: Path) -> Dataset:
    """A parquet file of numeric columns; true and false become 1 and 0.

    Raises:
        DataError: for a file that is none, for columns that are not numbers, for missing values.
    """
    table = arrow_table(path)
    names = tuple(table.column_names)
    if not names:
        raise DataError(f"{path} has no columns.")
    columns = [_parquet_column(table.column(j), name, path) for j, name in enumerate(names)]
    return Dataset(np.stack(columns, 1), "table", names, source=str(path))


def _parquet_column(column: object, name: str, path: Path) -> Array:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type  # type: ignore[attr-defined]
    types = pa.types
    if types.is_boolean(kind):
        column = pc.cast(column, pa.uint8())
    elif not (types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind)):
        raise DataError(
            f"{path}: column {shown(name)} holds {shortened(str(kind))} values from data row 1 on, not numbers; "
            f"{_CATEGORICAL}."
        )
    missing = pc.is_null(column).to_numpy()
    if missing.any():
        row = int(np.flatnonzero(missing)[0]) + 1
        raise DataError(
            f"{path}: column {shown(name)} holds nothing (null) in data row {row} (counted from 1); "
            "fill it in or remove the row, missing values are not supported yet."
        )
    return np.asarray(pc.cast(column, pa.float64(), safe=False).to_numpy(), dtype=np.float64)
