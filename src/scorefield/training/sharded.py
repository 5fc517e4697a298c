"""The tensors of a checkpoint as shards: each process writes its own part, and any number of processes reads them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from scorefield import _files
from scorefield.training import parallel


def write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors, whole or sharded (FSDP2), as safetensors files in a folder that all processes see.

    By torch.distributed.checkpoint in its safetensors form: no pickles. All processes must call, and go on when all
    have written.

    Args:
        folder: what it holds is lost.
        tensors: the same names in all processes.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    if parallel.rank() == 0:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    parallel.wait_for_all()
    with _files.writing(folder):
        plain = {name: _flat(value) for name, value in tensors.items()}
        save(plain, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    parallel.wait_for_all()


def read(folder: Path, into: Mapping[str, Tensor]) -> None:
    """Read what `write` wrote into tensors, whole or sharded, of as many processes as there are now.

    Raises:
        FileError: for a missing or damaged file, or tensors of other names or shapes.
    """
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    with _files.reading(folder, "a sharded checkpoint", fix="; it is damaged or another model's: fit again"):
        if not folder.is_dir():
            raise ValueError("there is no such folder")
        flat = {name: _flat(value) for name, value in into.items()}
        reader = HuggingFaceStorageReader(str(folder))
        told = reader.read_metadata().state_dict_metadata
        for name, value in flat.items():
            size = getattr(told.get(name), "size", None)
            if size != value.shape:
                raise ValueError(
                    f"{_files.shortened(name)} is {tuple(size or ())} there, and {tuple(value.shape)} here"
                )
        load(flat, storage_reader=reader, no_dist=parallel.world() == 1)
        with torch.no_grad():
            for name, value in into.items():
                if value.ndim == 0:
                    value.copy_(flat[name][0])


def remove_others(folder: Path) -> None:
    """Remove older folders of the same training, named alike up to the last dash."""
    stem = folder.name.rsplit("-", 1)[0]
    for other in folder.parent.glob(f"{stem}-*"):
        if other != folder and other.name.rsplit("-", 1)[1].isdigit():
            shutil.rmtree(other, ignore_errors=True)


def _flat(value: Tensor) -> Tensor:
    """Single numbers as tensors of one, which files of shards need."""
    value = value.detach()
    return value.clone().reshape(1) if value.ndim == 0 else value
