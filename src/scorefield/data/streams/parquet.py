"""Parquet files as a stream: rows of numbers, a row group a block."""

from __future__ import annotations

import bisect
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scorefield import _files, _memory
from scorefield.data.dataset import Array, DataError, check_names
from scorefield.data.streams.stream import Stream

_GROUP = 1 << 30  # bytes of a row group as numbers, at most: it is read whole


def parquet_stream(source: str | Path, columns: Sequence[str] | None = None, leave_out: Sequence[str] = ()) -> Stream:
    """The rows of a .parquet file, or of all in a folder, however deep, by their names; columns of numbers alone.

    Args:
        source: a file, a folder or a pattern such as "rows/*.parquet"; names that begin with a dot or an underscore are
            not seen in folders.
        columns: to read, in their order; default: all.
        leave_out: columns that are not read.

    Raises:
        DataError: for a file that is none, files of other columns than the first, columns that are no numbers, row
            groups of more than 1 GB, and folders whose names hold columns (year=2024).
    """
    path = Path(source)
    files = parts_in(source) if not path.is_file() else [path]
    if not files:
        raise DataError(f"{path} holds no .parquet files.")
    names, kind, groups = _layout(files, columns, leave_out)
    ends = np.cumsum([len(sizes) for sizes in groups]).tolist()

    def read(k: int) -> Array:
        import pyarrow.parquet as pq

        i = bisect.bisect_right(ends, k)
        group = k - (ends[i - 1] if i else 0)
        with _files.reading(files[i], "parquet", DataError), pq.ParquetFile(files[i]) as file:
            table = file.read_row_group(group, columns=list(names), use_threads=False)
            return numbers(table, names, kind)

    sizes = np.array([size for file in groups for size in file], np.int64)
    return Stream(str(path), "table", (len(names),), kind, sizes, read, names)


def parquet_files(folder: Path) -> Iterator[Path]:
    """The .parquet files below a folder, by their names.

    Raises:
        DataError: for a folder below whose name holds a column.
    """
    with os.scandir(folder) as found:
        entries = sorted((entry for entry in found if entry.name[0] not in "._"), key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_dir():
            if "=" in entry.name:
                raise DataError(
                    f"{entry.path} has a column in its name, which is not read; write it as a column of the files, or "
                    "give the one folder."
                )
            yield from parquet_files(folder / entry.name)
        elif entry.name.lower().endswith(".parquet"):
            yield folder / entry.name


def parts_in(source: str | Path) -> list[Path]:
    """The .parquet files that a folder, however deep, or a pattern means, by their names; none: it is neither.

    Raises:
        DataError: for a folder whose name holds a column (year=2024).
    """
    if Path(source).is_dir():
        return list(parquet_files(Path(source)))
    if Path(source).exists() or "*" not in str(source):
        return []
    return sorted(path for path in map(Path, glob.glob(str(source), recursive=True)) if path.suffix == ".parquet")


def numbers(table: Any, names: Sequence[str], kind: np.dtype) -> Array:
    """Columns of a `pyarrow.Table` or batch as rows `(n, d)`; holes are NaN."""
    made = np.empty((table.num_rows, len(names)), kind)
    for j, name in enumerate(names):
        column = table.column(table.schema.get_field_index(name))
        made[:, j] = column.to_pandas().to_numpy(dtype=kind, na_value=np.nan)
    return made


def number_type(schema: Any, names: Sequence[str], source: str) -> np.dtype:
    """float32 where all columns of an arrow schema are, else float64.

    Raises:
        DataError: naming a column that holds no numbers.
    """
    import pyarrow as pa

    small = True
    for name in names:
        kind = schema.field(name).type
        if not (pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)):
            raise DataError(
                f"{source}: column {_files.shown(name)} holds {_files.shortened(str(kind))} values, and records "
                f"that are read as they are needed are numbers; leave it out: --leave-out {_files.shortened(name)}."
            )
        small = small and pa.types.is_floating(kind) and kind.bit_width <= 32
    return np.dtype(np.float32 if small else np.float64)


def chosen(
    found: Sequence[str], columns: Sequence[str] | None, leave_out: Sequence[str], source: str
) -> tuple[str, ...]:
    """The columns to read of those that are there.

    Raises:
        DataError: for one that is not there, none that is left, two of a name.
    """
    check_names(list(found), source)
    for name in (*(columns or ()), *leave_out):
        if name not in found:
            some = _files.shortened(", ".join(found), 200)
            raise DataError(f"{source} has no column {_files.shown(name)}; it has {some}.")
    names = tuple(name for name in (columns or found) if name not in leave_out)
    if not names:
        raise DataError(f"{source}: no column is left to read.")
    return names


def _layout(
    files: Sequence[Path], columns: Sequence[str] | None, leave_out: Sequence[str]
) -> tuple[tuple[str, ...], np.dtype, list[list[int]]]:
    """The columns, their type, and the rows of each row group of each file."""
    import pyarrow.parquet as pq

    names: tuple[str, ...] = ()
    kind, groups = np.dtype(np.float32), []
    for path in files:
        with _files.reading(path, "parquet", DataError), pq.ParquetFile(path) as file:
            schema, about = file.schema_arrow, file.metadata
            names = names or chosen(schema.names, columns, leave_out, str(path))
            missing = [name for name in names if name not in schema.names]
            foreign = [name for name in schema.names if name not in names and name not in leave_out]
            if missing or (foreign and columns is None):
                other = _files.shown((missing or foreign)[0])
                raise DataError(
                    f"{path} {'lacks' if missing else 'has also'} the column {other}; give files of one form."
                )
            kind = max(kind, number_type(schema, names, str(path)), key=lambda one: one.itemsize)
            sizes = [about.row_group(k).num_rows for k in range(about.num_row_groups)]
        most = max(sizes, default=0) * len(names) * 8
        if most > _GROUP:
            raise DataError(
                f"{path} has a row group of {max(sizes):,} rows, {_memory.in_words(most)} as numbers; write it again "
                "with smaller ones, such as row_group_size=100_000."
            )
        groups.append(sizes)
    return names, kind, groups
