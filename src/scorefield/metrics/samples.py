"""What every metric does with its samples: checks, flattening, distances in chunks, random orders."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Protocol, TypeAlias, TypeVar

import numpy as np
import torch
from torch import Tensor

from scorefield.numerics.random import uniform

Sample: TypeAlias = Tensor | np.ndarray
Result = TypeVar("Result")


class Slices(Protocol):
    """Rows `(n, *shape)` that are made a slice at a time, such as records that are encoded when needed."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: slice, /) -> Tensor: ...


CHUNK = 1024  # rows of a distance matrix that are in memory at a time


def floor(metric: Callable[[Tensor, Tensor], Result], real: Sample, *, seed: int = 0) -> Result:
    """The metric of two random halves of the real data: its value for a perfect generator at that sample size.

    Args:
        metric: `(x, y) -> value`.
        real: `(n, *shape)`, n >= 4.
        seed: of the split.

    Example:
        >>> floor(lambda x, y: len(x) + len(y), torch.zeros(7, 2))
        6
    """
    rows = shuffled(real if isinstance(real, Tensor) else torch.as_tensor(real), seed, "floor")
    half = len(rows) // 2
    if half < 2:
        raise ValueError(f"floor splits the real data in two and needs at least 4 rows, got {len(rows)}.")
    return metric(rows[:half], rows[half : 2 * half])


def pair(x: Sample, y: Sample, least: int = 2) -> tuple[Tensor, Tensor]:
    """Both samples as float64 `(n, d)`, about their common mean, so that differences keep their digits."""
    x, y = rows_of("the first sample", x, least), rows_of("the second sample", y, least)
    if x.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"both samples need rows of one shape, got {tuple(x.shape[1:])} and {tuple(y.shape[1:])}; give both in the "
            "same columns or pixels."
        )
    x, y = x.flatten(1), y.flatten(1).to(x.device)
    centre = (x.mean(0) + y.mean(0)) / 2
    return x - centre, y - centre


def rows_of(name: str, x: Sample, least: int) -> Tensor:
    rows: object = torch.as_tensor(x) if isinstance(x, np.ndarray) else x
    if not isinstance(rows, Tensor):
        raise TypeError(f"{name} must be a tensor or an array of shape (n, *shape), got {type(x).__name__}.")
    if rows.is_complex() or rows.ndim < 2 or len(rows) < least or not rows[0].numel():
        raise ValueError(
            f"{name} must hold real numbers of shape (n, *shape) with n >= {least}, got {rows.dtype} of shape "
            f"{tuple(rows.shape)}."
        )
    rows = rows.detach().to(torch.float64)
    bad = ~torch.isfinite(rows.flatten(1)).all(1)
    if bool(bad.any()):
        raise ValueError(f"{name} has NaN or infinite values, first in row {int(bad.nonzero()[0])}; remove such rows.")
    return rows


def check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}.")


def distance_rows(x: Tensor, y: Tensor, chunk: int) -> Iterator[tuple[int, Tensor]]:
    """Rows of the matrix of Euclidean distances, chunk at a time, each with the index of its first row."""
    check_count("chunk", chunk, 1)
    for start in range(0, len(x), chunk):
        yield start, torch.cdist(x[start : start + chunk], y)


def random_order(n: int, seed: int, purpose: str, like: Tensor, row: int = 0) -> Tensor:
    """A random order of n things."""
    return uniform(1, (n,), seed, purpose, row=row, dtype=torch.float64, device=like.device)[0].argsort()


def shuffled(x: Tensor, seed: int, purpose: str) -> Tensor:
    return x[random_order(len(x), seed, purpose, x)]
