"""What a folder holds of a trained model of records, and the parts made of it again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from scorefield import nets
from scorefield._files import shown
from scorefield.denoiser import TARGETS, Denoiser, Energy
from scorefield.plans import Plan
from scorefield.plans.plan import plans_from_json
from scorefield.records import diffusers_unet as _foreign
from scorefield.records import latents as _latents
from scorefield.records.codec import Codec, codec_from_json
from scorefield.records.ends import Ends
from scorefield.records.latent_codec import LatentCodec
from scorefield.training import parallel

_MEAN, _COVARIANCE = "data/mean", "data/covariance"  # names next to the network's own in model.safetensors
_DISTILLED, _AUTOENCODER = "distilled/", "autoencoder/"  # how the names of other networks' tensors begin


@dataclass(frozen=True)
class Distilled:
    """A network that draws with few evaluations, the levels of its plan being all that it answers at.

    Args:
        model: of the same kind and sizes as the one that it was distilled from.
        plan: how it steps.
        info: what is known of its training, JSON-able.
    """

    model: Denoiser
    plan: Plan
    info: Mapping[str, Any] = field(default_factory=dict)


class Parts(NamedTuple):
    """The fields of a `TrainedModel`, in its order."""

    model: Denoiser | Energy
    codec: Codec
    plans: Mapping[int, Plan]
    frequencies: tuple[float, ...] | None
    info: Mapping[str, Any]
    mean: Tensor | None
    covariance: Tensor | None
    distilled: Mapping[int, Distilled]
    ends: Ends

    @staticmethod
    def of(model: Any) -> Parts:
        """Those of a `TrainedModel`."""
        return Parts(*(getattr(model, name) for name in Parts._fields))


def stored(parts: Parts) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The JSON-able header and the tensors of a folder."""
    model = parts.model
    kind, network = ("energy", model.potential) if isinstance(model, Energy) else ("denoiser", model.network)
    tensors = _weights(network)
    moments = {_MEAN: parts.mean, _COVARIANCE: parts.covariance}
    tensors |= {name: value.detach().cpu() for name, value in moments.items() if value is not None}
    for steps, few in parts.distilled.items():
        tensors |= _weights(few.model.network, _few(steps))
    header: dict[str, Any] = {
        "kind": kind,
        "network": {"name": network_name(network), "config": network.config},
        "target": model.target.name if isinstance(model, Denoiser) else None,
        "sigma_data": model.sigma_data,
        "sigma_min": model.sigma_min,
        "sigma_max": model.sigma_max,
        "codec": parts.codec.to_json(),
        "frequencies": parts.frequencies,
        "plans": {str(n): plan.to_json() for n, plan in parts.plans.items()},
        "info": dict(parts.info),
    }
    if parts.distilled:
        header["distilled"] = {
            str(n): {"plan": few.plan.to_json(), "info": dict(few.info)} for n, few in parts.distilled.items()
        }
    if parts.ends != Ends():
        header["ends"] = vars(parts.ends)
    if isinstance(parts.codec, LatentCodec):
        header["autoencoder"], own = _latents.stored(parts.codec)
        tensors |= {_AUTOENCODER + name: value for name, value in own.items()}
    return header, tensors


def read(
    header: dict[str, Any],
    tensors: dict[str, Tensor],
    device: torch.device | str = "cpu",
    autoencoder: nn.Module | None = None,
) -> Parts:
    """The parts that `stored` described.

    Args:
        header: of the folder.
        tensors: of the folder.
        device: to put them on.
        autoencoder: the module that a run of its latents was fitted with, where the folder does not hold it.

    Raises:
        ValueError: for another network, or parts that do not fit together.
    """
    own = {n: v for n, v in tensors.items() if n not in (_MEAN, _COVARIANCE)}
    own = {n: v for n, v in own.items() if not n.startswith((_DISTILLED, _AUTOENCODER))}
    network = _network(header["network"], own)
    scales = {key: float(header[key]) for key in ("sigma_data", "sigma_min", "sigma_max")}
    model: Denoiser | Energy
    if header["kind"] == "energy":
        model = Energy(network, **scales)
    else:
        targets = {target.name: target for target in TARGETS}
        model = Denoiser(network, targets[header["target"]], **scales)
    codec = _codec(header, tensors, device, autoencoder)
    size: dict[str, Any] = network.config  # type: ignore[assignment]
    shape = (size["dim"],) if "dim" in size else (size["channels"], *size["sizes"])
    if shape != codec.shape:
        raise ValueError(f"the network is for records of shape {shape}, and the codec for {codec.shape}")
    frequencies = header["frequencies"]
    if frequencies is not None and (len(frequencies) != model.classes or not 0 < sum(frequencies) < math.inf):
        raise ValueError(f"there are {model.classes} classes, and the frequencies are {shown(frequencies)}")
    return Parts(
        model.to(device).eval(),
        codec,
        plans_from_json(header["plans"]),
        None if frequencies is None else tuple(frequencies),
        header["info"],
        tensors.get(_MEAN),
        tensors.get(_COVARIANCE),
        _distilled(header, tensors, model, device),
        Ends(**header.get("ends", {})),
    )


def network_name(network: nn.Module) -> str:
    """What a network is called in files; a ValueError for one that has no name there."""
    return _foreign.NAME if isinstance(network, _foreign.DiffusersUNet) else nets.name_of(network)


def _network(stored: Mapping[str, Any], weights: Mapping[str, Tensor]) -> nn.Module:
    """The network of a header, with its weights."""
    if stored["name"] == _foreign.NAME:
        return _foreign.DiffusersUNet.rebuilt(stored["config"], weights)
    return nets.restored(stored["name"], stored["config"], weights)


def _weights(network: nn.Module, prefix: str = "") -> dict[str, Tensor]:
    """The tensors of a network, whole, under a prefix."""
    return {prefix + name: parallel.whole(value) for name, value in network.state_dict().items()}


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names begin so, without that beginning."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _few(steps: int) -> str:
    """The prefix of the tensors of the network distilled to so many evaluations."""
    return f"{_DISTILLED}{steps}/"


def _codec(
    header: dict[str, Any], tensors: dict[str, Tensor], device: torch.device | str, given: nn.Module | None
) -> Codec:
    """The codec of a folder, with its autoencoder where it has one."""
    if "autoencoder" in header:
        own = _under(_AUTOENCODER, tensors)
        return _latents.restored(header["autoencoder"], header["codec"], own, device, given)
    if given is not None:
        raise ValueError("this run is one of records themselves, without an autoencoder; load it without one")
    return codec_from_json(header["codec"])


def _distilled(
    header: dict[str, Any], tensors: dict[str, Tensor], model: Denoiser | Energy, device: torch.device | str
) -> dict[int, Distilled]:
    """The networks of few evaluations that a folder has."""
    known = header.get("distilled", {})
    if known == {}:
        return {}
    if not isinstance(known, dict) or not isinstance(model, Denoiser):
        raise ValueError(f"distilled networks are an object beside a denoiser's, got {shown(known)}.")
    plans = plans_from_json({steps: few.get("plan") if isinstance(few, dict) else few for steps, few in known.items()})
    scales = {"sigma_data": model.sigma_data, "sigma_min": model.sigma_min, "sigma_max": model.sigma_max}
    found = {}
    for steps, plan in plans.items():
        own = _under(_few(steps), tensors)
        network = _network(header["network"], own)
        few = Denoiser(network, model.target, **scales)
        found[steps] = Distilled(few.to(device).eval(), plan, known[str(steps)].get("info", {}))
    return found
