"""What every command that reads a table's file may be told of it, and what it says of how it was read."""

from __future__ import annotations

import sys
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias

from cyclopts import Parameter

if TYPE_CHECKING:
    from scorefield.data import Dialect, TableFile

Columns: TypeAlias = Annotated[tuple[str, ...], Parameter(consume_multiple=False)]
"""Names of columns, an option for each."""
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How a table's file is written, where it does not show by itself; the texts under the fields are its help."""

    _: KW_ONLY

    separator: str | None = None
    """Between the cells of a line: a character, or tab; found by itself unless given."""

    decimal: Literal["point", "comma"] | None = None
    """The decimal sign, where a file has only numbers such as 1,234."""

    dates: Literal["day-first", "month-first"] | None = None
    """The order in dates, where a file has only such as 01/02/2024."""

    encoding: str | None = None
    """Of the text, such as utf-8, cp1252 or utf-16; found by itself unless given."""

    sheet: str | None = None
    """Of an .xlsx file, by its name; the first that is not empty unless given."""

    @property
    def given(self) -> list[str]:
        """The options that are given."""
        return [f"--{one.name}" for one in fields(self) if getattr(self, one.name) is not None]

    @property
    def dialect(self) -> Dialect:
        """What is told of the file."""
        from scorefield.data import Dialect

        separator = None if self.separator is None else _SEPARATORS.get(self.separator, self.separator)
        return Dialect(separator, self.decimal, self.dates, self.encoding, self.sheet)


AS_FOUND = Reading()
"""Nothing told."""


def say(table: TableFile) -> TableFile:
    """One line on standard error of how a file was read, where it is not written as every program writes."""
    if table.said:
        print("scorefield: " + " ".join(table.said.split()), file=sys.stderr)
    return table
