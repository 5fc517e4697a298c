"""The folder of a trained model: a JSON header and safetensors that belong together, written and read as one."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from scorefield import __version__, _files
from scorefield.training import parallel
from scorefield.training.info import check_info

T = TypeVar("T")


def save(folder: Path, form: str, version: int, header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write `model.json` and `model.safetensors`, atomically each, the weights first; of several processes the first.

    Args:
        folder: to write to.
        form: what the folder holds, such as "scorefield".
        version: of the layout.
        header: JSON-able.
        tensors: on the CPU, whole.
    """
    weights = digest(tensors)
    about = {"format": form, "version": version, "written_by": __version__}
    if parallel.rank() == 0:
        _files.write_tensors(folder / "model.safetensors", dict(tensors), {"weights": weights})
        _files.write_json(folder / "model.json", {**about, **header, "weights": weights})


def load(folder: Path, form: str, version: int, what: str, made: Callable[[dict[str, Any], dict[str, Tensor]], T]) -> T:
    """What `made(header, tensors)` gives for a folder that `save` wrote.

    Args:
        folder: to read.
        form: as it was saved.
        version: likewise.
        what: the folder's content in words, for messages.
        made: the model's maker.

    Raises:
        FileError: for a missing, truncated or foreign file, or weights that belong to another model.json.
    """
    path = folder / "model.json"
    header = _files.read_json(path)
    if header.get("format") != form or header.get("version") != version:
        raise _files.FileError(
            f"{path}: expected a {what} of version {version}, got {_files.shown(header.get('format'))} "
            f"{_files.shown(header.get('version'))}; use the release of scorefield that wrote it."
        )
    tensors, state = _files.read_tensors(folder / "model.safetensors")
    weights = header.get("weights")
    if not isinstance(state, dict) or not weights == state.get("weights") == digest(tensors):
        raise _files.FileError(
            f"{folder}: model.safetensors does not belong to model.json, or was changed; restore both or fit again."
        )
    with _files.reading(path, f"a {what}", fix="; restore it or fit again"):
        check_info(header.get("info"))
        return made(header, tensors)


def digest(tensors: Mapping[str, Tensor]) -> str:
    """A fingerprint of named tensors."""
    content = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        content.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        content.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return content.hexdigest()
