"""Imputation: a fifth of the cells of the test rows are taken away and drawn again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer
from sklearn.linear_model import BayesianRidge

from tables import metrics, peers_forest
from tables.problems import Split

Floats = NDArray[np.float64]

SHARE = 0.2
DRAWS = 20
ROWS = 1000
"""Test rows at most."""
Impute = Callable[[Split, Floats, float, int], tuple[Floats, str]]
"""From rows with holes, in the table's units, to draws (draws, n, d) and what was chosen."""


@dataclass(frozen=True)
class Imputed:
    """Scores of the cells that were taken away: (m,) each, with each cell's column."""

    crps: Floats
    covered: NDArray[np.bool_]
    column: NDArray[np.int_]


def holes(split: Split) -> tuple[Floats, NDArray[np.bool_]]:
    """The test rows, and which of their cells are taken away; every row keeps one."""
    values = split.rows("test").to_numpy(float)
    rng = np.random.default_rng([split.number, 20])
    values = values[rng.permutation(len(values))[:ROWS]]
    away = rng.random(values.shape) < SHARE
    full = away.all(1)
    away[full, rng.integers(0, values.shape[1], full.sum())] = False
    return values, away


def iterative(split: Split, values: Floats, seconds: float, seed: int) -> tuple[Floats, str]:
    """scikit-learn's chained equations with Bayesian ridge regression, drawn from its posterior."""
    train = split.rows("train", "val").to_numpy(float)
    center, scale = train.mean(0), train.std(0)
    model = IterativeImputer(BayesianRidge(), sample_posterior=True, max_iter=10, random_state=seed)
    rng = np.random.default_rng([seed, 5])
    # It learns the equations of those columns alone that have holes, so the training rows get some.
    holed = np.where(rng.random(train.shape) < SHARE, np.nan, (train - center) / scale)
    model.fit(holed)
    rows = (values - center) / scale
    draws = np.stack([model.transform(rows) for _ in range(DRAWS)]) * scale + center
    return np.stack([split.snapped(one).to_numpy(float) for one in draws]), "10 rounds"


def forest(split: Split, values: Floats, seconds: float, seed: int) -> tuple[Floats, str]:
    model = peers_forest.fit(split.columns, split.rows("train", "val").to_numpy(float), "vp", seconds, seed)
    draws = model.impute(values, DRAWS, seed)
    return np.stack([split.snapped(one).to_numpy(float) for one in draws]), model.note


METHODS: Mapping[str, Impute] = {"IterativeImputer": iterative, "ForestDiffusion": forest}


def scored(split: Split, draws: Floats, values: Floats, away: NDArray[np.bool_]) -> Imputed:
    """CRPS in training standard deviations, and whether the middle 90 % of ranks hold the truth."""
    away = away & (split.scale > 0)
    scale = np.broadcast_to(split.scale, values.shape)[away]
    made, truth = draws[:, away] / scale, values[away] / scale
    # Equal numbers may differ in their last digits after scaling and back; then they would not count as ties.
    made, truth = made.round(9), truth.round(9)
    column = np.broadcast_to(np.arange(values.shape[1]), values.shape)[away]
    return Imputed(metrics.crps_draws(made, truth), metrics.covered_draws(made, truth, split.number), column)
