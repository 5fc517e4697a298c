"""The files of a folder, with the number of their first row in the whole; and what an output folder remembers."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from scorefield import _files
from scorefield.data import DataError

QUESTION = "question.json"
"""The file of an output folder that says what its answers answer."""
_ROWS = 1 << 32  # of which each has a noise of its own


class Part(NamedTuple):
    """One file.

    Args:
        name: its path in the folder; the answer gets the same.
        first: number of its first row in the whole, from 0.
        rows: how many it has.
    """

    name: str
    first: int
    rows: int


def parts_of(folder: Path) -> list[Part]:
    """The .parquet files of a folder and of the folders in it, in the order of their names.

    Names that begin with a dot or an underscore are passed over, as every program does that writes such folders.

    Raises:
        DataError: for no folder, no file, a file that cannot be read, or more than 2**32 rows.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; give one of .parquet files.")
    found, first = [], 0
    for path in sorted(folder.rglob("*.parquet")):
        name = path.relative_to(folder)
        if any(word[0] in "._" for word in name.parts):
            continue
        rows = rows_of(path)
        found.append(Part(str(name), first, rows))
        first += rows
    if not first:
        raise DataError(f"{folder} has no .parquet file with rows.")
    if first > _ROWS:
        raise DataError(f"{folder} has {first:,} rows; rows up to {_ROWS:,} have noise of their own: give parts of it.")
    return found


def rows_of(path: Path) -> int:
    """The number of rows of a Parquet file, from its footer.

    Raises:
        DataError: for a file that is none.
    """
    import pyarrow.parquet as pq

    with _files.reading(path, "parquet", DataError):
        return int(pq.read_metadata(path).num_rows)


def begin(output: Path, run: Path, question: Any, parts: list[Part]) -> None:
    """Note in a folder what is asked, or hold it against what is noted there.

    Raises:
        DataError: for a folder with answers to something else, or with other files.
    """
    noted = {
        "question": type(question).__name__,
        "options": {name: list(v) if isinstance(v, tuple) else v for name, v in asdict(question).items()},
        "run": {name: _digest(run / name) for name in ("model.json", "model.safetensors")},
        "parts": [list(part) for part in parts],
    }
    file = output / QUESTION
    if file.exists():
        if _files.read_json(file) != noted:
            raise DataError(
                f"{output} holds answers to another question, or for other files or another run; give another folder."
            )
        return
    if output.exists() and any(output.iterdir()):
        raise DataError(f"{output} is not empty and has no {QUESTION}; give a new folder.")
    _files.write_json(file, noted)


def lacking(output: Path, parts: list[Part], rows: bool) -> list[Part]:
    """The parts that have no answer yet; one that is there counts where it can be read, and has as many rows.

    Args:
        output: folder of the answers.
        parts: all of them.
        rows: whether an answer has a row for each of the part's.
    """
    return [part for part in parts if not _is_there(output / part.name, part.rows if rows else None)]


def end(output: Path) -> None:
    """Remove what killed workers have left of files that they had begun."""
    for path in output.rglob(".*"):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)


def _is_there(path: Path, rows: int | None) -> bool:
    if not path.is_file():
        return False
    if path.suffix != ".parquet":
        return True
    try:
        found = rows_of(path)
    except DataError:
        return False
    return rows is None or found == rows


def _digest(path: Path) -> str:
    with _files.reading(path, "a run's file"), path.open("rb") as file:
        return hashlib.file_digest(file, "blake2b").hexdigest()[:32]
