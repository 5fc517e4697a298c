"""Seeded tables whose answers are timed: 2,000 rows of 8 mixed columns with holes, and 50,000 rows of 30."""

from __future__ import annotations

import numpy as np
import pandas as pd

HOLES = 0.05


def small(rows: int = 2_000, seed: int = 0) -> pd.DataFrame:
    """People: 4 continuous columns, 2 of whole numbers, 2 categories, 5 % of the cells empty."""
    rng = np.random.default_rng(seed)
    age = rng.integers(18, 80, rows)
    region = rng.choice(["North", "South", "East", "West"], rows, p=[0.4, 0.3, 0.2, 0.1])
    height = rng.normal(172, 9, rows)
    weight = 22 * (height / 100) ** 2 * np.exp(0.15 * rng.normal(size=rows) + 0.002 * (age - 45))
    smoker = rng.random(rows) < 0.15 + 0.15 * (region == "West")
    income = np.exp(10 + 0.02 * (age - 18) - 0.0002 * (age - 45) ** 2 + 0.4 * rng.normal(size=rows))
    visits = rng.poisson(np.exp(0.02 * (age - 45) + 0.5 * smoker))
    pressure = 100 + 0.4 * age + 0.3 * (weight - 70) + 6 * smoker + 8 * rng.normal(size=rows)
    table = pd.DataFrame(
        {
            "age": age,
            "region": region,
            "height": height.round(1),
            "weight": weight.round(1),
            "smoker": np.where(smoker, "yes", "no"),
            "income": income.round(2),
            "visits": visits,
            "pressure": pressure,
        }
    )
    return holed(table, rng)


def large(rows: int = 50_000, seed: int = 0) -> pd.DataFrame:
    """Twenty continuous columns of six curved factors, five of whole numbers and five categories of them; 2 % empty."""
    rng = np.random.default_rng(seed)
    factors = rng.normal(size=(rows, 6))
    mixed = np.tanh(factors @ rng.normal(size=(6, 20)) * 0.7) + 0.5 * factors @ rng.normal(size=(6, 20))
    table = pd.DataFrame(mixed + 0.3 * rng.normal(size=(rows, 20)), columns=[f"x{j}" for j in range(20)])
    for j in range(5):
        table[f"count{j}"] = rng.poisson(np.exp(1 + 0.5 * factors[:, j]))
    for j in range(5):
        scores = factors @ rng.normal(size=(6, 3 + j)) + rng.gumbel(size=(rows, 3 + j))
        table[f"group{j}"] = np.array([f"g{k}" for k in range(3 + j)])[scores.argmax(1)]
    return holed(table, rng, 0.02)


def holed(table: pd.DataFrame, rng: np.random.Generator, share: float = HOLES) -> pd.DataFrame:
    """The table without some of its cells."""
    return table.mask(rng.random(table.shape) < share)
