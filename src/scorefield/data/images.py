"""A folder of images."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from scorefield import _files, _memory
from scorefield.data.dataset import Array, DataError, Dataset, check_count

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_CONVERTED = {"1": "L", "P": "RGB", "PA": "RGBA", "LA": "RGBA"}  # modes that PIL expands; I;16 is 16-bit grey
_BYTES = {"L": 1, "RGB": 3, "RGBA": 4, "I;16": 2}  # of a pixel, by mode


def find_images(folder: Path) -> list[Path]:
    """The image files of a folder, or else those of its subfolders, sorted by name; hidden files are not seen."""
    return _inside(folder) or [path for sub in _subfolders(folder) for path in _inside(sub)]


def read_folder(folder: Path, labels: bool = True) -> Dataset:
    """The images of a folder, sorted by name; those of subfolders have the subfolder as class label.

    Palette images become RGB and one-bit images grey. Files that are no images by their suffix are passed over.

    Raises:
        DataError: naming the file: no images, images both in the folder and in subfolders, an unreadable image, images
            of different sizes or modes.
    """
    here, subfolders = _inside(folder), [sub for sub in _subfolders(folder) if _inside(sub)]
    if here and subfolders and labels:
        raise DataError(
            f"{folder} has images of its own ({here[0].name}, ...) and in subfolders ({subfolders[0].name}, ...); "
            "subfolders are class labels: move them all into subfolders, or all out."
        )
    names = [sub.name for sub in subfolders]
    if labels and names and {name.lower() for name in names} <= {"train", "test", "val", "valid", "validation"}:
        raise DataError(
            f"{folder} has the subfolders {', '.join(names)}, a split and no classes; give {subfolders[0]}."
        )
    files = here if here else [path for sub in subfolders for path in _inside(sub)]
    if not files:
        raise DataError(f"{folder} holds no images ({' '.join(SUFFIXES)}).")
    check_count(len(files), str(folder), "images")
    records = _read_all(files)
    if here or not labels:
        return Dataset(records, "image", source=str(folder))
    y = np.repeat(np.arange(len(subfolders)), [len(_inside(sub)) for sub in subfolders]).astype(np.int64)
    return Dataset(records, "image", labels=y, source=str(folder), classes=tuple(names))


def read_image(path: Path) -> Array:
    """The pixels of an image file, `(h, w)` or `(h, w, c)`; palettes become RGB and one-bit images grey.

    Raises:
        DataError: naming the file, for what is no image, or too large for the memory.
    """
    return _read(path)[0]


def _inside(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
    )


def _subfolders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _read_all(files: list[Path]) -> Array:
    """All images as one array `(n, h, w)` or `(n, h, w, c)`."""
    first, first_mode = _read(files[0], len(files))
    records = np.empty((len(files), *first.shape), first.dtype)
    for i, path in enumerate(files):
        image, mode = _read(path)
        if image.shape[:2] != first.shape[:2]:
            raise DataError(
                f"{path} is {_size(image)} pixels and {files[0].name} is {_size(first)} (width x height); "
                "all images need one size."
            )
        if mode != first_mode:
            raise DataError(f"{path} has the mode {mode} and {files[0].name} the mode {first_mode}; all need one mode.")
        records[i] = image
    return records


def _read(path: Path, count: int = 1) -> tuple[Array, str]:
    """The pixels and the mode of an image; `count` of its size must fit into memory."""
    from PIL import Image

    with _files.reading(path, "an image", DataError), warnings.catch_warnings():
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            mode = _CONVERTED.get(image.mode, image.mode)
            too_much = _memory.lacking((count + 2) * image.width * image.height * _BYTES.get(mode, 4))
            if too_much:
                raise DataError(f"{path} has {image.width}x{image.height} pixels, and with {count} of it {too_much}.")
            image.load()
            pixels = np.asarray(image.convert(mode) if mode != image.mode else image)
    if mode not in _BYTES:
        raise DataError(f"{path} has the mode {mode}; grey, RGB and RGBA images are read, or save the arrays as .npz.")
    return pixels.astype(np.uint16) if mode == "I;16" else pixels, mode


def _size(image: Array) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
