"""The tables with their fixed splits: four from a folder, two that come with scikit-learn."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_wine

Floats = NDArray[np.float64]

FOLDER = ("power-plant", "concrete", "energy", "protein-tertiary-structure")
BUILT_IN = ("wine", "breast-cancer")
SPLITS = 5
"""How many random tenths of a built-in table are held out in turn."""
DISCRETE = 30
"""At most as many distinct values make a numeric column discrete."""
ATOM = 0.05
"""One value with a greater share of the rows, in a column of finer resolution, is an atom."""


@dataclass(frozen=True)
class Column:
    """What is known of a column: its kind, the distance of neighbouring values, and the values that stand out.

    Args:
        name: name in the table.
        kind: `continuous`, `discrete` or `atom`.
        resolution: the width of the cell of a value, in the column's units.
        values: all values of a discrete column, or the atom of a column with one, ascending.
        repeats: whether any value repeats, so that the column needs noise to have a density.
        decimals: the digits after the decimal point that the values use.
    """

    name: str
    kind: str
    resolution: float
    values: tuple[float, ...]
    repeats: bool
    decimals: int


@dataclass(frozen=True)
class Split:
    """A table with a part for fitting and one for scoring; constants, copies and duplicate rows are left out.

    Args:
        name: of the table.
        number: which of the table's splits.
        frame: (n, d) numbers; the last column is the usual target.
        columns: one for each column of `frame`.
        part: (n,) `train`, `val` or `test`.
        half: (n,) `a` or `b`.
    """

    name: str
    number: int
    frame: pd.DataFrame
    columns: tuple[Column, ...]
    part: NDArray[np.str_]
    half: NDArray[np.str_]

    @property
    def key(self) -> str:
        return f"{self.name}-{self.number}"

    def rows(self, *parts: str) -> pd.DataFrame:
        """The rows of these parts, counted anew."""
        return self.frame[np.isin(self.part, parts)].reset_index(drop=True)

    def halves(self) -> tuple[pd.DataFrame, pd.DataFrame]:
        return tuple(self.frame[self.half == h].reset_index(drop=True) for h in "ab")  # type: ignore[return-value]

    @property
    def center(self) -> Floats:
        """(d,) means of the part for training."""
        return self.rows("train").to_numpy(float).mean(0)

    @property
    def scale(self) -> Floats:
        """(d,) standard deviations of the part for training."""
        return self.rows("train").to_numpy(float).std(0)

    @property
    def widths(self) -> Floats:
        """(d,) the width of the noise: the resolution where values repeat, else 0."""
        return np.array([c.resolution if c.repeats else 0.0 for c in self.columns])

    def noised(self, part: str, seed: int = 0) -> Floats:
        """The rows of a part in their own units, uniform noise within the cell of each value: (n, d)."""
        values = self.rows(part).to_numpy(float)
        names = ("train", "val", "test")
        rng = np.random.default_rng([seed, names.index(part), self.number])
        return values + self.widths * (rng.random(values.shape) - 0.5)

    def standardised(self, values: Floats) -> Floats:
        return (values - self.center) / self.scale

    def snapped(self, values: Floats) -> pd.DataFrame:
        """Rows in the table's format: discrete columns to their nearest value, others to the decimals they have."""
        made = np.array(values, dtype=float)
        for j, column in enumerate(self.columns):
            if column.kind == "discrete":
                made[:, j] = nearest(made[:, j], column.values)
            elif column.repeats:
                made[:, j] = np.round(made[:, j], column.decimals)
            for atom in column.values if column.kind == "atom" else ():
                made[:, j][np.abs(made[:, j] - atom) <= column.resolution / 2] = atom
        return pd.DataFrame(made, columns=self.frame.columns)


def nearest(values: Floats, allowed: tuple[float, ...]) -> Floats:
    grid = np.array(allowed)
    return grid[np.abs(values[:, None] - grid).argmin(1)]


def digits(values: Floats) -> int:
    """Digits after the decimal point that hold 99 % of the values."""
    used = [max(0, -int(Decimal(repr(float(v))).normalize().as_tuple().exponent)) for v in values]
    return int(np.quantile(used, 0.99, method="higher"))


def described(name: str, values: Floats) -> Column:
    """A column by its values: the resolution is the median gap of distinct values where values repeat."""
    distinct, counts = np.unique(values, return_counts=True)
    places = digits(distinct)
    repeats = len(distinct) < len(values)
    resolution = float(np.median(np.diff(distinct))) if repeats else 10.0**-places
    top = counts.argmax()
    if len(distinct) <= DISCRETE:
        return Column(name, "discrete", resolution, tuple(distinct.tolist()), repeats, places)
    if counts[top] > ATOM * len(values):
        return Column(name, "atom", resolution, (float(distinct[top]),), repeats, places)
    return Column(name, "continuous", resolution, (), repeats, places)


def recorded(name: str, values: Floats, entry: dict[str, object]) -> Column:
    """A column as `columns.json` describes it."""
    distinct, counts = np.unique(values, return_counts=True)
    kind = str(entry["kind"])
    repeats = len(distinct) < len(values)
    held = {"discrete": tuple(distinct.tolist()), "atom": (float(distinct[counts.argmax()]),)}
    return Column(name, kind, float(str(entry["resolution"])), held.get(kind, ()), repeats, digits(distinct))


def from_folder(folder: Path, name: str) -> Split:
    """A table of the folder with its published split, duplicates left out."""
    frame = pd.read_csv(folder / f"{name}.csv").astype(float)
    split = pd.read_csv(folder / f"{name}.split.csv", dtype=str)
    entries = json.loads((folder / "columns.json").read_text(encoding="utf-8"))[name]
    kept = (split["dup"] == "0").to_numpy()
    frame = frame[[c for c in frame if entries[c]["kind"] not in ("constant", "copy")]][kept]
    columns = tuple(recorded(str(c), frame[c].to_numpy(), entries[c]) for c in frame)
    part, half = (split[c].to_numpy(dtype=str)[kept] for c in ("part", "half"))
    return Split(name, 0, frame.reset_index(drop=True), columns, part, half)


def built_in(name: str, number: int) -> Split:
    """One of scikit-learn's tables, without its labels: a tenth held out, a tenth of the rest for choices."""
    load = {"wine": load_wine, "breast-cancer": load_breast_cancer}[name]
    frame = load(as_frame=True).data.drop_duplicates().reset_index(drop=True).astype(float)
    columns = tuple(described(str(c), frame[c].to_numpy()) for c in frame)
    order = np.random.default_rng(number).permutation(len(frame))
    tests = round(len(frame) / 10)
    vals = round((len(frame) - tests) / 10)
    part = np.full(len(frame), "train", dtype="<U5")
    part[order[:tests]] = "test"
    part[order[tests : tests + vals]] = "val"
    half = np.full(len(frame), "a")
    half[np.random.default_rng([number, 1]).permutation(len(frame))[len(frame) // 2 :]] = "b"
    return Split(name, number, frame, columns, part, half)


def without(split: Split, kind: str) -> Split:
    """The table without its columns of a kind."""
    columns = tuple(c for c in split.columns if c.kind != kind)
    return replace(split, frame=split.frame[[c.name for c in columns]], columns=columns)


def found(folder: Path | None) -> tuple[str, ...]:
    """The tables of the folder that are there with their splits."""
    if folder is None or not (folder / "columns.json").is_file():
        return ()
    return tuple(n for n in FOLDER if all((folder / f"{n}{end}").is_file() for end in (".csv", ".split.csv")))


def splits(name: str, folder: Path | None, most: int = SPLITS) -> Iterator[Split]:
    """The splits of a table: one published, or several of our own for the small built-in ones.

    `concrete-6` is concrete without its three columns with an atom.
    """
    if name in BUILT_IN:
        yield from (built_in(name, number) for number in range(min(most, SPLITS)))
    elif name == "concrete-6":
        assert folder is not None
        yield replace(without(from_folder(folder, "concrete"), "atom"), name=name)
    else:
        assert folder is not None
        yield from_folder(folder, name)
