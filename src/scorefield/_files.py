"""Files: JSON and safetensors, written atomically, read with clear errors. No pickle anywhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor


class FileError(ValueError):
    """A file that cannot be used: says which, what is wrong with it, and what to do."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write so that a reader, or a crash at any moment, sees the old file or the new one, never a part."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; give the folder that `scorefield fit` wrote.") from None
    except (OSError, ValueError) as error:
        raise FileError(
            f"{path}: not a readable JSON file ({error}); it may be truncated: restore or refit it."
        ) from None
    if not isinstance(value, dict):
        raise FileError(f"{path}: expected a JSON object, got {type(value).__name__}; is it another program's file?")
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
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except FileNotFoundError:
        raise FileError(f"{path}: no such file; give the folder that `scorefield fit` wrote.") from None
    except (SafetensorError, OSError, ValueError) as error:
        raise FileError(
            f"{path}: not a readable safetensors file ({error}); it is truncated or another program's: "
            "restore it or fit again."
        ) from None


def _state(file: Any) -> Any:
    header = file.metadata() or {}
    return json.loads(header["state"]) if "state" in header else None
