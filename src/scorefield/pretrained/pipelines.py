"""Where the network and the scheduler of a pipeline of diffusers lie, and reading them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scorefield import _files, _optional
from scorefield._files import FileError, shown
from scorefield.pretrained.hub import PREFIX, fetched, is_name
from scorefield.pretrained.networks import NETWORKS
from scorefield.pretrained.schedulers import READ
from scorefield.pretrained.weights import WEIGHTS, read

_PARTS = ("unet", "transformer")
_PIECES = (WEIGHTS, WEIGHTS + ".index.json", "diffusion_pytorch_model-*-of-*.safetensors", "config.json")
FILES = (
    "model_index.json",
    "scheduler_config.json",
    "scheduler/scheduler_config.json",
    *(f"{part}{name}" for part in ("", *(f"{part}/" for part in _PARTS)) for name in _PIECES),
)
"""All that is fetched of a pipeline on the Hub."""


def located(source: Any) -> Any:
    """A source, the name of a repository of the Hub being the folder that it is fetched to.

    Raises:
        ValueError: for a missing package, or what cannot be fetched.
        FileError: for a file.
    """
    text = str(source)
    if not isinstance(source, str | Path) or Path(source).is_dir():
        return source
    if Path(source).is_file():
        raise FileError(f"{source} is a file; give the folder of the pipeline of diffusers that it belongs to.")
    if text.startswith(PREFIX) or (isinstance(source, str) and is_name(source)):
        return fetched(text, FILES)
    return Path(source)


def parts_of(source: Any) -> tuple[Any, Any]:
    """The network and the scheduler of a folder, a pipeline or a pair.

    Raises:
        FileError: for a folder that is missing, damaged, holds no safetensors, or another pipeline.
        ValueError: for another source; where diffusers is missing.
    """
    if isinstance(source, str | Path):
        return _read(Path(source))
    if isinstance(source, tuple | list) and len(source) == 2:
        return source[0], source[1]
    network = next((part for name in _PARTS if (part := getattr(source, name, None)) is not None), None)
    scheduler = getattr(source, "scheduler", None)
    if network is None or scheduler is None:
        raise ValueError(
            "from_diffusers takes a folder, a pipeline with a unet or transformer and a scheduler, or a pair (network, "
            f"scheduler), got {type(source).__name__}."
        )
    return network, scheduler


def network_config(folder: Path) -> tuple[Path, dict[str, Any]]:
    """Where the network of a pipeline's folder lies, and its configuration.

    Raises:
        FileError: for a folder that is missing, or holds no pipeline.
    """
    if not folder.is_dir():
        raise FileError(f"{folder}: no such folder; give one that holds a pipeline of diffusers, already downloaded.")
    if not (folder / "model_index.json").is_file():
        raise FileError(
            f"{folder} has no model_index.json; give a pipeline's folder, or the pair (network, scheduler) in Python."
        )
    index = _files.read_json(folder / "model_index.json")
    part = next((name for name in _PARTS if name in index), None)
    if part is None or "scheduler" not in index:
        raise FileError(f"{folder}/model_index.json names no unet or transformer with a scheduler.")
    place = _place(folder, part)
    return place, _json(place / "config.json")


def _read(folder: Path) -> tuple[Any, Any]:
    """The network and the scheduler of a pipeline's folder."""
    place, network = network_config(folder)
    kind = network.get("_class_name")
    config = _json(_place(folder, "scheduler") / "scheduler_config.json")
    steps = config.get("_class_name")
    for given, known, what in ((kind, tuple(NETWORKS), "network"), (steps, READ, "scheduler")):
        if given not in known:
            raise FileError(f"{folder} holds the {what} {shown(given)}; there are {', '.join(known)}.")
    package = _optional.diffusers(f"a {kind}")
    module = read(getattr(package, str(kind)), place, "a pipeline of diffusers")
    with _files.reading(folder, "a pipeline of diffusers", fix="; download it again"):
        return module, getattr(package, str(steps)).from_config(config)


def _place(folder: Path, part: str) -> Path:
    """Where a part lies: in a folder of its name, or, as in old pipelines of one network, beside the index."""
    return folder / part if (folder / part).is_dir() else folder


def _json(path: Path) -> dict[str, Any]:
    """A file of a pipeline's folder."""
    if not path.is_file():
        raise FileError(f"{path}: no such file; the pipeline's folder is not whole: download it again.")
    return _files.read_json(path)
