"""Pictures of the answers about flats, from the files that the commands of `shown.py` wrote into this folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#999999"  # apart for every eye


def _axes(x: str, y: str) -> Any:
    axes = Figure(figsize=(6.4, 3.2), layout="constrained").add_subplot()
    axes.set(xlabel=x, ylabel=y)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def fit() -> Figure:
    """The loss of rows held out, as the training went on."""
    training = json.loads(Path("run/model.json").read_text(encoding="utf-8"))["info"]["training"]
    steps, losses = zip(*((one["step"], one["mean"]) for one in training["evaluations"]), strict=True)
    axes = _axes("step", "loss of rows held out")
    axes.plot(steps, losses, "o-", color=BLUE, ms=4)
    return axes.figure


def density() -> Figure:
    """How likely each flat is, by its size and its price."""
    rows, told = pd.read_csv("table.csv"), pd.read_csv("density.csv")
    axes = _axes("size in m²", "price, in thousands")
    shown = axes.scatter(rows["size"], rows["price"], c=told["percentile"], s=10, cmap="viridis")
    axes.set(yscale="log")
    axes.figure.colorbar(shown, label="percentile among training rows")
    return axes.figure


def outliers() -> Figure:
    """The least likely flats among all, each with the column that surprises most."""
    rows, found = pd.read_csv("table.csv"), pd.read_csv("outliers.csv")
    axes = _axes("size in m²", "price, in thousands")
    axes.scatter(rows["size"], rows["price"], s=6, color=GREY, alpha=0.6)
    axes.scatter(found["size"], found["price"], s=36, color=ORANGE)
    for one in found.itertuples():
        axes.annotate(f" row {one.row}: {one.column}", (one.size, one.price), color=ORANGE, va="bottom", ha="right")
    axes.set(yscale="log")
    return axes.figure


def impute() -> Figure:
    """What the sizes that are not known may have been, beside those that are known."""
    rows, draws = pd.read_csv("table.csv"), pd.read_csv("draws.csv")
    hidden = np.flatnonzero(rows["size"].isna())
    axes = _axes("price, in thousands", "size in m²")
    axes.scatter(rows["price"], rows["size"], s=6, color=GREY, alpha=0.6, label="known")
    for k, (_, one) in enumerate(draws.groupby("draw")):
        label = {"label": "20 draws each"} if not k else {}
        axes.scatter(rows["price"].iloc[hidden], one["size"].iloc[hidden], s=8, color=BLUE, alpha=0.35, lw=0, **label)
    axes.set(xlim=(0, 2100))
    axes.legend(frameon=False)
    return axes.figure


def predict() -> Figure:
    """90 % intervals of prices, with the prices."""
    told = pd.read_csv("prices.csv").sort_values("median").iloc[::6].reset_index(drop=True)
    axes = _axes("100 of the rows, by their predicted median", "price, in thousands")
    axes.vlines(told.index, told["low"], told["high"], color=BLUE, alpha=0.5, lw=3, label="90 % interval")
    within = told["actual"].between(told["low"], told["high"])
    axes.plot(told.index[within], told["actual"][within], "o", ms=3, color="#222222", label="price, within")
    axes.plot(told.index[~within], told["actual"][~within], "o", ms=4, color=ORANGE, label="price, beyond")
    axes.set(yscale="log")
    axes.legend(frameon=False)
    return axes.figure
