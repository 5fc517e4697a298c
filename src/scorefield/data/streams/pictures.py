"""Image files, in folders and in tar shards, as a stream; also arrays in shards."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import IO, NamedTuple

import numpy as np

from scorefield import _files
from scorefield.data.dataset import Array, DataError, Grid, check_count
from scorefield.data.image_reading import ImageReading
from scorefield.data.imagefile import AS_FOUND, Picture, careful, read_picture
from scorefield.data.images import SUFFIXES, check_like, image_classes, images_below
from scorefield.data.streams.npy import kind_of
from scorefield.data.streams.stream import Stream, even_sizes

_CODE = (".pkl", ".pickle", ".pyd", ".pth", ".pt", ".pyc", ".joblib", ".dill")  # what would run when it is read
_MOST = 1 << 30  # bytes of one member
_OPEN = 16  # shards at a time


class _Entry(NamedTuple):
    """A file of its own, or a part of a shard: `name` says which in messages."""

    path: Path
    name: Path
    start: int = 0
    size: int = -1


def pictures_stream(folder: str | Path, how: ImageReading = AS_FOUND, labels: bool = True) -> Stream:
    """The images of a folder, decoded whenever they are read; arguments and faults as `data.load`."""
    folder = Path(folder)
    files, names, counts = image_classes(folder) if labels else (list(images_below(folder, set())), [], [])
    if not files:
        raise DataError(f"{folder} holds no images ({' '.join(SUFFIXES)}).")
    classes = np.repeat(np.arange(len(names)), counts).astype(np.int64) if names else None
    return _stream(str(folder), [_Entry(path, path) for path in files], how, classes, None, tuple(names) or None)


def tar_stream(
    shards: Sequence[str | Path], how: ImageReading = AS_FOUND, grid: Grid | None = None, source: str = ""
) -> Stream:
    """The images, or .npy arrays, of tar shards as WebDataset has them, read out of the shards whenever needed.

    The members of a record share a name up to its first dot: `0001.png` and `0001.cls`, a class label. Other members
    are passed over. Nothing is unpacked to the disk.

    Args:
        shards: .tar files, whose order is that of the records.
        how: how images become pixels.
        grid: "series" or "volume": what arrays are, as `data.load`.
        source: for messages; default: the first shard.

    Raises:
        DataError: for what is no tar file or is compressed, for members that would run code when they are read, for
            records of two kinds, and as `data.load` for images.
    """
    entries: list[_Entry] = []
    labels: list[int | None] = []
    for shard in map(Path, shards):
        found, classes = _members(shard)
        entries += found
        labels += classes
    source = source or str(shards[0])
    if not entries:
        raise DataError(f"{source} holds no images and no .npy arrays.")
    known = [label for label in labels if label is not None]
    if known and len(known) < len(labels):
        raise DataError(
            f"{source}: {len(known):,} of {len(labels):,} records have a .cls member; all or none need one."
        )
    return _stream(source, entries, how, np.array(known, np.int64) if known else None, grid)


def _members(shard: Path) -> tuple[list[_Entry], list[int | None]]:
    """The records of a shard, by the place of their bytes, and their classes."""
    entries: dict[str, _Entry] = {}
    labels: dict[str, int] = {}
    with _files.reading(shard, "an uncompressed tar file", DataError), tarfile.open(shard, "r:") as file:
        for member in file:
            inside = PurePosixPath(member.name)
            if not member.isreg() or inside.name.startswith("."):
                continue
            stem, _, ending = inside.name.partition(".")
            key, suffix = str(inside.parent / stem), inside.suffix.lower()
            name = shard / inside.name
            if suffix in _CODE:
                raise DataError(f"{name} may run code when it is read, and is not; write arrays as .npy.")
            if ending.lower() == "cls":
                labels[key] = _label(file.extractfile(member), name)
            elif suffix in SUFFIXES or suffix == ".npy":
                if key in entries:
                    raise DataError(
                        f"{name}: its record has {entries[key].name.name} already; one array or image each."
                    )
                if member.size > _MOST:
                    raise DataError(f"{name} is larger than 1 GB; records are read whole.")
                entries[key] = _Entry(shard, name, member.offset_data, member.size)
        with shard.open("rb") as whole:
            if _read_at(whole, 512, file.offset) != bytes(512):
                raise ValueError("its end is missing: it is cut short or damaged")
    return list(entries.values()), [labels.get(key) for key in entries]


def _label(file: IO[bytes] | None, name: Path) -> int:
    text = b"" if file is None else file.read(20)
    if not text.strip().isdigit() or int(text) >= 1 << 16:
        raise DataError(f"{name} holds {_files.shown(text)}; a class label is a whole number from 0 on, below 65,536.")
    return int(text)


def _stream(
    source: str,
    entries: list[_Entry],
    how: ImageReading,
    labels: Array | None,
    grid: Grid | None,
    classes: tuple[str, ...] | None = None,
) -> Stream:
    check_count(len(entries), source, "records")
    first = entries[0]
    arrays = first.name.suffix.lower() == ".npy"
    if grid is not None and not arrays:
        raise DataError(f"{source} holds images, not {grid}s; leave --records out.")
    with careful():
        like = None if arrays else _picture(first, _content(first), how)
    begin = _array(first, _content(first)) if like is None else like.pixels
    kind, plain = kind_of((len(entries), *begin.shape), begin.dtype, source, grid)
    shape = begin.shape or (1,)
    sizes = even_sizes(len(entries), begin.nbytes)
    starts = np.concatenate([[0], np.cumsum(sizes)])

    def made(entry: _Entry, content: bytes) -> Array:
        if like is None:
            return _like(entry, _array(entry, content), first, begin).reshape(shape).astype(plain, copy=False)
        picture = _picture(entry, content, how)
        check_like(entry.name, picture, first.name, like)
        return picture.pixels.astype(plain, copy=False)

    def some(rows: Sequence[int] | range) -> Array:
        files: dict[Path, IO[bytes]] = {}
        try:
            return np.stack([made(entries[i], _content(entries[i], files)) for i in rows])
        finally:
            for file in files.values():
                file.close()

    columns = tuple(f"x{j}" for j in range(shape[0])) if kind == "array" else None
    return Stream(
        source,
        kind,
        shape,
        plain,
        sizes,
        lambda k: some(range(starts[k], starts[k + 1])),
        columns,
        lambda rows: some(rows.tolist()),
        labels,
        how.to_json() or None,
        classes,
        decoded=like is not None,
    )


def _content(entry: _Entry, files: dict[Path, IO[bytes]] | None = None) -> bytes:
    """The bytes of an entry; files of shards stay open in `files`."""
    with _files.reading(entry.path, "a file of records", DataError):
        if entry.size < 0:
            return entry.path.read_bytes()
        if files is None:
            with entry.path.open("rb") as file:
                return _read_at(file, entry.size, entry.start)
        if entry.path not in files:
            while len(files) >= _OPEN:
                files.pop(next(iter(files))).close()
            files[entry.path] = entry.path.open("rb")
        return _read_at(files[entry.path], entry.size, entry.start)


def _read_at(file: IO[bytes], size: int, start: int) -> bytes:
    """Bytes from a place in a file that nobody else reads; not every system has one call for it."""
    if hasattr(os, "pread"):
        return os.pread(file.fileno(), size, start)
    file.seek(start)
    return file.read(size)


def _picture(entry: _Entry, content: bytes, how: ImageReading) -> Picture:
    if entry.name.suffix.lower() == ".npy":
        raise DataError(f"{entry.name} is an array, and other records are images; give records of one kind.")
    return read_picture(entry.name, how, content)


def _array(entry: _Entry, content: bytes) -> Array:
    if entry.name.suffix.lower() != ".npy":
        raise DataError(f"{entry.name} is an image, and other records are arrays; give records of one kind.")
    with _files.reading(entry.name, ".npy", DataError):
        made: Array = np.lib.format.read_array(io.BytesIO(content), allow_pickle=False)
        return made


def _like(entry: _Entry, made: Array, first: _Entry, begin: Array) -> Array:
    if made.shape != begin.shape or made.dtype != begin.dtype:
        raise DataError(
            f"{entry.name} is {made.dtype} of shape {made.shape}, {first.name.name} {begin.dtype} of {begin.shape}; "
            "all need one."
        )
    return made
