"""A .npy file as a stream."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np

from scorefield import _files, _memory
from scorefield.data.arrays import check_gridded, check_images, npy_header
from scorefield.data.dataset import Array, DataError, Grid, Kind
from scorefield.data.streams.stream import Stream, even_sizes

_SPARSE = 1000  # times what was written that a file may tell of: nothing real is compressed so far


def npy_stream(path: str | Path, grid: Grid | None = None) -> Stream:
    """The records of a .npy file, read as they are needed: `(n,)` or `(n, d)` rows, `(n, h, w[, c])` images.

    Args:
        path: of the file.
        grid: "series" or "volume": what the records are, as `data.load`.

    Raises:
        DataError: for a file that is none or is cut short, for values that are no numbers, for integer images of other
            types than uint8 and uint16, for arrays laid out by columns (Fortran order).
    """
    path = Path(path)
    with _files.reading(path, ".npy", DataError), path.open("rb") as file:
        shape, by_columns, dtype = npy_header(file, str(path))
        first, held = file.tell(), path.stat().st_size - file.tell()
    told = math.prod(shape) * dtype.itemsize
    if told > held:
        raise DataError(
            f"{path} tells of an array of shape {_files.shown(shape)} and {_memory.in_words(told)}, and holds "
            f"{_memory.in_words(held)}: it is cut short or damaged."
        )
    _check_written(path, told)
    kind, plain = kind_of(shape, dtype, str(path), grid)
    if by_columns and len(shape) > 1:
        raise DataError(
            f"{path} is laid out by columns (Fortran order), so that its rows cannot be read one by one; save it with "
            "numpy.ascontiguousarray."
        )
    inside = shape[1:] if len(shape) > 1 else (1,)
    stride = math.prod(inside) * dtype.itemsize
    sizes = even_sizes(shape[0], stride)

    def span(start: int, count: int) -> Array:
        with _files.reading(path, ".npy", DataError):
            found = np.fromfile(path, dtype, count * math.prod(inside), offset=first + start * stride)
            if found.size < count * math.prod(inside):
                raise ValueError("it is shorter than when it was opened; has it changed meanwhile?")
            return found.reshape(-1, *inside).astype(plain, copy=False)

    def pick(rows: Array) -> Array:
        return np.concatenate([span(int(row), 1) for row in rows])

    columns = tuple(f"x{j}" for j in range(inside[0])) if kind == "array" else None
    starts = np.concatenate([[0], np.cumsum(sizes)])
    return Stream(
        str(path),
        kind,
        inside,
        plain,
        sizes,
        lambda k: span(int(starts[k]), int(sizes[k])),
        columns,
        pick,
    )


def _check_written(path: Path, told: int) -> None:
    """Raise for a file of which hardly anything was ever written: a memory map that was opened and left, say."""
    blocks = getattr(path.stat(), "st_blocks", None)  # not on Windows
    written = told if blocks is None else 512 * blocks
    if told > _memory.available() and written < told / _SPARSE:
        raise DataError(
            f"{path} tells of {_memory.in_words(told)}, of which {_memory.in_words(written)} were ever written: it is "
            "not finished, or damaged."
        )


def kind_of(shape: tuple[int, ...], dtype: np.dtype, source: str, grid: Grid | None) -> tuple[Kind, np.dtype]:
    """What records of an array's shape and type are, and the type that they are read in.

    Raises:
        DataError: for a shape or a type that is no records'.
    """
    if dtype.kind not in "biuf":
        raise DataError(f"{source} holds {_files.shortened(dtype.name)} values, not numbers; give a numeric array.")
    if grid is not None:
        check_gridded(shape, source, grid)
        return grid, np.dtype(np.float32 if dtype.kind == "f" and dtype.itemsize == 4 else np.float64)
    if len(shape) in (3, 4):
        check_images(shape, source)
        return "image", _pixels(dtype, source)
    if len(shape) not in (1, 2) or 0 in shape:
        raise DataError(f"{source} has the shape {shape}; records come as (n, d), images as (n, h, w) or (n, h, w, c).")
    return "array", dtype.newbyteorder("=") if dtype.itemsize <= 8 else np.dtype(np.float64)


def _pixels(dtype: np.dtype, source: str) -> np.dtype:
    if dtype.kind == "f":
        return np.dtype({2: np.float32, 4: np.float32}.get(dtype.itemsize, np.float64))
    if dtype.kind == "b":
        return np.dtype(np.uint8)
    if dtype.kind != "u" or dtype.itemsize > 2:
        raise DataError(
            f"{source} holds {dtype.name} pixels; images that are read as they are needed are uint8, uint16 or floats."
        )
    return dtype.newbyteorder("=")
