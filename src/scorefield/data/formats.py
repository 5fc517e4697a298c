"""The forms that a table's file has, by its suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from scorefield.data.dataset import DataError

Form: TypeAlias = Literal["csv", "json lines", "xlsx", "parquet", "feather"]
_FORMS: dict[str, Form] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".txt": "csv",
    ".jsonl": "json lines",
    ".ndjson": "json lines",
    ".xlsx": "xlsx",
    ".parquet": "parquet",
    ".feather": "feather",
}
_COMPRESSED = (".gz", ".zst")
_TEXTS = ("csv", "json lines")
WRITTEN = ".csv, .tsv, .txt, .jsonl (each also with .gz or .zst), .xlsx, .parquet or .feather"


class Format(NamedTuple):
    """The form of a table's file.

    Args:
        form: what it holds.
        suffix: by which that is known, in small letters.
        compression: "", ".gz" or ".zst".
    """

    form: Form
    suffix: str
    compression: str = ""

    @property
    def is_text(self) -> bool:
        """Whether it is text, so that each cell is what the user wrote."""
        return self.form in _TEXTS


def format_of(path: str | Path) -> Format | None:
    """The format of a table's file by its suffix; None where it is that of no table.

    Example:
        >>> format_of("people.CSV.gz"), format_of("people.npy")
        (Format(form='csv', suffix='.csv', compression='.gz'), None)
    """
    path = Path(path)
    compression = path.suffix.lower() if path.suffix.lower() in _COMPRESSED else ""
    suffix = Path(path.stem).suffix.lower() if compression else path.suffix.lower()
    form = _FORMS.get(suffix)
    if form is None or (compression and form not in _TEXTS):
        return None
    return Format(form, suffix, compression)


def check_frame_suffix(path: str | Path, done: str = "written") -> Format:
    """The format of a table's file, once it is known to be one: to ask before long work.

    Raises:
        DataError: for another suffix.
    """
    found = format_of(path)
    if found is None:
        suffix = "".join(Path(path).suffixes[-2:] if Path(path).suffix.lower() in _COMPRESSED else [Path(path).suffix])
        raise DataError(f"{path} has the suffix {suffix or 'none'!r}; tables are {done} as {WRITTEN}.")
    return found
