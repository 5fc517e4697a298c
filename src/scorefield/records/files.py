"""Sources read as the images that a model was fitted to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _files
from scorefield.data import DataError, Dataset, ImageReading, load
from scorefield.data.dataset import Grid, grid_of
from scorefield.data.reading import is_folder_of_images
from scorefield.data.streams import Stream, open_stream
from scorefield.data.streams.opening import form_of, many_images, too_large
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
    leave_out: Sequence[str] = (),
    labels: bool = True,
) -> Dataset | Stream:
    """A source to fit a model to, in memory, or as a stream where it is too large for that or told to be one.

    Args:
        source: as `read_to_fit`, or a stream.
        images: how the image files of a folder become pixels.
        folder: of the training that is resumed, as which the source is opened again.
        report: hears how far the reading of a folder is.
        grid: "series" or "volume", as `data.load`.
        stream: whether records are read as they are needed; None: where they do not fit into memory comfortably.
        leave_out: columns that are not read, of tables that are read as they are needed.
        labels: False leaves class labels out, of a stream.

    Raises:
        DataError: for data that cannot be read, or not as they are needed.
    """
    if isinstance(source, Stream):
        return source
    if not is_streamed(source, stream, folder, grid):
        if leave_out:
            raise DataError(f"{source} is not read as it is needed, so no columns are left out of it; see --stream.")
        return read_to_fit(source, images, folder, report, grid)
    if isinstance(source, Dataset):
        raise DataError(f"{source.source} is in memory already; leave stream out.")
    stored = stored_options(folder)
    with _files.reading(Path(source), "the source of a training", DataError):
        images = images or remembered(stored)
        columns = stored.get("columns") or None
    return open_stream(
        source,
        grid or grid_of(stored.get("grid")),
        images=images,
        columns=columns,
        leave_out=() if columns else leave_out,
        labels=labels,
    )


def is_streamed(
    source: str | Path | Dataset, stream: bool | None, folder: Path | None = None, grid: Grid | None = None
) -> bool:
    """Whether a training reads its records as they are needed.

    Args:
        source: of the records.
        stream: what is told; None: as the training in `folder` began, else where they do not fit into memory, or are
            more image files than are decoded quickly.
        folder: of a training that is resumed.
        grid: "series" or "volume", as `data.load`.
    """
    if stream is not None:
        return stream
    stored = stored_options(folder)
    if stored:
        return "stream" in stored
    return not isinstance(source, Dataset) and (too_large(source, grid) or (grid is None and many_images(source)))


def stored_options(folder: Path | None) -> dict[str, Any]:
    """The options of the training in a folder; none where there is none."""
    return _files.read_json(folder / OPTIONS) if folder is not None and (folder / OPTIONS).exists() else {}


def streamed_like(model: TrainedModel, source: str | Path | Dataset) -> Stream | None:
    """A source as a stream, where the model was fitted to one of its records or it is too large; else None.

    Raises:
        DataError: for what cannot be read so.
    """
    data = model.info.get("data", {})
    if isinstance(source, Dataset):
        return None
    grid = grid_of(data.get("kind"))
    if too_large(source, grid) or ("stream" in data and form_of(source)):
        columns = data.get("columns") if data.get("kind") == "table" else None
        return open_stream(source, grid, images=reading_of(model), columns=columns)
    return None
