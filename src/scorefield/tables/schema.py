"""What the columns of a table are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from scorefield._files import shown
from scorefield.tables.lattice import Lattice
from scorefield.tables.marks import Grid, Marks
from scorefield.tables.transforms import Identity, Transform, transform_from_json, transform_name, transform_to_json

ColumnKind: TypeAlias = Literal[
    "continuous", "integer", "ordinal", "categorical", "boolean", "datetime", "constant", "copy"
]
Holds: TypeAlias = Literal["numbers", "text", "booleans", "times"]
Value: TypeAlias = str | int | float | bool
Name: TypeAlias = Any  # a column's name: text as a rule, but data frames allow numbers and tuples

KINDS: tuple[str, ...] = get_args(ColumnKind)
_FLOATING = frozenset({"continuous", "integer", "datetime"})
_CODED = frozenset({"ordinal", "categorical", "boolean"})


@dataclass(frozen=True)
class Column:
    """One column of a table: how its values become numbers and how they come back.

    Args:
        name: as in the data frame.
        kind: continuous, integer (whole numbers or another lattice, too many for codes), ordinal (numbers or times with
            few distinct values: codes), categorical, boolean, datetime, constant, or copy (of an earlier column).
        holds: what the data frame has there: numbers, text, booleans or times.
        dtype: the pandas type to restore.
        missing: what stands in an object column where nothing is: "None", "nan" or "NA".
        transform: from values to the whole line (times: from seconds since `origin`).
        low: the values' lower bound, if any.
        high: their upper bound.
        atoms: values with a point mass in an otherwise fine column.
        values: the values behind the codes 0, 1, ...; of a constant the one value. Times as ticks of their unit.
        categories: all categories of a categorical type, used or not.
        categories_dtype: the type of these.
        ordered: whether they are ordered.
        lattice: on which the values lie, or marks, so that generated ones are rounded as the data are.
        resolution: the width of a cell where values repeat on the lattice (of marks: the mean); 0: taken as continuous.
        origin: subtracted from whole numbers and ticks, so that floats hold the rest exactly.
        of: the name of the column that this one copies.

    Raises:
        ValueError: for an unknown kind, or a code without values.
    """

    name: Name
    kind: ColumnKind
    holds: Holds
    dtype: str
    missing: str = "nan"
    transform: Transform = field(default_factory=Identity)
    low: float | None = None
    high: float | None = None
    atoms: tuple[float, ...] = ()
    values: tuple[Value, ...] = ()
    categories: tuple[Value, ...] = ()
    categories_dtype: str = ""
    ordered: bool = False
    lattice: Grid | None = None
    resolution: float = 0.0
    origin: int = 0
    of: Name = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"column {self.name!r}: the kind is one of {', '.join(KINDS)}, got {self.kind!r}.")
        if (self.coded or self.kind == "constant") and not self.values:
            raise ValueError(f"column {self.name!r} of kind {self.kind} needs values.")
        if self.kind == "integer" and (self.lattice is None or not self.resolution > 0):
            raise ValueError(f"column {self.name!r} of kind integer needs a lattice and a resolution > 0.")

    @property
    def floating(self) -> bool:
        """Whether it has a continuous coordinate."""
        return self.kind in _FLOATING

    @property
    def coded(self) -> bool:
        """Whether its values are codes."""
        return self.kind in _CODED

    @property
    def size(self) -> int:
        """How many codes it has: those of its values, or of its indicator of atoms; 0 without codes."""
        if self.coded:
            return len(self.values)
        return 1 + len(self.atoms) if self.atoms and self.floating else 0

    @property
    def measure(self) -> str:
        """What a density in this column refers to."""
        if self.kind in ("constant", "copy"):
            return "none (not in the model)"
        if self.coded:
            return "counting"
        if self.kind == "integer":
            return "counting"
        text = "Lebesgue, per second" if self.kind == "datetime" else "Lebesgue, per unit of the column"
        return f"{text}; counting at {len(self.atoms)} atom(s)" if self.atoms else text

    def to_json(self) -> dict[str, Any]:
        """Plain lists, texts and numbers."""
        fields = asdict(self)
        fields["transform"] = transform_to_json(self.transform)
        return fields


class Place(NamedTuple):
    """Where a column stands in an encoded row: its coordinate and its code, None without one."""

    column: Column
    coordinate: int | None
    code: int | None  # counted from the first code


@dataclass(frozen=True)
class Schema:
    """The columns of a table in their order.

    Args:
        columns: at least one, each name once.
        names_dtype: the pandas type of the index of names.
        names_title: the name of that index, as a data frame may have.

    Raises:
        ValueError: for no columns, a doubled name, a copy of no earlier column.
    """

    columns: tuple[Column, ...]
    names_dtype: str = "object"
    names_title: Name = None

    def __post_init__(self) -> None:
        if not self.columns:
            raise ValueError("a schema needs at least one column.")
        doubled = [name for name, count in Counter(self.names).items() if count > 1]
        if doubled:
            raise ValueError(f"every column needs a name of its own; {doubled[0]!r} stands there more than once.")
        seen: set[Name] = set()
        for column in self.columns:
            if column.kind == "copy" and column.of not in seen:
                raise ValueError(f"column {column.name!r} is a copy of {column.of!r}, which is no earlier column.")
            if column.kind != "copy":
                seen.add(column.name)

    @property
    def names(self) -> tuple[Name, ...]:
        """The columns' names."""
        return tuple(column.name for column in self.columns)

    def places(self) -> tuple[Place, ...]:
        """For each column but copies, where it stands in an encoded row."""
        places: list[Place] = []
        coordinates = codes = 0
        for column in self.columns:
            if column.kind == "copy":
                continue
            places.append(Place(column, coordinates if column.floating else None, codes if column.size else None))
            coordinates += column.floating
            codes += bool(column.size)
        return tuple(places)

    def __getitem__(self, name: Name) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"there is no column {name!r}; there are {list_names(self.names)}.")

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __len__(self) -> int:
        return len(self.columns)

    def to_json(self) -> dict[str, Any]:
        """Plain lists, texts and numbers, for `Schema.from_json`."""
        return {
            "columns": [column.to_json() for column in self.columns],
            "names_dtype": self.names_dtype,
            "names_title": self.names_title,
        }

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Schema:
        """The schema that `to_json` described.

        Raises:
            ValueError: for missing or unknown fields, or values that make no schema.
        """
        try:
            columns = tuple(_column_from_json(column) for column in fields["columns"])
            return cls(columns, fields["names_dtype"], _tuples(fields["names_title"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"a schema cannot be read: {type(error).__name__} {error}; was it saved by a newer version?"
            ) from None

    def __str__(self) -> str:
        rows = [("column", "kind", "values", "density"), *(_row(column) for column in self.columns)]
        widths = [max(len(row[j]) for row in rows) for j in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
        return "\n".join(line.rstrip() for line in lines)


def list_names(names: tuple[Name, ...] | list[Name], most: int = 8) -> str:
    """The first names, for messages."""
    return ", ".join(shown(name) for name in names[:most]) + (f", ... ({len(names)})" if len(names) > most else "")


def _column_from_json(fields: Mapping[str, Any]) -> Column:
    given = dict(fields)
    given["transform"] = transform_from_json(given["transform"])
    given["lattice"] = _grid(given["lattice"])
    for name in ("atoms", "values", "categories"):
        given[name] = tuple(given[name])
    for name in ("name", "of"):
        given[name] = _tuples(given[name])
    column = Column(**given)
    if column.dtype == "category" and not set(column.values) <= set(column.categories):
        raise ValueError(f"column {shown(column.name)}: a value is none of its categories.")
    for name, fits in _STORED.items():
        if not fits(getattr(column, name)):
            raise ValueError(f"column {shown(column.name)}: {name} cannot be {shown(getattr(column, name))}.")
    return column


def _grid(fields: Mapping[str, Any] | None) -> Grid | None:
    if fields is None or "values" not in fields:
        return None if fields is None else Lattice(**fields)
    return Marks(**{**fields, "values": tuple(fields["values"])})


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= 1e300


def _is_bound(value: object) -> bool:
    return value is None or _is_number(value)


def _are_values(values: tuple[object, ...]) -> bool:
    return all(isinstance(value, (str, bool)) or _is_number(value) for value in values) and len(set(values)) == len(
        values
    )


_STORED: dict[str, Callable[[Any], bool]] = {
    "holds": lambda v: isinstance(v, str) and v in get_args(Holds),
    "dtype": lambda v: isinstance(v, str),
    "missing": lambda v: isinstance(v, str) and v in ("None", "nan", "NA"),
    "low": _is_bound,
    "high": _is_bound,
    "atoms": lambda v: all(map(_is_number, v)) and len(set(v)) == len(v),
    "values": _are_values,
    "categories": _are_values,
    "categories_dtype": lambda v: isinstance(v, str),
    "ordered": lambda v: isinstance(v, bool),
    "resolution": lambda v: _is_number(v) and v >= 0,
    "origin": lambda v: isinstance(v, int) and not isinstance(v, bool) and abs(v) < 2**63,
}
"""What a stored column must have, so that values can be read and written by it."""


def _tuples(name: Any) -> Any:
    """A name that is a tuple goes through JSON as a list."""
    return tuple(_tuples(part) for part in name) if isinstance(name, list) else name


def _row(column: Column) -> tuple[str, str, str, str]:
    return str(column.name), column.kind, describe(column), column.measure


def describe(column: Column) -> str:
    """The values of a column in a few words.

    Example:
        >>> describe(Column("age", "ordinal", "numbers", "int64", values=(1, 3, 7)))
        '1, 3, 7'
    """
    if column.kind == "copy":
        return f"as {column.of!r}"
    if column.coded or column.kind == "constant":
        shown = [text_of(column, value) for value in column.values[:6]]
        more = f", ... ({len(column.values)})" if len(column.values) > 6 else ""
        text = ", ".join(shown) + more
        return text if len(text) <= 60 else f"{len(column.values)} values: {text[:40]}..."
    parts = [] if isinstance(column.transform, Identity) else [transform_name(column.transform)]
    if column.low is not None or column.high is not None:
        low, high = (bound_text(column, bound) for bound in (column.low, column.high))
        parts.append(f"within {low or '-inf'} and {high or 'inf'}")
    parts += [f"atom at {atom:g}" for atom in column.atoms]
    if column.lattice is not None and column.kind != "datetime":
        about = "about " if isinstance(column.lattice, Marks) else ""
        parts.append(f"steps of {about}{column.lattice.width:g}")
    if column.kind == "datetime":
        parts.append(column.dtype)
    return ", ".join(parts) or "any"


def bound_text(column: Column, bound: float | None) -> str:
    """A bound as users write it, times as such; empty for none."""
    if bound is None:
        return ""
    if column.holds != "times":
        return f"{bound:g}"
    second = int(np.timedelta64(1, "s").astype(f"timedelta64[{_unit(column)}]").astype(np.int64))
    return text_of(column, round(bound * second) + column.origin)


def text_of(column: Column, value: Value) -> str:
    """A value on one line; times from their ticks."""
    if column.holds == "times":
        head = column.dtype.partition("[")[0]
        return str(np.array(value, dtype=np.int64).view(f"{head}[{_unit(column)}]"))
    return " ".join(str(value).split())


def _unit(column: Column) -> str:
    """The unit of a column of times."""
    return column.dtype.partition("[")[2].rstrip("]").split(",")[0]
