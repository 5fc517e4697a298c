"""Tables of every kind of column in files: csv and parquet, as data frames."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield import _files, _memory
from scorefield._files import shown
from scorefield.data.builtin import builtin
from scorefield.data.dataset import DataError, check_names
from scorefield.data.tables import _is_number, _layout, _rows, arrow_table, reading_csv
from scorefield.data.writing import _atomically

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = (".csv", ".parquet")
_MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>"})
MISSING_NUMBERS = _MISSING | {"none", "missing", "?", "-"}  # in a column of text these are words
_WHOLE = re.compile(r"[+-]?\d+")
_DECIMAL_COMMA = re.compile(r"[+-]?\d+,\d+")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?(Z|[+-]\d{2}:?\d{2})?)?")
_MOSTLY = 0.9  # a column with more numbers than this share is one of numbers, and the rest is a mistake
_MANY = 30  # ... if it has more different numbers than this


def read_frame(path: str | Path) -> pd.DataFrame:
    """A csv or parquet file as a data frame with the type of every column found.

    csv: separators and header as for tables of numbers. A column is whole numbers (Int64 where some are missing),
    numbers, booleans (true and false in any case; boolean where some are missing), times (ISO 8601 dates, with or
    without a time; UTC when they have a zone), or else text. Missing are empty cells, NA, N/A, NaN and null in any
    case, in columns of numbers also none, missing, ? and -. A column of which more than 90 % are numbers, and more than
    30 different ones, is not taken as text: what is no number there is an error.

    Raises:
        DataError: for another suffix, a file that cannot be read, rows of unequal length, unnamed or doubled columns.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(f"{folder}/a.csv").write_text("day,size,ok\\n2024-05-01,1.5,true\\n2024-05-02,,false\\n")
        ...     read_frame(f"{folder}/a.csv")
                 day  size     ok
        0 2024-05-01   1.5   True
        1 2024-05-02   NaN  False
    """
    path = Path(path)
    suffix = check_frame_suffix(path, "read")
    if not path.is_file():
        raise DataError(f"{path} is not there; give the path of a .csv or .parquet file.")
    if suffix == ".parquet":
        return _read_parquet(path)
    with reading_csv(path, 8):  # a cell is a Python text for a while
        return _read_csv(path)


def write_frame(frame: pd.DataFrame, path: str | Path) -> None:
    """Write a data frame as .csv or .parquet, whole or not at all, without its index; missing values are empty cells.

    Raises:
        DataError: for another suffix, or names that are doubled or empty.
    """
    write_frames([frame], len(frame), path)


def write_frames(parts: Iterable[pd.DataFrame], n: int, path: str | Path) -> None:
    """As `write_frame`, for n rows that come in parts of the same columns, of which memory holds one at a time.

    Args:
        parts: data frames, at least one.
        n: how many rows there are in all of them.
        path: where to.

    Raises:
        DataError: as `write_frame`, and where by the size of the first part n rows do not fit on the disk.
    """
    path = Path(path)
    add = _add_csv if check_frame_suffix(path) == ".csv" else _add_parquet
    _atomically(path, lambda to: add(to, _renamed(parts, path), n, path))


def _renamed(parts: Iterable[pd.DataFrame], path: Path) -> Iterator[pd.DataFrame]:
    for part in parts:
        frame = part.set_axis([str(name) for name in part.columns], axis=1)
        check_names(list(frame.columns), str(path))
        yield frame


def _add_csv(to: Path, parts: Iterator[pd.DataFrame], n: int, path: Path) -> None:
    with to.open("w", encoding="utf-8", newline="") as file:
        for k, part in enumerate(parts):
            part.to_csv(file, index=False, header=k == 0, lineterminator="\n")
            _check_room(to, file.tell(), k, n, len(part), path)


def _add_parquet(to: Path, parts: Iterator[pd.DataFrame], n: int, path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first = pa.Table.from_pandas(next(parts), preserve_index=False)
    with pq.ParquetWriter(to, first.schema) as out:
        out.write_table(first)
        _check_room(to, first.nbytes, 0, n, len(first), path)
        for part in parts:
            out.write_table(pa.Table.from_pandas(part, schema=first.schema, preserve_index=False))


def _check_room(to: Path, size: int, k: int, n: int, rows: int, path: Path) -> None:
    """Raise after the first part, of a size in bytes, where n rows such as its own do not fit on the disk."""
    too_much = _memory.lacking_on_disk(size * n // max(rows, 1) - size, to.parent) if k == 0 and n > rows else None
    if too_much:
        raise DataError(f"{path}: a file of {n:,} rows {too_much}; draw fewer.")


def builtin_frame(name: str, *, target: bool = True) -> pd.DataFrame:
    """A built-in table as a data frame: wine, breast_cancer, iris, diabetes, or the points of a toy.

    Args:
        name: as in `BUILTIN`.
        target: whether the class stands in a last column `target`, a category with the classes' names.

    Raises:
        DataError: for an unknown name, or images.

    Example:
        >>> builtin_frame("iris").columns[-1], len(builtin_frame("iris", target=False).columns)
        ('target', 4)
    """
    import pandas as pd

    dataset = builtin(name)
    if dataset.kind == "image":
        raise DataError(f"{name} holds images, not a table.")
    frame = pd.DataFrame(dataset.records, columns=list(dataset.columns or ()))
    if target and dataset.labels is not None and dataset.classes is not None:
        frame["target"] = pd.Categorical.from_codes(dataset.labels, categories=list(dataset.classes))
    return frame


def check_frame_suffix(path: str | Path, done: str = "written") -> str:
    """The suffix in small letters, once it is known to be one of a table's: to ask before long work.

    Raises:
        DataError: for another one.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(f"{path} has the suffix {suffix or 'none'!r}; tables are {done} as {' or '.join(_SUFFIXES)}.")
    return suffix


def _read_csv(path: Path) -> pd.DataFrame:
    import pandas as pd

    layout = _layout(path)
    cells: list[list[str]] = []
    rows = _rows(path, layout.delimiter)
    if layout.header:
        next(rows)
    for line, row in rows:
        if len(row) != len(layout.columns):
            than = "the header" if layout.header else "the first row"
            raise DataError(
                f"{path}: data row {len(cells) + 1} (line {line} of the file; data rows count from 1) has {len(row)} "
                f"cells and {than} has {len(layout.columns)}; every row needs one cell per column."
            )
        cells.append(row)
    columns = zip(layout.columns, zip(*cells, strict=True), strict=True)
    return pd.DataFrame({name: _column(column, f"{path}: column {shown(name)}") for name, column in columns})


def _column(cells: Sequence[str], where: str) -> Any:
    """The cells of a column in the type that all of them have."""
    import pandas as pd

    missing = np.array([cell.lower() in MISSING_NUMBERS for cell in cells])
    present = [cell for cell, out in zip(cells, missing, strict=True) if not out]
    if all(map(_is_number, present)):
        return _numbers(present, missing)
    missing = np.array([cell.lower() in _MISSING for cell in cells])
    present = [cell for cell, out in zip(cells, missing, strict=True) if not out]
    if all(cell.lower() in ("true", "false") for cell in present):
        values = np.zeros(len(cells), dtype=bool)
        values[~missing] = [cell.lower() == "true" for cell in present]
        series = pd.Series(values)
        return series.astype("boolean").where(~missing) if missing.any() else series
    times = _times(cells, missing, present)
    if times is not None:
        return times
    _check_text(cells, missing, where)
    return pd.Series([None if out else cell for cell, out in zip(cells, missing, strict=True)])


def _numbers(present: Sequence[str], missing: np.ndarray[Any, Any]) -> Any:
    import pandas as pd

    whole = bool(present) and all(map(_WHOLE.fullmatch, present))
    if whole and all(len(cell.lstrip("+-0")) < 20 and abs(int(cell)) < 2**63 for cell in present):
        values = np.zeros(len(missing), dtype=np.int64)
        values[~missing] = [int(cell) for cell in present]
        series = pd.Series(values)
        return series.astype("Int64").where(~missing) if missing.any() else series
    floats = np.full(len(missing), np.nan)
    floats[~missing] = [float(cell) for cell in present]
    return pd.Series(floats)


def _times(cells: Sequence[str], missing: np.ndarray[Any, Any], present: Sequence[str]) -> Any:
    """Times, or None where the cells are none."""
    import pandas as pd

    matches = [_DATE.fullmatch(cell) for cell in present]
    zones = {bool(match and match[1]) for match in matches}
    if not all(matches) or len(zones) > 1:
        return None
    texts = pd.Series([None if out else cell for cell, out in zip(cells, missing, strict=True)])
    try:
        return pd.to_datetime(texts, format="ISO8601", utc=zones == {True})
    except ValueError:
        return None


def _check_text(cells: Sequence[str], missing: np.ndarray[Any, Any], where: str) -> None:
    """Raise where text stands among numbers."""
    present = [i for i in range(len(cells)) if not missing[i]]
    commas = [i for i in present if _DECIMAL_COMMA.fullmatch(cells[i])]
    if commas and all(_is_number(cells[i].replace(",", ".", 1)) for i in present):
        raise DataError(
            f"{where} holds {shown(cells[commas[0]])} in data row {commas[0] + 1} (from 1); "
            "write decimals with a point and thousands without a separator."
        )
    others = [i for i in present if not _is_number(cells[i]) and cells[i].lower() not in MISSING_NUMBERS]
    numbers = {cells[i] for i in present if _is_number(cells[i])}
    if others and len(numbers) > _MANY and len(others) < (1 - _MOSTLY) * len(present):
        raise DataError(
            f"{where} holds {shown(cells[others[0]])} in data row {others[0] + 1} (from 1), which is no number, and "
            "numbers in almost all other rows; correct the cell or leave it empty."
        )


def _read_parquet(path: Path) -> pd.DataFrame:
    table = arrow_table(path)
    if not table.num_columns or not table.num_rows:
        raise DataError(f"{path} has {table.num_rows} rows and {table.num_columns} columns; a table needs one of each.")
    with _files.reading(path, "parquet", DataError):
        for j, field in enumerate(table.schema):
            plain = _plain_type(field.type)
            if plain is not None:
                table = table.set_column(j, field.name, table.column(j).cast(plain))
        frame = table.to_pandas()
        named = [name is not None for name in frame.index.names]
        return frame.reset_index() if all(named) else frame.reset_index(drop=True)


def _plain_type(kind: Any) -> Any:
    """What pandas has a type for, in place of one that it has none for: times for dates, floats for decimals."""
    import pyarrow as pa

    if pa.types.is_date(kind):
        return pa.timestamp("s" if kind.bit_width == 32 else "ms")
    return pa.float64() if pa.types.is_decimal(kind) else None
