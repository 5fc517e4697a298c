"""Which sources are read as they are needed, and opening them."""

from __future__ import annotations

import math
from pathlib import Path

from scorefield import _memory
from scorefield.data.arrays import npy_header
from scorefield.data.dataset import DataError, Grid
from scorefield.data.streams.npy import npy_stream
from scorefield.data.streams.stream import Stream

_COMFORT = 3  # times the size of the records in memory, that a training on them there takes
_FORMS = "a .npy file"


def open_stream(source: str | Path, grid: Grid | None = None) -> Stream:
    """A source whose records are read as they are needed.

    Args:
        source: a .npy file.
        grid: "series" or "volume": what the records are, as `data.load`.

    Raises:
        DataError: for what is no such source, or cannot be read.
    """
    path = Path(source)
    if can_stream(source):
        return npy_stream(path, grid)
    raise DataError(f"{source} is not read as it is needed, as {_FORMS} is; leave --stream out, or save it so.")


def can_stream(source: str | Path) -> bool:
    """Whether `open_stream` takes a source, by its name."""
    path = Path(source)
    return path.suffix.lower() == ".npy" and path.is_file()


def too_large(source: str | Path, grid: Grid | None = None) -> bool:
    """Whether a source can be read as it is needed and does not fit into memory comfortably, or only comes so."""
    path = Path(source)
    if not can_stream(source):
        return False
    try:
        with path.open("rb") as file:
            shape, _, dtype = npy_header(file, str(path))
    except (OSError, ValueError):
        return False  # whoever reads it says what is wrong
    told = math.prod(shape) * dtype.itemsize
    rows = grid is None and len(shape) <= 2
    size = 8 * math.prod(shape) if rows else told
    return told <= path.stat().st_size and _COMFORT * size > _memory.available()
