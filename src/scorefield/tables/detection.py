"""What kind each column of a data frame is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from scorefield._files import shown
from scorefield.data.dataset import Array, DataError
from scorefield.tables.lattice import Lattice, find_lattice, with_step
from scorefield.tables.marks import Grid, find_marks
from scorefield.tables.overrides import check_override
from scorefield.tables.schema import Column, ColumnKind, Holds, Name, Schema, list_names
from scorefield.tables.series import (
    dtype_name,
    holds,
    missing_mark,
    plain,
    present,
    read_numbers,
    read_times,
    read_values,
    tick_digits,
)
from scorefield.tables.transform_choice import last_values, transform_for

if TYPE_CHECKING:
    import pandas as pd

MOST_CODES = 30  # an ordinal column has at most so many values
_MOST_TEXTS = 50  # text with more values than this, and than half of the rows, tells records apart and nothing else
_ROWS_PER_CODE = 5  # ... and at least so many rows for each, on average
_ATOM_SHARE = 0.015  # an atom has more than this share of the rows that are not missing
_ATOM_COUNT = 10  # ... at least so many rows
_ATOM_STANDS_OUT = 3.0  # ... and so many times those of the values next to it
_BESIDE, _BESIDE_ALONE = 3, 20  # ... to either side; the greater where most values are alone
_ALONE = 0.8  # ... that is, more distinct values than this share of the rows, those of ten rows left out
_CHANCE = 1e-3  # ... which chance does less often, in any of the column's values
_FEW_TWINS = 0.95  # with more distinct values than this share of the rows, values are taken not to repeat
_SINGLE = ("float32", "float16", "float[")
_ALLOWED: dict[Holds, tuple[str, ...]] = {
    "numbers": ("continuous", "integer", "ordinal", "categorical"),
    "text": ("categorical",),
    "booleans": ("boolean", "categorical"),
    "times": ("datetime", "ordinal"),
}


def detect(frame: pd.DataFrame, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> Schema:
    """The schema of a data frame, by these rules, the first that fits:

    - A column without a single value is an error. A column with one value and no holes is a constant; with holes it
      has one code, so that the holes survive.
    - A column that has an earlier one's type and values, holes included, is a copy of it; numbers may differ in type.
    - True and False are boolean. Text and categories are categorical: those that occur get codes, text in
      alphabetical order, categories in theirs.
    - Numbers and times are ordinal with 2 distinct values, or with at most 30 and at least 5 rows for each on average.
    - Times are datetime. Numbers are integer when all are whole; else continuous. Both may have atoms: values with
      more than 1.5 % of the rows (and 10 rows, and 3 times the rows of the values next to them), at most 30.
    - `lattice`: the decimals of the values; with 20 distinct values or more their common divisor. `resolution` is the
      lattice's width for integers, and for other columns where more than 5 % of the values are repetitions. These have
      marks in place of decimals where they were converted from another unit, or standardised (`find_marks`).
    - The transform is that of `choose_transform`; times have identity or asinh. Where the density ends in a wall
      (`find_walls`), or an atom lies next to all other values, it is one of `Wall`, `Walls`, `Edge`, `Edges`.

    Args:
        frame: at least one row and one column.
        overrides: by column name (as text), any of kind, transform, low, high, atoms, values, resolution, and the
            transform's own bound, above, centre, scale: these are taken as given, the rest is detected.

    Raises:
        DataError: for an empty frame, doubled names, a column without values or of an unknown type, infinite values,
            an override that does not fit.

    Example:
        >>> import pandas as pd
        >>> print(detect(pd.DataFrame({"size": [1.5, 2.25, 9.0], "sex": ["f", "m", "f"], "unit": "cm"})))
        column  kind         values         density
        size    continuous   steps of 0.01  Lebesgue, per unit of the column
        sex     categorical  f, m           counting
        unit    constant     cm             none (not in the model)
    """
    _check_frame(frame)
    forced = _checked_overrides(frame, overrides or {})
    columns: list[Column] = []
    alike: dict[int, list[int]] = {}  # places of columns that may hold the same values, by their fingerprint
    for j, name in enumerate(frame.columns):
        series = frame.iloc[:, j]
        choice = forced.get(str(name), {})
        places = alike.setdefault(_fingerprint(series, name), [])
        may_copy = choice.get("kind", "copy") == "copy"
        source = _copied(frame, j, [columns[i] for i in places], places) if may_copy else None
        if source is not None:
            columns.append(
                Column(name, "copy", holds(series, name), dtype_name(series, name), missing_mark(series),
                       of=source, **_category_fields(series))
            )  # fmt: skip
        else:
            columns.append(_column(series, name, choice))
            if columns[j].kind != "constant":
                places.append(j)
    return Schema(tuple(columns), str(frame.columns.dtype), frame.columns.name)


def _check_frame(frame: pd.DataFrame) -> None:
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise TypeError(f"a table is a pandas DataFrame, got {type(frame).__name__}; use as_frame for arrays.")
    if not len(frame) or not len(frame.columns):
        raise DataError(f"the table has {len(frame)} rows and {len(frame.columns)} columns; it needs one of each.")
    if not frame.columns.is_unique:
        doubled = frame.columns[frame.columns.duplicated()][0]
        raise DataError(f"the table has more than one column {doubled!r}; every column needs a name of its own.")
    for name in frame.columns:
        if not all(part is None or isinstance(part, (str, int, float)) for part in _parts(name)):
            raise DataError(f"the column name {name!r} is no text or number; use frame.columns.map(str).")


def _parts(name: Name) -> tuple[Any, ...]:
    return name if isinstance(name, tuple) else (name,)


def _checked_overrides(frame: pd.DataFrame, overrides: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    names = [str(name) for name in frame.columns]
    for key, fields in overrides.items():
        if key not in names:
            raise DataError(
                f"the schema speaks of a column {shown(key)}, which is not there; there are {list_names(names)}."
            )
        if names.count(key) > 1:
            raise DataError(f"the schema speaks of a column {shown(key)}, and there are {names.count(key)} written so.")
        for field, value in fields.items():
            check_override(key, field, value)
    return {key: dict(fields) for key, fields in overrides.items()}


def _fingerprint(series: pd.Series, name: Name) -> int:
    """The same number for columns of the same values and holes."""
    here = present(series)
    return hash((here.tobytes(), *_native(series, name, holds(series, name))[here].tolist()))


def _copied(frame: pd.DataFrame, j: int, columns: list[Column], places: list[int]) -> Name:
    """The name of an earlier column, of these at these places, with the same values and holes, or None."""
    series = frame.iloc[:, j]
    kind = holds(series, frame.columns[j])
    here = present(series)
    if not here.any():
        return None
    for i, column in zip(places, columns, strict=True):
        if column.holds != kind:
            continue
        other = frame.iloc[:, i]
        if kind != "numbers" and other.dtype != series.dtype:
            continue
        if not np.array_equal(here, present(other)):
            continue
        if _native(series, column.name, kind)[here].tolist() == _native(other, column.name, kind)[here].tolist():
            return column.name
    return None


def _native(series: pd.Series, name: Name, kind: Holds) -> Array:
    """Numbers, ticks or objects `(n,)`."""
    if kind == "numbers":
        return read_numbers(series, name)
    return read_times(series, name) if kind == "times" else read_values(series)


def _category_fields(series: pd.Series) -> dict[str, Any]:
    if str(series.dtype) != "category":
        return {}
    index = series.cat.categories
    values = tuple(plain(value) for value in index)
    for value in values:
        if not isinstance(value, (str, int, float, bool)):
            raise DataError(
                f"column {series.name!r} has categories of type {type(value).__name__}; make them text: "
                ".cat.rename_categories(str)."
            )
    return {"categories": values, "categories_dtype": str(index.dtype), "ordered": bool(series.cat.ordered)}


def _column(series: pd.Series, name: Name, choice: Mapping[str, Any]) -> Column:
    kind = holds(series, name)
    here = present(series)
    if not here.any():
        raise DataError(f"column {name!r} has no value in any of the {len(series)} rows; leave it out.")
    wanted = choice.get("kind")
    if wanted is not None and wanted not in (*_ALLOWED[kind], "constant", "copy"):
        raise DataError(
            f"column {name!r} holds {kind}, so its kind is one of {', '.join(_ALLOWED[kind])}; got {wanted!r}."
        )
    base = Column(name, "copy", kind, dtype_name(series, name), missing_mark(series), **_category_fields(series))
    if kind in ("numbers", "times"):
        return _number_column(base, _native(series, name, kind)[here], bool(here.all()), choice)
    return _value_column(base, read_values(series)[here], bool(here.all()), choice)


def _value_column(base: Column, values: Array, full: bool, choice: Mapping[str, Any]) -> Column:
    found = {plain(value) for value in values}
    used = tuple(v for v in base.categories if v in found) if base.categories else tuple(sorted(found))
    if len(used) == 1 and full and choice.get("kind") in (None, "constant"):
        return replace(base, kind="constant", values=used)
    if len(used) > max(_MOST_TEXTS, len(values) // 2) and "kind" not in choice:
        raise DataError(
            f"column {base.name!r} holds {len(used)} different texts in {len(values)} rows, as names or numbers of "
            "records do: leave it out (--leave-out), or join its values into fewer."
        )
    usual: ColumnKind = "boolean" if base.holds == "booleans" else "categorical"
    return replace(base, kind=_not_out(base, choice) or usual, values=_all_values(base, used, choice))


def _not_out(base: Column, choice: Mapping[str, Any]) -> ColumnKind | None:
    wanted = choice.get("kind")
    if wanted in ("constant", "copy"):
        raise DataError(f"column {base.name!r} is no {wanted}: its values say otherwise; leave the kind out.")
    return cast(ColumnKind | None, wanted)


def _all_values(base: Column, used: tuple[Any, ...], choice: Mapping[str, Any]) -> tuple[Any, ...]:
    if "values" not in choice:
        return used
    given = tuple(choice["values"])
    lacking = [value for value in used if value not in given]
    if lacking or len(set(given)) < len(given):
        raise DataError(
            f"column {base.name!r}: values must name each value once; {shown(lacking or given)} does not fit."
        )
    if base.dtype == "category" and not set(given) <= set(base.categories):
        raise DataError(f"column {base.name!r}: values must be among the categories {list_names(base.categories)}.")
    return given


def _number_column(base: Column, native: Array, full: bool, choice: Mapping[str, Any]) -> Column:
    origin = _origin(base, native)
    distinct = np.unique(native)
    values = tuple(distinct.tolist())
    if len(distinct) == 1 and full and choice.get("kind") in (None, "constant"):
        return replace(base, kind="constant", values=values, origin=origin)
    kind = _not_out(base, choice) or _usual_kind(base, native, distinct)
    if kind in ("ordinal", "categorical") or len(distinct) == 1:
        kind = kind if kind in ("ordinal", "categorical") else "ordinal"
        return replace(base, kind=kind, values=_all_values(base, values, choice), origin=origin)
    return _fine_column(replace(base, origin=origin), kind, native, choice)


def _origin(base: Column, native: Array) -> int:
    if native.dtype.kind == "f":
        return 0
    least, most = int(native.min()), int(native.max())
    if base.holds == "times":
        return least
    if most - least >= 2**52:
        raise DataError(
            f"column {base.name!r} has whole numbers from {least} to {most}, more than a float holds; "
            "write it as text if it is a name, or leave it out."
        )
    return 0 if max(abs(least), abs(most)) < 2**52 else least


def _usual_kind(base: Column, native: Array, distinct: Array) -> ColumnKind:
    few = len(distinct) <= MOST_CODES and len(native) >= _ROWS_PER_CODE * len(distinct)
    if len(distinct) <= 2 or few:
        return "ordinal"
    if base.holds == "times":
        return "datetime"
    whole = native.dtype.kind in "iu" or bool((np.abs(native) < 2.0**52).all() and (native == np.rint(native)).all())
    return "integer" if whole else "continuous"


def coordinate(column: Column, native: Array) -> Array:
    """Numbers or ticks as float64 `(n,)`: whole numbers less the origin, times in seconds since it."""
    if column.holds == "times":
        return np.asarray((native - column.origin) / 10.0 ** tick_digits(column.dtype), dtype=np.float64)
    return np.asarray(native - column.origin if column.origin else native, dtype=np.float64)


def _fine_column(base: Column, kind: ColumnKind, native: Array, choice: Mapping[str, Any]) -> Column:
    x = coordinate(base, native)
    atoms = tuple(float(a) for a in choice["atoms"]) if "atoms" in choice else _atoms(base, x)
    rest = x[~np.isin(x, atoms)]
    if len(np.unique(rest)) < 2:
        raise DataError(
            f"column {base.name!r} has fewer than 2 values besides its atoms {list(atoms)}; make it ordinal."
        )
    decimals = _lattice(base, kind, native, x)
    lattice: Grid | None = decimals
    if kind == "integer" and lattice is None:
        raise DataError(f"column {base.name!r} is to be integer, and its values lie on no lattice of decimals.")
    repeats = len(np.unique(rest)) <= _FEW_TWINS * len(rest)
    if kind == "continuous" and repeats:
        lattice = _with_marks(base, native, x, decimals, choice.get("resolution"))
    usual = lattice.width if lattice is not None and (kind == "integer" or repeats) else 0.0
    resolution = float(choice.get("resolution", usual))
    lattice = _of_width(base, lattice, resolution)
    low, high = (_bound(base, choice.get(side)) for side in ("low", "high"))
    transform = transform_for(base, rest, lattice, low, high, choice, resolution, atoms)
    if low is None and high is None:
        low, high = last_values(transform, lattice)
    return replace(
        base, kind=kind, transform=transform, low=low, high=high, atoms=atoms, lattice=lattice, resolution=resolution
    )


def _atoms(base: Column, x: Array) -> tuple[float, ...]:
    """Values that hold more than their share, compared with those to either side."""
    if base.holds == "times":
        return ()
    values, counts = np.unique(x, return_counts=True)
    found: list[int] = []
    rare = counts[counts < _ATOM_COUNT]
    reach = _BESIDE_ALONE if len(rare) > _ALONE * rare.sum() else _BESIDE
    for i in np.flatnonzero((counts > _ATOM_SHARE * len(x)) & (counts >= _ATOM_COUNT)):
        beside = np.concatenate([counts[max(i - reach, 0) : i], counts[i + 1 : i + 1 + reach]])
        if counts[i] >= _ATOM_STANDS_OUT * np.median(beside) and _by_chance(counts[i], beside) * len(values) < _CHANCE:
            found.append(int(i))
    found = sorted(sorted(found, key=lambda i: -counts[i])[:MOST_CODES])
    return tuple(float(values[i]) for i in found) if len(values) - len(found) >= 2 else ()


def _by_chance(count: int, beside: Array) -> float:
    """The probability of such a count, or more, if the value were as frequent as those beside it.

    The greatest count beside it, which may be an atom too, is left out. All these rows given, the count is binomial:
    the exact test of two Poisson rates.
    """
    from scipy.stats import binom

    others = np.sort(beside)[: max(1, len(beside) - 1)]
    return float(binom.sf(count - 1, count + others.sum(), 1 / (len(others) + 1)))


def _lattice(base: Column, kind: str, native: Array, x: Array) -> Lattice | None:
    if base.holds == "times":
        return with_step(native - base.origin, tick_digits(base.dtype))
    if native.dtype.kind in "iu":
        return with_step(native - base.origin, 0)
    return find_lattice(x, "float32" if base.dtype.lower().startswith(_SINGLE) else "float64")


def _with_marks(base: Column, native: Array, x: Array, lattice: Lattice | None, resolution: Any) -> Grid | None:
    """Marks in place of the lattice, where there are some as far apart as the user says, if at all."""
    precision = np.finfo(np.float32 if base.dtype.lower().startswith(_SINGLE) else np.float64).eps
    found = find_marks(x, lattice, float(precision)) if native.dtype.kind == "f" and base.holds == "numbers" else None
    return lattice if found is None or resolution not in (None, found.width) else found


def _of_width(base: Column, lattice: Grid | None, resolution: float) -> Grid | None:
    """The lattice whose width is the resolution, where one is given."""
    if resolution < 0 or not math.isfinite(resolution):
        raise DataError(f"column {base.name!r}: a resolution is a distance >= 0, got {resolution}.")
    if lattice is None and resolution:
        raise DataError(f"column {base.name!r}: its values lie on no lattice of decimals, so its resolution is 0.")
    if lattice is None or not resolution or resolution == lattice.width or not isinstance(lattice, Lattice):
        return lattice
    step = round(resolution * 10**lattice.digits)
    if step < 1 or not math.isclose(step, resolution * 10**lattice.digits, rel_tol=1e-9) or lattice.step % step:
        raise DataError(
            f"column {base.name!r}: its values lie {lattice.width:g} apart, so its resolution is that, or that divided "
            f"by a whole number, down to {10.0**-lattice.digits:g}; got {resolution:g}."
        )
    return Lattice(lattice.digits, step, lattice.offset % step)


def _bound(base: Column, given: Any) -> float | None:
    """A bound on the column's own scale: times in seconds since its origin."""
    if given is None:
        return None
    if base.holds == "times" and isinstance(given, date):
        import pandas as pd

        ticks = pd.Timestamp(given).value // 10 ** (9 - tick_digits(base.dtype))
        return float(coordinate(base, np.array([ticks]))[0])
    if isinstance(given, date):
        raise DataError(f"column {base.name!r} holds {base.holds}, so its bounds are numbers, got {given}.")
    return float(given)
