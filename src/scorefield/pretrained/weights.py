"""Networks of diffusers read from their folders: safetensors alone, and all that the configuration asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorefield import _files
from scorefield._files import FileError, shown

WEIGHTS = "diffusion_pytorch_model.safetensors"
"""What diffusers calls the weights of a network."""


def read(kind: Any, place: Path, what: str) -> Any:
    """A network of a class of diffusers from its folder, in evaluation mode.

    Args:
        kind: the class.
        place: the folder, with config.json and weights.
        what: is read, for errors.

    Raises:
        FileError: for a folder without safetensors, damaged files, or weights that are not those of the configuration:
            diffusers would fill what is missing at random.
    """
    _check_there(place)
    with _files.reading(place, what, fix="; download it again"):
        module, found = kind.from_pretrained(
            place, local_files_only=True, use_safetensors=True, low_cpu_mem_usage=False, output_loading_info=True
        )
    apart = sum(len(found.get(f"{which}_keys", ())) for which in ("missing", "unexpected", "mismatched"))
    if apart:
        raise FileError(
            f"{place}: {apart} weights are not those of the {type(module).__name__} that config.json says; "
            "download it again."
        )
    return module.eval()


def _check_there(place: Path) -> None:
    """Raise where a folder has no safetensors, saying what it has instead."""
    if (place / WEIGHTS).is_file() or (place / f"{WEIGHTS}.index.json").is_file():
        return
    stem, _, end = WEIGHTS.rpartition(".")
    variants = sorted(path.name[len(stem) + 1 : -len(end) - 1] for path in place.glob(f"{stem}.*.{end}"))
    if variants:
        raise FileError(
            f"{place} holds the weights as the variant {shown(variants[0])} alone; read it with diffusers "
            f"(from_pretrained(..., variant={variants[0]!r})), and give that, or save it without a variant."
        )
    if any(place.glob(f"{stem}*.bin")):
        raise FileError(
            f"{place} holds its weights as a pickle (.bin), which is not opened, as it can run code; if you trust it, "
            "read it with diffusers and save it again (save_pretrained), which writes safetensors."
        )
    raise FileError(f"{place / WEIGHTS}: no such file; the folder is not whole: download it again.")
