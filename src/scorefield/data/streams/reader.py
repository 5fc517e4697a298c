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


@dataclass(frozen=True, eq=False)
class _Buffer:
    """Rows of some blocks, perhaps still being read."""

    records: Array
    rows: Array
    tasks: list[Future[None]]

    def ready(self) -> _Buffer:
        for task in self.tasks:
            task.result()
        return self


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
            yield buffer.records[at], buffer.rows[at]
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
        return self._buffers[now].ready()

    def _begin(self, blocks: tuple[int, ...]) -> _Buffer:
        """Have the blocks of a buffer read, each into its place."""
        self._pool = self._pool or ThreadPoolExecutor(self.threads, thread_name_prefix="reader")
        stream, counts = self.order.stream, self.order.counts()[list(blocks)]
        ends = np.cumsum(counts)
        records = np.empty((int(ends[-1]), *stream.shape), stream.dtype)
        rows = np.empty(len(records), np.int64)

        def read(k: int, end: int, count: int) -> None:
            kept, block = self.order.kept(k), stream.block(k)
            records[end - count : end] = block if len(kept) == len(block) else block[kept]
            rows[end - count : end] = stream.starts[k] + kept

        places: Any = zip(blocks, ends.tolist(), counts.tolist(), strict=True)
        return _Buffer(records, rows, [self._pool.submit(read, *place) for place in places])

    def close(self) -> None:
        """End the threads and forget what was read."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        self._pool, self._buffers = None, {}
