"""The rows that a training takes its batches from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

_CHUNK = 1 << 20  # numbers at a time


class Rows(Protocol):
    """Data `(n, *shape)` by rows: a tensor, or what makes a batch's rows when they are asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, *shape)`."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Of the rows."""
        ...

    @property
    def device(self) -> torch.device:
        """Where indices and rows are."""
        ...

    def __len__(self) -> int: ...

    def __getitem__(self, index: Any, /) -> Tensor:
        """The rows of an int64 tensor `(m,)` or a slice."""
        ...


@runtime_checkable
class InTurn(Rows, Protocol):
    """Rows that come in an order of their own, as those do that are read from a disk."""

    def in_turn(self, first: int, end: int) -> tuple[Tensor, Tensor]:
        """The rows `(end - first, *shape)` at these positions of the training, and their numbers `(end - first,)`.

        A pure function of the positions; each epoch, as many as there are rows, has every row once.
        """
        ...


def parts(x: Rows) -> Iterator[Tensor]:
    """All rows in order, as many at a time as float64 copies of them fit into memory."""
    step = max(1, _CHUNK // max(1, x[:1].numel()))
    return (x[start : start + step] for start in range(0, len(x), step))


def deviation(x: Rows) -> float:
    """The standard deviation of all numbers in standardised data, whose mean is about 0."""
    count, total, squares = 0, 0.0, 0.0
    for part in parts(x):
        count += part.numel()
        total += float(part.sum(dtype=torch.float64))
        squares += float(torch.linalg.vector_norm(part, dtype=torch.float64)) ** 2
    return ((squares - total**2 / count) / (count - 1)) ** 0.5
