"""The cells of a text file's columns in the type that all cells of a column have, and in which notation."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from scorefield._files import shown
from scorefield.data.dataset import DataError
from scorefield.data.dates import Order, TimeCells, Times, has_short_years, iso_notation, time_cells
from scorefield.data.dialect import Booleans, Dialect, Notation
from scorefield.data.numbers import Decimal, NumberCells, Numbers, is_number, number_cells, places

if TYPE_CHECKING:
    import pandas as pd

MISSING = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "<na>"})
MISSING_NUMBERS = MISSING | {"none", "missing", "?", "-"}  # in a column of text these are words
_MOSTLY = 0.9  # a column with more numbers than this share is one of numbers, and the rest is a mistake
_MANY = 30  # ... if it has more different numbers than this
_CODES = re.compile(r"^[+-]?0\d+$|^\+\d{7,}$", re.MULTILINE)  # leading zeros, international phone numbers
_NO_GROUPS = re.compile(r"^(?![+-]?[1-9]\d{0,2}(?:\.\d{3})+$)[^\n]*\.", re.MULTILINE)  # the point is no thousands'
_NOT_WHOLE = re.compile(r"[^0-9+\-\n]")

Where = Callable[[int], str]


@dataclass(frozen=True)
class Cells:
    """The columns of a file as text.

    Args:
        columns: by name, a cell for each row.
        where: the place of a row in the file, for messages: "line 7".
        path: the file, for messages.
        known: by name, what columns hold: "text", "numbers", "booleans" or "times"; found for others.
    """

    columns: Mapping[str, Sequence[str]]
    where: Where
    path: str
    known: Mapping[str, str] = field(default_factory=dict)


class Found(NamedTuple):
    """A column that is settled: its values, how they are written, and what the user should know of it."""

    series: pd.Series
    notation: Notation | None = None
    notes: tuple[str, ...] = ()


class Columns(NamedTuple):
    """Columns in their types.

    Args:
        frame: a column for each.
        notations: by name, of numbers, times and booleans.
        notes: what was found that is not what every program reads, in words.
    """

    frame: pd.DataFrame
    notations: dict[str, Notation]
    notes: tuple[str, ...]


class _Open(NamedTuple):
    """A column that can be read in two ways."""

    missing: Any
    cells: list[str]
    numbers: NumberCells | None = None
    times: TimeCells | None = None


def read_columns(cells: Cells, told: Dialect, like: Dialect) -> Columns:
    """The columns in the types that all of their cells have.

    Numbers and dates that can be read in two ways are read as told; else as the other columns of the file are; else as
    the column of this name was in a file like this one. What is still open is 1.234 with a decimal point, 01.02.2024
    with the day first, and an error else.

    Args:
        cells: of the file.
        told: what the user says of the file.
        like: the dialect of the file that the model was fitted to.

    Raises:
        DataError: for a cell that does not go with the others, with its line; for what can be read in two ways.
    """
    import pandas as pd

    first = {name: _settled(cells, name) for name in cells.columns}
    decimals = _votes(first, Numbers, "decimal")
    orders = _votes(first, Times, "order")
    found: dict[str, Found] = {}
    for name, one in first.items():
        if isinstance(one, Found):
            found[name] = one
        elif one.numbers is not None:
            found[name] = _chosen_numbers(cells, name, one, told.decimal, like.columns.get(name), decimals)
        else:
            found[name] = _chosen_times(cells, name, one, told.dates, like.columns.get(name), orders)
    frame = pd.DataFrame({name: one.series.array for name, one in found.items()})  # arrays need not be aligned
    notations = {name: one.notation for name, one in found.items() if one.notation is not None}
    return Columns(frame, notations, tuple(_notes(found)))


# ------------------------------------------------------------------------------------------------------- one column


def _settled(cells: Cells, name: str) -> Found | _Open:
    """A column by its own cells, where these leave no choice."""
    column, known = cells.columns[name], cells.known.get(name)
    lowered = list(map(str.lower, column))
    if known in (None, "numbers"):
        missing = np.array([cell in MISSING_NUMBERS for cell in lowered], dtype=bool)
        present = [cell for cell, out in zip(column, missing, strict=True) if not out]
        numbers = _as_numbers(present, missing, known)
        if numbers is not None:
            return numbers
    missing = np.array([cell in MISSING for cell in lowered], dtype=bool)
    present = [cell for cell, out in zip(column, missing, strict=True) if not out]
    if known == "text":
        return Found(_spread(present, missing))
    booleans = _booleans(present, missing) if known in (None, "booleans") else None
    if booleans is not None:
        return booleans
    times = _as_times(cells, name, present, missing) if known in (None, "times") else None
    if times is not None:
        return times
    notes: tuple[str, ...] = ()
    if known is None:
        notes = _check_text(cells, name, present, np.flatnonzero(~missing))
    return Found(_spread(present, missing), None, notes)


def _as_numbers(present: list[str], missing: Any, known: str | None) -> Found | _Open | None:
    """A column whose present cells are numbers; None where they are not."""
    blob = "\n".join(present)
    if known is None and _CODES.search(blob) and (note := _codes(present)):
        return Found(_spread(present, missing), None, (note,))
    try:
        values = list(map(float, present))
    except ValueError:
        values = None
    if values is not None and "_" not in blob:
        if "." in blob and not _NO_GROUPS.search(blob):
            return _Open(missing, present, numbers=number_cells(present))
        whole = bool(present) and _NOT_WHOLE.search(blob) is None
        notation = Numbers(places=None if whole else places(present), telling="." in blob)
        return _of_numbers(notation, present, values, whole, missing, known)
    made = number_cells(present)
    if made.undecided or len(made.notations) == 1:
        return _noted(next(iter(made.notations.values())), present, missing, known)
    return _Open(missing, present, numbers=made) if made.notations else None


def _codes(present: Sequence[str]) -> str:
    """What makes numbers names of things, as a note; "" where some cells are no digits."""
    if not all(re.fullmatch(r"[+-]?\d+", cell) for cell in present):
        return ""
    zeros = any(re.fullmatch(r"[+-]?0\d+", cell) for cell in present)
    return f"{'leading zeros' if zeros else 'phone numbers'}, kept as text,"


def _noted(notation: Numbers, present: Sequence[str], missing: Any, known: str | None) -> Found:
    """A column of numbers in a notation that not every program reads."""
    bare = [notation.bare(cell) for cell in present]
    whole = bool(bare) and all(re.fullmatch(r"-?\d+", cell) for cell in bare)
    found = _of_numbers(notation, bare, [float(cell) for cell in bare], whole, missing, known)
    if found.notation is None:
        return found._replace(series=_spread(present, missing))
    said = ["decimal comma"] if notation.decimal == "comma" and any("," in cell for cell in present) else []
    said += [f"thousands {shown(notation.thousands)}"] if notation.thousands else []
    said += [f"sign {sign!r}" for sign in (notation.prefix.strip(), notation.suffix.strip()) if sign]
    return found._replace(notes=(*said, *found.notes))


def _of_numbers(
    notation: Numbers, bare: Sequence[str], values: list[float], whole: bool, missing: Any, known: str | None
) -> Found:
    """Whole numbers, nullable where some are missing; floats; or text where whole numbers are too large for both."""
    import pandas as pd

    largest = max(map(abs, values), default=0.0)
    fits = largest < 2.0**63 or all(abs(int(cell)) < 2**63 for cell in bare) if whole else False
    if whole and not fits and known is None:
        return Found(_spread(bare, missing), None, ("whole numbers from 2^63 on, kept as text,",))
    if fits:
        held = np.zeros(len(missing), dtype=np.int64)
        held[~missing] = [int(cell) for cell in bare]
        series = pd.Series(held)
        return Found(series.astype("Int64").where(~missing) if missing.any() else series, notation)
    floats = np.full(len(missing), np.nan)
    floats[~missing] = values
    rounded = largest >= 2.0**53 and any(re.fullmatch(r"[+-]?\d+", cell) and int(cell) != float(cell) for cell in bare)
    return Found(pd.Series(floats), notation, ("more digits than a float holds, rounded,",) if rounded else ())


def _spread(present: Sequence[str], missing: Any) -> Any:
    """A column of text, None where nothing is."""
    import pandas as pd

    cells = iter(present)
    return pd.Series([None if out else next(cells) for out in missing])


def _booleans(present: Sequence[str], missing: Any) -> Found | None:
    import pandas as pd

    if not all(cell.lower() in ("true", "false") for cell in present):
        return None
    values = np.zeros(len(missing), dtype=bool)
    values[~missing] = [cell.lower() == "true" for cell in present]
    words = {cell.lower(): cell for cell in reversed(present)}
    like = next(iter(words.values()), "True")
    cased = str.upper if like.isupper() else str.lower if like.islower() else str.capitalize
    notation = Booleans(words.get("true", cased("true")), words.get("false", cased("false")))
    series = pd.Series(values)
    return Found(series.astype("boolean").where(~missing) if missing.any() else series, notation)


def _as_times(cells: Cells, name: str, present: list[str], missing: Any) -> Found | _Open | None:
    """A column whose present cells are times; None where they are not."""
    iso = iso_notation(present)
    if iso is not None:
        return _iso_times(present, missing, iso)
    made = time_cells(present)
    if made is None:
        return None
    rows = np.flatnonzero(~missing)
    if made.clash is not None:
        a, b = made.clash
        raise DataError(
            f"{cells.path}: column {shown(name)} holds {shown(present[a])} in {cells.where(rows[a])}, with the day "
            f"first, and {shown(present[b])} in {cells.where(rows[b])}, with the month first; write all alike."
        )
    if len(made.times) > 1:
        return _Open(missing, present, times=made)
    return _timed(made, next(iter(made.times)), missing)


def _iso_times(present: Sequence[str], missing: Any, notation: Times) -> Found | None:
    import pandas as pd

    texts = _spread(present, missing)
    try:
        return Found(pd.to_datetime(texts, format="ISO8601", utc=bool(notation.zone)), notation)
    except ValueError:
        return None


def _timed(made: TimeCells, order: Order | None, missing: Any) -> Found:
    import pandas as pd

    series = pd.Series(pd.NaT, index=range(len(missing)), dtype="datetime64[us]")
    series[~missing] = made.times[order].to_numpy()
    words = {"day-first": "dates day first", "month-first": "dates month first", None: "dates"}
    return Found(series, made.notations[order], (words[order],))


# ----------------------------------------------------------------------------------------- what can be read in two ways


def _votes(columns: Mapping[str, Found | _Open], kind: type, field_name: str) -> set[Any]:
    """What the settled columns say of the whole file."""
    found = [one.notation for one in columns.values() if isinstance(one, Found)]
    telling = [one for one in found if isinstance(one, kind) and _says(one)]
    votes = {getattr(one, field_name) for one in telling}
    return votes - {None}


def _says(notation: object) -> bool:
    """Whether a notation tells of the decimal sign or the order of dates; whole numbers do not."""
    return isinstance(notation, Times) or (isinstance(notation, Numbers) and notation.telling)


def _chosen_numbers(
    cells: Cells, name: str, one: _Open, told: Decimal | None, like: Notation | None, votes: set[Decimal]
) -> Found:
    made = one.numbers or NumberCells({})
    known = cells.known.get(name)
    remembered = like.decimal if isinstance(like, Numbers) and like.telling else None
    decimal = told or (next(iter(votes)) if len(votes) == 1 else remembered)
    if decimal is not None:
        return _noted(made.notations[decimal], one.cells, one.missing, known)
    i = next(i for i, cell in enumerate(one.cells) if "." in cell or "," in cell)
    cell, row = one.cells[i], int(np.flatnonzero(~one.missing)[i])
    if "." in cell:
        found = _noted(made.notations["point"], one.cells, one.missing, known)
        return found._replace(notes=(f"{shown(cell)} with a decimal point (or: --decimal comma)",))
    whole = cell.replace(",", "")
    raise DataError(
        f"{cells.path}: column {shown(name)} holds {shown(cell)} in {cells.where(row)}, and the file does not show "
        f"whether that is {whole} or {cell.replace(',', '.')}; tell it by --decimal point or --decimal comma."
    )


def _chosen_times(
    cells: Cells, name: str, one: _Open, told: Order | None, like: Notation | None, votes: set[Order]
) -> Found:
    made = one.times or TimeCells({}, {})
    remembered = like.order if isinstance(like, Times) else None
    order = told or (next(iter(votes)) if len(votes) == 1 else remembered)
    if order is not None:
        return _timed(made, order, one.missing)
    if made.dotted:
        found = _timed(made, "day-first", one.missing)
        return found._replace(notes=("dates day first (or: --dates month-first)",))
    row = int(np.flatnonzero(~one.missing)[0])
    raise DataError(
        f"{cells.path}: column {shown(name)} holds {shown(one.cells[0])} in {cells.where(row)}, and the file does not "
        "show whether the day is first or the month; tell it by --dates day-first or --dates month-first."
    )


# -------------------------------------------------------------------------------------------------------------- text


def _check_text(cells: Cells, name: str, present: Sequence[str], rows: Any) -> tuple[str, ...]:
    """Notes of what looks like something else; raises where text stands among numbers."""
    kinds = {cell: is_number(cell) for cell in dict.fromkeys(present)}
    numeric = [kinds[cell] for cell in present]
    start = f"{cells.path}: column {shown(name)} holds "
    if present and all(numeric):
        fault = number_cells(present).fault
        if fault is not None:
            raise DataError(
                f"{start}{shown(present[0])} in {cells.where(rows[0])} and {shown(present[fault])} in "
                f"{cells.where(rows[fault])}: numbers with different decimal signs, thousands or signs such as $ and "
                "%; write all alike."
            )
    others = [i for i, yes in enumerate(numeric) if not yes and present[i].lower() not in MISSING_NUMBERS]
    numbers = {cell for cell, yes in zip(present, numeric, strict=True) if yes}
    coded = any(re.fullmatch(r"0\d+", cell) for cell in numbers)
    if others and not coded and len(numbers) > _MANY and len(others) < (1 - _MOSTLY) * len(present):
        raise DataError(
            f"{start}{shown(present[others[0]])} in {cells.where(rows[others[0]])}, which is no number, and numbers in "
            "almost all other rows; correct the cell or leave it empty."
        )
    return ("dates with years of two digits, kept as text,",) if has_short_years(present) else ()


def _notes(found: Mapping[str, Found]) -> Iterator[str]:
    """What was found, a note for all columns of which it is true."""
    columns: dict[str, list[str]] = {}
    for name, one in found.items():
        for note in one.notes:
            columns.setdefault(note, []).append(name)
    for note, names in columns.items():
        listed = ", ".join(shown(name) for name in names[:3])
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield f"{note} in column{'s' if len(names) > 1 else ''} {listed}{more}"
