"""Data frames to files of every format, and built-in tables as data frames."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _memory
from scorefield.data import arrowfiles, excel, jsonlines
from scorefield.data.builtin import builtin
from scorefield.data.dataset import DataError, check_names
from scorefield.data.dates import Times
from scorefield.data.dialect import Dialect, Notation
from scorefield.data.formats import Format, check_frame_suffix
from scorefield.data.numbers import DECIMALS, Numbers
from scorefield.data.tablefile import read_table
from scorefield.data.textfiles import text_to
from scorefield.data.writing import _atomically

if TYPE_CHECKING:
    import pandas as pd


def read_frame(path: str | Path, dialect: Dialect | None = None) -> pd.DataFrame:
    """The rows of a table's file, see `read_table`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(f"{folder}/a.csv").write_text("day,size,ok\\n2024-05-01,1.5,true\\n2024-05-02,,false\\n")
        ...     read_frame(f"{folder}/a.csv")
                 day  size     ok
        0 2024-05-01   1.5   True
        1 2024-05-02   NaN  False
    """
    return read_table(path, dialect).frame


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


def write_frame(frame: pd.DataFrame, path: str | Path, dialect: Dialect | None = None) -> None:
    """Write a data frame, whole or not at all, without its index; missing values are empty cells (null in .jsonl).

    Args:
        frame: the table.
        path: where to: .csv, .tsv, .jsonl (also with .gz or .zst), .xlsx, .parquet or .feather.
        dialect: of a text file; default: commas and decimal points, in UTF-8.

    Raises:
        DataError: for another suffix, or names that are doubled or empty.
    """
    write_frames([frame], len(frame), path, dialect)


def write_frames(parts: Iterable[pd.DataFrame], n: int, path: str | Path, dialect: Dialect | None = None) -> None:
    """As `write_frame`, for n rows that come in parts of the same columns, of which memory holds one at a time.

    Args:
        parts: data frames, at least one.
        n: how many rows there are in all of them.
        path: where to.
        dialect: of a text file.

    Raises:
        DataError: as `write_frame`, and where by the size of the first part n rows do not fit on the disk.
    """
    path, form = Path(path), check_frame_suffix(path)
    whole = _renamed(parts, path)

    def add(to: Path) -> None:
        if form.form == "xlsx":
            _add_excel(to, whole, n, path)
        elif form.is_text:
            _add_text(to, whole, n, path, form, fitting(dialect or Dialect(), form))
        else:
            _add_arrow(to, whole, n, path, form)

    _atomically(path, add)


def _renamed(parts: Iterable[pd.DataFrame], path: Path) -> Iterator[pd.DataFrame]:
    for part in parts:
        frame = part.set_axis([str(name) for name in part.columns], axis=1)
        check_names(list(frame.columns), str(path))
        yield frame


def fitting(dialect: Dialect, form: Format) -> Dialect:
    """The dialect with what goes with the suffix."""
    if form.form == "json lines":
        return Dialect()  # JSON is in UTF-8
    if form.suffix == ".tsv":
        return replace(dialect, separator="\t")
    return dialect if dialect.separator not in (None, "\t") else replace(dialect, separator=",")


def _add_text(to: Path, parts: Iterator[pd.DataFrame], n: int, path: Path, form: Format, dialect: Dialect) -> None:
    with text_to(to, dialect, form.compression) as file:
        for k, part in enumerate(parts):
            if form.form == "csv":
                _add_csv(file, part, dialect, header=k == 0)
            else:
                jsonlines.write_rows(file, list(part.columns), [_objects(part[name]) for name in part.columns])
            file.flush()
            _check_room(to, to.stat().st_size, k, n, len(part), path)


def _add_csv(file: Any, part: pd.DataFrame, dialect: Dialect, header: bool) -> None:
    import csv

    made = part.assign(
        **{
            name: notation.texts(part[name])
            for name, notation in dialect.columns.items()
            if name in part.columns and fits(notation, part[name])
        }
    )
    quoting = {"minimal": csv.QUOTE_MINIMAL, "text": csv.QUOTE_NONNUMERIC, "all": csv.QUOTE_ALL}[dialect.quoting]
    if any(made[name].astype(str).str.contains("\r").any() for name in made.select_dtypes(["object", "str"])):
        quoting = csv.QUOTE_ALL  # csv leaves it bare where it ends no line
    decimal = DECIMALS[dialect.decimal or "point"]
    if decimal == dialect.separator:
        decimal = "."
    made.to_csv(
        file,
        index=False,
        header=header,
        sep=dialect.separator or ",",
        decimal=decimal,
        lineterminator="\r\n" if dialect.newline == "\r" else dialect.newline,  # lines within cells end so
        quoting=quoting,
    )


def fits(notation: Notation, series: pd.Series) -> bool:
    """Whether a notation is for what a column holds."""
    from pandas.api import types

    if isinstance(notation, Numbers):
        return types.is_numeric_dtype(series) and not types.is_bool_dtype(series)
    if isinstance(notation, Times):
        return types.is_datetime64_any_dtype(series)
    return types.is_bool_dtype(series)


def _objects(series: pd.Series) -> list[Any]:
    return [None if missing else value for value, missing in zip(series, series.isna(), strict=True)]


def _add_excel(to: Path, parts: Iterator[pd.DataFrame], n: int, path: Path) -> None:
    if n >= 2**20:
        raise DataError(
            f"{path}: a sheet has room for {2**20 - 1:,} rows, and there are {n:,}; write .csv or .parquet."
        )
    first = next(parts)
    names = list(first.columns)

    def rows() -> Iterator[Iterator[tuple[Any, ...]]]:
        yield zip(*(_objects(first[name]) for name in names), strict=True)
        for part in parts:
            yield zip(*(_objects(part[name]) for name in names), strict=True)

    excel.write_rows(to, names, rows())


def _add_arrow(to: Path, parts: Iterator[pd.DataFrame], n: int, path: Path, form: Format) -> None:
    import pyarrow as pa

    first = pa.Table.from_pandas(next(parts), preserve_index=False)
    with arrowfiles.arrow_writer(to, first.schema, form.form) as add:
        add(first)
        _check_room(to, first.nbytes, 0, n, len(first), path)
        for part in parts:
            add(pa.Table.from_pandas(part, schema=first.schema, preserve_index=False))


def _check_room(to: Path, size: int, k: int, n: int, rows: int, path: Path) -> None:
    """Raise after the first part, of a size in bytes, where n rows such as its own do not fit on the disk."""
    too_much = _memory.lacking_on_disk(size * n // max(rows, 1) - size, to.parent) if k == 0 and n > rows else None
    if too_much:
        raise DataError(f"{path}: a file of {n:,} rows {too_much}; draw fewer.")
