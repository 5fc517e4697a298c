"""`p(y | X)` of numbers, as a scikit-learn regressor: means, quantiles, intervals, draws and densities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils.validation import check_array, column_or_1d
from torch import Tensor

from scorefield.data.dataset import Array
from scorefield.estimators._base import TableEstimator
from scorefield.tables.conform import free_name
from scorefield.tables.detection import detect
from scorefield.tables.predict import Prediction
from scorefield.tables.schema import Name, Schema

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True, eq=False, repr=False)
class ScoreRegressor(RegressorMixin, TableEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Predicts the law of a number from the rest of its row, which may have holes.

    One model of X and y together answers all questions. Parameters are those of all estimators, see `TableEstimator`.
    y is one column; several are several regressors, or one `ScoreImputer` of the table of all.

    Attributes:
        table_: the `TrainedTable` of X and y.
        target_: the name of y's column in it.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> y = 3 * X[:, 0] + np.random.default_rng(1).normal(size=200)
        >>> model = ScoreRegressor(steps=5, seconds=None, random_state=0).fit(X, y)
        >>> model.predict_interval(X[:4], coverage=0.8).shape, bool(model.score(X, y) > 0.8)
        ((4, 2), True)
    """

    unseen: str = "error"

    def fit(self, X: Any, y: Any) -> Self:
        """Fit the model to X `(n, d)` and y `(n,)`.

        Raises:
            ValueError: for a y of several columns, with holes, or of another length.
        """
        if y is None:
            raise ValueError(f"This {type(self).__name__} estimator requires y to be passed, but the target y is None.")
        frame = self._read(X, reset=True)
        values = self._target_values(y, len(frame))
        self.target_ = _free_name(getattr(y, "name", None), list(frame.columns))
        joint = self._joint(frame, values)
        self._train(joint, self._joint_schema(frame, joint))
        return self

    def predict(self, X: Any) -> Array:
        """`E[y | X]`, `(n,)`."""
        rows, law = self._asked(X)
        return law.mean(rows)

    def predict_quantiles(self, X: Any, quantiles: Sequence[float] | Array) -> Array:
        """The quantiles of `p(y | X)`, `(n, m)`.

        Args:
            X: `(n, d)`.
            quantiles: `(m,)` within (0, 1).
        """
        q = np.asarray(quantiles, dtype=np.float64)
        if q.ndim != 1 or not bool(((q > 0) & (q < 1)).all()):
            raise ValueError(f"quantiles must be a sequence of numbers within (0, 1), got {quantiles!r}.")
        rows, law = self._asked(X)
        return law.quantiles(rows, q)

    def predict_interval(self, X: Any, coverage: float = 0.9) -> Array:
        """The central interval that holds y with probability `coverage`: lower and upper ends, `(n, 2)`."""
        if not 0 < coverage < 1:
            raise ValueError(f"coverage must lie within (0, 1), got {coverage}.")
        return self.predict_quantiles(X, [(1 - coverage) / 2, (1 + coverage) / 2])

    def sample_y(self, X: Any, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> Array:
        """Draws from `p(y | X)`, `(n, n_samples)`.

        Args:
            X: `(n, d)`.
            n_samples: for each row.
            random_state: None: the estimator's own.
        """
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}.")
        rows, law = self._asked(X)
        return law.draws(rows, int(n_samples), self._seed(random_state))

    def log_density(self, X: Any, y: Any) -> Array:
        """`log p(y | X)` of each row, `(n,)`, in nats and in y's units.

        Of whole numbers, and of numbers with few distinct values in training, it is the logarithm of a probability.
        """
        frame = self._read(X)
        joint = self._joint(frame, self._target_values(y, len(frame)))
        found = self.table_.log_density(joint, self.target_, tolerance=self.tolerance)
        law = Prediction(self.table_, self.target_, self.sampling_steps)
        return np.asarray(found.value.numpy() + law.log_gain(self.table_.codec.encode(joint)))

    # -------------------------------------------------------------------------------------------------- helpers

    def _adopt(self, names: list[Name]) -> None:
        self.target_ = names[-1]
        super()._adopt(names[:-1])

    def _asked(self, X: Any) -> tuple[Tensor, Prediction]:
        frame = self._read(X)
        rows = self.table_.codec.encode(self._joint(frame, np.full(len(frame), np.nan)))
        return rows, Prediction(self.table_, self.target_, self.sampling_steps)

    def _target_values(self, y: Any, rows: int) -> Array:
        values = check_array(
            column_or_1d(y, warn=True), dtype=np.float64, ensure_2d=False, estimator=self, input_name="y"
        )
        if len(values) != rows:
            raise ValueError(f"X has {rows} rows and y has {len(values)}; they must be equally many.")
        return np.asarray(values)

    def _joint(self, frame: pd.DataFrame, values: Array) -> pd.DataFrame:
        joint = frame.assign(**{self.target_: values})
        return self._unseen_as_holes(joint, self.target_) if hasattr(self, "table_") else joint

    def _joint_schema(self, frame: pd.DataFrame, joint: pd.DataFrame) -> Schema:
        """Of the features and of y, each detected by itself: y is never a copy of a feature."""
        if isinstance(self.schema, Schema):
            return self.schema
        given = dict(self.schema or {})
        mine = {name: fields for name, fields in given.items() if name == self.target_}
        others = {name: fields for name, fields in given.items() if name != self.target_}
        target = detect(joint[[self.target_]], mine)
        return Schema((*detect(frame, others).columns, *target.columns), str(joint.columns.dtype), joint.columns.name)


def _free_name(wanted: Name, taken: list[Name]) -> str:
    """A name for y that no column of X has."""
    return free_name(wanted if isinstance(wanted, str) and wanted else "y", taken)
