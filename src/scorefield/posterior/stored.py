"""The folder of a learned posterior: its networks in a file, checked against their sizes as they are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

from torch import Tensor, nn

from scorefield._files import shown
from scorefield.nets._stored import rebuilt
from scorefield.posterior.conditional import ConditionalScore, Whitening
from scorefield.posterior.likelihood import Likelihood
from scorefield.posterior.natural import NaturalLikelihood, Potential
from scorefield.posterior.networks import READERS, NormalEnsemble, NormalNetwork, ScoreNetwork
from scorefield.posterior.observations import ObservationCodec
from scorefield.training import model_folder

FORM = "scorefield posterior"
"""What model.json calls such a folder."""
FORMAT = 1
"""Version of its layout."""
_MOST_NORMALS = 64
_OWN = "embedding of one's own"

T = TypeVar("T")
AnyLikelihood: TypeAlias = Likelihood | NaturalLikelihood


def save(folder: Path, score: ConditionalScore, likelihood: AnyLikelihood | None, header: Mapping[str, Any]) -> None:
    """Write a conditional law, a likelihood where there is one, and a header that is JSON-able."""
    tensors = _packed("networks", score, score.whitening)
    normals = score.normal.members if isinstance(score.normal, NormalEnsemble) else [score.normal]
    sizes: dict[str, Any] = {
        "reader": _reader_config(normals[0].reader),
        "normal": _normal_config(normals[0]),
        "normals": len(normals),
        "networks": [network.config for network in score.networks],
    }
    if isinstance(likelihood, NaturalLikelihood):
        tensors |= _packed("natural", likelihood.potential, likelihood.whitening)
        tensors |= {"statistic/weight": likelihood.weight, "statistic/bias": likelihood.bias}
        sizes["natural"] = {"potential": likelihood.potential.config, **_tested(likelihood)}
    elif likelihood is not None:
        tensors |= _packed("likelihood", nn.ModuleList(likelihood.networks), likelihood.whitening)
        sizes["likelihood"] = {
            "reader": _reader_config(likelihood.networks[0].reader),
            "normal": _normal_config(likelihood.networks[0]),
            "members": len(likelihood.networks),
            **_tested(likelihood),
        }
    model_folder.save(folder, FORM, FORMAT, {**header, "sizes": sizes}, tensors)


def load(
    folder: Path,
    embedding: nn.Module | None,
    made: Callable[[dict[str, Any], ConditionalScore, AnyLikelihood | None], T],
) -> T:
    """What `made(header, score, likelihood)` gives for a folder that `save` wrote."""

    def whole(header: dict[str, Any], tensors: dict[str, Tensor]) -> T:
        sizes = header.get("sizes")
        if not isinstance(sizes, dict) or not isinstance(sizes.get("networks"), list):
            raise ValueError(f"the sizes of a posterior are an object with its networks, got {shown(sizes)}.")
        likelihood = _likelihood(sizes.get("likelihood"), tensors) or _natural(sizes.get("natural"), tensors)
        return made(header, _score(sizes, tensors, embedding), likelihood)

    return model_folder.load(folder, FORM, FORMAT, "posterior", whole)


def texts(name: str, value: object) -> list[str]:
    """A list of texts from a file.

    Raises:
        ValueError: for anything else.
    """
    if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
        raise ValueError(f"{name} is a list of texts, got {shown(value)}.")
    return value


def _packed(name: str, module: nn.Module, whitening: Whitening) -> dict[str, Tensor]:
    """The tensors of a law under a name."""
    tensors = {f"{name}/{key}": value.detach().cpu().clone() for key, value in module.state_dict().items()}
    return tensors | {f"{name}/whitening.mean": whitening.mean, f"{name}/whitening.root": whitening.root}


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}


def _normal_config(network: NormalNetwork) -> dict[str, int]:
    return {"inputs": network.inputs, "dim": network.dim}


def _reader_config(reader: nn.Module) -> dict[str, Any]:
    if not isinstance(reader, READERS):
        return {"kind": _OWN}
    return {"kind": type(reader).__name__, **cast(dict[str, Any], reader.config)}


def _score(sizes: dict[str, Any], tensors: dict[str, Tensor], embedding: nn.Module | None) -> ConditionalScore:
    reader = _reader(sizes.get("reader"), embedding)
    networks = [
        rebuilt(_with(ScoreNetwork, reader), config, _part(tensors, f"networks/networks.{k}."))
        for k, config in enumerate(sizes["networks"])
    ]
    normal = _normal(sizes, reader, tensors)
    return ConditionalScore(normal, networks, _whitening(tensors, "networks", normal.dim)).eval()


def _normal(
    sizes: dict[str, Any], reader: Callable[[], nn.Module], tensors: dict[str, Tensor]
) -> NormalNetwork | NormalEnsemble:
    """The normal law, of one network or the mean of several."""
    count = sizes.get("normals", 1)
    if not isinstance(count, int) or not 0 < count <= _MOST_NORMALS:
        raise ValueError(f"a posterior has 1 to {_MOST_NORMALS} networks of its normal law, got {shown(count)}.")
    prefixes = ["networks/normal."] if count == 1 else [f"networks/normal.networks.{k}." for k in range(count)]
    made = _with(NormalNetwork, reader)
    networks = [rebuilt(made, sizes.get("normal"), _part(tensors, prefix)) for prefix in prefixes]
    return networks[0] if count == 1 else NormalEnsemble(networks)


def _likelihood(sizes: object, tensors: dict[str, Tensor]) -> Likelihood | None:
    if sizes is None:
        return None
    if not isinstance(sizes, dict) or not isinstance(sizes.get("members"), int) or not 0 < sizes["members"] <= 64:
        raise ValueError(f"a stored likelihood is an object with its members, got {shown(sizes)}.")
    reader = _reader(sizes.get("reader"), None)
    networks = [
        rebuilt(_with(NormalNetwork, reader), sizes.get("normal"), _part(tensors, f"likelihood/{k}.")).eval()
        for k in range(sizes["members"])
    ]
    whitening = _whitening(tensors, "likelihood", networks[0].dim)
    return Likelihood(tuple(networks), whitening, *_test(sizes))


def _natural(sizes: object, tensors: dict[str, Tensor]) -> NaturalLikelihood | None:
    if sizes is None:
        return None
    if not isinstance(sizes, dict):
        raise ValueError(f"a stored likelihood is an object with its sizes, got {shown(sizes)}.")
    codec, accuracy, error = _test(sizes)
    weight, bias = (tensors[f"statistic/{name}"].double() for name in ("weight", "bias"))
    own = {name: value for name, value in _part(tensors, "natural/").items() if not name.startswith("whitening.")}
    potential = rebuilt(Potential, sizes.get("potential"), own).eval()
    dim = potential.shift.shape[0]
    if weight.shape != (dim, codec.columns) or bias.shape != (dim,):
        raise ValueError(
            f"the statistic of {dim} parameters and {codec.columns} values has the shape {tuple(weight.shape)}."
        )
    return NaturalLikelihood(potential, _whitening(tensors, "natural", dim), weight, bias, codec, accuracy, error)


def _tested(likelihood: AnyLikelihood) -> dict[str, Any]:
    """The codec of a likelihood and its test, JSON-able."""
    return {
        "observations": likelihood.codec.to_json(),
        "accuracy": likelihood.accuracy,
        "standard_error": likelihood.standard_error,
    }


def _test(sizes: Mapping[str, Any]) -> tuple[ObservationCodec, float, float]:
    """What `_tested` wrote."""
    accuracy, error = (sizes.get(name) for name in ("accuracy", "standard_error"))
    if not isinstance(accuracy, (int, float)) or not isinstance(error, (int, float)):
        raise ValueError(f"a stored likelihood has an accuracy and its standard error, got {shown(accuracy)}.")
    return ObservationCodec.from_json(sizes.get("observations")), accuracy, error


def _whitening(tensors: Mapping[str, Tensor], name: str, dim: int) -> Whitening:
    mean, root = (tensors[f"{name}/whitening.{part}"].double() for part in ("mean", "root"))
    if mean.shape != (dim,) or root.shape != (dim, dim):
        raise ValueError(f"the whitening of {dim} coordinates has the shape {tuple(root.shape)}.")
    return Whitening(mean, root)


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
