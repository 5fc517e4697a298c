"""The folder of a learned posterior: its networks in a file, checked against their sizes as they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor, nn

from scorefield._files import shown
from scorefield.nets._stored import rebuilt
from scorefield.posterior.conditional import ConditionalScore, Whitening
from scorefield.posterior.networks import READERS, NormalNetwork, ScoreNetwork
from scorefield.training import model_folder

FORM = "scorefield posterior"
"""What model.json calls such a folder."""
FORMAT = 1
"""Version of its layout."""
_OWN = "embedding of one's own"

T = TypeVar("T")


def save(folder: Path, score: ConditionalScore, header: Mapping[str, Any]) -> None:
    """Write a conditional law, and a header that is JSON-able."""
    tensors = {f"networks/{name}": value.detach().cpu().clone() for name, value in score.state_dict().items()}
    tensors |= {"whitening/mean": score.whitening.mean, "whitening/root": score.whitening.root}
    reader = score.normal.reader
    kind = type(reader).__name__ if isinstance(reader, READERS) else _OWN
    sizes = {
        "reader": {"kind": kind, **(getattr(reader, "config", {}) if isinstance(reader, READERS) else {})},
        "normal": {"inputs": score.normal.inputs, "dim": score.dim},
        "networks": [network.config for network in score.networks],
    }
    model_folder.save(folder, FORM, FORMAT, {**header, "sizes": sizes}, tensors)


def load(folder: Path, embedding: nn.Module | None, made: Callable[[dict[str, Any], ConditionalScore], T]) -> T:
    """What `made(header, score)` gives for a folder that `save` wrote."""

    def whole(header: dict[str, Any], tensors: dict[str, Tensor]) -> T:
        return made(header, _score(header.get("sizes"), tensors, embedding))

    return model_folder.load(folder, FORM, FORMAT, "posterior", whole)


def texts(name: str, value: object) -> list[str]:
    """A list of texts from a file.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{name} is a list of texts, got {shown(value)}.")
    return value


def _score(sizes: object, tensors: dict[str, Tensor], embedding: nn.Module | None) -> ConditionalScore:
    if not isinstance(sizes, dict) or not isinstance(sizes.get("networks"), list):
        raise ValueError(f"the sizes of a posterior are an object with its networks, got {shown(sizes)}.")
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("networks/"):
            place = "normal." if name.startswith("networks/normal.") else ".".join(name.split(".")[:2]) + "."
            prefix = f"networks/{place}" if place == "normal." else place
            parts.setdefault(prefix, {})[name.removeprefix(prefix)] = value
    reader = _reader(sizes.get("reader"), embedding)
    normal = rebuilt(_with(NormalNetwork, reader), sizes.get("normal"), parts.get("networks/normal.", {}))
    networks = [
        rebuilt(_with(ScoreNetwork, reader), config, parts.get(f"networks/networks.{k}.", {}))
        for k, config in enumerate(sizes["networks"])
    ]
    whitening = Whitening(tensors["whitening/mean"].double(), tensors["whitening/root"].double())
    d = normal.dim
    if whitening.mean.shape != (d,) or whitening.root.shape != (d, d):
        raise ValueError(f"the whitening of {d} parameters has the shape {tuple(whitening.root.shape)}.")
    return ConditionalScore(normal, networks, whitening).eval()


def _with(make: Callable[..., nn.Module], reader: Callable[[], nn.Module]) -> Callable[..., Any]:
    return lambda **sizes: make(reader=reader(), **sizes)


def _reader(config: object, embedding: nn.Module | None) -> Callable[[], nn.Module]:
    """A maker of the network that reads observations."""
    kinds = {kind.__name__: kind for kind in READERS}
    sizes = dict(config) if isinstance(config, dict) else {}
    kind = sizes.pop("kind", None)
    if kind == _OWN:
        if embedding is None:
            raise ValueError(
                "this posterior was fitted with an embedding of one's own; give it: "
                "TrainedPosterior.load(folder, embedding=...)."
            )
        return lambda: embedding
    if kind not in kinds:
        raise ValueError(f"the reader of observations is one of {', '.join(kinds)}, got {shown(config)}.")
    if not all(isinstance(v, (int, float)) and 0 <= v <= 1 << 16 for v in sizes.values()):
        raise ValueError(f"the sizes of a reader are small numbers, got {shown(config)}.")
    try:
        return lambda: kinds[kind](**sizes)
    except TypeError as why:
        raise ValueError(f"the reader's sizes do not fit: {why}") from None
