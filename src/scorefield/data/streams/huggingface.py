"""A data set that Hugging Face's `datasets` saved to a folder, as a stream; read by pyarrow, without that library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scorefield import _files
from scorefield.data.dataset import Array, DataError
from scorefield.data.image_reading import ImageReading
from scorefield.data.imagefile import AS_FOUND, read_picture
from scorefield.data.images import check_like
from scorefield.data.streams.parquet import chosen, number_type, numbers
from scorefield.data.streams.stream import Stream


def is_saved(folder: Path) -> bool:
    """Whether `Dataset.save_to_disk` wrote a folder."""
    return (folder / "state.json").is_file() and (folder / "dataset_info.json").is_file()


def saved_stream(
    folder: str | Path,
    columns: Sequence[str] | None = None,
    leave_out: Sequence[str] = (),
    how: ImageReading = AS_FOUND,
) -> Stream:
    """The rows of a folder of `datasets.Dataset.save_to_disk`: columns of numbers, or one of images with their label.

    Args:
        folder: that was saved; of several splits give one.
        columns: to read, in their order; default: all.
        leave_out: columns that are not read.
        how: how images become pixels.

    Raises:
        DataError: for a folder that is none, rows that were selected or shuffled without `flatten_indices`, columns
            that are neither numbers nor images.
    """
    folder = Path(folder)
    state = _files.read_json(folder / "state.json")
    if state.get("_indices_data_files"):
        raise DataError(f"{folder} holds rows that were selected or shuffled: save dataset.flatten_indices() instead.")
    with _files.reading(folder / "state.json", "the state of a saved data set", DataError):
        files = [folder / Path(one["filename"]).name for one in state["_data_files"]]
    batches = [batch for path in files for batch in _batches(path)]
    if not batches:
        raise DataError(f"{folder} holds no rows.")
    schema = batches[0].schema
    names = chosen(schema.names, columns, leave_out, str(folder))
    sizes = np.array([batch.num_rows for batch in batches], np.int64)
    image = next((name for name in names if _is_image(schema.field(name).type)), None)
    if image is not None:
        return _pictures(folder, batches, sizes, names, image, how)
    kind = number_type(schema, names, str(folder))
    return Stream(str(folder), "table", (len(names),), kind, sizes, lambda k: numbers(batches[k], names, kind), names)


def _batches(path: Path) -> list[Any]:
    """The record batches of a file, which stay on the disk until they are read."""
    import pyarrow as pa

    with _files.reading(path, "an arrow stream", DataError):
        return [batch for batch in pa.ipc.open_stream(pa.memory_map(str(path))) if batch.num_rows]


def _is_image(kind: Any) -> bool:
    import pyarrow as pa

    return pa.types.is_struct(kind) and {field.name for field in kind} >= {"bytes", "path"}


def _pictures(
    folder: Path, batches: list[Any], sizes: Array, names: Sequence[str], image: str, how: ImageReading
) -> Stream:
    others = [name for name in names if name != image]
    schema = batches[0].schema
    if len(others) > 1 or number_type(schema, others, str(folder)).kind != "f":
        some = _files.shortened(", ".join(others))
        raise DataError(f"{folder} has beside {image!r} the columns {some}; a label at most, leave the others out.")

    def one(k: int, i: int) -> Any:
        name = folder / f"row {int(sizes[:k].sum()) + i + 1}"
        content = batches[k].column(schema.get_field_index(image))[i].as_py()
        if not content or not content.get("bytes"):
            raise DataError(f"{name} holds no bytes of its image, but a path at most; save it with its bytes.")
        return name, read_picture(name, how, content["bytes"])

    first_name, first = one(0, 0)

    def like_first(k: int, i: int) -> Array:
        name, picture = one(k, i)
        check_like(name, picture, first_name, first)
        pixels: Array = picture.pixels
        return pixels

    def read(k: int) -> Array:
        return np.stack([like_first(k, i) for i in range(int(sizes[k]))])

    def pick(rows: Array) -> Array:
        ends = np.cumsum(sizes)
        home = np.searchsorted(ends, rows, side="right")
        return np.stack([like_first(int(k), int(row - ends[k] + sizes[k])) for row, k in zip(rows, home, strict=True)])

    labels = None
    if others:
        found = np.concatenate([numbers(batch, others, np.dtype(np.float64))[:, 0] for batch in batches])
        if not np.array_equal(found, np.rint(found)) or found.min() < 0 or found.max() >= 1 << 16:
            raise DataError(f"{folder}: column {others[0]!r} holds no class labels (0, 1, ...); leave it out.")
        labels = found.astype(np.int64)
    return Stream(
        str(folder), "image", first.pixels.shape, first.pixels.dtype, sizes, read, None, pick, labels,
        how.to_json() or None, decoded=True,
    )  # fmt: skip
