"""Arrays of numbers, in memory or in .npy and .npz files."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from scorefield.data.dataset import Array, DataError, Dataset

_RECORDS = ("x_train", "x", "images", "data", "arr_0")
_LABELS = ("y_train", "y", "labels")


def from_array(records: Array, source: str = "array") -> Dataset:
    """An array as a data set: `(n,)` and `(n, d)` are rows of numbers, `(n, h, w)` and `(n, h, w, c)` images.

    Integer images become uint8 (values up to 255) or uint16; floats become float32 or float64.

    Raises:
        DataError: for another number of dimensions, for values that are not numbers, for channels before height.

    Example:
        >>> from_array(np.zeros((50, 2)))
        Dataset('array': 50 rows x 2 columns (x0, x1))
    """
    if records.dtype.kind not in "biuf":
        fields = f" with the fields {', '.join(records.dtype.names)}" if records.dtype.names else ""
        raise DataError(f"{source} holds {records.dtype.name} values{fields}, not numbers; give a plain numeric array.")
    if records.ndim in (3, 4):
        return Dataset(_images(records, source), "image", source=source)
    if records.ndim not in (1, 2) or 0 in records.shape:
        raise DataError(
            f"{source} has the shape {records.shape}; records come as (n, d), images as (n, h, w) or (n, h, w, c)."
        )
    table = np.array(records.reshape(len(records), -1), dtype=np.float64, order="C")
    return Dataset(table, "array", tuple(f"x{j}" for j in range(table.shape[1])), source=source)


def _images(records: Array, source: str) -> Array:
    if 0 in records.shape:
        raise DataError(f"{source} has the shape {records.shape}: there is nothing in it.")
    if records.ndim == 4 and records.shape[1] <= 4 < records.shape[3]:
        raise DataError(
            f"{source} has the shape {records.shape}, which looks like channels before height; "
            "images come as (n, h, w, c): use numpy.moveaxis(x, 1, -1)."
        )
    if records.dtype.kind == "f":
        return records.astype({2: np.float32, 4: np.float32, 8: np.float64}.get(records.dtype.itemsize, np.float64))
    low, high = int(records.min()), int(records.max())
    if low < 0 or high > 65535:
        raise DataError(f"{source} holds integer pixels from {low} to {high}; they must lie in 0..255 or 0..65535.")
    if records.dtype == np.uint16:
        return records
    return records.astype(np.uint8 if high <= 255 else np.uint16)


def read_npy(path: Path) -> Dataset:
    """One array from a .npy file."""
    try:
        records = np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise _unreadable(path, error) from None
    return from_array(records, str(path))


def read_npz(path: Path, labels: bool = True) -> Dataset:
    """Records, and where they are there test records, labels and column names, from the arrays of a .npz file.

    Records are the array x_train, x, images, data or arr_0, or the only one there is; x_test is held out; y_train, y or
    labels, and y_test, are class labels; columns are names. Other arrays are left alone.

    Raises:
        DataError: for a file that is none, or when it does not say which array holds the records.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            names = {name.lower(): name for name in file.files}
            name = _only(names, _RECORDS) or (file.files[0] if len(file.files) == 1 else None)
            if name is None:
                raise _ambiguous(path, file)
            dataset = from_array(file[name], str(path))
            held = file[names["x_test"]] if "x_test" in names else None
            columns = file[names["columns"]] if "columns" in names else None
            y, y_test = _read_labels(path, file, names, labels)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise error if isinstance(error, DataError) else _unreadable(path, error) from None
    return _assembled(dataset, held, columns, y, y_test, path)


def _assembled(
    dataset: Dataset, held: Array | None, columns: Array | None, y: Array | None, y_test: Array | None, path: Path
) -> Dataset:
    if held is not None:
        test = from_array(held, f"{path} (x_test)").records
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


def _read_labels(
    path: Path, file: Mapping[str, Array], names: Mapping[str, str], wanted: bool
) -> tuple[Array | None, Array | None]:
    if not wanted:
        return None, None
    name = _only(names, _LABELS)
    if name is None and any(key in names for key in _LABELS):
        raise DataError(f"{path} has more than one array of labels ({', '.join(k for k in _LABELS if k in names)}).")
    y = None if name is None else _labels(file[name], f"{path} ({name})")
    y_test = _labels(file[names["y_test"]], f"{path} (y_test)") if "y_test" in names and "x_test" in names else None
    return y, y_test


def _labels(values: Array, source: str) -> Array:
    """Class labels as `(n,)` int64."""
    values = values.reshape(-1) if values.ndim == 2 and values.shape[1] == 1 else values
    fix = "class labels are (n,) whole numbers from 0 on; without them load with labels=False"
    if values.ndim != 1 or values.dtype.kind not in "biuf":
        raise DataError(f"{source} has the shape {values.shape} and the type {values.dtype}; {fix}.")
    bad = np.flatnonzero((values != np.rint(values)) | (values < 0))
    if len(bad):
        raise DataError(f"{source} holds {values[bad[0]]} in data row {int(bad[0]) + 1} (counted from 1); {fix}.")
    return values.astype(np.int64)


def _ambiguous(path: Path, file: Mapping[str, Array]) -> DataError:
    arrays = []
    for name in file:
        try:
            arrays.append(f"{name} {file[name].shape}")
        except ValueError:
            arrays.append(f"{name} (Python objects)")
    return DataError(
        f"{path} does not say which array holds the records; it has {', '.join(arrays) or 'none'}; "
        "name one x (labels y), or x_train and x_test."
    )


def _unreadable(path: Path, error: BaseException) -> DataError:
    if "pickle" in str(error).lower():
        return DataError(f"{path} is no plain array (Python objects are not read, nor is a foreign file).")
    return DataError(f"{path} cannot be read as {path.suffix}: {str(error).splitlines()[0].rstrip('.')}.")
