"""Numbers of users' tables, whatever holds them, and errors that name their columns."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import torch
from torch import Tensor

NUMBERS = "iuf"
"""Kinds of dtypes that are numbers; with truth values, `"biuf"`."""


def numbers_of(what: str, x: Any, kinds: str = NUMBERS) -> tuple[Tensor, tuple[str, ...]]:
    """Numbers in float64, a hole being NaN, and the names of the columns, none where x has none.

    Args:
        what: takes them, for the error.
        x: a tensor, an array, a list, or a data frame or one column of it (pandas' nullable types too).
        kinds: of numpy's dtypes that are taken; a tensor is taken with any real one.

    Raises:
        ValueError: for words, dates, complex numbers, by the name of their column.

    Example:
        >>> import pandas as pd
        >>> numbers_of("fit", pd.DataFrame({"a": [1, 2], "b": pd.array([0.5, None], dtype="Float64")}))
        (tensor([[1.0000, 0.5000],
                [2.0000,    nan]], dtype=torch.float64), ('a', 'b'))
    """
    if isinstance(x, Tensor):
        if x.is_complex():
            raise ValueError(f"{what} takes real numbers, got {x.dtype}.")
        return x.detach().double(), ()
    if hasattr(x, "iloc"):
        single = x.ndim == 1
        columns = [x] if single else [x.iloc[:, k] for k in range(x.shape[1])]
        names = tuple(str(column.name) for column in columns)
        arrays = [_numbers(name, column, kinds) for name, column in zip(names, columns, strict=True)]
        if not arrays:
            raise ValueError(f"{what} takes a data frame with columns, got none.")
        return torch.from_numpy(arrays[0] if single else np.stack(arrays, 1)), names
    array = np.array(x)
    if array.dtype.kind not in kinds:
        raise ValueError(f"{what} takes numbers, got values of type {array.dtype}.")
    names = tuple(str(name) for name in x.columns) if hasattr(x, "columns") else ()
    return torch.from_numpy(array.astype(float)), names


def _numbers(name: str, column: Any, kinds: str) -> np.ndarray:
    if getattr(column.dtype, "kind", "O") not in kinds:
        raise ValueError(f"column {name!r} holds no numbers ({column.dtype}); leave it out.")
    found: np.ndarray = column.to_numpy(dtype=float, na_value=np.nan, copy=True)
    return found


def check_finite(points: Tensor, names: tuple[str, ...] = ()) -> None:
    """Raise for a hole or an infinite number in `(n, d)`, named by row and column, both counted from 0."""
    wrong = ~torch.isfinite(points)
    if bool(wrong.any()):
        row, column = (int(k) for k in wrong.nonzero()[0])
        raise ValueError(
            f"row {row}, {column_named(column, names)} is {float(points[row, column])}; fill it or leave the row out."
        )


def column_named(column: int, names: tuple[str, ...] = ()) -> str:
    """A column by its place, and by its name where there are names.

    Example:
        >>> column_named(1, ("age", "weight")), column_named(1)
        ("column 1 ('weight')", 'column 1')
    """
    return f"column {column} ({names[column]!r})" if column < len(names) else f"column {column}"


def with_names(message: str, names: tuple[str, ...]) -> str:
    """A message in which columns stand by their place, with their names.

    Example:
        >>> with_names("row 3, column 0: -1 is not between 0 and inf", ("age",))
        "row 3, column 0 ('age'): -1 is not between 0 and inf"
    """
    return re.sub(r"column (\d+)", lambda found: column_named(int(found[1]), names), message)
