"""A table of columns of every kind in many Parquet files, read a row group at a time as data frames."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield import _files, _memory
from scorefield.data.arrowfiles import index_columns, to_frame
from scorefield.data.dataset import Array, DataError, check_count
from scorefield.data.streams.order import drawn_rows
from scorefield.data.streams.parquet import chosen, parts_in

if TYPE_CHECKING:
    import pandas as pd

_GROUP = 1 << 29  # bytes of a row group as numbers, at most: it is read whole
_SAMPLED = 64  # row groups that a sample is taken of, at most


@dataclass(frozen=True, eq=False, repr=False)
class TableParts:
    """A table in many Parquet files, of which nothing is kept in memory.

    Args:
        source: the folder or the pattern, for messages.
        groups: file and number of each row group, in the order of the files' names.
        sizes: `(groups,)` int64, rows of each, all > 0.
        names: of the columns.
        left_out: columns that are not read.
        told: of the row groups, what their files say of them, as `fingerprint` takes it.

    Raises:
        DataError: for fewer than 20 rows.
    """

    source: str
    groups: tuple[tuple[Path, int], ...]
    sizes: Array
    names: tuple[str, ...]
    left_out: tuple[str, ...] = ()
    told: str = ""

    def __post_init__(self) -> None:
        check_count(len(self), self.source, "rows")

    def __len__(self) -> int:
        return int(self.starts[-1])

    def __repr__(self) -> str:
        return f"TableParts({self.source!r}: {len(self):,} rows in {len(self.sizes):,} row groups)"

    @cached_property
    def starts(self) -> Array:
        """`(groups + 1,)`: the first row of each row group, and the number of all rows."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    def frame(self, k: int) -> pd.DataFrame:
        """The rows of row group k, with the index 0, 1, ...

        Raises:
            DataError: where the file has changed, or cannot be read.
        """
        import pyarrow.parquet as pq

        path, group = self.groups[k]
        with _files.reading(path, "parquet", DataError), pq.ParquetFile(path) as file:
            table = file.read_row_group(group, columns=list(self.names), use_threads=False).select(list(self.names))
        if table.num_rows != self.sizes[k]:
            raise DataError(
                f"{path}: expected {self.sizes[k]:,} rows in row group {group + 1}, got {table.num_rows:,}; has it "
                "changed meanwhile?"
            )
        return to_frame(_plain(table), path, "parquet")

    def frames(self) -> Iterator[tuple[int, pd.DataFrame]]:
        """All row groups in order: the first row of each, and its rows."""
        return ((int(self.starts[k]), self.frame(k)) for k in range(len(self.sizes)))

    def rows(self, index: Array) -> pd.DataFrame:
        """The rows of some numbers `(m,)`, in their order; each row group that one lies in is read once."""
        import pandas as pd

        index = np.asarray(index, np.int64)
        rising = np.unique(index)
        home = np.searchsorted(self.starts, rising, side="right") - 1
        found = [self.frame(int(k)).iloc[rising[home == k] - self.starts[k]] for k in np.unique(home)]
        whole = pd.concat(found, ignore_index=True)
        return whole.iloc[np.searchsorted(rising, index)].reset_index(drop=True)

    def sample(self, count: int) -> pd.DataFrame:
        """So many rows at most, in order: a pure function of the numbers of rows, of at most 64 row groups."""
        blocks = np.sort(drawn_rows(len(self.sizes), min(_SAMPLED, len(self.sizes)), 0, "table/groups"))
        ends = np.cumsum(self.sizes[blocks])
        rows = np.sort(drawn_rows(int(ends[-1]), min(count, int(ends[-1])), 0, "table/sample"))
        home = np.searchsorted(ends, rows, side="right")
        return self.rows(rows - (ends - self.sizes[blocks])[home] + self.starts[blocks][home])

    def place(self, k: int) -> str:
        """Where row group k stands, for messages."""
        path, group = self.groups[k]
        return f"{path}, row group {group + 1}"

    def fingerprint(self) -> str:
        """To know the table again: its columns, and what the files say of each row group, not all values."""
        about = f"{self.names} {self.sizes.tolist()} {self.told}"
        return hashlib.blake2b(about.encode(), digest_size=16).hexdigest()


def holds_mixed(source: str | Path, leave_out: Sequence[str] = ()) -> bool:
    """Whether a source is Parquet files with columns that are no numbers, by the first of them."""
    import pyarrow.parquet as pq

    found = parts_in(source)
    if not found:
        return False
    with _files.reading(found[0], "parquet", DataError):
        schema = pq.read_schema(found[0])
    names = [name for name in schema.names if name not in (*leave_out, *index_columns(schema))]
    return any(_holds(schema.field(name).type) != "numbers" for name in names)


def table_parts(source: str | Path, leave_out: Sequence[str] = (), *, absent: bool = False) -> TableParts:
    """The table in a folder of .parquet files, however deep, or in those that a pattern means.

    Args:
        source: the folder, or a pattern such as "rows/*.parquet".
        leave_out: columns that are not read.
        absent: whether these may be lacking.

    Raises:
        DataError: for no such file, files of other columns than the first or of others kinds, row groups of more than
            512 MB as numbers, folders whose names hold columns (year=2024).
    """
    import pyarrow.parquet as pq

    groups: list[tuple[Path, int]] = []
    sizes, told = [], hashlib.blake2b(digest_size=16)
    names: tuple[str, ...] = ()
    kinds: dict[str, str] = {}
    for path in parts_in(source):
        with _files.reading(path, "parquet", DataError), pq.ParquetFile(path) as file:
            schema, about = file.schema_arrow, file.metadata
            inside = [name for name in schema.names if name not in index_columns(schema)]
            own = chosen(inside, None, [n for n in leave_out if n in inside or not absent], str(path))
            names = names or own
            _check_like(path, schema, own, names, kinds)
            for k in range(about.num_row_groups):
                group = about.row_group(k)
                _check_size(path, group.num_rows, len(names))
                if group.num_rows:
                    groups.append((path, k))
                    sizes.append(group.num_rows)
                    told.update(_said(group).encode())
    if not groups:
        raise DataError(f"{source} holds no .parquet files with rows.")
    return TableParts(str(source), tuple(groups), np.array(sizes, np.int64), names, tuple(leave_out), told.hexdigest())


def _check_like(path: Path, schema: Any, own: tuple[str, ...], names: tuple[str, ...], kinds: dict[str, str]) -> None:
    """Raise where a file has other columns than those before, or a column holds something else in it."""
    missing, foreign = (next((n for n in a if n not in b), None) for a, b in ((names, own), (own, names)))
    if missing is not None or foreign is not None:
        other = _files.shown(missing if missing is not None else foreign)
        raise DataError(
            f"{path} {'has also' if missing is None else 'lacks'} the column {other}; give files of one form."
        )
    for name in names:
        kind = _holds(schema.field(name).type)
        if kind != "nothing" and kinds.setdefault(name, kind) != kind:
            raise DataError(
                f"{path}: column {_files.shown(name)} holds {kind}, and {kinds[name]} in a file before it; give files "
                "of one form."
            )


def _check_size(path: Path, rows: int, columns: int) -> None:
    if 8 * rows * columns > _GROUP:
        raise DataError(
            f"{path} has a row group of {rows:,} rows, {_memory.in_words(8 * rows * columns)} as numbers; write it "
            "again with smaller ones, such as row_group_size=100_000."
        )


def _holds(kind: Any) -> str:
    """What a column of an arrow type holds; times by their type, since these do not mix."""
    import pyarrow as pa

    if pa.types.is_dictionary(kind):
        return _holds(kind.value_type)
    if pa.types.is_null(kind):
        return "nothing"
    if pa.types.is_boolean(kind):
        return "booleans"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "numbers"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return "text"
    return str(kind)


def _said(group: Any) -> str:
    """Sizes, and the least and greatest value, of each column of a row group, as its file says them."""
    parts = [str(group.num_rows)]
    for j in range(group.num_columns):
        column = group.column(j)
        known = column.statistics
        ends = (known.min_raw, known.max_raw) if known is not None and known.has_min_max else ()
        parts.append(f"{column.path_in_schema} {column.total_compressed_size} {ends}")
    return "\n".join(parts)


def _plain(table: Any) -> Any:
    """Without what pandas noted, and categories as their values: the codes of these are others in each row group."""
    import pyarrow as pa

    for j, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(j, field.name, table.column(j).cast(field.type.value_type))
    return table.replace_schema_metadata(None)
