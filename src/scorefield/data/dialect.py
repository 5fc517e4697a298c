"""How a file writes a table: its separator, decimal sign, order of dates, encoding, and each column's notation."""

from __future__ import annotations

import codecs
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal, TypeAlias, get_args

from scorefield._files import shown
from scorefield.data.dataset import DataError
from scorefield.data.dates import Order, Times
from scorefield.data.numbers import Decimal, Numbers

Quoting: TypeAlias = Literal["minimal", "text", "all"]
SEPARATORS = (";", "\t", "|", ",")


@dataclass(frozen=True)
class Booleans:
    """The notation of a column of booleans: the words for true and false."""

    true: str = "True"
    false: str = "False"

    def __post_init__(self) -> None:
        if not (isinstance(self.true, str) and isinstance(self.false, str)):
            raise ValueError(f"true and false are words, got {self}.")

    def texts(self, series: Any) -> list[str]:
        """Booleans as cells; "" where nothing is."""
        return [
            "" if missing else self.true if value else self.false
            for value, missing in zip(series, series.isna(), strict=True)
        ]


Notation: TypeAlias = Numbers | Times | Booleans
_KINDS: dict[str, type[Any]] = {"numbers": Numbers, "times": Times, "booleans": Booleans}


@dataclass(frozen=True)
class Dialect:
    """How a file writes a table. To a reader: what is known of it, None is found in the file; from one: all of it.

    Args:
        separator: between cells: one character.
        decimal: sign of numbers that could be read either way ("1,234"): "point" or "comma".
        dates: order of day and month that could be either ("01/02/2024"): "day-first" or "month-first".
        encoding: of a text file, by its name in Python.
        sheet: of an Excel file, by its name.
        mark: whether the text begins with a byte order mark.
        newline: what ends a line.
        quoting: which cells stand in quotes: those that need it ("minimal"), all "text", or "all".
        columns: by name, how numbers, times and booleans are written.

    Raises:
        DataError: for a value that is none.

    Example:
        >>> Dialect(separator=";", decimal="comma").separator
        ';'
    """

    separator: str | None = None
    decimal: Decimal | None = None
    dates: Order | None = None
    encoding: str | None = None
    sheet: str | None = None
    mark: bool = False
    newline: str = "\n"
    quoting: Quoting = "minimal"
    columns: Mapping[str, Notation] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.separator is not None and (len(self.separator) != 1 or self.separator in '"\n\r'):
            raise DataError(f"a separator is one character, such as ; or a tab, got {shown(self.separator)}.")
        for name, kind in (("decimal", Decimal), ("dates", Order), ("quoting", Quoting)):
            value = getattr(self, name)
            if value is not None and value not in get_args(kind):
                raise DataError(f"{name} is {' or '.join(get_args(kind))}, got {shown(value)}.")
        if self.newline not in ("\n", "\r\n", "\r"):
            raise DataError(f"a line ends in \\n, \\r\\n or \\r, got {shown(self.newline)}.")
        if self.encoding is not None:
            try:
                is_text = codecs.lookup(self.encoding)._is_text_encoding
            except (LookupError, ValueError):
                is_text = False
            if not is_text:
                raise DataError(f"there is no encoding {shown(self.encoding)}; utf-8, utf-16 and cp1252 are some.")

    def to_json(self) -> dict[str, Any]:
        """Plain lists and texts, for `Dialect.from_json`."""
        kinds = {kind: name for name, kind in _KINDS.items()}
        columns = {name: {"kind": kinds[type(one)], **asdict(one)} for name, one in self.columns.items()}
        return {one.name: getattr(self, one.name) for one in fields(self) if one.name != "columns"} | {
            "columns": columns
        }

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> Dialect:
        """The dialect that `to_json` described.

        Raises:
            DataError: for what describes none.
        """
        try:
            columns = dict(stored["columns"])
            for name, given in columns.items():
                columns[name] = _KINDS[given["kind"]](**{key: v for key, v in given.items() if key != "kind"})
            return Dialect(**{**stored, "columns": columns})
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise DataError(f"the dialect of a table cannot be read: {shown(str(error))}.") from None
