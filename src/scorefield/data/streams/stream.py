"""Records in blocks that are read when they are needed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from scorefield.data.dataset import Array, DataError, Kind, check_count, grid_of, in_words, not_finite
from scorefield.numerics.random import uniform

BLOCK_BYTES, BLOCK_ROWS = 2 << 20, 1 << 14
"""Of a block, where the source has no blocks of its own, at most; one record at least."""
_SPARSE = 16  # rows of a block, of which one is read alone sooner than with its block
_KNOWN_BY = 256  # rows whose values a fingerprint takes


@dataclass(frozen=True, eq=False, repr=False)
class Stream:
    """Records of a source, in the user's units, in blocks that are each read whole; none of them is kept.

    Row i of the source is row `i - starts[k]` of the block k that it lies in. Blocks may be read by several threads.

    Args:
        source: the file or folder, for messages.
        kind: as `Dataset`.
        shape: of one record.
        dtype: of the values that blocks have: numbers.
        sizes: `(blocks,)` int64, rows of each block, all > 0.
        read: number of a block -> its records `(rows, *shape)`.
        columns: d names, for tables and arrays.
        pick: rising row numbers `(m,)` -> these records, where that is cheaper than reading their blocks.
        labels: `(n,)` int64 class labels, where the source has them.
        told: how image files are read, as `ImageReading.to_json` says it; None: as they are.
        classes: names of the labels 0, 1, ..., where the source has them.
        decoded: whether a record is an image file, which takes far longer to decode than to find: `pick` is then what
            reads some of them, and a training begins before all of them are read.
        holes: whether NaN stands for what is not there.

    Raises:
        DataError: for fewer than 20 records.

    Example:
        >>> x = np.arange(60.0).reshape(30, 2)
        >>> stream = Stream("x", "array", (2,), x.dtype, np.array([20, 10]), lambda k: x[20 * k : 20 * k + 20])
        >>> stream, stream.rows(np.array([29, 0]))
        (Stream('x': 30 data rows of 2, float64, in 2 blocks), array([[58., 59.],
           [ 0.,  1.]]))
    """

    source: str
    kind: Kind
    shape: tuple[int, ...]
    dtype: np.dtype
    sizes: Array
    read: Callable[[int], Array]
    columns: tuple[str, ...] | None = None
    pick: Callable[[Array], Array] | None = None
    labels: Array | None = None
    told: Mapping[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    decoded: bool = False
    holes: bool = False

    def __post_init__(self) -> None:
        check_count(len(self), self.source, in_words(self.kind))

    def __len__(self) -> int:
        return int(self.starts[-1])

    @cached_property
    def starts(self) -> Array:
        """`(blocks + 1,)`: the first row of each block, and the number of all rows."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @property
    def gridded(self) -> bool:
        """Whether neighbouring numbers of a record belong together: images, series and volumes."""
        return self.kind == "image" or grid_of(self.kind) is not None

    @property
    def nbytes(self) -> int:
        """Bytes of one record."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def block(self, k: int) -> Array:
        """The records of a block, held against what the source told of itself.

        Raises:
            DataError: where the source has changed, cannot be read, or holds values that are not finite.
        """
        records = self.read(k)
        if records.shape != (self.sizes[k], *self.shape) or records.dtype != self.dtype:
            raise DataError(
                f"{self.source}: expected {(int(self.sizes[k]), *self.shape)} {self.dtype} in block {k + 1}, got "
                f"{records.shape} {records.dtype}; has it changed meanwhile?"
            )
        if not self.holes:
            _check_finite(records, self.source, int(self.starts[k]), self.columns)
        return records

    def blocks(self) -> Iterator[tuple[int, Array]]:
        """All blocks in order: the first row of each, and its records."""
        return ((int(self.starts[k]), self.block(k)) for k in range(len(self.sizes)))

    def rows(self, index: Array) -> Array:
        """The records of some row numbers `(m,)`, in their order; each block that one lies in is read once.

        Raises:
            DataError: as `block`.
        """
        index = np.asarray(index, dtype=np.int64)
        wanted, back = np.unique(index, return_inverse=True)
        if self.pick is not None and len(wanted) and (self.decoded or len(wanted) <= len(self) // _SPARSE):
            return self.pick(wanted)[back]
        found = np.empty((len(wanted), *self.shape), self.dtype)
        home = np.searchsorted(self.starts, wanted, side="right") - 1
        for k in np.unique(home):
            inside = np.flatnonzero(home == k) if len(wanted) < 1000 else slice(*np.searchsorted(home, [k, k + 1]))
            found[inside] = self.block(int(k))[wanted[inside] - self.starts[k]]
        return found[back]

    def fingerprint(self) -> str:
        """To know the source again: its shape and blocks, and 256 rows drawn by a fixed seed; not all of its values."""
        about = f"{self.kind} {len(self)} {self.shape} {self.dtype} {self.columns}"
        content = hashlib.blake2b(about.encode(), digest_size=16)
        content.update(self.sizes.astype(np.int64).tobytes())
        content.update(b"" if self.labels is None else np.ascontiguousarray(self.labels).data)
        n = len(self)
        drawn = uniform(_KNOWN_BY, (), 0, "stream/fingerprint", dtype=torch.float64).numpy()
        rows = np.unique(np.concatenate([[0, n - 1], np.minimum((drawn * n).astype(np.int64), n - 1)]))
        content.update(np.ascontiguousarray(self.rows(rows)).data)
        return content.hexdigest()

    def __repr__(self) -> str:
        size = "x".join(map(str, self.shape))
        what = f"{len(self):,} {in_words(self.kind)} of {size}, {self.dtype}, in {len(self.sizes):,} blocks"
        return f"Stream({self.source!r}: {what})"


def even_sizes(n: int, nbytes: int) -> Array:
    """`(blocks,)`: n rows of so many bytes cut into blocks of 2 MB, and 16,384 rows, at most."""
    rows = max(1, min(BLOCK_ROWS, BLOCK_BYTES // max(1, nbytes)))
    sizes = np.full(-(-n // rows), rows, np.int64)
    if n % rows:
        sizes[-1] = n % rows
    return sizes


def _check_finite(records: Array, source: str, first: int, columns: tuple[str, ...] | None) -> None:
    if records.dtype.kind != "f" or np.isfinite(records).all():
        return
    where = np.argwhere(~np.isfinite(records))[0]
    place = ", ".join(str(i + 1) for i in where[1:]) if columns is None else repr(columns[where[1]])
    value = not_finite(float(records[tuple(where)]))
    raise DataError(
        f"{source}: record {first + int(where[0]) + 1:,} holds {value} at {place} (counted from 1); fill it in or "
        "remove the record, holes are for tables that fit into memory."
    )
