"""Between the columns of a data frame and arrays of numbers, both ways."""

from __future__ import annotations

import math
import numbers
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.data.dataset import Array, DataError
from scorefield.tables.schema import Column, Holds, Name

if TYPE_CHECKING:
    import pandas as pd

_LARGEST = 1e300  # beyond, differences overflow
_MARKS = {"None": lambda: None, "nan": lambda: math.nan}
_TICKS = {"s": 0, "ms": 3, "us": 6, "ns": 9}  # decimals of a second


def as_frame(x: Array, names: Sequence[Name] | None = None) -> pd.DataFrame:
    """An array `(n, d)` as a data frame, its columns x0, x1, ... or as named.

    Raises:
        DataError: for other than two dimensions, or another number of names than columns.

    Example:
        >>> as_frame(np.zeros((1, 2)))
            x0   x1
        0  0.0  0.0
    """
    import pandas as pd

    x = np.asarray(x)
    if x.ndim != 2:
        raise DataError(f"a table has the shape (n, d), got {x.shape}; use reshape(-1, 1) for one column.")
    if names is not None and len(names) != x.shape[1]:
        raise DataError(f"the array has {x.shape[1]} columns and there are {len(names)} names.")
    return pd.DataFrame(x, columns=[f"x{j}" for j in range(x.shape[1])] if names is None else pd.Index(names))


def holds(series: pd.Series, name: Name) -> Holds:
    """What a column holds: numbers, text, booleans or times.

    Raises:
        DataError: for mixed or unknown types, naming the column and the types.
    """
    from pandas.api import types

    dtype = series.dtype
    if types.is_bool_dtype(dtype) and not _is_category(series):
        return "booleans"
    if _is_category(series) or isinstance(dtype, _string_dtype()):
        return "text"
    if isinstance(dtype, np.dtype) and dtype.kind in "mM":
        return "times"
    if types.is_datetime64_any_dtype(dtype) and hasattr(dtype, "tz"):
        return "times"
    if types.is_numeric_dtype(dtype) and not types.is_complex_dtype(dtype):
        return "numbers"
    if types.is_object_dtype(dtype):
        return _holds_objects(series, name)
    raise DataError(
        f"column {name!r} has the type {dtype}; convert it to numbers, text, booleans, categories or datetime64."
    )


def _holds_objects(series: pd.Series, name: Name) -> Holds:
    present = series[series.notna()]
    kinds = {type(value) for value in present}
    if kinds <= {bool, np.bool_} and kinds:
        return "booleans"
    if all(issubclass(kind, str) for kind in kinds):
        return "text"
    if all(_is_number_type(kind) for kind in kinds):
        return "numbers"
    shown = ", ".join(sorted(kind.__name__ for kind in kinds))
    raise DataError(
        f"column {name!r} holds Python objects of the type(s) {shown}; make it numbers, text, booleans or dates "
        "(pandas.to_datetime)."
    )


def _is_number_type(kind: type) -> bool:
    real = issubclass(kind, numbers.Real) or issubclass(kind, np.number)
    return real and not issubclass(kind, (bool, np.bool_)) and issubclass(kind, (int, float, np.integer, np.floating))


def _is_category(series: pd.Series) -> bool:
    import pandas as pd

    return isinstance(series.dtype, pd.CategoricalDtype)


def _string_dtype() -> type:
    import pandas as pd

    return pd.StringDtype


def dtype_name(series: pd.Series, name: Name) -> str:
    """The column's type as a text from which pandas makes it again.

    Raises:
        DataError: when it cannot.
    """
    from pandas.api import types

    dtype = series.dtype
    if _is_category(series):
        return "category"
    text = str(dtype)
    if isinstance(dtype, _string_dtype()) and text == "string":
        text = f"string[{dtype.storage}]"  # type: ignore[attr-defined]
    try:
        same = types.pandas_dtype(text) == dtype
    except TypeError:
        same = False
    if not same:
        raise DataError(f"column {name!r} has the type {dtype}, which is not supported; convert it to a plain type.")
    return text


def missing_mark(series: pd.Series) -> str:
    """What stands for a missing value in an object column (the first one counts)."""
    import pandas as pd

    if series.dtype == object:
        for value in series[series.isna()]:
            return "None" if value is None else "NA" if value is pd.NA else "nan"
    return "nan"


def present(series: pd.Series) -> Array:
    """Where a value stands: bool `(n,)`."""
    return ~np.asarray(series.array.isna(), dtype=bool)  # of the array: a table may have 10,000 columns


def read_numbers(series: pd.Series, name: Name) -> Array:
    """int64 where the column has whole-number type, else float64, `(n,)`; 0 where nothing is.

    Raises:
        DataError: for what is no number, with the row; for infinite and overly large values.
    """
    here = present(series)
    if not here.any():
        return np.zeros(len(series))
    if holds_or_none(series) != "numbers":
        bad = next(
            i for i in np.flatnonzero(here) if not _is_number_type(type(series.iloc[i])) or series.dtype != object
        )
        raise DataError(f"column {name!r} holds {series.iloc[bad]!r} in row {bad + 1} (from 1), which is not a number.")
    whole = series.dtype.kind in "iu" if series.dtype != object else _all_whole(series, here)
    if whole:
        return _whole_numbers(series, here, name)
    values = np.array(series.to_numpy(dtype=np.float64, na_value=np.nan), dtype=np.float64)
    values[~here] = 0.0
    with np.errstate(invalid="ignore"):
        bad_rows = np.flatnonzero(~(np.abs(values) <= _LARGEST))
    if len(bad_rows):
        row = int(bad_rows[0])
        value = values[row]
        fix = "remove the row or leave the cell empty" if math.isinf(value) else "divide the column by a power of ten"
        raise DataError(f"column {name!r} holds {value} in row {row + 1} (from 1); {fix}.")
    return values


def holds_or_none(series: pd.Series) -> Holds | None:
    """As `holds`, None where that is an error."""
    try:
        return holds(series, None)
    except DataError:
        return None


def _all_whole(series: pd.Series, here: Array) -> bool:
    return all(isinstance(value, (int, np.integer)) for value in series[here])


def _whole_numbers(series: pd.Series, here: Array, name: Name) -> Array:
    filled = series.where(here, 0) if not here.all() else series
    values = [int(value) for value in filled] if series.dtype in (object, np.uint64) else None
    if values is None:
        return np.asarray(filled.to_numpy(dtype=np.int64))
    worst = max(values, key=abs)
    if abs(worst) >= 2**63:
        raise DataError(
            f"column {name!r} holds {worst} in row {values.index(worst) + 1} (from 1); "
            "whole numbers must fit into 64 bits: write it as text or leave the column out."
        )
    return np.array(values, dtype=np.int64)


def tick_digits(dtype: str) -> int:
    """How many decimals of a second the type's ticks have.

    Example:
        >>> tick_digits("datetime64[us, Europe/Berlin]")
        6
    """
    return _TICKS[dtype.split("[")[1].split("]")[0].split(",")[0]]


def read_times(series: pd.Series, name: Name, dtype: str | None = None) -> Array:
    """Ticks since 1970 as int64 `(n,)`, in the unit of the type; 0 where nothing is.

    Args:
        series: of dates and times.
        name: for messages.
        dtype: the type at training, whose unit the ticks get; None: its own.

    Raises:
        DataError: for what is no time; for times with a zone where there was none, or the other way round.
    """
    here = present(series)
    if not here.any():
        return np.zeros(len(series), dtype=np.int64)
    if holds_or_none(series) != "times":
        row = int(np.flatnonzero(here)[0])
        raise DataError(
            f"column {name!r} holds {series.iloc[row]!r} in row {row + 1} (from 1), which is not of type datetime64; "
            "convert the column with pandas.to_datetime."
        )
    own = str(series.dtype)
    if dtype is not None and (("," in own) != ("," in dtype) or own[:5] != dtype[:5]):
        raise DataError(f"column {name!r} has the type {own}, and had {dtype} at training; convert it to that.")
    if dtype is not None:
        series = series.dt.as_unit(dtype.split("[")[1].rstrip("]").split(",")[0])
    ticks = np.array(series.array.asi8, dtype=np.int64)
    ticks[~here] = 0
    return ticks


def read_values(series: pd.Series) -> Array:
    """Text, categories or booleans as objects `(n,)`; None where nothing is."""
    values = np.array(series.to_numpy(dtype=object), dtype=object)
    values[~present(series)] = None
    return values


def plain(value: Any) -> Any:
    """A numpy scalar as the Python one."""
    return value.item() if isinstance(value, np.generic) else value


def restore(column: Column, values: Array, here: Array) -> pd.Series:
    """Values `(n,)` as a column of the type that it had; missing where here is False.

    A type without a place for missing values gives way to pandas' nullable one (int64 to Int64, bool to boolean).

    Args:
        column: whose type it gets.
        values: whole numbers or floats for numbers, ticks for times, objects else.
        here: bool `(n,)`.
    """
    import pandas as pd

    if column.dtype == "category":
        kind = pd.CategoricalDtype(pd.Index(list(column.categories), dtype=column.categories_dtype), column.ordered)
        place = {value: code for code, value in enumerate(column.categories)}
        codes = [place[value] if there else -1 for value, there in zip(values, here, strict=True)]
        return pd.Series(pd.Categorical.from_codes(codes, dtype=kind))
    if column.holds == "times":
        return _restore_times(column.dtype, values, here)
    if column.dtype == "object" or column.holds == "text":
        mark = pd.NA if column.missing == "NA" else _MARKS[column.missing]()
        cells = [plain(value) if there else mark for value, there in zip(values, here, strict=True)]
        objects = np.empty(len(cells), dtype=object)
        objects[:] = cells
        return pd.Series(objects, dtype=column.dtype)
    return _restore_plain(column, values, here)


def _restore_times(dtype: str, ticks: Array, here: Array) -> pd.Series:
    import pandas as pd

    head, _, tail = dtype.partition("[")
    unit, _, zone = tail.rstrip("]").partition(", ")
    stamps = np.where(here, ticks, np.iinfo(np.int64).min).astype(np.int64).view(f"{head}[{unit}]")
    series = pd.Series(stamps)
    if zone:
        series = series.dt.tz_localize("UTC").astype(dtype)
    return series


def _restore_plain(column: Column, values: Array, here: Array) -> pd.Series:
    import pandas as pd
    from pandas.api import types

    dtype = types.pandas_dtype(column.dtype)
    if isinstance(dtype, np.dtype):
        if dtype.kind == "f":
            return pd.Series(np.where(here, values.astype(np.float64), np.nan).astype(dtype))
        typed = np.where(here, values, False if dtype.kind == "b" else 0)
        if dtype.kind in "iu":
            typed = np.clip(typed, np.iinfo(dtype).min, np.iinfo(dtype).max)  # the type bounds its values
        typed = typed.astype(dtype)
        if here.all():
            return pd.Series(typed)
        nullable = "boolean" if dtype.kind == "b" else f"{'U' if dtype.kind == 'u' else ''}Int{8 * dtype.itemsize}"
        return pd.Series(typed).astype(nullable).where(here)
    base = np.where(here, values, 0)
    whole: Callable[[Array], Array] = lambda v: v.astype(bool) if column.holds == "booleans" else v  # noqa: E731
    return pd.Series(whole(base)).astype(dtype).where(here)
