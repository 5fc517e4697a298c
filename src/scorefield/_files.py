"""Files: JSON and safetensors, written atomically, read with clear errors. No pickle anywhere."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _memory

if TYPE_CHECKING:
    from torch import Tensor  # the command line reads this module before it needs torch


class FileError(ValueError):
    """A file that cannot be used: says which, what is wrong with it, and what to do."""


@contextmanager
def reading(path: Path, form: str, error: type[ValueError] = FileError, fix: str = "") -> Iterator[None]:
    """Around what parses a file that anyone may have written: whatever it raises becomes one sentence with its name.

    Args:
        path: of the file.
        form: what it should be.
        error: that is raised; one of this type from inside is left as it is.
        fix: what to do, appended to the sentence.
    """
    try:
        yield
    except error:
        raise
    except MemoryError as fault:
        raise error(f"{path} cannot be read as {form}: there is not enough memory for it{fix}.") from fault
    except Exception as fault:
        raise error(f"{path} cannot be read as {form}: {reason(fault)}{fix}.") from fault


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Around the writing of a file: an OSError from inside gets the file's name, which a full disk does not tell."""
    try:
        yield
    except OSError as fault:
        raise OSError(fault.errno or errno.EIO, reason(fault), str(path)) from fault


def reason(fault: BaseException, most: int = 200) -> str:
    """What an exception says, in one line of printable characters without a stop at its end."""
    said = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    text = shortened(lines[0], most).rstrip(".:; ") if lines else ""
    if isinstance(fault, KeyError):
        return f"{text} is missing"
    return text if text and isinstance(fault, (ValueError, OSError)) else f"{text} ({type(fault).__name__})".strip()


def shortened(text: str, most: int = 60) -> str:
    """A text on one line, at most so long, what cannot be printed as escapes."""
    cut = text if len(text) <= most else f"{text[: most - 3]}..."
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in cut)


def shown(value: object, most: int = 60) -> str:
    """A value from a file, for a message: its repr, shortened."""
    return shortened(repr(value), most)


def write_bytes(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash at any moment, sees the old file or the new one, never a part.

    Raises:
        OSError: where it cannot be written, with its name.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def write_json(path: Path, value: object) -> None:
    """Write a JSON file, atomically; NaN and infinity are refused."""
    write_bytes(path, (json.dumps(value, indent=1, allow_nan=False) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        FileError: for a missing, truncated or foreign file.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; give the folder that `scorefield fit` wrote.") from None
    except OSError as fault:
        raise FileError(f"{path} cannot be read: {reason(fault)}.") from fault
    with reading(path, "JSON", fix="; it may be truncated: restore or refit it"):
        value = parse_json(content)
    if not isinstance(value, dict):
        raise FileError(f"{path}: expected a JSON object, got {type(value).__name__}; is it another program's file?")
    return value


def parse_json(text: str | bytes) -> Any:
    """A JSON document in UTF-8.

    Raises:
        ValueError: for what is none, is nested too deeply, or holds numbers that are not finite.
    """
    try:
        return json.loads(text, parse_constant=_finite, parse_float=_finite)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"it holds the number {shortened(text)}, which is not finite")
    return value


def write_tensors(path: Path, tensors: Mapping[str, Tensor], state: object = None) -> None:
    """Write tensors, and a JSON-able state in the file's header, as one safetensors file, atomically."""
    from safetensors.torch import save

    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    header = None if state is None else {"state": json.dumps(state)}
    write_bytes(path, save(plain, header))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], Any]:
    """The tensors and the state of a file of `write_tensors`.

    Raises:
        FileError: for a missing, truncated or foreign file.
    """
    with _opened(path) as file:
        # copies: the file's own memory is not aligned, and kernels round by alignment
        return {name: file.get_tensor(name).clone() for name in file.keys()}, _state(file)


def read_state(path: Path) -> Any:
    """The state alone, from the file's header; errors as `read_tensors`."""
    with _opened(path) as file:
        return _state(file)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from safetensors import safe_open

    if not path.is_file():
        raise FileError(f"{path}: no such file; give the folder that `scorefield fit` wrote.")
    too_much = _memory.lacking(2 * path.stat().st_size)
    if too_much:
        raise FileError(f"{path} {too_much}.")
    with (
        reading(path, "safetensors", fix="; it is truncated or another program's: restore it or fit again"),
        safe_open(path, framework="pt") as file,
    ):
        yield file


def _state(file: Any) -> Any:
    """The state in the header; unlike other documents it may hold NaN, as losses may be."""
    header = file.metadata() or {}
    return json.loads(header["state"]) if "state" in header else None
