"""Records to files, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from scorefield._files import writing
from scorefield.data.dataset import Array, DataError, check_names
from scorefield.data.pictures import grid

_TABLE = (".csv", ".parquet")
_SUFFIXES = (*_TABLE, ".npy", ".npz", ".png")


def write(
    path: str | Path,
    records: Array,
    columns: Sequence[str] | None = None,
    labels: Array | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> None:
    """Write records by the suffix of the path: .csv and .parquet (tables), .npy, .npz, .png (a grid of images).

    The file appears whole or not at all: it is written next to its place, then moved there. Missing folders are made.
    A .csv or .parquet gets labels as a last column `label`; a .npz has the arrays x, y (labels) and columns; a .png
    shows no labels.

    Args:
        path: where to.
        records: `(n, d)` for a table; `(n, h, w)` or `(n, h, w, c)` for images.
        columns: d names; default x0, x1, ...
        labels: `(n,)` whole numbers.
        low: the value drawn black in a .png, see `grid`.
        high: the value drawn white.

    Raises:
        DataError: for another suffix, a suffix that does not fit the records, columns or labels that do not fit them.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write(f"{folder}/points.csv", np.array([[1.0, 0.5]]), columns=("a", "b"))
        ...     print(Path(f"{folder}/points.csv").read_text())
        a,b
        1,0.5
    """
    path, records = Path(path), np.asarray(records)
    suffix = check_suffix(path)
    labels = _checked(path, suffix, records, labels)
    names = None if columns is None else tuple(columns)
    if records.ndim == 2:
        names = _names(path, records, names, labels if suffix in _TABLE else None)
    elif names is not None:
        raise DataError(f"{path}: images of shape {records.shape[1:]} have no column names; leave columns out.")
    if suffix == ".csv":
        _atomically(path, lambda to: _write_csv(to, records, names or (), labels))
    elif suffix == ".parquet":
        _atomically(path, lambda to: _write_parquet(to, records, names or (), labels))
    elif suffix == ".npy":
        _atomically(path, lambda to: np.save(to, records, allow_pickle=False))
    elif suffix == ".npz":
        named = names if columns is not None else None
        _atomically(path, lambda to: _write_npz(to, records, named, labels))
    else:
        picture = grid(records, low=low, high=high)
        _atomically(path, lambda to: picture.save(to))


def check_suffix(path: str | Path, image: bool | None = None) -> str:
    """The suffix in small letters, once it is known to be one that `write` writes: to ask before long work.

    Args:
        path: where to.
        image: whether the records are images; None: not known yet.

    Raises:
        DataError: for another suffix, or one that does not fit the kind of record.

    Example:
        >>> check_suffix("samples.PNG")
        '.png'
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(f"{path} has the suffix {suffix or 'none'!r}; records are written as {', '.join(_SUFFIXES)}.")
    if image is True and suffix in _TABLE:
        raise DataError(f"{path}: images are written as .png, .npy or .npz, not as {suffix}, which is for tables.")
    if image is False and suffix == ".png":
        raise DataError(
            f"{path}: a table is written as .csv, .parquet, .npy or .npz, not as .png, which is for images."
        )
    return suffix


def _checked(path: Path, suffix: str, records: Array, labels: Array | None) -> Array | None:
    """The labels as `(n,)` int64, once the suffix is known to fit."""
    image = records.ndim in (3, 4)
    if records.dtype.kind not in "biuf" or not (image or records.ndim == 2):
        raise DataError(
            f"{path}: records are numbers of shape (n, d), (n, h, w) or (n, h, w, c), "
            f"got {records.shape} of {records.dtype}."
        )
    check_suffix(path, image)
    if labels is None:
        return None
    if suffix == ".npy":
        raise DataError(f"{path}: a .npy file holds one array, so there is no place for labels; write .npz.")
    labels = np.asarray(labels)
    if labels.shape != (len(records),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: labels are {len(records)} whole numbers, one per record, got {labels.shape} of {labels.dtype}."
        )
    return labels.astype(np.int64)


def _names(path: Path, records: Array, columns: tuple[str, ...] | None, labels: Array | None) -> tuple[str, ...]:
    names = tuple(f"x{j}" for j in range(records.shape[1])) if columns is None else columns
    if len(names) != records.shape[1]:
        raise DataError(f"{path}: there are {len(names)} column names for {records.shape[1]} columns.")
    check_names(names if labels is None else (*names, "label"), str(path))
    return names


def _atomically(path: Path, writer: Callable[[Path], object]) -> None:
    """Write next to the place, then move there; nothing is left behind when writing fails, and the error names it."""
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
            made = Path(folder) / f"part{path.suffix.lower()}"
            writer(made)
            os.replace(made, path)


def _whole(records: Array) -> list[bool]:
    """Which columns hold whole numbers that int64 can hold."""
    with np.errstate(invalid="ignore"):
        return ((records == np.rint(records)) & (np.abs(records) < 2.0**53)).all(0).tolist()


def _write_csv(path: Path, records: Array, names: Sequence[str], labels: Array | None) -> None:
    import csv

    columns: list[list[float]] = [
        (records[:, j].astype(np.int64) if whole else records[:, j]).tolist() for j, whole in enumerate(_whole(records))
    ]
    if labels is not None:
        names, columns = (*names, "label"), [*columns, labels.tolist()]
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(names)
        out.writerows(zip(*columns, strict=True))


def _write_parquet(path: Path, records: Array, names: Sequence[str], labels: Array | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {name: pa.array(np.ascontiguousarray(records[:, j])) for j, name in enumerate(names)}
    if labels is not None:
        columns["label"] = pa.array(labels)
    pq.write_table(pa.table(columns), path)


def _write_npz(path: Path, records: Array, names: Sequence[str] | None, labels: Array | None) -> None:
    arrays = {"x": records}
    if labels is not None:
        arrays["y"] = labels
    if names is not None:
        arrays["columns"] = np.array(names, dtype=np.str_)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stub takes any name for allow_pickle
