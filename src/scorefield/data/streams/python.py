"""Records of Python objects as a stream: data sets with a length, and whatever can be iterated over."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from scorefield import _files
from scorefield.data.dataset import Array, DataError, Grid
from scorefield.data.streams.npy import kind_of, npy_stream
from scorefield.data.streams.stream import Stream, even_sizes


class Indexed(Protocol):
    """Records by number, as a torch `Dataset` has them."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def indexed_stream(
    records: Indexed, record: Callable[[Any], Any] | None = None, grid: Grid | None = None, source: str = "records"
) -> Stream:
    """Records by number, such as a torch `Dataset`, as a stream; each is made again whenever it is read.

    Args:
        records: with a length and a record for each number below it, always the same; several threads may ask.
        record: what takes an array out of what they give, as `lambda item: item[0]`; default: it is one.
        grid: "series" or "volume": what they are, as `data.load`.
        source: for messages.

    Raises:
        DataError: for records that are no numbers, or of several shapes.

    Example:
        >>> indexed_stream([(np.arange(3.0) + k, "label") for k in range(30)], lambda item: item[0])
        Stream('records': 30 data rows of 3, float64, in 1 blocks)
    """
    n = len(records)
    if n == 0:
        raise DataError(f"{source} has no records.")
    first = _array(records[0], record, source, 0)
    kind, plain = kind_of((n, *first.shape), first.dtype, source, grid)
    shape = first.shape or (1,)
    sizes = even_sizes(n, first.nbytes)
    starts = np.concatenate([[0], np.cumsum(sizes)])

    def one(i: int) -> Array:
        made = _array(records[i], record, source, i)
        if made.shape != first.shape or made.dtype != first.dtype:
            raise DataError(
                f"{source}: record {i + 1} is {made.dtype} of shape {made.shape}, the first {first.dtype} of "
                f"{first.shape}; all need one."
            )
        return made.astype(plain, copy=False).reshape(shape)

    def read(k: int) -> Array:
        return np.stack([one(i) for i in range(starts[k], starts[k + 1])])

    columns = tuple(f"x{j}" for j in range(shape[0])) if kind == "array" else None
    return Stream(source, kind, shape, plain, sizes, read, columns, lambda rows: np.stack([one(int(i)) for i in rows]))


def spooled(
    batches: Iterable[Any], path: str | Path, record: Callable[[Any], Any] | None = None, grid: Grid | None = None
) -> Stream:
    """Whatever gives batches of records, such as a torch `DataLoader`, written once to a .npy file and read from it.

    So that the order of a training follows from its seed alone, and the training can be resumed in an epoch.

    Args:
        batches: of arrays or tensors `(m, *shape)`, each any m.
        path: of the .npy file; one that is there is written over once all batches have come.
        record: what takes the array out of a batch, as `lambda batch: batch[0]`; default: it is one.
        grid: as `indexed_stream`.

    Raises:
        DataError: for no batches, for batches that are no numbers, or of several shapes.
    """
    path = Path(path)
    temporary, source = path.with_name(f".{path.name}.{os.getpid()}.tmp"), "the batches"
    n, first = 0, np.zeros(0)
    try:
        with _files.writing(path), open(temporary, "wb") as file:
            for k, batch in enumerate(batches):
                made = np.ascontiguousarray(_array(batch, record, source, k))
                if made.ndim == 0:
                    raise DataError(f"{source}: batch {k + 1} is a number; records come in arrays (m, *shape).")
                if k == 0:
                    first = made
                    _write_header(file, first, 0)
                if made.shape[1:] != first.shape[1:] or made.dtype != first.dtype:
                    raise DataError(
                        f"{source}: number {k + 1} is {made.dtype} of records {made.shape[1:]}, the first "
                        f"{first.dtype} of {first.shape[1:]}; all need one."
                    )
                made.tofile(file)
                n += len(made)
            if n == 0:
                raise DataError(f"{source} hold no records.")
            file.seek(0)
            _write_header(file, first, n)  # has room for any number
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return npy_stream(path, grid)


def _write_header(file: Any, like: Array, n: int) -> None:
    text = {"descr": np.lib.format.dtype_to_descr(like.dtype), "fortran_order": False, "shape": (n, *like.shape[1:])}
    np.lib.format.write_array_header_1_0(file, text)


def _array(value: Any, record: Callable[[Any], Any] | None, source: str, k: int) -> Array:
    taken = value if record is None else record(value)
    numpy = getattr(taken, "numpy", None)
    try:
        made = np.asarray(taken.detach().cpu().numpy() if hasattr(taken, "detach") and numpy is not None else taken)
    except (TypeError, ValueError):
        made = np.asarray(None)
    if made.dtype.kind not in "biuf":
        raise DataError(
            f"{source}: number {k + 1} is a {type(taken).__name__}, not an array of numbers; give "
            "record=lambda item: ... that takes one out of it."
        )
    return made
