"""A table that was read from a file, with how the file writes it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from scorefield import _files
from scorefield._files import shown
from scorefield.data import arrowfiles, delimited, excel, jsonlines
from scorefield.data.columns import Cells, read_columns
from scorefield.data.dataset import DataError
from scorefield.data.dialect import Dialect
from scorefield.data.excel import Sheet
from scorefield.data.formats import WRITTEN, Format, check_frame_suffix
from scorefield.data.jsonlines import JsonLines
from scorefield.data.textfiles import decode, read_bytes

if TYPE_CHECKING:
    import pandas as pd

Parsed: TypeAlias = Any  # Delimited, JsonLines, Sheet, or a pyarrow.Table


@dataclass(frozen=True, eq=False)
class TableFile:
    """A table that was read from a file.

    Args:
        path: of the file.
        frame: its rows, each column of the type that all of its cells have.
        format: the form of the file; None for a built-in table.
        dialect: how the file writes them.
        notes: what of that is not what every program reads, in words.
        parsed: the file taken apart, so that it can be written again with some cells filled.
        names: of the columns as the file has them, with that of the index.
        left_out: columns of the file that are not in the frame; they are written again as they are.
    """

    path: Path
    frame: pd.DataFrame
    format: Format | None = None
    dialect: Dialect = field(default_factory=Dialect)
    notes: tuple[str, ...] = ()
    parsed: Parsed = field(default=None, repr=False)
    names: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()

    def without(self, columns: Sequence[str]) -> TableFile:
        """The table without these columns, as those that name or number its rows; unknown ones are an error."""
        unknown = [name for name in columns if name not in self.frame.columns]
        if unknown:
            known = ", ".join(shown(name) for name in self.frame.columns[:12])
            raise DataError(f"{self.path} has no column {shown(unknown[0])} to leave out; there are {known}.")
        if len(set(columns)) == len(self.frame.columns):
            raise DataError(f"{self.path}: every column is to be left out; leave one in.")
        return replace(self, frame=self.frame.drop(columns=list(columns)), left_out=tuple(columns))

    @property
    def said(self) -> str:
        """What the user should know of how the file was read, in one line; "" where it is as every program writes."""
        return f"read {self.path.name}: {', '.join(self.notes)}" if self.notes else ""


def read_table(
    path: str | Path,
    dialect: Dialect | None = None,
    *,
    like: Dialect | None = None,
    known: Mapping[str, str] | None = None,
) -> TableFile:
    """Read a table from a file: .csv, .tsv, .jsonl (also with .gz or .zst), .xlsx, .parquet or .feather.

    What a text file does not say is found: separator, encoding, decimal sign, separators of thousands, percent and
    currency signs, the order of day and month. A column is whole numbers (Int64 where some are missing), numbers,
    booleans (true and false in any case; boolean where some are missing), times (dates with or without a time; UTC when
    they have a zone), or else text. Text are also numbers of which some have leading zeros, or do not fit into 64 bits.
    Missing are empty cells, NA, N/A, NaN and null in any case, in columns of numbers also none, missing, ? and -. A
    column of which more than 90 % are numbers, and more than 30 different ones, is not taken as text: what is no number
    there is an error. A first column without a name holds the names of the rows, the frame's index.

    Args:
        path: of the file.
        dialect: what is known of it; the rest is found.
        like: the dialect of another file of the same table, for what could be read in two ways.
        known: by column, what it holds: "numbers", "text", "booleans" or "times"; found for others.

    Raises:
        DataError: for another suffix, a file that cannot be read, rows of unequal length, unnamed or doubled columns,
            numbers or dates that could be read in two ways, with the column and the line.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(f"{folder}/a.csv").write_text("day;size;zip\\n25.12.2024;1,5;04\\n02.01.2025;;12\\n")
        ...     table = read_table(f"{folder}/a.csv")
        >>> table.frame
                 day  size zip
        0 2024-12-25   1.5  04
        1 2025-01-02   NaN  12
        >>> table.said.split(", ")[:2]
        ["read a.csv: separator ';'", "dates day first in column 'day'"]
    """
    path, told = Path(path), dialect or Dialect()
    form = check_frame_suffix(path, "read")
    if not path.is_file():
        raise DataError(f"{path} is not there; give the path of a {WRITTEN} file.")
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes).")
    _check_told(told, form, path)
    hints = _Hints(told, like or Dialect(), known or {})
    with _files.reading(path, form.form, DataError):
        if form.form == "csv":
            return _read_csv(path, form, hints)
        if form.form == "json lines":
            return _read_json_lines(path, form, hints)
        if form.form == "xlsx":
            return _read_excel(path, form, hints)
        table = arrowfiles.arrow_table(path, form.form)
        frame = arrowfiles.to_frame(table, path, form.form)
        return TableFile(path, frame, form, told, (), table, tuple(table.column_names))


@dataclass(frozen=True)
class _Hints:
    told: Dialect
    like: Dialect
    known: Mapping[str, str]

    def decoded(self, path: Path, form: Format) -> tuple[str, str, bool]:
        """The text of a file, its encoding, and whether it has a byte order mark."""
        return decode(read_bytes(path, form.compression), path, self.told.encoding, self.like.encoding)


def _check_told(told: Dialect, form: Format, path: Path) -> None:
    """Raise for what is told of a file that has no such thing."""
    if told.separator is not None and form.form != "csv":
        raise DataError(f"{path} has no separator; leave --separator out.")
    if told.encoding is not None and not form.is_text:
        raise DataError(f"{path} is no text file, so it has no --encoding; leave that out.")
    if told.sheet is not None and form.form != "xlsx":
        raise DataError(f"{path} is no Excel file, so it has no --sheet; leave that out.")


def _read_csv(path: Path, form: Format, hints: _Hints) -> TableFile:
    text, encoding, mark = hints.decoded(path, form)
    parsed = delimited.parse(text, path, hints.told, form.suffix, hints.like.separator)
    columns = dict(zip(parsed.names, zip(*parsed.rows, strict=True), strict=True))
    notes = _text_notes(encoding, hints)
    if parsed.dialect.separator != ("\t" if form.suffix == ".tsv" else ","):
        notes.append(f"separator {shown(parsed.dialect.separator)}")
    if parsed.tail:
        notes.append("nothing after the last separator of each row")
    found = read_columns(Cells(columns, parsed.where, str(path), hints.known), hints.told, hints.like)
    frame, notes = _indexed(found.frame, [*notes, *found.notes])
    parsed = replace(parsed, rows=[], lines=[])  # a text for each cell: not kept
    dialect = replace(
        parsed.dialect,
        encoding=encoding,
        mark=mark,
        columns=found.notations,
        decimal=hints.told.decimal or _decimal(found.notations),
        dates=hints.told.dates,
    )
    return TableFile(path, frame, form, dialect, tuple(notes), parsed, parsed.names)


def _decimal(notations: Mapping[str, Any]) -> Any:
    """The decimal sign of a file's numbers, where they have one."""
    signs = {one.decimal for one in notations.values() if getattr(one, "telling", False)}
    return next(iter(signs)) if len(signs) == 1 else None


def _text_notes(encoding: str, hints: _Hints) -> list[str]:
    if encoding == "utf-8" or hints.told.encoding:
        return []
    return [f"encoding {encoding}" + (" (not UTF-8; or tell --encoding)" if encoding == "cp1252" else "")]


def _indexed(frame: pd.DataFrame, notes: list[str]) -> tuple[pd.DataFrame, list[str]]:
    """The frame with a first column that has no name as its index."""
    if "" not in frame.columns or len(frame.columns) < 2:
        return frame, notes
    kept = [note for note in notes if not note.endswith("in column ''")]
    return frame.set_index("").rename_axis(None), [*kept, "the first column, without a name, as the names of the rows"]


def _read_json_lines(path: Path, form: Format, hints: _Hints) -> TableFile:
    text, encoding, mark = hints.decoded(path, form)
    parsed = jsonlines.parse(text, path)
    columns = {name: parsed.column(name) for name in parsed.names}
    known = {name: "times" for name, values in columns.items() if all(isinstance(v, str | None) for v in values)}
    return _of_values(path, form, replace(hints, known=known | dict(hints.known)), columns, parsed, encoding, mark)


def _read_excel(path: Path, form: Format, hints: _Hints) -> TableFile:
    parsed = excel.parse(path, hints.told.sheet, hints.like.sheet)
    columns = {name: parsed.column(j) for j, name in enumerate(parsed.names)}
    found = _of_values(path, form, hints, columns, parsed)
    notes = found.notes
    if parsed.sheets > 1 and hints.told.sheet is None:
        notes = (f"sheet {shown(parsed.title)} of {parsed.sheets} (or tell its --sheet)", *notes)
    return replace(found, notes=notes, dialect=replace(found.dialect, sheet=parsed.title))


def _of_values(
    path: Path,
    form: Format,
    hints: _Hints,
    columns: Mapping[str, list[Any]],
    parsed: JsonLines | Sheet,
    encoding: str = "utf-8",
    mark: bool = False,
) -> TableFile:
    """A table whose cells have types; columns of text are read as those of a text file."""
    import pandas as pd

    typed = {name: _typed(values) for name, values in columns.items()}
    texts = {name: [_cell(value) for value in columns[name]] for name, series in typed.items() if series is None}
    found = read_columns(Cells(texts, parsed.where, str(path), hints.known), hints.told, hints.like)
    made = {name: found.frame[name] if series is None else series for name, series in typed.items()}
    frame, notes = _indexed(pd.DataFrame(made), [*_text_notes(encoding, hints), *found.notes])
    dialect = replace(hints.told, encoding=encoding, mark=mark, columns=found.notations)
    return TableFile(path, frame, form, dialect, tuple(notes), parsed, tuple(columns))


def _typed(values: Sequence[Any]) -> pd.Series | None:
    """Numbers, booleans or times in their type; None for others, which are read as text."""
    import numpy as np
    import pandas as pd

    present = [value for value in values if value is not None]
    kinds = {type(value) for value in present}
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean" if len(present) < len(values) else "bool")
    if kinds == {int} and all(abs(value) < 2**63 for value in present):
        return pd.Series(values, dtype="Int64" if len(present) < len(values) else "int64")
    if kinds and kinds <= {int, float} and (kinds == {float} or all(_exact(v) for v in present)):
        return pd.Series([np.nan if value is None else float(value) for value in values])
    if kinds == {datetime.datetime}:
        return pd.Series(pd.to_datetime(pd.Series(values))).astype("datetime64[us]")
    return None


def _exact(value: float) -> bool:
    return isinstance(value, float) or abs(value) < 2**53


def _cell(value: Any) -> str:
    """A value as a text file has it."""
    if isinstance(value, datetime.datetime):
        return value.isoformat(" ")
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)
