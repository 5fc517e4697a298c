"""Measures of a model of rows with codes and holes: distances, a classifier, calibration, the reference alone."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from scorefield.metrics import Accuracy, crps
from scorefield.numerics.random import uniform
from scorefield.tables.codec import RowCodec
from scorefield.tables.schema import Column

MOST_CLASSIFIED = 1000  # rows of each sample that the classifier sees


def features(codec: RowCodec, rows: Tensor) -> Tensor:
    """Encoded rows as points: numbers as they are, 0 where there is none; codes as corners at distance 1.

    Args:
        codec: of the rows.
        rows: `(n, C + D)`, NaN where nothing is there.

    Returns:
        `(n, C + sum of sizes)`.
    """
    parts = [rows[:, : codec.continuous].nan_to_num()]
    for j, size in enumerate(codec.sizes):
        code = rows[:, codec.continuous + j]
        corner = F.one_hot(code.nan_to_num().long(), size).to(rows) * 0.5**0.5
        parts.append(torch.where(code.isfinite()[:, None], corner, 0.0))
    return torch.cat(parts, 1)


def modelled(codec: RowCodec) -> list[Column]:
    """The columns that are in the model: all but constants and copies."""
    return [column for column in codec.schema if column.kind not in ("constant", "copy")]


def holes(codec: RowCodec, rows: Tensor) -> Tensor:
    """Which entries of encoded rows belong to columns that have no value there, `(n, C + D)`."""
    out = torch.zeros_like(rows, dtype=torch.bool)
    for column in modelled(codec):
        entries = list(codec.entries_of(column.name))
        out[:, entries] = rows[:, entries].isnan().all(1, keepdim=True)
    return out


def boosted(new: Tensor, real: Tensor, codec: RowCodec, seed: int) -> Accuracy:
    """Held-out accuracy of a classifier that tells new rows from real ones, five folds; 0.5 means that it cannot.

    The classifier is gradient boosting of trees (scikit-learn's).
    """
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    n = min(len(new), len(real), MOST_CLASSIFIED)
    rows = torch.cat([new[:n], real[:n]]).numpy()
    label = np.repeat([0, 1], n)
    judge = HistGradientBoostingClassifier(
        max_iter=60, early_stopping=False, min_samples_leaf=max(2, min(20, n // 10)), random_state=seed
    )
    said = cross_val_predict(judge, rows, label, cv=StratifiedKFold(5, shuffle=True, random_state=seed))
    right = int((said == label).sum())
    p = (right + 1) / (2 * n + 2)
    return Accuracy(right / (2 * n), math.sqrt(p * (1 - p) / (2 * n)))


class CellDraws(NamedTuple):
    """Draws of cells and their actual values.

    Args:
        actual: `(n,)` floats.
        drawn: `(draws, n)`.
    """

    actual: np.ndarray
    drawn: np.ndarray

    def ranks(self, seed: int, purpose: str) -> np.ndarray:
        """The place of the actual among its draws, in (0, 1), ties broken at random: uniform if the draws are right."""
        count = len(self.drawn)
        u = uniform(len(self.actual), (), seed, purpose, dtype=torch.float64).numpy()
        below, same = (self.drawn < self.actual).sum(0), (self.drawn == self.actual).sum(0)
        return np.asarray((below + u * (same + 1)) / (count + 1))

    def crps(self) -> np.ndarray:
        """The continuous ranked probability score of each cell, unbiased in the number of draws."""
        return np.asarray(crps(torch.from_numpy(self.drawn), torch.from_numpy(self.actual)).numpy())

    def take(self, rows: np.ndarray) -> CellDraws:
        """Some of the cells."""
        return CellDraws(self.actual[rows], self.drawn[:, rows])


def values_of(codec: RowCodec, column: Column, rows: Tensor) -> np.ndarray:
    """A column of encoded rows as floats: numbers, seconds, or places among the categories; NaN where missing."""
    import pandas as pd

    if column.coded and (column.holds != "numbers" or column.kind == "categorical"):
        return np.asarray(rows[:, codec.entries_of(column.name)[0]].numpy())
    series = codec.decode(rows)[column.name]
    if column.holds == "times":
        ticks = pd.to_datetime(series, utc=True)
        return np.asarray((ticks - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(seconds=1), dtype=np.float64)
    return series.to_numpy(dtype=np.float64, na_value=np.nan)


def is_number(column: Column) -> bool:
    """Whether intervals make sense for a column."""
    return column.holds in ("numbers", "times") and column.kind != "categorical"
