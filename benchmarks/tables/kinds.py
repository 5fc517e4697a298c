"""Seeded tables of thirteen kinds with a known law: what tables have that Gaussian clouds have not."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

Maker = Callable[[np.random.Generator], pd.DataFrame]

ROWS = 1600


def friedman(r: np.random.Generator) -> pd.DataFrame:
    """Ten independent uniform columns; a noisy nonlinear function of five of them (Friedman 1991)."""
    x = r.random((ROWS, 10))
    y = 10 * np.sin(np.pi * x[:, 0] * x[:, 1]) + 20 * (x[:, 2] - 0.5) ** 2 + 10 * x[:, 3] + 5 * x[:, 4]
    frame = pd.DataFrame(x, columns=[f"x{j}" for j in range(10)])
    return frame.assign(y=y + r.standard_normal(ROWS))


def assay(r: np.random.Generator) -> pd.DataFrame:
    """Eleven skewed, dependent measurements of few digits, an integer score that follows some, repeated rows."""
    factors = r.standard_normal((ROWS, 3))
    loads = r.normal(0, 0.6, (3, 11))
    z = factors @ loads + r.standard_normal((ROWS, 11)) * 0.7
    sigma = np.array([0.2, 0.35, 0.8, 0.45, 0.35, 0.65, 0.7, 0.002, 0.05, 0.25, 0.1])
    middle = np.array([8.0, 0.5, 0.25, 2.2, 0.08, 14, 38, 0.997, 3.3, 0.62, 10.2])
    digits = (1, 2, 2, 1, 3, 0, 0, 4, 2, 2, 1)
    columns = {f"m{j}": np.round(middle[j] * np.exp(sigma[j] * z[:, j]), digits[j]) for j in range(11)}
    quality = 0.6 * z[:, 10] - 0.5 * z[:, 1] + 0.4 * z[:, 9] + 0.7 * r.standard_normal(ROWS)
    frame = pd.DataFrame(columns).assign(score=np.clip(np.rint(5.6 + 0.7 * quality), 3, 8))
    source = np.where(r.random(ROWS) < 0.15, r.integers(0, ROWS, ROWS), np.arange(ROWS))
    return frame.iloc[source].reset_index(drop=True)


def design(r: np.random.Generator) -> pd.DataFrame:
    """22 combinations of five design numbers crossed with 14 levels of a speed; a skewed answer."""
    shapes = np.column_stack([r.choice(v, 22) for v in DESIGN])
    speed = np.round(np.linspace(0.125, 0.45, 14), 3)
    rows = np.column_stack([np.repeat(shapes, 14, 0), np.tile(speed, 22)])
    effect = (rows[:, :5] - rows[:, :5].mean(0)) / rows[:, :5].std(0)
    log = 14.5 * rows[:, 5] - 2.2 + 0.12 * effect[:, 1] - 0.08 * effect[:, 2] + 0.05 * r.standard_normal(len(rows))
    return pd.DataFrame(rows, columns=["a", "b", "c", "d", "e", "speed"]).assign(answer=np.round(np.exp(log), 2))


DESIGN = (
    [-5.0, -2.3, 0.0],
    [0.53, 0.546, 0.565, 0.6],
    [4.34, 4.77, 5.1, 5.14],
    [2.81, 3.51, 3.75, 3.99, 4.24],
    [2.73, 3.15, 3.32, 3.51],
)


def heaps(r: np.random.Generator) -> pd.DataFrame:
    """Reported numbers: some exact, many rounded to fives and tens."""
    hours = r.gamma(4, 10, ROWS)
    income = np.exp(7.5 + 0.012 * hours + 0.4 * r.standard_normal(ROWS))
    unit = r.choice([1, 5, 10], ROWS, p=[0.4, 0.3, 0.3])
    coarse = r.choice([1, 50, 100, 500], ROWS, p=[0.2, 0.2, 0.4, 0.2])
    age = np.rint(18 + 50 * r.beta(1.5, 2, ROWS))
    return pd.DataFrame(
        {"hours": np.rint(hours / unit) * unit, "income": np.rint(income / coarse) * coarse, "age": age}
    )


def sums(r: np.random.Generator) -> pd.DataFrame:
    """Parts, their exact sum, their exact mean and a ratio of two."""
    parts = np.round(np.exp(r.normal([3, 2.5, 2], [0.5, 0.6, 0.8], (ROWS, 3)) + 0.3 * r.standard_normal((ROWS, 1))), 1)
    frame = pd.DataFrame(parts, columns=["a", "b", "c"])
    frame["total"] = np.round(parts.sum(1), 1)
    frame["ratio"] = parts[:, 0] / (parts[:, 1] + 1)
    frame["cost"] = np.round(3.5 * frame["total"] + r.normal(0, 8, ROWS), 2)
    return frame


def seasons(r: np.random.Generator) -> pd.DataFrame:
    """Days of a year, sales that follow season and weekday, a temperature."""
    day = r.integers(0, 365, ROWS)
    warm = 10 - 9 * np.cos(2 * np.pi * (day - 20) / 365) + 3 * r.standard_normal(ROWS)
    weekday = day % 7
    sales = r.poisson(np.exp(3 + 0.03 * warm + 0.5 * (weekday >= 5)))
    return pd.DataFrame({"day": day, "weekday": weekday, "temperature": np.round(warm, 1), "sales": sales})


def zeros(r: np.random.Generator) -> pd.DataFrame:
    """Counts and amounts that are zero for most, given two risk factors."""
    risk, age = r.standard_normal(ROWS), r.uniform(18, 80, ROWS)
    claims = np.where(r.random(ROWS) < 1 / (1 + np.exp(1.2 - risk)), r.poisson(np.exp(0.3 * risk) + 0.2), 0)
    amount = np.where(claims > 0, claims * np.exp(6 + 0.8 * r.standard_normal(ROWS) + 0.01 * age), 0.0)
    return pd.DataFrame({"risk": risk, "age": np.floor(age), "claims": claims, "amount": np.round(amount, 2)})


def tails(r: np.random.Generator) -> pd.DataFrame:
    """Returns with dependent volatility and Student tails; sizes of Pareto's law."""
    vol = np.exp(0.5 * r.standard_normal(ROWS))
    market = vol * r.standard_t(3, ROWS)
    one, two = (b * market + vol * r.standard_t(3, ROWS) for b in (0.8, 1.3))
    return pd.DataFrame({"market": market, "one": one, "two": two, "size": 1 + r.pareto(1.5, ROWS)})


def simpson(r: np.random.Generator) -> pd.DataFrame:
    """Groups within which the slope is the opposite of that between them."""
    group = r.integers(0, 5, ROWS)
    x = 2.0 * group + r.normal(0, 0.7, ROWS)
    y = 3.0 * group - 1.2 * (x - 2.0 * group) + r.normal(0, 0.4, ROWS)
    return pd.DataFrame({"group": group, "x": x, "y": y})


def rare(r: np.random.Generator) -> pd.DataFrame:
    """Two classes of one and three per cent, which lie apart."""
    kind = r.choice(3, ROWS, p=[0.96, 0.03, 0.01])
    centre = np.array([[0.0, 0, 0, 0], [3, -2, 0, 1], [-3, 3, 4, 0]])
    x = centre[kind] + r.standard_normal((ROWS, 4)) @ np.array(
        [[1, 0.5, 0, 0], [0, 1, 0.3, 0], [0, 0, 1, 0.8], [0, 0, 0, 0.5]]
    )
    return pd.DataFrame(x, columns=list("pqrs")).assign(kind=kind)


def ids(r: np.random.Generator) -> pd.DataFrame:
    """200 product codes of Zipf's frequencies, each with a price of its own; an amount."""
    weight = 1 / np.arange(1, 201)
    code = r.choice(200, ROWS, p=weight / weight.sum())
    price = np.round(np.exp(np.random.default_rng(5).normal(3, 0.8, 200)), 2)[code]
    amount = r.geometric(0.3, ROWS)
    return pd.DataFrame({"code": code, "amount": amount, "paid": np.round(price * amount * r.uniform(0.9, 1, ROWS), 2)})


def twins(r: np.random.Generator) -> pd.DataFrame:
    """400 things measured four times each with little noise."""
    base = r.gamma(3, 1, (400, 4)) @ np.array([[1, 0.4, 0, 0], [0, 1, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    x = np.repeat(base, 4, 0) + 0.02 * r.standard_normal((ROWS, 4))
    return pd.DataFrame(x, columns=list("abcd"))


def fans(r: np.random.Generator) -> pd.DataFrame:
    """A spread that grows with one column and a shape that changes with another."""
    x, z = r.uniform(0, 4, ROWS), r.random(ROWS)
    y = np.sin(2 * x) + (0.05 + 0.3 * x) * r.standard_normal(ROWS)
    w = np.where(r.random(ROWS) < z, 2 + 0.3 * r.standard_normal(ROWS), -1 + 0.6 * r.standard_normal(ROWS))
    return pd.DataFrame({"x": x, "z": z, "y": y, "w": w})


KINDS: Mapping[str, Maker] = {
    "uniform and noisy": friedman,
    "rounded and repeated": assay,
    "factorial design": design,
    "heaps": heaps,
    "sums and ratios": sums,
    "seasons": seasons,
    "zero-inflated": zeros,
    "heavy tails": tails,
    "Simpson": simpson,
    "rare classes": rare,
    "long ids": ids,
    "near-duplicates": twins,
    "heteroscedastic": fans,
}
TEXTS = {"long ids": ("code",), "rare classes": ("kind",), "Simpson": ("group",)}
"""Columns that are codes of texts."""


def made(name: str) -> pd.DataFrame:
    """The table of a kind."""
    return KINDS[name](np.random.default_rng([13, list(KINDS).index(name)])).astype(float)
