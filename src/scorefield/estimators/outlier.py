"""Rows of low density, as a scikit-learn outlier detector."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import torch
from sklearn.base import OutlierMixin

from scorefield.data.dataset import Array
from scorefield.estimators._base import TableEstimator
from scorefield.tables.schema import Name

if TYPE_CHECKING:
    import pandas as pd

_MOST_ROWS = 5000  # whose densities set the threshold
_DRAWN, _AUTO = 1000, 0.01  # rows of the model's own, and the share of them below the threshold "auto"


@dataclass(kw_only=True, eq=False, repr=False)
class ScoreOutlier(OutlierMixin, TableEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """Tells rows of low density in a table of numbers, categories, times and holes.

    Args:
        contamination: the share of the training rows that count as outliers, in (0, 0.5] (of more than 5,000 rows, a
            random 5,000 set the threshold); "auto": a row is one when it is less probable than 99 % of the rows that
            the model itself draws.
        seconds: this and the following as `TableEstimator`.

    Attributes:
        offset_: the log-density below which a row is an outlier.
        table_: the `TrainedTable`.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> outlier = ScoreOutlier(steps=5, seconds=None, random_state=0).fit(X)
        >>> outlier.predict([[0.0, 0.0], [9.0, 9.0]])
        array([ 1, -1])
    """

    contamination: float | Literal["auto"] = 0.1

    def fit(self, X: Any, y: object = None) -> Self:
        """Fit the model to X `(n, d)` and set the threshold; y is not looked at."""
        share = self.contamination
        if share != "auto" and not (isinstance(share, (int, float)) and 0 < share <= 0.5):
            raise ValueError(f"contamination must be 'auto' or a number in (0, 0.5], got {share!r}.")
        frame = self._read(X, reset=True)
        self._train(frame, self._schema_of(frame))
        seen = frame if len(frame) <= _MOST_ROWS else frame.sample(_MOST_ROWS, random_state=0)
        levels = self._log_density(seen)
        self.table_ = replace(self.table_, training_log_densities=torch.from_numpy(np.sort(levels)))
        if share == "auto":
            levels = self._log_density(self.table_.sample(_DRAWN, steps=self.sampling_steps))
            share = _AUTO
        self.offset_ = float(np.quantile(levels, share))
        return self

    def _adopt(self, names: list[Name]) -> None:
        super()._adopt(names)
        levels = self.table_.training_log_densities
        if levels is None or not isinstance(self.contamination, float):
            raise ValueError(
                "ScoreOutlier.from_table takes its threshold from the densities of training rows: give a table that "
                "has them (scorefield fit, ScoreDensity) and a contamination in (0, 0.5]."
            )
        self.offset_ = float(levels.quantile(self.contamination))

    def score_samples(self, X: Any) -> Array:
        """`log p(row)` of each row `(n,)`, in nats: the lower, the less usual.

        Minus infinity with a value that the model has no place for: an unseen category, a number beyond a bound.
        """
        return self._log_density(self._read(X))

    def decision_function(self, X: Any) -> Array:
        """`score_samples(X) - offset_`, negative for outliers, `(n,)`."""
        return self.score_samples(X) - self.offset_

    def predict(self, X: Any) -> Array:
        """-1 for outliers, 1 for the others, `(n,)`."""
        return np.where(self.decision_function(X) < 0, -1, 1)

    def _log_density(self, frame: pd.DataFrame) -> Array:
        found = self.table_.log_density(frame, tolerance=self.tolerance, unseen="impossible")
        return np.asarray(found.value.numpy())
