"""Sources read as the images that a model was fitted to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _files
from scorefield.data import DataError, Dataset, ImageReading, load
from scorefield.data.dataset import Grid, grid_of
from scorefield.data.reading import is_folder_of_images
from scorefield.data.streams import Stream, open_stream
from scorefield.data.streams.opening import can_stream, too_large
from scorefield.progress import Report, silent
from scorefield.training.run import OPTIONS

if TYPE_CHECKING:
    from scorefield.records.trained import TrainedModel


def remembered(stored: Mapping[str, Any]) -> ImageReading | None:
    """How the image files were read that a model was fitted to; None: as they are."""
    return ImageReading.from_json(stored["images"]) if stored.get("images") else None


def reading_of(model: TrainedModel) -> ImageReading | None:
    """How a run's image files were read; None: as they are."""
    return remembered(model.info.get("data", {}))


def read_like(model: TrainedModel, source: str | Path | Dataset) -> Dataset:
    """A source, a folder of images read as the one that the model was fitted to.

    Raises:
        DataError: for what cannot be read.
    """
    grid = grid_of(model.info.get("data", {}).get("kind"))
    return load(source, images=reading_of(model) if is_folder_of_images(source) else None, grid=grid)


def read_to_fit(
    source: str | Path | Dataset,
    images: ImageReading | None = None,
    folder: Path | None = None,
    report: Report = silent,
    grid: Grid | None = None,
) -> Dataset:
    """A source to fit a model to; a folder of images whose training is resumed is read as when that began.

    Args:
        source: a file, a folder of images, the name of a built-in data set, or a `Dataset`.
        images: how the image files of a folder become pixels.
        folder: of the training that is resumed.
        report: hears how far the reading of a folder is.
        grid: "series" or "volume", as `data.load`.

    Raises:
        DataError: for data that cannot be read.
    """
    path = None if folder is None else folder / OPTIONS
    if path is not None and path.exists():
        stored = _files.read_json(path)
        with _files.reading(path, "the options of a training"):
            if images is None and is_folder_of_images(source):
                images = remembered(stored)
            grid = grid or grid_of(stored.get("grid"))
    return load(source, images=images, grid=grid, report=report)


def open_to_fit(
    source: str | Path | Dataset | Stream,
    images: ImageReading | None = None,
    folder: Path | None = None,
    report: Report = silent,
    grid: Grid | None = None,
    stream: bool | None = None,
) -> Dataset | Stream:
    """A source to fit a model to, in memory, or as a stream where it is too large for that or told to be one.

    Args:
        source: as `read_to_fit`, or a stream.
        images: how the image files of a folder become pixels.
        folder: of the training that is resumed, as which the source is opened again.
        report: hears how far the reading of a folder is.
        grid: "series" or "volume", as `data.load`.
        stream: whether records are read as they are needed; None: where they do not fit into memory comfortably.

    Raises:
        DataError: for data that cannot be read, or not as they are needed.
    """
    if isinstance(source, Stream):
        return source
    stored = _files.read_json(folder / OPTIONS) if folder is not None and (folder / OPTIONS).exists() else {}
    if stored and stream is None:
        stream = "stream" in stored
    if stream is None and not isinstance(source, Dataset):
        stream = too_large(source, grid)
    if not stream:
        return read_to_fit(source, images, folder, report, grid)
    if isinstance(source, Dataset):
        raise DataError(f"{source.source} is in memory already; leave stream out.")
    if images is not None:
        raise DataError(f"{source} is no folder of images, whose reading {images.given[0]} tells; leave that out.")
    return open_stream(source, grid or grid_of(stored.get("grid")))


def streamed_like(model: TrainedModel, source: str | Path | Dataset) -> Stream | None:
    """A source as a stream, where the model was fitted to one of its records or it is too large; else None.

    Raises:
        DataError: for what cannot be read so.
    """
    data = model.info.get("data", {})
    if isinstance(source, Dataset):
        return None
    grid = grid_of(data.get("kind"))
    if too_large(source, grid) or ("stream" in data and can_stream(source)):
        return open_stream(source, grid)
    return None
