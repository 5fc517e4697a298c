"""Excel workbooks (.xlsx): a sheet with names in its first row."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scorefield import _memory
from scorefield._files import shown
from scorefield.data.dataset import DataError, check_names
from scorefield.data.delimited import is_header

_GROWTH = 50  # bytes of memory for one of the packed file


@dataclass(frozen=True)
class Sheet:
    """A sheet, taken apart.

    Args:
        names: of the columns.
        rows: values of the cells, None where nothing is.
        numbers: of the rows in the sheet, from 1.
        first: number of the first column in the sheet, from 1.
        title: of the sheet.
        sheets: how many the workbook has.
        path: of the workbook.
    """

    names: tuple[str, ...]
    rows: list[list[Any]]
    numbers: list[int]
    first: int
    title: str
    sheets: int
    path: Path

    def where(self, row: int) -> str:
        """The place of a row, for messages."""
        return f"row {self.numbers[row]} of the sheet"

    def column(self, j: int) -> list[Any]:
        """The values of a column."""
        return [row[j] for row in self.rows]


def parse(path: Path, title: str | None = None, like: str | None = None) -> Sheet:
    """The sheet of this title, or the first that holds anything; its first row that does has the names.

    Args:
        path: of the workbook.
        title: of the sheet, as the user tells it.
        like: title to prefer where the user tells none.

    Raises:
        DataError: for an unknown sheet, one without rows, columns without names, formulas without a stored value.
    """
    import openpyxl

    too_much = _memory.lacking(_GROWTH * path.stat().st_size)
    if too_much:
        raise DataError(f"{path} {too_much}; save it as .parquet, or give fewer rows.")
    book = openpyxl.load_workbook(path, read_only=True, data_only=True)
    titles = [sheet.title for sheet in book.worksheets]
    if title is not None and title not in titles:
        raise DataError(f"{path} has no sheet {shown(title)}; there are {', '.join(map(shown, titles[:8]))}.")
    tried = [title] if title is not None else [*(t for t in titles if t == like), *titles]
    found, rows = next(((t, rows) for t in tried if (rows := _filled(book[t]))), ("", []))
    book.close()
    if not rows:
        raise DataError(f"{path} is empty; a table needs a header and rows of numbers.")
    sheet = _cut(rows, path, found, len(titles))
    _check_formulas(sheet)
    return sheet


def _filled(sheet: Any) -> list[tuple[int, tuple[Any, ...]]]:
    """The rows that hold anything, each with its number, all equally long."""
    sheet.reset_dimensions()  # what a file says of them may be wrong
    rows = enumerate(sheet.iter_rows(values_only=True), 1)
    found = [(number, row) for number, row in rows if any(cell is not None for cell in row)]
    width = max((len(row) for _, row in found), default=0)
    return [(number, (*row, *(None,) * (width - len(row)))) for number, row in found]


def _cut(rows: list[tuple[int, tuple[Any, ...]]], path: Path, title: str, sheets: int) -> Sheet:
    """The columns from the first to the last that hold anything, with their names."""
    columns = [j for j in range(len(rows[0][1])) if any(row[j] is not None for _, row in rows)]
    low, high = columns[0], columns[-1] + 1
    numbers = [number for number, _ in rows]
    cells = [[_plain(cell) for cell in row[low:high]] for _, row in rows]
    first, second = ([_name(cell) for cell in row] for row in (cells[0], cells[1] if len(cells) > 1 else []))
    if not is_header(first, second):
        return Sheet(tuple(f"x{j}" for j in range(high - low)), cells, numbers, low + 1, title, sheets, path)
    if any(not name for name in first[1:]):
        raise DataError(
            f"{path}: row {numbers[0]} of the sheet {shown(title)} has no name for each column; the first row that is "
            "not empty holds the names."
        )
    check_names(["index" if j == 0 and not name else name for j, name in enumerate(first)], str(path))
    if len(rows) < 2:
        raise DataError(f"{path} has no data rows, only the header {shown(','.join(first))}.")
    return Sheet(tuple(first), cells[1:], numbers[1:], low + 1, title, sheets, path)


def _name(cell: Any) -> str:
    return "" if cell is None else str(cell).strip()


def _plain(cell: Any) -> Any:
    """A value as other files have it; text without spaces around."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, datetime.date) and not isinstance(cell, datetime.datetime):
        return datetime.datetime(cell.year, cell.month, cell.day)
    if isinstance(cell, (datetime.time, datetime.timedelta)):
        return str(cell)
    return cell


def _check_formulas(sheet: Sheet) -> None:
    """Raise for a formula of which the file has no value: it is no hole."""
    import openpyxl
    from openpyxl.utils import get_column_letter

    if all(cell is not None for row in sheet.rows for cell in row):
        return
    book = openpyxl.load_workbook(sheet.path, read_only=True)
    whole = dict(_filled(book[sheet.title]))
    book.close()
    for number, row in zip(sheet.numbers, sheet.rows, strict=True):
        for j, cell in enumerate(row, sheet.first - 1):
            there = whole.get(number, ())
            if cell is None and j < len(there) and there[j] is not None and str(there[j]).strip():
                raise DataError(
                    f"{sheet.path}: cell {get_column_letter(j + 1)}{number} of the sheet {shown(sheet.title)} is a "
                    "formula without a stored value; open the file in a program that computes it, and save it."
                )


def write_filled(to: Path, source: Sheet, fill: Mapping[int, Mapping[int, Any]]) -> None:
    """Write the workbook again, some cells of the sheet filled; other cells, sheets and formats stay."""
    import openpyxl

    book = openpyxl.load_workbook(source.path)
    sheet = book[source.title]
    formats = {j: _format(sheet, source, j) for row in fill.values() for j in row}
    for i, row in fill.items():
        for j, value in row.items():
            cell = sheet.cell(source.numbers[i], source.first + j, _stored(value))
            cell.number_format = formats[j]
    book.save(to)


def _format(sheet: Any, source: Sheet, j: int) -> str:
    """The number format of the first cell of a column that holds something."""
    row = next((i for i, cell in enumerate(source.column(j)) if cell is not None), 0)
    return str(sheet.cell(source.numbers[row], source.first + j).number_format)


def _stored(value: Any) -> Any:
    """A value as a workbook has it: without zone, which Excel has not."""
    plain = value.item() if hasattr(value, "item") else value
    if hasattr(plain, "to_pydatetime"):
        plain = plain.tz_localize(None) if plain.tzinfo is not None else plain
        return plain.to_pydatetime(warn=False)
    return None if plain is None or plain != plain else plain


def write_rows(to: Path, names: Sequence[str], parts: Iterable[Iterator[tuple[Any, ...]]]) -> None:
    """A workbook of one sheet."""
    import openpyxl

    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("table")
    sheet.append(list(names))
    for rows in parts:
        for row in rows:
            sheet.append([_stored(value) for value in row])
    book.save(to)
