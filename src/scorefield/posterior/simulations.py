"""Simulations and observations in tables: which columns are parameters, and which were observed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from scorefield.data import DataError
from scorefield.posterior.observations import failed

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class Simulations:
    """Parameters, and what was simulated with each.

    Args:
        theta: `(m, d)`.
        x: `(m, k)`; NaN where a value is missing.
        parameters: names of the columns of theta.
        columns: names of those of x.
    """

    theta: np.ndarray
    x: np.ndarray
    parameters: tuple[str, ...]
    columns: tuple[str, ...]

    @property
    def failed(self) -> np.ndarray:
        """Which simulations failed, `(m,)`: all values missing, or one infinite."""
        return failed(torch.from_numpy(self.x)).numpy()

    def rows(self, index: np.ndarray) -> Simulations:
        """Some of them."""
        return Simulations(self.theta[index], self.x[index], self.parameters, self.columns)

    def frame(self) -> pd.DataFrame:
        """As a table."""
        import pandas as pd

        return pd.DataFrame(np.concatenate([self.theta, self.x], 1), columns=[*self.parameters, *self.columns])


def simulations(frame: pd.DataFrame, parameters: Sequence[str], columns: Sequence[str] | None = None) -> Simulations:
    """A table of simulations, a row each.

    Args:
        frame: columns of parameters and of what was observed, all of numbers.
        parameters: names of the columns of parameters.
        columns: of those that were observed; default: all others.

    Raises:
        DataError: for columns that are not there, not of numbers, or parameters with holes.

    Example:
        >>> import pandas as pd
        >>> simulations(pd.DataFrame({"a": [1, 2], "x": [0.5, None]}), ["a"]).x.tolist()
        [[0.5], [nan]]
    """
    names, own = [str(name) for name in frame.columns], tuple(parameters)
    if not own or len(set(own)) != len(own):
        raise DataError(f"name each parameter once, such as --parameters a,b; got {','.join(own) or 'none'}.")
    seen = tuple(name for name in names if name not in own) if columns is None else tuple(columns)
    _there(own, names, "parameter")
    _there(seen, names, "observed column")
    if not seen:
        raise DataError("every column is a parameter; there must be others, which were simulated.")
    theta, x = _numbers(frame, own), _numbers(frame, seen)
    bad = ~np.isfinite(theta)
    if bad.any():
        row, column = np.argwhere(bad)[0]
        raise DataError(f"row {row + 1} has no value of the parameter {own[column]!r}; leave such rows out.")
    return Simulations(theta, x, own, seen)


def observations(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    """Observations `(m, k)` from a table that has their columns, in any order.

    Raises:
        DataError: for columns that are not there, or not of numbers, or a table without rows.
    """
    _there(columns, [str(name) for name in frame.columns], "observed column")
    if not len(frame):
        raise DataError("there is no row, so no observation.")
    return _numbers(frame, columns)


def _there(wanted: Sequence[str], names: Sequence[str], what: str) -> None:
    from difflib import get_close_matches

    for name in wanted:
        if name not in names:
            near = get_close_matches(name, names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names[:12])}."
            raise DataError(f"there is no {what} {name!r}; {hint}")


def _numbers(frame: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    by_name = frame.set_axis([str(name) for name in frame.columns], axis=1)
    for name in columns:
        if not (is_numeric_dtype(by_name[name]) or is_bool_dtype(by_name[name]) or by_name[name].isna().all()):
            raise DataError(f"column {name!r} is not of numbers; parameters and observations are.")
    return np.stack([by_name[name].to_numpy(dtype=np.float64, na_value=np.nan) for name in columns], 1)
