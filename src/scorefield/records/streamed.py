"""Records that are read and encoded as the training needs them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from scorefield.data.dataset import Array
from scorefield.data.streams.reader import Reader
from scorefield.data.streams.stream import Stream


class Encoder(Protocol):
    """What is needed of a codec here."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one encoded record."""
        ...

    def encode(self, records: Any, *, seed: int | None = None, first: Any = 0) -> Tensor:
        """The encoded records `(n, *shape)`, float32."""
        ...


@dataclass(frozen=True, eq=False)
class Streamed:
    """Encoded training rows `(n, *shape)` of a stream, with an order of their own.

    Args:
        codec: of the records.
        reader: of the rows that are trained on, in their order.
        seed: of the noise that spreads whole numbers, a pure function of the row's number in the source; None: none.
    """

    codec: Encoder
    reader: Reader
    seed: int | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """`(n, *shape)` of the encoded records."""
        return (len(self), *self.codec.shape)

    @property
    def dtype(self) -> torch.dtype:
        """float32, as every codec encodes."""
        return torch.float32

    @property
    def device(self) -> torch.device:
        """The CPU."""
        return torch.device("cpu")

    def __len__(self) -> int:
        return len(self.reader.order)

    def __getitem__(self, index: Any) -> Tensor:
        """The encoded rows of an int64 tensor `(m,)` or a slice, found one by one: for few of them."""
        if isinstance(index, slice):
            index = torch.arange(*index.indices(len(self)))
        rows = self.reader.order.row(index.numpy())
        return self._encoded(self.reader.order.stream.rows(rows), rows)

    def in_turn(self, first: int, end: int) -> tuple[Tensor, Tensor]:
        """The encoded rows at positions of the training, counted on through all epochs, and their places in it."""
        records, rows = self.reader.take(first, end)
        return self._encoded(records, rows), torch.from_numpy(self.reader.order.place(rows))

    def _encoded(self, records: np.ndarray, rows: np.ndarray) -> Tensor:
        return self.codec.encode(records, seed=self.seed, first=torch.from_numpy(rows))


@dataclass(frozen=True, eq=False)
class Later:
    """Some records of a stream as `Encoded` takes an array: read when the first of them is asked for, then kept.

    Args:
        stream: of the records.
        rows: their numbers `(m,)`.
    """

    stream: Stream
    rows: Array

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> Array:
        found: Array = self._records[index]
        return found

    @cached_property
    def _records(self) -> Array:
        return self.stream.rows(self.rows)
