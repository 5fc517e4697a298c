"""Parquet files as pandas writes them, with their index apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _files, _memory
from scorefield.data import DataError, TableFile
from scorefield.data.arrowfiles import index_columns, to_frame
from scorefield.data.dataset import check_names
from scorefield.data.formats import format_of

if TYPE_CHECKING:
    import pandas as pd


def arrow_of(path: Path, columns: list[str] | None = None) -> Any:
    """A file's columns as a `pyarrow.Table`; what the names of its folders say is no column.

    Raises:
        DataError: for a file that is none, or larger than memory.
    """
    import pyarrow.parquet as pq

    with _files.reading(path, "parquet", DataError), pq.ParquetFile(path) as file:
        about = file.metadata
        too_much = _memory.lacking(8 * about.num_rows * (about.num_columns if columns is None else len(columns)))
        if too_much:
            raise DataError(f"{path}, {about.num_rows:,} rows in one file, {too_much}; cut it into smaller files.")
        return file.read(columns)


def table_of(path: Path) -> TableFile:
    """A file as a table that was read, the index that pandas noted in it apart."""
    parsed = arrow_of(path)
    plain = parsed.drop_columns(index_columns(parsed.schema)).replace_schema_metadata(None)
    check_names(plain.column_names, str(path))
    frame = to_frame(plain, path, "parquet")
    return TableFile(path, frame, format_of(path), parsed=parsed, names=tuple(plain.column_names))


def index_of(path: Path) -> pd.Index:
    """The index that pandas noted in a file; 0, 1, ... where there is none."""
    import pandas as pd
    import pyarrow.parquet as pq

    names = index_columns(pq.read_schema(path))
    return arrow_of(path, names).to_pandas().index if names else pd.RangeIndex(pq.read_metadata(path).num_rows)
