"""Which rows are held out, and in which order the others come: pure functions of row numbers and a seed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from scorefield.data.dataset import Array
from scorefield.data.streams.stream import Stream
from scorefield.numerics.random import uniform

BUFFER_BYTES, BUFFER_ROWS = 256 << 20, 1 << 20
"""Of a buffer that rows are shuffled in, at most; one block at least."""
HELD_SHARE, HELD_ROWS = 0.1, 20_000
"""Of the rows, held out at most, unless told otherwise."""


def drawn_rows(n: int, count: int, seed: int, purpose: str) -> Array:
    """`(count,)` different row numbers below n in random order, in time and memory of count, not of n.

    Args:
        n: number of rows.
        count: how many, at most n.
        seed: of the draw.
        purpose: other purposes draw others.

    Example:
        >>> rows = drawn_rows(10**12, 1000, 0, "held-out")
        >>> len(np.unique(rows)), bool(rows.max() < 10**12)
        (1000, True)
    """
    if 4 * count >= n:
        key = uniform(n, (), seed, purpose, dtype=torch.float64).numpy()
        return np.lexsort((np.arange(n), key))[:count].astype(np.int64)
    found, first = np.zeros(0, np.int64), 0
    while len(found) < count:
        more = max(64, 2 * (count - len(found)))
        key = uniform(more, (), seed, purpose, first=first, dtype=torch.float64).numpy()
        drawn = np.concatenate([found, np.minimum((key * n).astype(np.int64), n - 1)])
        _, at = np.unique(drawn, return_index=True)
        found, first = drawn[np.sort(at)], first + more
    return found[:count]


def held_rows(n: int, share: float, seed: int) -> Array:
    """The rows of a stream that are held out, in random order: a pure function of the arguments.

    Args:
        n: rows of the stream.
        share: to hold out; at least one row is, and one is not.
        seed: of the training.
    """
    return drawn_rows(n, min(max(round(n * share), 1), n - 1), seed, "stream/held-out")


def held_share(n: int) -> float:
    """The share of n rows that is held out, unless told otherwise."""
    return min(HELD_SHARE, HELD_ROWS / n)


@dataclass(frozen=True, eq=False)
class Order:
    """The order in which a stream's rows are trained on, epoch by epoch: a pure function of (seed, epoch, position).

    Each epoch takes every row once that is not held out: the blocks in random order, so many at a time as a buffer
    holds, and the rows of a buffer in random order.

    Args:
        stream: of the records.
        held: rising row numbers that are left out.
        seed: of the order.
        buffer: rows that a buffer holds.
    """

    stream: Stream
    held: Array
    seed: int
    buffer: int

    def __len__(self) -> int:
        """Rows of an epoch."""
        return len(self.stream) - len(self.held)

    def counts(self) -> Array:
        """`(blocks,)`: rows of each block that are trained on."""
        return self.stream.sizes - np.diff(np.searchsorted(self.held, self.stream.starts))

    def kept(self, k: int) -> Array:
        """The rows of block k that are trained on, counted from its first."""
        first, end = np.searchsorted(self.held, self.stream.starts[k : k + 2])
        return np.delete(np.arange(self.stream.sizes[k]), self.held[first:end] - self.stream.starts[k])

    def row(self, place: Array) -> Array:
        """The row numbers of places `(m,)` among the rows that are trained on, in the order of the source."""
        return place + np.searchsorted(self.held - np.arange(len(self.held)), place, side="right")

    def place(self, row: Array) -> Array:
        """The places of rows that are trained on, which `row` takes back to them."""
        return row - np.searchsorted(self.held, row)

    def buffers(self, epoch: int) -> tuple[list[Array], Array]:
        """The blocks of each buffer of an epoch, rising, and `(buffers + 1,)` the positions at which these begin."""
        counts = self.counts()
        shuffled = uniform(len(counts), (), self.seed, "stream/blocks", row=epoch, dtype=torch.float64).argsort()
        groups: list[list[int]] = []
        held = self.buffer
        for k in shuffled.tolist():
            if held + counts[k] > self.buffer or not groups:
                groups.append([])
                held = 0
            groups[-1].append(k)
            held += int(counts[k])
        found = [np.sort(np.array(group)) for group in groups if counts[group].sum()]
        return found, np.concatenate([[0], np.cumsum([counts[group].sum() for group in found])]).astype(np.int64)

    def shuffled(self, epoch: int, first: int, count: int) -> Array:
        """`(count,)`: the rows of the buffer whose rows begin at position `first`, in the order they are taken."""
        key = uniform(count, (), self.seed, "stream/rows", first=first, row=epoch, dtype=torch.float64)
        return key.argsort(stable=True).numpy()


def buffer_rows(stream: Stream) -> int:
    """How many rows a buffer holds: 256 MB of them, 2^20 at most."""
    return max(1, min(BUFFER_ROWS, BUFFER_BYTES // max(1, stream.nbytes)))
