"""ForestDiffusion in the benchmark's terms: rows in, rows out, in the time it is given."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from ForestDiffusion import ForestDiffusionModel
from numpy.typing import NDArray

from tables.problems import Column

Floats = NDArray[np.float64]

LEVELS = 50
"""Its default number of noise levels; fewer where they would not fit into the time."""
NOISY_ROWS = 20_000
"""Rows times copies per noise level at most (it copies each row 100 times by default)."""
ROWS = 10_000


def coded(columns: tuple[Column, ...], values: Floats) -> Floats:
    """Discrete columns by the rank of their value: it rounds integers, not grids. Missing stays missing."""
    made = np.array(values, dtype=float)
    for j, column in enumerate(columns):
        if column.kind == "discrete":
            there = np.isfinite(made[:, j])
            grid = np.array(column.values)
            made[there, j] = np.abs(made[there, j][:, None] - grid).argmin(1)
    return made


def decoded(columns: tuple[Column, ...], values: Floats) -> Floats:
    made = np.array(values, dtype=float)
    for j, column in enumerate(columns):
        if column.kind == "discrete":
            made[:, j] = np.array(column.values)[np.clip(made[:, j].round(), 0, len(column.values) - 1).astype(int)]
    return made


@dataclass(frozen=True)
class Forest:
    """A fitted model with the columns it was fitted to."""

    model: ForestDiffusionModel
    columns: tuple[Column, ...]
    note: str

    def sample(self, n: int, seed: int) -> Floats:
        np.random.seed(seed)  # noqa: NPY002 - it draws from the global state
        return decoded(self.columns, self.model.generate(batch_size=n))

    def impute(self, values: Floats, draws: int, seed: int) -> Floats:
        """(n, d) with holes to (draws, n, d). It wants the rows scaled, as its own training rows are by default."""
        np.random.seed(seed)  # noqa: NPY002
        scaled = self.model.scaler.transform(coded(self.columns, values))
        made = self.model.impute(k=draws, X=scaled)
        return np.stack([decoded(self.columns, one) for one in made])


def fit(columns: tuple[Column, ...], values: Floats, kind: str, seconds: float, seed: int) -> Forest:
    """As by default but for the copies of each row and, where the time is short, the number of noise levels.

    Args:
        columns: one for each column.
        values: (n, d) rows.
        kind: `flow` to generate, `vp` to impute.
        seconds: for training; two noise levels are fitted first to see how many fit into the time.
        seed: of its random numbers.
    """
    rows = np.random.default_rng(seed).permutation(coded(columns, values))[:ROWS]
    copies = int(np.clip(NOISY_ROWS // len(rows), 1, 100))
    whole = [j for j, c in enumerate(columns) if c.kind == "discrete"]
    options = {"duplicate_K": copies, "diffusion_type": kind, "int_indexes": whole, "n_jobs": 1, "seed": seed}
    started = time.monotonic()
    ForestDiffusionModel(rows, n_t=2, **options)
    each = (time.monotonic() - started) / 2
    levels = int(np.clip(seconds / each, 5, LEVELS))
    model = ForestDiffusionModel(rows, n_t=levels, **options)
    return Forest(model, columns, f"{levels} noise levels, {copies} copies of {len(rows)} rows")
