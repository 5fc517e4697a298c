"""A data set in memory, and the checks that every source passes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from scorefield._files import shortened, shown

Array: TypeAlias = npt.NDArray[Any]
Kind: TypeAlias = Literal["table", "image", "array", "series", "volume"]
Grid: TypeAlias = Literal["series", "volume"]
_DIMS = {"table": (2,), "array": (2,), "image": (3, 4), "series": (2, 3), "volume": (4, 5)}

MIN_ROWS = 20  # fewer cannot be split into a part to train on and a part to test on


class DataError(ValueError):
    """What is wrong with the user's data: one sentence naming the file, the column and the data row (from 1)."""


@contextmanager
def named(source: object) -> Iterator[None]:
    """Around what looks at data and does not know where they come from: its DataErrors get the name of the source.

    Example:
        >>> with named("people.csv"):
        ...     raise DataError("column 'age' is empty.")
        Traceback (most recent call last):
        scorefield.data.dataset.DataError: people.csv: column 'age' is empty.
    """
    try:
        yield
    except DataError as error:
        raise error if str(source) in str(error) else DataError(f"{source}: {error}") from error.__cause__


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Records in the user's own units, with what the source says about them.

    Args:
        records: `(n, d)` float64 for tables and arrays; `(n, h, w)` or `(n, h, w, c)`, of uint8, uint16 or
            float, for images; float `(n, length)` or `(n, length, c)` for series, `(n, depth, h, w)` or
            `(n, depth, h, w, c)` for volumes.
        kind: "table", "array", "image", "series" or "volume".
        columns: d names, for tables and arrays.
        labels: `(n,)` int64 class labels, where the source has them.
        source: the file or the built-in name, for messages.
        held: test records `(m, ...)` where the source brings its own split.
        held_labels: `(m,)` int64.
        classes: names of the labels 0, 1, ..., where the source has them.
        reading: what was told of how image files are read, as `ImageReading.to_json` says it; None: nothing.
        said: what was done to image files that their user may not know of.

    Raises:
        ValueError: when lengths or shapes disagree.

    Example:
        >>> Dataset(np.zeros((30, 8, 8), np.uint8), "image", source="zeros")
        Dataset('zeros': 30 images of 8x8, uint8)
    """

    records: Array
    kind: Kind
    columns: tuple[str, ...] | None = None
    labels: Array | None = None
    source: str = "array"
    held: Array | None = None
    held_labels: Array | None = None
    classes: tuple[str, ...] | None = None
    reading: Mapping[str, Any] | None = None
    said: str = ""

    def __post_init__(self) -> None:
        dims = _DIMS[self.kind]
        if self.records.ndim not in dims:
            raise ValueError(f"records of kind {self.kind!r} have {dims} dimensions, got shape {self.records.shape}.")
        if self.columns is not None and (self.gridded or len(self.columns) != self.records.shape[1]):
            raise ValueError(f"{len(self.columns)} column names do not fit records of shape {self.records.shape}.")
        if self.held is not None and self.held.shape[1:] != self.shape:
            raise ValueError(f"held records have shape {self.held.shape[1:]}, the others {self.shape}.")
        for name, labels, records in (
            ("labels", self.labels, self.records),
            ("held_labels", self.held_labels, self.held),
        ):
            if labels is not None and (records is None or labels.shape != (len(records),)):
                count = None if records is None else len(records)
                raise ValueError(f"{name} of shape {labels.shape} do not fit {count} records; one label per record.")

    def __len__(self) -> int:
        return len(self.records)

    @property
    def gridded(self) -> bool:
        """Whether neighbouring numbers of a record belong together: images, series and volumes."""
        return self.kind == "image" or grid_of(self.kind) is not None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one record."""
        return tuple(self.records.shape[1:])

    def take(self, index: npt.NDArray[np.int64]) -> Dataset:
        """The records (and labels) of these indices; the source's own test records stay behind."""
        labels = None if self.labels is None else self.labels[index]
        return replace(self, records=self.records[index], labels=labels, held=None, held_labels=None)

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        if self.gridded:
            what = f"{len(self)} {in_words(self.kind)} of {size}, {self.records.dtype}"
        else:
            what = f"{len(self)} rows x {size} columns"
            if self.columns is not None:
                what += f" ({_few(self.columns, 5)})"
        if self.labels is not None:
            what += f", {len(np.unique(self.labels))} classes"
        if self.held is not None:
            what += f", {len(self.held)} held out by the source"
        return f"Dataset({self.source!r}: {what})"


def checked(dataset: Dataset) -> Dataset:
    """The data set itself, once it is checked to have enough rows, to be finite and not constant.

    Raises:
        DataError: naming the source, the column and the data row.
    """
    check_count(len(dataset), dataset.source, in_words(dataset.kind))
    _check_finite(dataset.records, dataset, dataset.source)
    if dataset.held is not None:
        _check_finite(dataset.held, dataset, f"{dataset.source} (test records)")
    if dataset.kind == "image":
        if dataset.records.min() == dataset.records.max():
            raise DataError(f"{dataset.source}: every pixel of every image is {dataset.records.flat[0]}.")
    elif not dataset.gridded:
        check_names(dataset.columns or (), dataset.source)
        check_varies(dataset)
    return dataset


def grid_of(kind: object) -> Grid | None:
    """The kind itself, as it may be stored, where it is series or volumes."""
    return "series" if kind == "series" else "volume" if kind == "volume" else None


def in_words(kind: Kind) -> str:
    """What several records of a kind are called."""
    return {"image": "images", "series": "series", "volume": "volumes"}.get(kind, "data rows")


def check_count(n: int, source: str, what: str = "data rows") -> None:
    """Raise unless there are at least MIN_ROWS records."""
    if n < MIN_ROWS:
        have = f"has no {what}" if n == 0 else f"has {n} {what}"
        raise DataError(f"{source} {have}; at least {MIN_ROWS} are needed to train on some and test on the others.")


def check_names(columns: Sequence[str], source: str) -> None:
    """Raise for a column without a name, or two with the same."""
    seen: dict[str, int] = {}
    for i, name in enumerate(columns, 1):
        if not name or name.startswith("__index_level_"):
            raise DataError(
                f"{source}: column {i} has no name (an index that pandas wrote?); name it, or save with index=False."
            )
        if name in seen:
            raise DataError(
                f"{source}: columns {seen[name]} and {i} have the same name {shown(name)}; rename one of them."
            )
        seen[name] = i


def is_constant(values: Array) -> npt.NDArray[np.bool_]:
    """Which columns of `(n, d)` never change by more than float64's rounding."""
    low, high = values.min(0), values.max(0)
    scale = np.maximum(np.abs(low), np.abs(high))
    # halves, because high - low may overflow
    constant: npt.NDArray[np.bool_] = high / 2 - low / 2 <= 2 * np.finfo(np.float64).eps * scale
    return constant


def check_varies(dataset: Dataset) -> None:
    """Raise when a column of a table holds one value only."""
    constant = np.flatnonzero(is_constant(dataset.records))
    if len(constant):
        names = [column_name(dataset, int(j)) for j in constant]
        value = dataset.records[0, constant[0]] + 0.0  # no minus zero
        verb = f"is constant ({value:g} in all {len(dataset)} data rows)" if len(names) == 1 else "are constant"
        noun, them = ("column", "it") if len(names) == 1 else ("columns", "them")
        raise DataError(f"{dataset.source}: {noun} {_few(names, 5)} {verb}; remove {them}, there is nothing to learn.")


def column_name(dataset: Dataset, j: int) -> str:
    """The quoted name of column j, for messages."""
    return shown(dataset.columns[j]) if dataset.columns is not None else str(j + 1)


def not_finite(value: float) -> str:
    """NaN or an infinite value, in words."""
    return "NaN" if math.isnan(value) else "an infinite value"


def _check_finite(records: Array, dataset: Dataset, source: str) -> None:
    if records.dtype.kind != "f" or np.isfinite(records).all():
        return
    where = tuple(int(i) for i in np.argwhere(~np.isfinite(records))[0])
    what = not_finite(float(records[where]))
    if dataset.kind == "image":
        raise DataError(
            f"{source}: image {where[0] + 1} holds {what} at pixel row {where[1] + 1}, column {where[2] + 1} "
            "(all counted from 1); remove or mend it."
        )
    if dataset.gridded:
        place = ", ".join(str(i + 1) for i in where[1:])
        raise DataError(
            f"{source}: record {where[0] + 1} holds {what} at place {place} (all counted from 1); remove or mend it."
        )
    raise DataError(
        f"{source}: column {column_name(dataset, where[1])} holds {what} in data row {where[0] + 1} (counted from 1); "
        "fill it in or remove the row, missing values are not supported yet."
    )


def _few(names: Sequence[str], most: int) -> str:
    listed = shortened(", ".join(names[:most]), 200)
    return listed if len(names) <= most else f"{listed} and {len(names) - most} more"
