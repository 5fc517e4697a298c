"""Bytes of a text file <-> text: compression, and the encoding that is found or told."""

from __future__ import annotations

import codecs
import gzip
import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from scorefield import _memory
from scorefield.data.dataset import DataError
from scorefield.data.dialect import Dialect

_CHUNK = 1 << 20
_GROWTH = 8  # bytes of memory for a byte of text: a cell is a Python text for a while
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_FALLBACK = "cp1252"


def read_bytes(path: Path, compression: str = "") -> bytes:
    """What a file holds, unpacked.

    Raises:
        DataError: for more than memory holds, also where that shows only while unpacking.
    """
    _check_memory(path, path.stat().st_size)
    if not compression:
        return path.read_bytes()
    parts, size, checked = [], 0, _CHUNK
    with _unpacked(path, compression) as file:
        while part := file.read(_CHUNK):
            parts.append(bytes(part))
            size += len(part)
            if size > checked:
                _check_memory(path, size)
                checked *= 2
    return b"".join(parts)


def _check_memory(path: Path, size: int) -> None:
    too_much = _memory.lacking(_GROWTH * size)
    if too_much:
        raise DataError(f"{path} {too_much}; save it as .parquet, or give fewer rows.")


def _unpacked(path: Path, compression: str) -> Any:
    if compression == ".gz":
        return gzip.open(path, "rb")
    import pyarrow as pa

    return pa.CompressedInputStream(pa.OSFile(str(path)), "zstd")


def decode(content: bytes, path: Path, encoding: str | None = None, like: str | None = None) -> tuple[str, str, bool]:
    """The text, its encoding, and whether a byte order mark stood before it.

    UTF-8; UTF-16 with a byte order mark; what is neither is Windows-1252, of which latin-1 is a part.

    Args:
        content: of the file.
        path: for messages.
        encoding: as the user tells; None: found.
        like: the encoding of another file of the same table, taken for what is neither UTF-8 nor marked.

    Raises:
        DataError: for bytes that have no meaning in the encoding.
    """
    marked = next((name for mark, name in _MARKS if content.startswith(mark)), None)
    told = codecs.lookup(encoding).name if encoding else ""
    told = {"utf-8-sig": "utf-8", "utf-16": marked or "utf-16-le"}.get(told, told)
    tried = [told] if told else [marked] if marked else list(dict.fromkeys(["utf-8", like or _FALLBACK, _FALLBACK]))
    for name in tried:
        try:
            text = content.decode(name)
        except UnicodeDecodeError as fault:
            first = fault
            continue
        _check_nul(text, path)
        return text.removeprefix("\ufeff"), name, text.startswith("\ufeff")
    names = " nor in ".join(tried)
    raise DataError(
        f"{path} is not text in {names} (byte {first.object[first.start]:#04x} in line "
        f"{content.count(b'%c' % 10, 0, first.start) + 1}); tell its --encoding, or save it as UTF-8."
    )


def _check_nul(text: str, path: Path) -> None:
    place = text.find("\x00")
    if place >= 0:
        raise DataError(
            f"{path} holds a NUL character in line {text.count(chr(10), 0, place) + 1}, so it is no text in this "
            "encoding; if it is UTF-16, give --encoding utf-16-le."
        )


@contextmanager
def text_to(to: Path, dialect: Dialect, compression: str = "") -> Iterator[IO[str]]:
    """A text file to write, in the encoding of a dialect, packed.

    Raises:
        DataError: for a character that the encoding has not.
    """
    encoding = dialect.encoding or "utf-8"
    with to.open("wb") as raw, _packed(raw, compression) as packed:
        file = io.TextIOWrapper(packed, encoding=encoding, newline="", write_through=False)
        try:
            if dialect.mark:
                file.write("\ufeff")
            yield file
            file.flush()
        except UnicodeEncodeError as fault:
            raise DataError(
                f"{fault.object[fault.start]!r} is no character of the encoding {encoding}; write to another format."
            ) from None
        finally:
            file.detach()


@contextmanager
def _packed(raw: IO[bytes], compression: str) -> Iterator[Any]:
    if not compression:
        yield raw
    elif compression == ".gz":
        with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:  # the same bytes at any time
            yield packed
    else:
        import pyarrow as pa

        with pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd") as packed:
            yield io.BufferedWriter(_Raw(packed))


class _Raw(io.RawIOBase):
    """A stream of pyarrow as one of Python."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def writable(self) -> bool:
        return True

    def write(self, part: Any) -> int:
        self._stream.write(bytes(part))
        return len(part)
