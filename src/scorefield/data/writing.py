"""Records to files, whole or not at all."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path

import numpy as np
from numpy.lib.format import open_memmap

from scorefield._files import writing
from scorefield._memory import lacking_on_disk
from scorefield.data.dataset import Array, DataError, check_names
from scorefield.data.pictures import grid, picture_size

_TABLE = (".csv", ".parquet")
_SUFFIXES = (*_TABLE, ".npy", ".npz", ".png")
_ROWS = 1 << 18  # at once


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


def write_parts(
    path: str | Path,
    parts: Iterable[tuple[Array, Array | None]],
    n: int,
    columns: Sequence[str] | None = None,
) -> None:
    """As `write`, for n records that come in parts, of which memory holds one: the others wait on the disk.

    The file is that of `write` with all records at once.

    Args:
        path: where to.
        parts: records `(k, ...)` and their labels `(k,)`, or None, of the same shape and type in each.
        n: how many records there are in all of them.
        columns: as `write`.

    Raises:
        DataError: as `write`; before the second part is asked for where n records do not fit on the disk; for another
            number of records than n.

    Example:
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_parts(f"{folder}/points.csv", ((np.full((1, 2), i + 0.5), None) for i in range(2)), 2)
        ...     print(Path(f"{folder}/points.csv").read_text())
        x0,x1
        0.5,0.5
        1.5,1.5
    """
    path, parts = Path(path), iter(parts)
    first = next(parts, None)
    if first is None:
        raise DataError(f"{path}: there are no records to write.")
    records, labels = first
    _checked(path, check_suffix(path), records, labels)
    _check_room(path, records, n)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{path.stem}-", dir=path.parent) as folder:
            whole = open_memmap(f"{folder}/records.npy", "w+", records.dtype, (n, *records.shape[1:]))
            kept = None if labels is None else open_memmap(f"{folder}/labels.npy", "w+", np.int64, (n,))
            done = 0
            for records, labels in chain((first,), parts):
                if done + len(records) > n:
                    raise DataError(f"{path}: there are more than the {n:,} records that were told.")
                whole[done : done + len(records)] = records
                if kept is not None:
                    kept[done : done + len(records)] = labels
                done += len(records)
            if done != n:
                raise DataError(f"{path}: there are {done:,} records and {n:,} were told.")
            write(path, whole, columns, kept)


def _check_room(path: Path, records: Array, n: int) -> None:
    """Raise where n records such as these do not fit on the disk twice, or into a picture."""
    if path.suffix.lower() == ".png":
        picture_size(n, *records.shape[1:3])
    size = n * records.dtype.itemsize * math.prod(records.shape[1:])
    too_much = lacking_on_disk((4 if path.suffix.lower() == ".csv" else 2) * size, path.absolute().parent)
    if too_much:
        raise DataError(f"{path}: a file of {n:,} records {too_much}; draw fewer.")


def part_bounds(n: int, first: int, size: int) -> Iterator[tuple[int, int]]:
    """Where the parts of n records begin and end: a small first one, then larger ones.

    Example:
        >>> list(part_bounds(10, 2, 5))
        [(0, 2), (2, 7), (7, 10)]
    """
    start, stop = 0, min(first, n)
    while start < n:
        yield start, stop
        start, stop = stop, min(stop + size, n)


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
    many = records.ndim > 2
    if records.dtype.kind not in "biuf" or records.ndim < 2 or (suffix == ".png" and records.ndim > 4):
        raise DataError(
            f"{path}: records are numbers of shape (n, d), images (n, h, w) or (n, h, w, c), "
            f"got {records.shape} of {records.dtype}."
        )
    check_suffix(path, many)
    if labels is None:
        return None
    if suffix == ".npy":
        raise DataError(f"{path}: a .npy file holds one array, so there is no place for labels; write .npz.")
    labels = np.asarray(labels)
    if labels.shape != (len(records),) or labels.dtype.kind not in "iu":
        raise DataError(
            f"{path}: labels are {len(records)} whole numbers, one per record, got {labels.shape} of {labels.dtype}."
        )
    return labels.astype(np.int64, copy=False)


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


def _pieces(n: int) -> Iterator[slice]:
    """Slices of n rows, of which one fits into memory many times over."""
    return (slice(start, start + _ROWS) for start in range(0, max(n, 1), _ROWS))


def _whole(records: Array) -> list[bool]:
    """Which columns hold whole numbers that int64 can hold."""
    found = np.ones(records.shape[1], dtype=bool)
    for part in (records[piece] for piece in _pieces(len(records))):
        with np.errstate(invalid="ignore"):
            found &= ((part == np.rint(part)) & (np.abs(part) < 2.0**53)).all(0)
    return found.tolist()


def _write_csv(path: Path, records: Array, names: Sequence[str], labels: Array | None) -> None:
    import csv

    whole = _whole(records)
    with path.open("w", encoding="utf-8", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(names if labels is None else (*names, "label"))
        for piece in _pieces(len(records)):
            part = records[piece]
            columns = [(part[:, j].astype(np.int64) if whole[j] else part[:, j]).tolist() for j in range(len(whole))]
            if labels is not None:
                columns.append(labels[piece].tolist())
            out.writerows(zip(*columns, strict=True))


def _write_parquet(path: Path, records: Array, names: Sequence[str], labels: Array | None) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    def table(piece: slice) -> pa.Table:
        columns = {name: pa.array(np.ascontiguousarray(records[piece, j])) for j, name in enumerate(names)}
        if labels is not None:
            columns["label"] = pa.array(labels[piece])
        return pa.table(columns)

    first = table(slice(0, 0))
    with pq.ParquetWriter(path, first.schema) as out:
        for piece in _pieces(len(records)):
            out.write_table(table(piece))


def _write_npz(path: Path, records: Array, names: Sequence[str] | None, labels: Array | None) -> None:
    arrays = {"x": records}
    if labels is not None:
        arrays["y"] = labels
    if names is not None:
        arrays["columns"] = np.array(names, dtype=np.str_)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stub takes any name for allow_pickle
