"""The density of a table's rows, as a scikit-learn estimator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from sklearn.base import DensityMixin
from sklearn.utils.validation import check_is_fitted

from scorefield.data.dataset import Array
from scorefield.estimators._base import TableEstimator
from scorefield.tables.given import Given

if TYPE_CHECKING:
    import pandas as pd


@dataclass(kw_only=True, eq=False, repr=False)
class ScoreDensity(DensityMixin, TableEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """New rows and log-densities of a table of numbers, categories, times and holes.

    Parameters are those of all estimators, see `TableEstimator`. A row with holes has the marginal density of what is
    there. Tables of fewer than 20 rows give one Gaussian, with a warning.

    Attributes:
        table_: the `TrainedTable`.

    Example:
        >>> X = np.random.default_rng(0).normal(size=(200, 2))
        >>> density = ScoreDensity(steps=5, seconds=None, random_state=0).fit(X)
        >>> density.sample(3).shape, density.score_samples(X[:4]).shape
        ((3, 2), (4,))
    """

    unseen: str = "error"

    def fit(self, X: Any, y: object = None) -> Self:
        """Fit the model to X `(n, d)`, an array of numbers or a data frame; y is not looked at."""
        frame = self._read(X, reset=True)
        self._train(frame, self._schema_of(frame), levels=True)
        return self

    def sample(
        self,
        n_samples: int = 1,
        random_state: int | np.random.RandomState | None = None,
        *,
        given: Given | None = None,
    ) -> pd.DataFrame | Array:
        """New rows `(n_samples, d)` without holes: an array when `fit` was given one, else a data frame.

        Args:
            n_samples: how many, >= 1.
            random_state: None: the estimator's own.
            given: what must hold, as `TrainedTable.sample` takes it; columns of arrays by their place.
        """
        check_is_fitted(self, "table_")
        if n_samples < 1:
            raise ValueError(f"n_samples must be at least 1, got {n_samples}.")
        names = self.table_.codec.schema.names
        wanted = {names[n] if isinstance(n, int) and n not in names else n: what for n, what in (given or {}).items()}
        seed = self._seed(random_state)
        return self._written(self.table_.sample(int(n_samples), steps=self.sampling_steps, seed=seed, given=wanted))

    def score_samples(self, X: Any) -> Array:
        """`log p(row)` of each row `(n,)`, in nats and in the units of X.

        Relative to Lebesgue measure for continuous columns and times, and to counting measure for categories, whole
        numbers, numbers of few distinct values and atoms; constants and copies are left out.
        """
        frame = self._unseen_as_holes(self._read(X))
        return np.asarray(self.table_.log_density(frame, tolerance=self.tolerance).value.numpy())

    def score(self, X: Any, y: object = None) -> float:
        """The mean of `score_samples(X)`, in nats per row, as GaussianMixture has it (KernelDensity has the sum)."""
        return float(self.score_samples(X).mean())
