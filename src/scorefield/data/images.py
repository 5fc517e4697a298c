"""A folder of images."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from scorefield import _memory
from scorefield.data.dataset import Array, DataError, Dataset, check_count
from scorefield.data.image_reading import ImageReading
from scorefield.data.imagefile import AS_FOUND, Picture, careful, read_picture
from scorefield.progress import Report, silent

SUFFIXES = (".png", ".jpg", ".jpeg", ".jfif", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".pgm", ".ppm", ".pbm", ".pnm")
_FOREIGN = (".heic", ".heif", ".avif", ".jp2", ".svg", ".psd", ".tga", ".dng", ".cr2", ".nef", ".arw")
_TOGETHER = 64  # images that a worker reads before it reports


class _Found(NamedTuple):
    """What a folder holds: image files and subfolders, each sorted by name."""

    images: list[Path]
    folders: list[Path]


def find_images(folder: Path) -> list[Path]:
    """The image files of a folder, or else those of its subfolders, sorted by name; hidden files are not seen."""
    found = _find(folder)
    return found.images or [path for sub in found.folders for path in _find(sub).images]


def read_folder(folder: Path, labels: bool = True, how: ImageReading = AS_FOUND, report: Report = silent) -> Dataset:
    """The images of a folder, sorted by name; those of subfolders have the subfolder as class label.

    They are upright, as their EXIF orientation says; palette images become RGB and one-bit images grey. Files that are
    no images by their suffix are passed over.

    Args:
        folder: to read.
        labels: False takes all images in it, however deep, as one class.
        how: what is told of the images.
        report: hears how far the reading is.

    Raises:
        DataError: naming the file: no images, images both in the folder and in subfolders or deeper than these, an
            unreadable image, images of different sizes or modes; as `read_picture`.
    """
    files, names, counts = image_classes(folder) if labels else (list(images_below(folder, set())), [], [])
    if not files:
        raise DataError(f"{folder} holds no images ({' '.join(SUFFIXES)}).")
    check_count(len(files), str(folder), "images")
    with careful():
        records, mode, changes = _read_all(files, how, report)
    told = how.to_json() or None
    dataset = Dataset(records, "image", source=str(folder), reading=told, said=_said(folder, records, mode, changes))
    if not names:
        return dataset
    y = np.repeat(np.arange(len(names)), counts).astype(np.int64)
    return Dataset(**{**vars(dataset), "labels": y, "classes": tuple(names)})


def _said(folder: Path, records: Array, mode: str, changes: Counter[str]) -> str:
    """What was done to images that their user may not know of."""
    if not changes:
        return ""
    done = ", ".join(f"{count:,} {what}" for what, count in sorted(changes.items()))
    name = {"L": "grey", "I;16": "16-bit grey"}.get(mode, mode)
    return f"{folder}: {len(records):,} images, read as {records.shape[2]}x{records.shape[1]} {name}: {done}."


# ------------------------------------------------------------------------------------------------------------- files


def _find(folder: Path) -> _Found:
    """What a folder holds that is not hidden."""
    images: list[str] = []  # names, which are sorted and checked far faster than paths
    folders: list[str] = []
    wrong: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif suffix in SUFFIXES:
                if entry.is_symlink() and not os.path.exists(entry.path):
                    wrong[entry.path] = "a link to nothing; mend it or take it away"
                if entry.is_file():
                    images.append(entry.name)
            elif suffix in _FOREIGN:
                wrong[entry.path] = "an image of a form that is not read; convert it or take it away"
    for path in sorted(wrong):
        raise DataError(f"{path} is {wrong[path]}.")
    return _Found([folder / name for name in sorted(images)], [folder / name for name in sorted(folders)])


def image_classes(folder: Path) -> tuple[list[Path], list[str], list[int]]:
    """The image files of a folder, and where they lie in subfolders the names of these and how many each has."""
    here, subfolders = _find(folder)
    found = {sub: _find(sub) for sub in subfolders}
    for sub in found.values():
        deep = next((path for below in sub.folders for path in images_below(below, set())), None)
        if deep is not None:
            raise DataError(
                f"{deep} lies {len(deep.relative_to(folder).parts) - 1} folders below {folder}, whose subfolders are "
                "class labels: move the images of a class into one folder of its name."
            )
    full = {sub: inside.images for sub, inside in found.items() if inside.images}
    if here and full:
        raise DataError(
            f"{folder} has images of its own ({here[0].name}, ...) and in subfolders ({next(iter(full)).name}, ...); "
            "subfolders are class labels: move them all into subfolders, or all out."
        )
    names = [sub.name for sub in full]
    if names and {name.lower() for name in names} <= {"train", "test", "val", "valid", "validation"}:
        raise DataError(
            f"{folder} has the subfolders {', '.join(names)}, a split and no classes; give {next(iter(full))}."
        )
    if here:
        return here, [], []
    return [path for files in full.values() for path in files], names, [len(files) for files in full.values()]


def images_below(folder: Path, seen: set[Path]) -> Iterator[Path]:
    """The image files of a folder and of all folders in it, each real folder once."""
    real = folder.resolve()
    if real in seen:
        return
    seen.add(real)
    found = _find(folder)
    yield from found.images
    for sub in found.folders:
        yield from images_below(sub, seen)


# ------------------------------------------------------------------------------------------------------------ pixels


def _read_all(files: list[Path], how: ImageReading, report: Report) -> tuple[Array, str, Counter[str]]:
    """All images as one array `(n, h, w)` or `(n, h, w, c)`, their mode, and how often what was done to them."""
    first = read_picture(files[0], how)
    too_much = _memory.lacking(len(files) * first.pixels.nbytes)
    if too_much:
        raise DataError(
            f"{files[0]} has {first.size} pixels, and with {len(files):,} of it {too_much}; --image-size makes them "
            "smaller."
        )
    records = np.empty((len(files), *first.pixels.shape), first.pixels.dtype)

    def read(start: int) -> Counter[str]:
        changes: Counter[str] = Counter()
        for i in range(start, min(start + _TOGETHER, len(files))):
            picture = read_picture(files[i], how)
            check_like(files[i], picture, files[0], first)
            records[i] = picture.pixels
            changes.update(picture.changes)
        return changes

    changes: Counter[str] = Counter()
    starts = range(0, len(files), _TOGETHER)
    with ThreadPoolExecutor(min(8, (os.cpu_count() or 1) + 2)) as pool:  # PIL decodes without Python's lock
        for start, part in zip(starts, pool.map(read, starts), strict=True):
            changes += part
            report(start / len(files), "reading the images")
    return records, first.mode, changes


def check_like(path: Path, picture: Picture, first_path: Path, first: Picture) -> None:
    """Raise for an image of another size or mode than the first."""
    if picture.pixels.shape[:2] != first.pixels.shape[:2]:
        raise DataError(
            f"{path} is {picture.size} pixels and {first_path.name} is {first.size} (width x height); all images need "
            f"one size: --image-size {first.size} --crop brings them to it."
        )
    if picture.mode != first.mode:
        raise DataError(
            f"{path} has the mode {picture.mode} and {first_path.name} the mode {first.mode}; all need one mode: "
            "--image-mode grey, rgb or rgba converts them."
        )
