"""Arrays of numbers, in memory or in .npy and .npz files."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from scorefield import _files, _memory
from scorefield.data.dataset import Array, DataError, Dataset, Grid, grid_of, in_words

_RECORDS = ("x_train", "x", "images", "data", "arr_0")
_LABELS = ("y_train", "y", "labels")
_MOST_CLASSES = 1 << 16  # a network has a row for each class up to the greatest label


def from_array(records: Array, source: str = "array", grid: Grid | None = None) -> Dataset:
    """An array as a data set: `(n,)` and `(n, d)` are rows of numbers, `(n, h, w)` and `(n, h, w, c)` images.

    Integer images become uint8 (values up to 255) or uint16; floats become float32 or float64. Series are `(n, length)`
    or `(n, length, c)`, volumes `(n, depth, h, w)` or `(n, depth, h, w, c)`, where `grid` says so: floats.

    Raises:
        DataError: for another number of dimensions, for values that are not numbers, for channels before height.

    Example:
        >>> from_array(np.zeros((50, 2)))
        Dataset('array': 50 rows x 2 columns (x0, x1))
    """
    if records.dtype.kind not in "biuf":
        fields = f" with the fields {_files.shortened(', '.join(records.dtype.names))}" if records.dtype.names else ""
        kind = _files.shortened(records.dtype.name)
        raise DataError(f"{source} holds {kind} values{fields}, not numbers; give a plain numeric array.")
    if grid is not None:
        return Dataset(_gridded(records, source, grid), grid, source=source)
    if records.ndim in (3, 4):
        return Dataset(_images(records, source), "image", source=source)
    if records.ndim not in (1, 2) or 0 in records.shape:
        raise DataError(
            f"{source} has the shape {records.shape}; records come as (n, d), images as (n, h, w) or (n, h, w, c)."
        )
    table = np.array(records.reshape(len(records), -1), dtype=np.float64, order="C")
    return Dataset(table, "array", tuple(f"x{j}" for j in range(table.shape[1])), source=source)


def check_gridded(shape: tuple[int, ...], source: str, grid: Grid) -> None:
    """Raise unless an array of this shape holds series, or volumes."""
    least, form = (2, "(n, length) or (n, length, channels)") if grid == "series" else (
        4, "(n, depth, height, width) or (n, depth, height, width, channels)")  # fmt: skip
    if len(shape) not in (least, least + 1) or 0 in shape:
        raise DataError(f"{source} has the shape {shape}; {in_words(grid)} come as {form}.")


def check_images(shape: tuple[int, ...], source: str) -> None:
    """Raise for an array of 3 or 4 dimensions that is empty, or has its channels before its height."""
    if 0 in shape:
        raise DataError(f"{source} has the shape {shape}: there is nothing in it.")
    if len(shape) == 4 and shape[1] <= 4 < shape[3]:
        raise DataError(
            f"{source} has the shape {shape}, which looks like channels before height; "
            "images come as (n, h, w, c): use numpy.moveaxis(x, 1, -1)."
        )


def _gridded(records: Array, source: str, grid: Grid) -> Array:
    check_gridded(records.shape, source, grid)
    return records.astype(np.float32 if records.dtype == np.float32 else np.float64)


def _images(records: Array, source: str) -> Array:
    check_images(records.shape, source)
    if records.dtype.kind == "f":
        return records.astype({2: np.float32, 4: np.float32, 8: np.float64}.get(records.dtype.itemsize, np.float64))
    low, high = int(records.min()), int(records.max())
    if low < 0 or high > 65535:
        raise DataError(f"{source} holds integer pixels from {low} to {high}; they must lie in 0..255 or 0..65535.")
    if records.dtype == np.uint16:
        return records
    return records.astype(np.uint8 if high <= 255 else np.uint16)


def read_npy(path: Path, grid: Grid | None = None) -> Dataset:
    """One array from a .npy file; `grid` as `from_array`.

    Raises:
        DataError: for a file that is none, or that tells of more than it holds or memory takes.
    """
    with _files.reading(path, ".npy", DataError), path.open("rb") as file:
        records = array_of_npy(file, path.stat().st_size, str(path))
    return from_array(records, str(path), grid)


def read_npz(path: Path, labels: bool = True, grid: Grid | None = None) -> Dataset:
    """Records, and where they are there test records, labels and column names, from the arrays of a .npz file.

    Records are the array x_train, x, images, data or arr_0, or the only one there is; x_test is held out; y_train, y or
    labels, and y_test, are class labels; columns are names. Other arrays are left alone.

    Raises:
        DataError: for a file that is none, that tells of more than it holds or memory takes, or that does not say which
            array holds the records.
    """
    with _files.reading(path, ".npz", DataError), zipfile.ZipFile(path) as archive:
        members = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
        names = {name.lower(): name for name in members}
        name = _only(names, _RECORDS) or (members[0] if len(members) == 1 else None)
        if name is None:
            raise _ambiguous(path, archive, members)
        wanted: dict[str, str] = {"x": name, **{key: names[key] for key in ("x_test", "columns") if key in names}}
        wanted |= _label_names(path, names) if labels else {}
        arrays = {key: _member(archive, member, path) for key, member in wanted.items()}
    dataset = from_array(arrays["x"], str(path), grid)
    y, y_test = (_labels(arrays[key], f"{path} ({wanted[key]})") if key in arrays else None for key in ("y", "y_test"))
    return _assembled(dataset, arrays.get("x_test"), arrays.get("columns"), y, y_test, path)


def read_array(path: Path) -> Array:
    """The array of a .npy file, or the only one of a .npz file, as it is.

    Raises:
        DataError: for a file that is none, that tells of more than it holds or memory takes, for an archive of several
            arrays, or for values that are no numbers.
    """
    if path.suffix.lower() == ".npy":
        with _files.reading(path, ".npy", DataError), path.open("rb") as file:
            array = array_of_npy(file, path.stat().st_size, str(path))
    else:
        with _files.reading(path, ".npz", DataError), zipfile.ZipFile(path) as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            if len(members) != 1:
                raise DataError(f"{path} must hold one array, got {len(members)}; save the one alone.")
            array = _member(archive, members[0], path)
    if array.dtype.kind not in "biuf":
        raise DataError(f"{path} holds {_files.shortened(array.dtype.name)} values, not numbers.")
    return array


def array_of_npy(file: IO[bytes], size: int, source: str) -> Array:
    """The array of an open .npy file of a size in bytes, whose header is held against the size and against memory.

    Raises:
        DataError: for one that tells of more than it holds or memory takes, or of Python objects.
    """
    shape, _, dtype = npy_header(file, source)
    told, held = math.prod(shape) * dtype.itemsize, size - file.tell()
    if told > held:
        raise DataError(
            f"{source} tells of an array of shape {_files.shown(shape)} and {_memory.in_words(told)}, and holds "
            f"{_memory.in_words(held)}: it is cut short or damaged."
        )
    too_much = _memory.lacking(told + (8 * math.prod(shape) if len(shape) <= 2 else told))
    if too_much:
        raise DataError(f"{source}, an array of shape {shape}, {too_much}.")
    file.seek(0)
    array: Array = np.lib.format.read_array(file, allow_pickle=False)
    return array


def npy_header(file: IO[bytes], source: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape of an open .npy file, whether it is laid out by columns (Fortran order), and its type.

    Raises:
        DataError: for Python objects, and for a shape that there is not.
    """
    version = np.lib.format.read_magic(file)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise DataError(f"{source} is a .npy file of version {version}; save a plain numeric array with numpy.save.")
    shape, by_columns, dtype = read(file)
    if dtype.hasobject:
        raise DataError(f"{source} is no plain array (Python objects are not read).")
    if any(size < 0 for size in shape) or len(shape) > 32:
        raise DataError(f"{source} tells of an array of shape {_files.shown(shape)}, which there is not.")
    return shape, by_columns, dtype


_DEFLATED = 1032  # times its size that deflated data can grow to


def _member(archive: zipfile.ZipFile, name: str, path: Path) -> Array:
    """An array of a .npz archive."""
    member = archive.getinfo(f"{name}.npy")
    packed = min(member.compress_size, path.stat().st_size)
    if (
        member.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
        and member.file_size > _DEFLATED * packed + 64
    ):
        told = _memory.in_words(member.file_size)
        raise DataError(f"{path} ({name}) tells of {told} in {_memory.in_words(packed)}: it is damaged.")
    with archive.open(member) as file:
        return array_of_npy(file, member.file_size, f"{path} ({name})")


def _assembled(
    dataset: Dataset, held: Array | None, columns: Array | None, y: Array | None, y_test: Array | None, path: Path
) -> Dataset:
    if held is not None:
        test = from_array(held, f"{path} (x_test)", grid_of(dataset.kind)).records
        if test.shape[1:] != dataset.shape:
            raise DataError(f"{path}: x_test has records of shape {test.shape[1:]}, the others {dataset.shape}.")
        held = test.astype(dataset.records.dtype) if _is_wider(dataset.records, test) else test
        if held.dtype != dataset.records.dtype:
            raise DataError(f"{path}: x_test holds {held.dtype} and the others {dataset.records.dtype}; use one type.")
    for name, labels, n in (("", y, len(dataset)), (" of x_test", y_test, 0 if held is None else len(held))):
        if labels is not None and len(labels) != n:
            raise DataError(f"{path}: there are {len(labels)} labels for {n} records{name}; one for each is needed.")
    names = dataset.columns
    if columns is not None and names is not None:
        if columns.shape != (len(names),):
            raise DataError(f"{path}: 'columns' has the shape {columns.shape}; {len(names)} names are needed.")
        names = tuple(str(name) for name in columns)
    kind = "table" if dataset.kind == "array" and columns is not None else dataset.kind
    return Dataset(dataset.records, kind, names, y, str(path), held, y_test)


def _is_wider(records: Array, test: Array) -> bool:
    return np.can_cast(test.dtype, records.dtype) and test.dtype.kind == records.dtype.kind


def _only(names: Mapping[str, str], wanted: tuple[str, ...]) -> str | None:
    """The one array of these names, None when there is none or more than one."""
    found = [names[name] for name in wanted if name in names]
    return found[0] if len(found) == 1 else None


def _label_names(path: Path, names: Mapping[str, str]) -> dict[str, str]:
    """The arrays that hold labels, `y` and `y_test`, where they are there."""
    name = _only(names, _LABELS)
    if name is None and any(key in names for key in _LABELS):
        raise DataError(f"{path} has more than one array of labels ({', '.join(k for k in _LABELS if k in names)}).")
    found = {} if name is None else {"y": name}
    return found | ({"y_test": names["y_test"]} if "y_test" in names and "x_test" in names else {})


def _labels(values: Array, source: str) -> Array:
    """Class labels as `(n,)` int64."""
    values = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    fix = f"class labels are (n,) whole numbers from 0 on, below {_MOST_CLASSES:,}; without them load with labels=False"
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise DataError(f"{source} has the shape {values.shape} and the type {values.dtype}; {fix}.")
    bad = np.flatnonzero((values != np.rint(values)) | (values < 0) | (values >= _MOST_CLASSES))
    if len(bad):
        raise DataError(f"{source} holds {values[bad[0]]} in data row {int(bad[0]) + 1} (counted from 1); {fix}.")
    return values.astype(np.int64)


def _ambiguous(path: Path, archive: zipfile.ZipFile, members: list[str]) -> DataError:
    arrays = []
    for name in members[:12]:
        with archive.open(f"{name}.npy") as file:
            try:
                arrays.append(f"{_files.shortened(name)} {npy_header(file, name)[0]}")
            except DataError:
                arrays.append(f"{_files.shortened(name)} (Python objects)")
    return DataError(
        f"{path} does not say which array holds the records; it has {', '.join(arrays) or 'none'}; "
        "name one x (labels y), or x_train and x_test."
    )
