"""Which sources are read as they are needed, and opening them."""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from scorefield import _memory
from scorefield.data.arrays import npy_header
from scorefield.data.builtin import BUILTIN
from scorefield.data.dataset import DataError, Grid
from scorefield.data.image_reading import ImageReading
from scorefield.data.imagefile import AS_FOUND
from scorefield.data.images import SUFFIXES, images_below
from scorefield.data.streams.huggingface import is_saved, saved_stream
from scorefield.data.streams.npy import npy_stream
from scorefield.data.streams.parquet import parquet_stream, parts_in
from scorefield.data.streams.pictures import pictures_stream, tar_stream
from scorefield.data.streams.stream import Stream

_IMAGES = frozenset(SUFFIXES)
_MANY = 10_000  # image files: more take several seconds to decode
_COMFORT = 3  # times the size of the records in memory, that a training on them there takes
FORMS = (
    "a .npy or .parquet file, a folder of .parquet files, of images or of .tar shards, a pattern of .parquet files or "
    "of .tar shards, or a folder that Hugging Face's datasets saved"
)
"""What can be read as it is needed."""


def form_of(source: str | Path) -> str | None:
    """In which of its forms a source can be read as it is needed, by names alone; None: in none.

    Example:
        >>> form_of("digits") is None
        True
    """
    path = Path(source)
    if path.is_file():
        suffix = path.suffix.lower().removeprefix(".")
        return suffix if suffix in ("npy", "parquet", "tar") else None
    if not path.is_dir():
        return "tar" if _shards(source) else "parquet" if parts_in(source) else None
    if str(source) in BUILTIN and next(images_below(path, set()), None) is None:
        return None
    if is_saved(path):
        return "saved"
    if any(name.endswith(".tar") for name in os.listdir(path)):
        return "tar"
    inside = {ending for _, _, names in os.walk(path) for ending in _endings(names)}
    if ".parquet" in inside:
        return "parquet"
    held = any(suffix.lower() in SUFFIXES for suffix in inside) or next(images_below(path, set()), None) is not None
    return "images" if held else None


def open_stream(
    source: str | Path,
    grid: Grid | None = None,
    *,
    images: ImageReading | None = None,
    columns: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    labels: bool = True,
) -> Stream:
    """A source whose records are read as they are needed.

    Args:
        source: a .npy file; a .parquet file, a folder or a pattern of such; a .tar shard, a pattern such as
            "shards/*.tar" or a folder of such; a folder that Hugging Face's datasets saved; a folder of images.
        grid: "series" or "volume": what arrays are, as `data.load`.
        images: how image files become pixels; default: as they are.
        columns: of a table, in their order; default: all.
        leave_out: columns of a table that are not read.
        labels: False takes all images of a folder, however deep, without labels.

    Raises:
        DataError: for what is no such source, or cannot be read.
    """
    form, path, how = form_of(source), Path(source), images or AS_FOUND
    if form is None:
        raise DataError(f"{source} is not read as it is needed; such are {FORMS}. Leave --stream out, or save it so.")
    if grid is not None and form not in ("npy", "tar"):
        raise DataError(f"{source} holds no {grid}s that are read as they are needed; save them as .npy.")
    if images is not None and form not in ("tar", "saved", "images"):
        raise DataError(f"{source} holds no image files, whose reading {images.given[0]} tells; leave that out.")
    if leave_out and form not in ("parquet", "saved"):
        raise DataError(f"{source} has no columns to leave out; leave --leave-out out.")
    if form == "npy":
        return npy_stream(path, grid)
    if form == "parquet":
        return parquet_stream(path, columns, leave_out)
    if form == "saved":
        return saved_stream(path, columns, leave_out, how)
    return tar_stream(_shards(source), how, grid, str(source)) if form == "tar" else pictures_stream(path, how, labels)


def many_parquet(source: str | Path) -> bool:
    """Whether a source is a folder with .parquet files, or a pattern of such."""
    return not Path(source).is_file() and form_of(source) == "parquet"


def too_large(source: str | Path, grid: Grid | None = None) -> bool:
    """Whether a source can be read as it is needed and does not fit into memory comfortably, or only comes so."""
    form, path = form_of(source), Path(source)
    if form in ("tar", "saved") or (form == "parquet" and not path.is_file()):
        return True
    if form != "npy":
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


def many_images(source: str | Path) -> bool:
    """Whether a source is a folder of more than 10,000 image files, by their names alone."""
    if str(source) in BUILTIN or not Path(source).is_dir():
        return False
    found = 0
    for _, folders, names in os.walk(source):
        found += sum(name[name.rfind(".") :].lower() in _IMAGES for name in names if not name.startswith("."))
        folders[:] = [name for name in folders if not name.startswith(".")]
        if found > _MANY:
            return form_of(source) == "images"
    return False


def _endings(names: Iterable[str]) -> set[str]:
    """What the names of files end with, from their last dot on: there may be a million of them."""
    return {"." + end for start, _, end in (name.rpartition(".") for name in names) if start}


def _shards(source: str | Path) -> list[Path]:
    """The .tar files that a file, a folder or a pattern means, by their names."""
    path = Path(source)
    if path.is_file():
        return [path]
    found = path.glob("*.tar") if path.is_dir() else map(Path, glob.glob(str(source))) if "*" in str(source) else ()
    return sorted(one for one in found if one.suffix.lower() == ".tar" and one.is_file())
