"""Where data come from: a file, a folder, an array, or a built-in name."""

from __future__ import annotations

import difflib
from dataclasses import replace
from pathlib import Path

import numpy as np

from scorefield.data.arrays import from_array, read_npy, read_npz
from scorefield.data.builtin import BUILTIN, builtin
from scorefield.data.dataset import Array, DataError, Dataset, Grid, checked, in_words
from scorefield.data.image_reading import ImageReading
from scorefield.data.imagefile import AS_FOUND
from scorefield.data.images import find_images, read_folder
from scorefield.progress import Report, silent

_SUFFIXES = (".csv", ".parquet", ".npy", ".npz")


def load(
    source: str | Path | Array | Dataset,
    *,
    labels: bool = True,
    images: ImageReading | None = None,
    grid: Grid | None = None,
    report: Report = silent,
) -> Dataset:
    """A data set from a file, a folder of images, an array or a built-in name, checked.

    A file or a folder with images wins over the built-in data set of the same name.

    Args:
        source: a .csv, .parquet, .npy or .npz file; a folder of images, whose subfolders are class labels; an array
            `(n, d)`, or images `(n, h, w)` or `(n, h, w, c)`; a built-in name (digits, mnist, wine, breast_cancer,
            diabetes, iris, ring, moons, checkerboard, spirals); a Dataset, which is checked again.
        labels: False leaves class labels out; of a folder of images it takes all in it, however deep.
        images: how the image files of a folder become pixels; default: as they are, all of one size and mode.
        grid: "series" or "volume": records are these, not rows or images; see `from_array`. Rows of a table of numbers
            may be series.
        report: hears how far the reading of a folder is.

    Raises:
        DataError: one sentence naming the file and, where they apply, the column and the data row (counted from 1).
        TypeError: for anything else as source.

    Example:
        >>> load("ring").shape
        (2,)
    """
    if images is not None and images.given and not is_folder_of_images(source):
        name = source if isinstance(source, str | Path) else f"this {type(source).__name__}"
        raise DataError(f"{name} is no folder of images, whose reading {images.given[0]} tells; leave that out.")
    if isinstance(source, Dataset):
        dataset = source
    elif isinstance(source, np.ndarray):
        dataset = from_array(source, grid=grid)
    elif isinstance(source, str | Path):
        dataset = _from_name(source, labels, images or AS_FOUND, grid, report)
    else:
        raise TypeError(
            f"load takes a path, a built-in name, a numpy array or a Dataset, got {type(source).__name__}; "
            "convert it with numpy.asarray."
        )
    if grid is not None and dataset.kind != grid:
        if dataset.kind == "image" or grid == "volume":
            raise DataError(f"{dataset.source} holds no {in_words(grid)}; give a .npy or .npz file of them.")
        dataset = replace(dataset, kind=grid, columns=None)
    if not labels:
        dataset = replace(dataset, labels=None, held_labels=None, classes=None)
    return checked(dataset)


def is_folder_of_images(source: object) -> bool:
    """Whether `load` takes a source for a folder of images: a folder, if it has no built-in name or holds images."""
    if not isinstance(source, str | Path) or not Path(source).is_dir():
        return False
    return str(source) not in BUILTIN or bool(find_images(Path(source)))


def _from_name(source: str | Path, labels: bool, images: ImageReading, grid: Grid | None, report: Report) -> Dataset:
    path, name = Path(source), str(source)
    if is_folder_of_images(source):
        return read_folder(path, labels, images, report)
    if name in BUILTIN and not path.is_file():
        return builtin(name)
    if not path.exists():
        raise _unknown(path, name)
    if not path.is_file():
        raise DataError(f"{path} is neither a file nor a folder.")
    suffix = path.suffix.lower()
    if suffix not in _SUFFIXES:
        raise DataError(
            f"{path} has the suffix {suffix or 'none'!r}; data come as {', '.join(_SUFFIXES)} or a folder of images."
        )
    if path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes).")
    if suffix == ".csv":
        from scorefield.data.tables import read_csv  # with all that reads texts, which images do not need

        return read_csv(path)
    if suffix == ".parquet":
        from scorefield.data.tables import read_parquet

        return read_parquet(path)
    return read_npy(path, grid) if suffix == ".npy" else read_npz(path, labels, grid)


def _unknown(path: Path, name: str) -> DataError:
    """No such thing: with the nearest built-in name, or the nearest file next to it."""
    near = difflib.get_close_matches(name, BUILTIN, 1)
    if not near and path.parent.is_dir():
        near = difflib.get_close_matches(path.name, [entry.name for entry in path.parent.iterdir()], 1)
    hint = f"; did you mean {near[0]!r}?" if near else "."
    return DataError(f"{name!r} is neither a file or folder nor a built-in data set ({', '.join(BUILTIN)}){hint}")
