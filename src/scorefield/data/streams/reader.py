"""The records of an order, read ahead by threads."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np

from scorefield._ranges import READERS
from scorefield.data.dataset import Array
from scorefield.data.streams.order import Order
from scorefield.data.streams.stream import Stream

_TOGETHER = 32  # records that a thread reads at a time, of those that are wanted at once


@dataclass(frozen=True, eq=False)
class _Buffer:
    """Rows of some blocks, perhaps still being read; `ends`: how many rows there are up to the end of each block."""

    records: Array
    rows: Array
    ends: Array
    tasks: list[Future[None]]

    def take(self, at: Array, stream: Stream) -> Array:
        """The records at some places. Image files that are not decoded yet are, alone; others are waited for."""
        done = np.array([task.done() for task in self.tasks])
        for task in self.tasks:
            if task.done() or not stream.decoded:
                task.result()  # a fault is told as soon as it is known
        if done.all() or not stream.decoded:
            return self.records[at]
        here = done[np.searchsorted(self.ends, at, side="right")]
        found = np.empty((len(at), *stream.shape), stream.dtype)
        found[here], found[~here] = self.records[at[here]], stream.rows(self.rows[at[~here]])
        return found


class Reader:
    """Records at positions of an order; the buffer after the one that is asked for is read meanwhile.

    What it returns depends on the order alone: neither on how many threads read, nor on what was asked before.

    Args:
        order: of the records.
        threads: that read blocks.

    Raises:
        ValueError: for no threads, or more than 64.
    """

    def __init__(self, order: Order, threads: int = 1) -> None:
        READERS("readers", threads)
        self.order, self.threads = order, threads
        self._pool: ThreadPoolExecutor | None = None
        self._epochs: dict[int, tuple[list[Array], Array]] = {}
        self._buffers: dict[tuple[int, ...], _Buffer] = {}
        self._shuffled: dict[tuple[int, int], Array] = {}

    def take(self, first: int, end: int) -> tuple[Array, Array]:
        """The records `(end - first, *shape)` and their row numbers, at positions counted on through all epochs.

        Raises:
            DataError: for a source that cannot be read, or has changed.
        """
        parts = list(self._parts(first, end))
        records, rows = (np.concatenate([part[k] for part in parts]) for k in (0, 1))
        return records, rows

    def _parts(self, first: int, end: int) -> Iterator[tuple[Array, Array]]:
        n, place = len(self.order), first
        while place < end:
            epoch, inside = divmod(place, n)
            starts = self._epoch(epoch)[1]
            b = int(np.searchsorted(starts, inside, side="right")) - 1
            upto = min(end - epoch * n, int(starts[b + 1]))
            buffer = self._buffer(epoch, b)
            at = self._order_of(epoch, b)[inside - starts[b] : upto - starts[b]]
            yield buffer.take(at, self.order.stream), buffer.rows[at]
            place = epoch * n + upto

    def _epoch(self, epoch: int) -> tuple[list[Array], Array]:
        if epoch not in self._epochs:
            self._epochs = {e: found for e, found in self._epochs.items() if e >= epoch - 1}
            self._epochs[epoch] = self.order.buffers(epoch)
        return self._epochs[epoch]

    def _order_of(self, epoch: int, b: int) -> Array:
        if (epoch, b) not in self._shuffled:
            _, starts = self._epoch(epoch)
            first, count = int(starts[b]), int(starts[b + 1] - starts[b])
            self._shuffled = {(epoch, b): self.order.shuffled(epoch, first, count)}
        return self._shuffled[epoch, b]

    def _buffer(self, epoch: int, b: int) -> _Buffer:
        after = (epoch, b + 1) if b + 1 < len(self._epoch(epoch)[0]) else (epoch + 1, 0)
        now, then = (tuple(self._epoch(e)[0][k].tolist()) for e, k in ((epoch, b), after))
        if now not in self._buffers or then not in self._buffers:
            self._buffers = {key: found for key, found in self._buffers.items() if key in (now, then)}
            for key in (now, then):
                if key not in self._buffers:
                    self._buffers[key] = self._begin(key)
        return self._buffers[now]

    def _begin(self, blocks: tuple[int, ...]) -> _Buffer:
        """Have the blocks of a buffer read, each into its place."""
        self._pool = self._pool or ThreadPoolExecutor(self.threads, thread_name_prefix="reader")
        stream, counts = self.order.stream, self.order.counts()[list(blocks)]
        ends = np.cumsum(counts)
        kept = [self.order.kept(k) for k in blocks]
        records = np.empty((int(ends[-1]), *stream.shape), stream.dtype)
        rows = np.concatenate([stream.starts[k] + inside for k, inside in zip(blocks, kept, strict=True)])

        def read(k: int, end: int, inside: Array) -> None:
            block = stream.block(k)
            records[end - len(inside) : end] = block if len(inside) == len(block) else block[inside]

        places: Any = zip(blocks, ends.tolist(), kept, strict=True)
        return _Buffer(records, rows, ends, [self._pool.submit(read, *place) for place in places])

    def close(self) -> None:
        """End the threads and forget what was read."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._buffers = None, {}


def gathered(stream: Stream, rows: Array, threads: int) -> Array:
    """The records `(m, *shape)` of some rows `(m,)`, in their order, read by several threads.

    Args:
        stream: of the records.
        rows: their numbers.
        threads: that read, 1 or more.

    Raises:
        DataError: for a source that cannot be read, or has changed.
    """
    found = np.empty((len(rows), *stream.shape), stream.dtype)

    def read(start: int) -> None:
        found[start : start + _TOGETHER] = stream.rows(rows[start : start + _TOGETHER])

    with ThreadPoolExecutor(threads, thread_name_prefix="reader") as pool:
        for _ in pool.map(read, range(0, len(rows), _TOGETHER)):
            pass
    return found
