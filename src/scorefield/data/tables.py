"""Tables of numbers in files: csv and parquet."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scorefield import _files, _memory
from scorefield._files import shortened, shown
from scorefield.data.arrowfiles import arrow_table
from scorefield.data.dataset import Array, DataError, Dataset, check_names, not_finite

_MISSING = frozenset({"", "na", "n/a", "null", "none", "missing", "?", "-"})
_CATEGORICAL = "categorical columns are not supported yet: remove the column or write it as numbers"


class _Layout(NamedTuple):
    """How a csv file is written: names of the columns, whether they stand in a header, and where the data begin."""

    delimiter: str
    columns: tuple[str, ...]
    header: bool
    skip: int  # lines before the data


def read_csv(path: Path) -> Dataset:
    """A csv file of numbers, with or without a header, separated by commas, semicolons or tabs.

    The first row is a header when none of its cells is a number, or when one of them is text above a number.
    Files that numpy's reader takes are read by it; the others by a slower reader that finds the fault.

    Raises:
        DataError: for no data, rows of unequal length, cells that are not finite numbers, unnamed or doubled columns;
            with the column, the data row (from 1, the header not counted) and the line of the file.
    """
    with reading_csv(path, 4):
        layout = _layout(path)
        records = _read_fast(path, layout)
        if records is None:
            records = _read_cell_by_cell(path, layout)
    return Dataset(records, "table", layout.columns, source=str(path))


@contextmanager
def reading_csv(path: Path, growth: int) -> Iterator[None]:
    """Around the reading of a csv file that takes `growth` times its size in memory."""
    too_much = _memory.lacking(growth * path.stat().st_size)
    if too_much:
        raise DataError(f"{path} {too_much}; save it as .parquet, or give fewer rows.")
    with _files.reading(path, "csv", DataError):
        try:
            yield
        except UnicodeDecodeError as error:
            raise DataError(
                f"{path} is not text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8."
            ) from None


def _rows(path: Path, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The rows that are not blank, each with the number of its last line (from 1)."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        reader = csv.reader(file, delimiter=delimiter)
        for row in reader:
            if row and (len(row) > 1 or row[0].strip()):
                yield reader.line_num, [cell.strip() for cell in row]


def _layout(path: Path) -> _Layout:
    delimiter = _delimiter(path)
    rows = _rows(path, delimiter)
    line, first = next(rows, (0, []))
    _, second = next(rows, (0, []))
    if not first:
        raise DataError(f"{path} is empty; a table needs a header and rows of numbers.")
    if not _is_header(first, second):
        return _Layout(delimiter, tuple(f"x{j}" for j in range(len(first))), False, 0)
    check_names(first, str(path))
    if not second:
        raise DataError(f"{path} has no data rows, only the header {shown(','.join(first))}.")
    return _Layout(delimiter, tuple(first), True, line)


def _delimiter(path: Path) -> str:
    """The separator that stands in the first two lines; a comma next to a semicolon is a decimal comma."""
    with path.open(encoding="utf-8-sig") as file:
        lines = []
        for line in file:
            if line.strip():
                lines.append(re.sub(r'"[^"]*"', "", line))
            if len(lines) == 2:
                break
    return next((c for c in ";\t" if lines and all(c in line for line in lines)), ",")


def _is_header(first: list[str], second: list[str]) -> bool:
    named = [not _is_number(cell) and cell.lower() not in _MISSING for cell in first]
    if any(_is_number(cell) for cell in first):
        return any(name and _is_number(below) for name, below in zip(named, second, strict=False))
    return any(named)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell


def _read_fast(path: Path, layout: _Layout) -> Array | None:
    """The numbers, or None when the slower reader has to say what is wrong."""
    try:
        records = np.loadtxt(
            path,
            delimiter=layout.delimiter,
            skiprows=layout.skip,
            comments=None,
            quotechar='"',
            encoding="utf-8-sig",
            ndmin=2,
        )
    except UnicodeDecodeError:
        raise
    except ValueError:
        return None
    return records if records.shape[1] == len(layout.columns) and np.isfinite(records).all() else None


def _read_cell_by_cell(path: Path, layout: _Layout) -> Array:
    """Row by row, stopping at the first fault."""
    records: list[list[float]] = []
    rows = _rows(path, layout.delimiter)
    if layout.header:
        next(rows)
    for line, row in rows:
        where = f"data row {len(records) + 1} (line {line} of the file; data rows count from 1)"
        if len(row) != len(layout.columns):
            than = "the header" if layout.header else "the first row"
            raise DataError(
                f"{path}: {where} has {len(row)} cells and {than} has {len(layout.columns)}; "
                "every row needs one cell per column."
            )
        records.append([_number(cell, path, name, where) for cell, name in zip(row, layout.columns, strict=True)])
    return np.array(records, dtype=np.float64)


def _number(cell: str, path: Path, column: str, where: str) -> float:
    if _is_number(cell):
        value = float(cell)
        if np.isfinite(value):
            return value
        fault, fix = not_finite(value), "fill it in or remove the row, missing values are not supported yet"
    elif cell.lower() in _MISSING:
        fault = f"no number ({shown(cell)})" if cell else "nothing"
        fix = "fill it in or remove the row, missing values are not supported yet"
    elif _is_number(cell.replace(",", ".", 1)):
        fault, fix = shown(cell), "write decimals with a point and thousands without a separator"
    elif all(_is_number(part) for part in cell.split()):
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
