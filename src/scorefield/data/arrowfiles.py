"""Parquet and feather files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield import _files, _memory
from scorefield.data.dataset import DataError, check_names

if TYPE_CHECKING:
    import pandas as pd


def arrow_table(path: Path, form: str = "parquet") -> Any:
    """What a file holds, as a `pyarrow.Table`, each column with a name of its own.

    Args:
        path: of the file.
        form: "parquet" or "feather".

    Raises:
        DataError: for a file that is none, for unnamed or doubled columns.
    """
    with _files.reading(path, form, DataError):
        table = _parquet(path) if form == "parquet" else _feather(path)
        table.validate(full=True)
    check_names(table.column_names, str(path))
    return table


def _parquet(path: Path) -> Any:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as file:
        about = file.metadata
        too_much = _memory.lacking(8 * about.num_rows * about.num_columns)
        if too_much:
            raise DataError(
                f"{path}, a table of {about.num_rows:,} rows and {about.num_columns:,} columns, {too_much}."
            )
        return file.read()


def _feather(path: Path) -> Any:
    import pyarrow as pa

    too_much = _memory.lacking(8 * path.stat().st_size)
    if too_much:
        raise DataError(f"{path} {too_much}.")
    with pa.OSFile(str(path)) as file, pa.ipc.open_file(file) as found:
        return found.read_all()


def to_frame(table: Any, path: Path, form: str) -> pd.DataFrame:
    """The table as a data frame, of types that pandas has; an index that was named is a column."""
    if not table.num_columns or not table.num_rows:
        raise DataError(f"{path} has {table.num_rows} rows and {table.num_columns} columns; a table needs one of each.")
    with _files.reading(path, form, DataError):
        for j, field in enumerate(table.schema):
            plain = _plain_type(field.type)
            if plain is not None:
                table = table.set_column(j, field.name, table.column(j).cast(plain))
        frame = table.to_pandas()
        named = [name is not None for name in frame.index.names]
        return frame.reset_index() if all(named) else frame.reset_index(drop=True)


def index_columns(schema: Any) -> list[str]:
    """The names under which pandas noted the index of a frame in the schema of its file."""
    noted = (schema.pandas_metadata or {}).get("index_columns", [])
    return [name for name in noted if isinstance(name, str)]


def _plain_type(kind: Any) -> Any:
    """What pandas has a type for, in place of one that it has none for: times for dates, floats for decimals."""
    import pyarrow as pa

    if pa.types.is_date(kind):
        return pa.timestamp("s" if kind.bit_width == 32 else "ms")
    return pa.float64() if pa.types.is_decimal(kind) else None


def with_filled(table: Any, filled: Mapping[str, tuple[np.ndarray, Any]]) -> Any:
    """The table with values in its holes, its types, and what pandas noted in it, as they are.

    Args:
        table: a `pyarrow.Table`.
        filled: by column, where its holes are, and its values there.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    for name, (holes, values) in filled.items():
        j = table.column_names.index(name)
        field = table.schema.field(j)
        plain = _plain_type(field.type) or field.type
        made = pa.array(values, from_pandas=True)
        made = _decoded(made).cast(_decoded_type(plain), safe=False).cast(_decoded_type(field.type), safe=False)
        column = _decoded(pa.chunked_array([table.column(j).combine_chunks()]))
        column = pc.replace_with_mask(column.combine_chunks(), pa.array(holes), made)
        if pa.types.is_dictionary(field.type):
            column = column.dictionary_encode().cast(field.type)
        table = table.set_column(j, field, column)
    return table


def _decoded(column: Any) -> Any:
    import pyarrow as pa

    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column


def _decoded_type(kind: Any) -> Any:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


@contextmanager
def arrow_writer(to: Path, schema: Any, form: str) -> Iterator[Any]:
    """A writer of tables of a schema, one after the other."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if form == "parquet":
        with pq.ParquetWriter(to, schema) as out:
            yield out.write_table
    else:
        with pa.OSFile(str(to), "wb") as file, pa.ipc.new_file(file, schema) as out:
            yield out.write_table
