"""A trained score on a manifold as a header of JSON and tensors, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from scorefield._files import shown
from scorefield.manifolds.manifold import Manifold
from scorefield.manifolds.mixture import HeatMixture
from scorefield.manifolds.network import TangentScore
from scorefield.manifolds.rotations import SO3
from scorefield.manifolds.sphere import Sphere
from scorefield.manifolds.torus import Torus
from scorefield.nets import ResidualMLP, rebuilt

FORM, FORMAT = "scorefield-manifold", 1
_NETWORK, _BASE = "network/", "base/"
_LAW = ("weights", "centres", "sigmas")
_MOST = 1 << 16  # dimensions


def header_of(score: TangentScore) -> dict[str, Any]:
    """What describes a network besides its tensors, JSON-able.

    Raises:
        ValueError: for a manifold that is none of the library's.
    """
    return {
        "manifold": _named(score.manifold),
        "frequencies": list(score.frequencies),
        "network": score.network.config,
    }


def tensors_of(score: TangentScore) -> dict[str, Tensor]:
    """The weights of a network, and the law that it corrects, if there is one."""
    found = {_NETWORK + name: value.detach().cpu().contiguous() for name, value in score.network.state_dict().items()}
    if score.base is not None:
        found |= {_BASE + name: getattr(score.base, name).detach().cpu().contiguous() for name in _LAW}
    return found


def score_from(header: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> TangentScore:
    """The network that `header_of` and `tensors_of` describe; a ValueError where they do not fit together."""
    manifold = _manifold(header.get("manifold"))
    frequencies = header.get("frequencies")
    if not isinstance(frequencies, list) or not all(type(k) in (int, float) for k in frequencies):
        raise ValueError(f"the frequencies are a list of numbers, got {shown(frequencies)}.")
    weights = {name.removeprefix(_NETWORK): v for name, v in tensors.items() if name.startswith(_NETWORK)}
    network = rebuilt(ResidualMLP, header.get("network"), weights)
    seen, expected = network.outputs.out_features, manifold.embedded * (1 + 2 * len(frequencies))
    if seen != expected:
        raise ValueError(
            f"a network on {manifold} with {len(frequencies)} frequencies sees {expected} numbers, got {seen}."
        )
    law = [tensors.get(_BASE + name) for name in _LAW]
    base = HeatMixture(manifold, *law) if all(value is not None for value in law) else None  # type: ignore[arg-type]
    score = TangentScore(manifold, base, tuple(float(k) for k in frequencies), width=1, depth=1)
    score.network = network
    return score


def _named(manifold: Manifold) -> dict[str, Any]:
    if type(manifold) is SO3:
        return {"name": "SO3"}
    if type(manifold) in (Sphere, Torus):
        return {"name": type(manifold).__name__, "d": manifold.dim}
    raise ValueError(f"scores on Sphere, Torus and SO3 can be saved, this one is on {manifold}.")


def _manifold(about: object) -> Manifold:
    name, d = (about.get("name"), about.get("d")) if isinstance(about, dict) else (None, None)
    if name == "SO3":
        return SO3()
    if name not in ("Sphere", "Torus") or type(d) is not int or not 1 <= d <= _MOST:
        raise ValueError(f"the manifold is SO3, or Sphere or Torus with their dimension d, got {shown(about)}.")
    return Sphere(d) if name == "Sphere" else Torus(d)
