"""Pictures of what the commands answer, from the files that the commands of `shown.py` wrote into this folder."""

from __future__ import annotations

import json
import re
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


def schema() -> Figure:
    """The columns, each as what it is taken for."""
    kinds = [line.split(maxsplit=2)[:2] for line in _told("schema")[1:]]
    return _columns({name: f"{name}: {kind}" for name, kind in kinds}, {"table.csv": GREY})


def info() -> Figure:
    """The columns of the table, and of new rows."""
    names = pd.read_csv("table.csv").columns
    return _columns({name: name for name in names}, {"table.csv": GREY, "new.csv": BLUE})


def _columns(titles: dict[str, str], files: dict[str, str]) -> Figure:
    """Each column of tables by itself, its values counted."""
    figure = Figure(figsize=(9.6, 2.4), layout="constrained")
    tables = {file: pd.read_csv(file) for file in files}
    for axes, (name, title) in zip(figure.subplots(1, len(titles)), titles.items(), strict=True):
        axes.set_title(title, fontsize=9)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.set_yticks([])
        axes.tick_params(labelsize=8)
        first = next(iter(tables.values()))[name].dropna()
        numbers = pd.api.types.is_numeric_dtype(first) and first.nunique() > 12
        places: Any = sorted(first.unique())
        if numbers:  # as many whole numbers in each bar
            wide = max(1, round((first.quantile(0.995) - first.min()) / 24))
            places = np.arange(first.min() - 0.5, first.quantile(0.995) + wide, wide)
        for k, (file, table) in enumerate(tables.items()):
            label = "the table" if file == "table.csv" else "new rows"
            if numbers:
                kind = "stepfilled" if not k else "step"
                axes.hist(table[name], places, color=files[file], histtype=kind, alpha=0.6 if not k else 1, label=label)
            else:
                width = 0.8 / len(tables)
                counts = [int((table[name] == place).sum()) for place in places]
                across = np.arange(len(places)) + (k - (len(tables) - 1) / 2) * width
                axes.bar(across, counts, width, color=files[file], alpha=0.6 if not k else 1, label=label)
                axes.set_xticks(range(len(places)), [str(place) for place in places])
    if len(files) > 1:
        figure.axes[-1].legend(frameon=False, fontsize=8)
    return figure


def calibrate() -> Figure:
    """Points of one noise by five evaluations, before and after, beside a hundred."""
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    shown = {"before": "5 evaluations, as they come", "after": "5, calibrated", "many": "100 evaluations"}
    for axes, (name, title) in zip(figure.subplots(1, 3, sharex=True, sharey=True), shown.items(), strict=True):
        axes.plot(*np.load(f"{name}.npy").T, ".", ms=1.5, color=BLUE)
        axes.set(title=title, aspect="equal")
        axes.axis("off")
    return figure


def check() -> Figure:
    """What each law measured, as a share of its bound."""
    laws = [re.match(r"(.+?)\s{2,}(\S+) ([<>]=) (\S+)", line) for line in _told("check")]
    found = [(law[1], float(law[2]), law[3], float(law[4])) for law in laws if law]
    shares = [one / most if sign == "<=" else most / one for _, one, sign, most in found if most]
    names = [name for name, _, _, most in found if most]
    figure = Figure(figsize=(6.4, 6.4), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(names), 0, -1)
    axes.hlines(places, 1e-5, np.maximum(shares, 1e-5), color=GREY, lw=1)
    axes.plot(np.maximum(shares, 1e-5), places, "o", ms=4, color=BLUE)
    axes.axvline(1, color=ORANGE)
    axes.set(xscale="log", xlim=(1e-5, 3), xlabel="measured, as a share of the bound")
    axes.set_yticks(places, names, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    return figure


def autoencode() -> Figure:
    """Digits, and the same that went through the autoencoder."""
    import torch
    from sklearn.datasets import load_digits

    from scorefield.records.autoencoder import opened

    model, images = opened("ae"), load_digits().images[:10]
    codec = model.images  # its scale
    assert codec is not None
    with torch.no_grad():
        x = torch.from_numpy((images - codec.mean) / codec.std)[:, None].float()
        back = model.decode(model.encode(x)).numpy()[:, 0] * codec.std + codec.mean
    figure = Figure(figsize=(9.6, 2.0), layout="constrained")
    for row, pictures in zip(figure.subplots(2, 10), (images, back), strict=True):
        for axes, picture in zip(row, pictures, strict=True):
            axes.imshow(picture, cmap="gray", vmin=0, vmax=16)
            axes.axis("off")
    return figure


def serve() -> Figure:
    """How likely a flat of 70 m² is, by its price, in each town."""
    asked = json.loads(Path("asked.json").read_text(encoding="utf-8"))
    axes = _axes("price of 70 m² of 1980, in thousands", "density, of its maximum")
    for town, colour in (("Biel", ORANGE), ("Thun", GREY), ("Bern", BLUE)):
        values = np.exp(np.array(asked[town]) - max(asked[town]))
        axes.plot(asked["price"], values, color=colour, label=town)
    axes.legend(frameon=False)
    return axes.figure


def power() -> Figure:
    """How often tests by Stein's identity reject, from the tables of the measurement."""
    text = (Path(__file__).parents[2] / "benchmarks" / "stein.md").read_text(encoding="utf-8").partition("## Power")[2]
    tables = [part.splitlines() for part in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE)]
    figure = Figure(figsize=(9.6, 3.0), layout="constrained")
    for axes, (head, _, *rows) in zip(figure.subplots(1, len(tables), sharey=True), tables, strict=True):
        title, *amounts = (cell.strip() for cell in head.strip("| ").split("|"))
        for row, colour in zip(rows, (BLUE, GREY, ORANGE), strict=True):
            name, *rates = (cell.strip() for cell in row.strip("| ").split("|"))
            axes.plot([float(a) for a in amounts], [float(r) for r in rates], "o-", ms=3, color=colour, label=name)
        axes.axhline(5, color="#222222", lw=0.8, ls=":")
        axes.set_xlabel(title)
        axes.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("rejected at 5 %, in percent")
    figure.axes[0].legend(frameon=False, fontsize=8)
    return figure


def _told(name: str) -> list[str]:
    """The lines that a command printed, without that which calls it."""
    return Path(f"{name}.txt").read_text(encoding="utf-8").splitlines()[1:]
