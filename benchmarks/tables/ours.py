"""scorefield's estimators in the terms of each part. What they are queried stands here and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from tables import metrics, peers_impute, peers_predict
from tables.conversion import Law, expanded, noised_log_density
from tables.peers_predict import Predicted
from tables.problems import Split

Floats = NDArray[np.float64]

NAME = "scorefield"
SAMPLES = 199


def available() -> str | None:
    """Why the estimators cannot be measured, or None."""
    try:
        from scorefield import estimators
    except ImportError as why:
        return f"scorefield.estimators cannot be imported: {why}"
    missing = [n for n in ("ScoreDensity", "ScoreImputer", "ScoreRegressor") if not hasattr(estimators, n)]
    return f"scorefield.estimator lacks {', '.join(missing)}" if missing else None


def schema(model: Any) -> Any:
    """The columns as the fitted estimator sees them (a `scorefield.data.schema.Schema`).

    Raises:
        AttributeError: it does not say; without that its density cannot be compared.
    """
    for path in ("schema_", "table_.codec.schema"):
        found = model
        for name in path.split("."):
            found = getattr(found, name, None)
        if found is not None:
            return found
    raise AttributeError(f"{type(model).__name__} has no schema_: how its density counts the columns is unknown")


def law(column: Any) -> Law:
    """How a density counts a column of the schema."""
    if column.kind in ("ordinal", "categorical", "boolean", "constant"):
        return Law("counting", tuple(float(v) for v in column.values))
    if column.kind == "integer":
        return Law("counting", (), column.lattice.width, column.lattice.offset / 10**column.lattice.digits)
    if column.kind == "continuous":
        low, high = column.transform.bounds
        measure = "mixed" if column.atoms else "lebesgue"
        return Law(measure, tuple(column.atoms), low=low, high=high, width=column.resolution)
    raise ValueError(f"column {column.name!r} is seen as {column.kind}; the benchmark has left such columns out")


def laws(model: Any, split: Split) -> tuple[Law, ...]:
    """How the fitted model counts each column of the table."""
    held = schema(model)
    return tuple(law(held[c.name]) for c in split.columns)


_fitted: dict[tuple[str, str, float], Any] = {}
"""One model of a table's training part, and one of its half a, answers everything that is queried of that part."""
store: Path | None = None
"""A folder of models from which, with --keep, those that were fitted before are taken."""


def fitted(split: Split, part: str, seconds: float, seed: int) -> Any:
    """A `ScoreDensity` of the rows of train and val, or of half a; fitted once for all parts of the benchmark."""
    from scorefield.estimators import ScoreDensity

    key = (split.key, part, seconds)
    kept = None if store is None else store / f"{split.key}-{part}-{seconds:g}s"
    if key not in _fitted and kept is not None and (kept / "estimator.json").exists():
        _fitted[key] = ScoreDensity.load(kept)
    if key not in _fitted:
        rows = split.rows("train", "val") if part == "train" else split.halves()[0]
        _fitted[key] = ScoreDensity(seconds=seconds, random_state=seed).fit(rows)
        if kept is not None:
            _fitted[key].save(kept)
    return _fitted[key]


def log_density(split: Split, seconds: float, seed: int) -> tuple[Floats, str]:
    """Of the noised test rows in standard units: (n,)."""
    model = fitted(split, "train", seconds, seed)
    names = split.frame.columns

    def native(rows: Floats) -> Floats:
        frame = pd.DataFrame(rows, columns=names)
        return np.asarray(model.table_.log_density(frame, tolerance=3e-3, unseen="impossible").value, dtype=float)

    found = laws(model, split)
    counted = [f"{c.name}: {law.measure}" for c, law in zip(split.columns, found, strict=True)]
    values = noised_log_density(native, split.noised("test"), split.columns, found, split.scale)
    return values, "; ".join(c for c in counted if not c.endswith("lebesgue")) or "all per unit of length"


def generator(split: Split, seconds: float, seed: int) -> tuple[Any, str]:
    model = fitted(split, "half", seconds, seed)

    def sample(n: int, draw: int) -> Floats:
        return np.asarray(model.sample(n, random_state=draw), dtype=float)

    return sample, "defaults"


def impute(split: Split, values: Floats, seconds: float, seed: int) -> tuple[Floats, str]:
    from scorefield.estimators import ScoreImputer

    table = fitted(split, "train", seconds, seed).table_
    model = ScoreImputer.from_table(table, draws=peers_impute.DRAWS, random_state=seed)
    draws = model.sample(pd.DataFrame(values, columns=split.frame.columns))
    return np.stack([np.asarray(one, dtype=float) for one in draws]), "defaults"


def intervals(found: Any, n: int) -> tuple[Floats, Floats]:
    """Lower and upper ends, from a pair, (2, n) or (n, 2)."""
    ends = np.asarray(found, dtype=float)
    low, high = ends if ends.shape == (2, n) else ends.reshape(n, 2).T
    return low, high


def draws_first(found: Any, n: int) -> Floats:
    """Draws as (draws, n), from (n, draws) or (draws, n)."""
    draws = np.asarray(found, dtype=float).squeeze()
    return draws.T if draws.shape == (n, SAMPLES) else draws


def predict(split: Split, seconds: float, seed: int) -> Predicted:
    """p(target | features) of the last column."""
    from scorefield.estimators import ScoreRegressor

    test = split.rows("test")
    target = str(test.columns[-1])
    model = ScoreRegressor.from_table(fitted(split, "train", seconds, seed).table_, random_state=seed)
    pick = peers_predict.test_rows(split)
    features = test.drop(columns=target).iloc[pick].reset_index(drop=True)
    noised, plain = split.noised("test")[pick, -1:], test[target].to_numpy(float)[pick]
    owners: list[int] = []

    def native(rows: Floats) -> Floats:
        return np.asarray(model.log_density(features.iloc[owners], pd.Series(rows[:, 0], name=target)), dtype=float)

    column, counted, scale = split.columns[-1:], (law(schema(model)[target]),), split.scale[-1:]
    owners[:] = expanded(noised, column, counted)[1].tolist()
    values = noised_log_density(native, noised, column, counted, scale)
    truth = plain / scale[0]
    draws = draws_first(model.sample_y(features, SAMPLES), len(features)) / scale[0]
    low, high = intervals(model.predict_interval(features, 0.9), len(features))
    return Predicted(values, metrics.crps_draws(draws, truth), (low <= plain) & (plain <= high))
