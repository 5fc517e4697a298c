"""What a user may say of a column in place of what is detected."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import date
from numbers import Real
from typing import Any, cast

import numpy as np

from scorefield._files import shown
from scorefield.data.dataset import DataError
from scorefield.tables.schema import KINDS
from scorefield.tables.transforms import TRANSFORMS


def check_override(column: str, name: str, value: object) -> None:
    """Raise a DataError for an unknown setting, or a value that is none for it.

    Example:
        >>> check_override("age", "scale", -1.0)
        Traceback (most recent call last):
        scorefield.data.dataset.DataError: column 'age': the scale is a number > 0, got -1.0.
    """
    if name not in SETTINGS:
        raise DataError(
            f"column {shown(column)}: {shown(name)} is no setting; there are {', '.join(sorted(SETTINGS))}."
        )
    wanted, fits = SETTINGS[name]
    if not fits(value):
        raise DataError(f"column {shown(column)}: the {name} is {wanted}, got {shown(value)}.")


def _is_number(value: object) -> bool:
    """A number of a size of which float64 holds the square and the difference too."""
    return isinstance(value, Real) and not isinstance(value, (bool, np.bool_)) and abs(cast(float, value)) <= 1e150


def _is_list(value: object, fits: Callable[[Any], bool]) -> bool:
    return isinstance(value, (list, tuple, np.ndarray)) and all(map(fits, value))


def _is_value(value: object) -> bool:
    return isinstance(value, (str, np.bool_, Real)) and not (isinstance(value, float) and not math.isfinite(value))


_BOUND = ("a finite number, or a time", lambda v: v is None or _is_number(v) or isinstance(v, date))
SETTINGS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "kind": (f"one of {', '.join(KINDS)}", lambda v: isinstance(v, str) and v in KINDS),
    "transform": (f"one of {', '.join(TRANSFORMS)}", lambda v: v is None or (isinstance(v, str) and v in TRANSFORMS)),
    "low": _BOUND,
    "high": _BOUND,
    "resolution": ("a finite number", _is_number),
    "bound": ("a finite number", _is_number),
    "centre": ("a finite number", _is_number),
    "shape": ("a number >= 0", lambda v: _is_number(v) and v >= 0),
    "scale": ("a number > 0", lambda v: _is_number(v) and v > 0),
    "atoms": ("a list of finite numbers", lambda v: _is_list(v, _is_number)),
    "values": ("a list of texts, numbers or booleans", lambda v: _is_list(v, _is_value)),
    "above": ("true or false", lambda v: isinstance(v, (bool, np.bool_))),
    "of": ("the name of a column", lambda v: isinstance(v, str)),
}
"""By setting: in words what its value is, and whether a value is that."""
