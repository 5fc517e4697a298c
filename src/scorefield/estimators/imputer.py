"""Holes filled by draws from their law given the rest of the row, as a scikit-learn transformer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from sklearn.base import OneToOneFeatureMixin, TransformerMixin
from sklearn.utils import Tags

from scorefield.data.dataset import Array
from scorefield.estimators._base import TableEstimator
from scorefield.tables.schema import Name

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True, eq=False, repr=False)
class ScoreImputer(OneToOneFeatureMixin, TransformerMixin, TableEstimator):  # type: ignore[misc]
    """Fills the holes of a table.

    `transform` puts into a hole the mean of draws from its law given the rest of the row (their mode where the column
    has codes; rounded in columns of a whole-number type), or one draw. `sample` gives the draws themselves, as many
    completed tables: what multiple imputation needs (Rubin 1987).

    Args:
        draws: how many are averaged, or made by `sample`.
        strategy: "mean" or "draw".
        seconds: this and the following as `TableEstimator`.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> X[0, 1] = np.nan
        >>> imputer = ScoreImputer(steps=5, seconds=None, draws=3, random_state=0).fit(X)
        >>> bool(np.isfinite(imputer.transform(X)).all()), imputer.sample(X).shape
        (True, (3, 200, 2))
    """

    draws: int = 20
    strategy: Literal["mean", "draw"] = "mean"
    unseen: str = "error"

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    def fit(self, X: Any, y: object = None) -> Self:
        """Fit the model to X `(n, d)`, holes and all; y is not looked at."""
        if self.strategy not in ("mean", "draw") or self.draws < 1:
            raise ValueError(
                f"strategy must be 'mean' or 'draw' and draws at least 1, got {self.strategy!r} and {self.draws}."
            )
        frame = self._read(X, reset=True)
        self._train(frame, self._schema_of(frame))
        return self

    def transform(self, X: Any) -> pd.DataFrame | Array:
        """X with its holes filled, `(n, d)`; what was there stays as it is. A data frame for a data frame."""
        frame = self._unseen_as_holes(self._read(X))
        holes = frame.isna()
        if not bool(holes.to_numpy().any()):
            return self._returned(X, frame.copy())
        made = self._filled(frame, self.draws if self.strategy == "mean" else 1, None)
        return self._returned(X, made[0] if len(made) == 1 else self._averaged(made, holes))

    def sample(self, X: Any, random_state: int | np.random.RandomState | None = None) -> list[pd.DataFrame] | Array:
        """`draws` completed tables: an array `(draws, n, d)`, or a list of data frames for a data frame.

        Args:
            X: `(n, d)` with holes.
            random_state: None: the estimator's own.
        """
        made = [
            self._returned(X, part)
            for part in self._filled(self._unseen_as_holes(self._read(X)), self.draws, random_state)
        ]
        return np.stack(made) if isinstance(made[0], np.ndarray) else made

    def _filled(
        self, frame: pd.DataFrame, draws: int, random_state: int | np.random.RandomState | None
    ) -> list[pd.DataFrame]:
        return self.table_.impute(frame, draws=draws, steps=self.sampling_steps, seed=self._seed(random_state))

    def _returned(self, X: Any, frame: pd.DataFrame) -> pd.DataFrame | Array:
        """The frame in X's own container and type."""
        if hasattr(X, "columns"):
            return frame.set_axis(X.columns, axis=1)
        dtype = getattr(X, "dtype", None)
        return frame.to_numpy(dtype=dtype if dtype is not None and dtype.kind in "fiu" else np.float64)

    def _averaged(self, made: list[pd.DataFrame], holes: pd.DataFrame) -> pd.DataFrame:
        """The first table, its holes filled by the means or modes over all."""
        out = made[0].copy()
        for name in out.columns:
            rows = np.flatnonzero(holes[name].to_numpy())
            if len(rows):
                found = [frame[name].iloc[rows] for frame in made]
                column = out[name].copy()
                column.iloc[rows] = self._mean(found) if self._floating(name) else _mode(found)
                out[name] = column
        return out

    def _floating(self, name: Name) -> bool:
        column = self.table_.codec.schema[name]
        return (self.table_.codec.schema[column.of] if column.kind == "copy" else column).floating

    @staticmethod
    def _mean(found: list[pd.Series]) -> Any:
        import pandas as pd
        from pandas.api import types

        first = found[0]
        if types.is_datetime64_any_dtype(first.dtype):
            start = first.iloc[0]
            away = sum(((part - start).dt.total_seconds().to_numpy() for part in found), np.zeros(len(first)))
            return (start + pd.to_timedelta(away / len(found), unit="s")).astype(first.dtype)
        mean = np.mean([part.to_numpy(dtype=np.float64) for part in found], axis=0)
        if types.is_integer_dtype(first.dtype):
            return np.rint(mean).astype(np.int64)
        return mean.astype(first.dtype) if isinstance(first.dtype, np.dtype) and first.dtype.kind == "f" else mean


def _mode(found: list[pd.Series]) -> Any:
    """The most frequent value of each row; of equally frequent ones the first that was drawn."""
    import pandas as pd

    values = pd.concat(found, ignore_index=True)
    code, distinct = pd.factorize(values)
    counts = (code.reshape(len(found), -1)[:, :, None] == np.arange(len(distinct))).sum(0)
    return distinct[counts.argmax(1)]
