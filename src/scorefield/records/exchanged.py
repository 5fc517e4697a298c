"""A run of images as the arguments and tensors of a network of diffusers (`interop.denoiser_unet`), and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from scorefield import _files
from scorefield.denoiser import Denoiser
from scorefield.pretrained.pipelines import network_config, parts_of
from scorefield.pretrained.weights import WEIGHTS
from scorefield.records.image_codec import ImageCodec
from scorefield.records.stored import Parts, read, stored

CLASS = "DenoiserUNet"
"""What diffusers calls such a network in its files."""
NETWORK = "denoiser.network."
"""How the names of the network's tensors begin there."""
MOMENTS = ("mean", "covariance")
"""Of the training data, tensors beside the network's."""
_SCALES = ("sigma_data", "sigma_min", "sigma_max")
_RUN = ("codec", "frequencies", "plans", "info", "ends")  # of a run's header, what its network does not say


def described(parts: Parts) -> dict[str, Any]:
    """The arguments of a `DenoiserUNet`, JSON-able, from which `rebuilt` makes the run again.

    Networks that were distilled to few evaluations stay behind.

    Args:
        parts: of a run with an `ImageCodec` and a `Denoiser`.
    """
    codec, model = cast(ImageCodec, parts.codec), cast(Denoiser, parts.model)
    scale, shift = on_their_scale(codec)
    header = stored(parts._replace(distilled={}))[0]
    moments = {name: list(value.shape) for name in MOMENTS if (value := getattr(parts, name)) is not None}
    return {
        "sample_size": (codec.height, codec.width),
        "in_channels": codec.channels,
        "out_channels": codec.channels,
        "network": header["network"],
        "target": model.target.name,
        **{name: header[name] for name in _SCALES},
        "scale": scale,
        "shift": shift,
        "run": {**{name: header[name] for name in _RUN if name in header}, "moments": moments},
    }


def on_their_scale(codec: ImageCodec) -> tuple[float, float]:
    """The scale and shift of `image of diffusers = scale * encoded + shift`: whole numbers are on [-1, 1] there."""
    unit = 2 / (codec.levels - 1) if codec.levels else 1.0
    return unit * codec.std, unit * codec.mean - (1 if codec.levels else 0)


def own_config(source: Any) -> dict[str, Any] | None:
    """The configuration of a source's network where that is a run of this library; else None.

    Args:
        source: a folder, a pipeline or a pair (network, scheduler) of diffusers.
    """
    if isinstance(source, str | Path):
        config = network_config(Path(source))[1]
        return config if config.get("_class_name") == CLASS else None
    module = parts_of(source)[0]
    return dict(module.config) if type(module).__name__ == CLASS else None


def rebuilt(source: Any, config: Mapping[str, Any]) -> Parts:
    """The run that a pipeline was made of, with the weights that it holds now; diffusers is not needed for a folder.

    A folder that was written before such folders kept the codec becomes a run of 256 grey levels.

    Args:
        source: as `own_config`.
        config: of `own_config`.

    Raises:
        FileError: for a damaged folder.
        ValueError: for a configuration that is no run's.
    """
    if not isinstance(source, str | Path):
        return _rebuilt(config, parts_of(source)[0].state_dict())
    path = network_config(Path(source))[0] / WEIGHTS
    tensors = _files.read_tensors(path)[0]
    with _files.reading(path.parent, "the network of a run", fix="; write it again"):
        return _rebuilt(config, tensors)


def _rebuilt(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Parts:
    own = {name.removeprefix(NETWORK): v for name, v in tensors.items() if name.startswith(NETWORK)}
    own |= {f"data/{name}": tensors[name] for name in MOMENTS if name in tensors}
    run = config.get("run")
    header = {
        "kind": "denoiser",
        **{name: config[name] for name in ("network", "target", *_SCALES)},
        **(run if isinstance(run, Mapping) else _of_pixels(config)),
    }
    return read(header, {name: value.detach().to("cpu", copy=True) for name, value in own.items()})


def _of_pixels(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a folder without the run's codec says: images on [-1, 1], from 0 to the greatest of 256 levels."""
    (height, width), channels = config["sample_size"], config["in_channels"]
    mean, std = 127.5 * (1 + config["shift"]), 127.5 * config["scale"]
    codec = ImageCodec(height, width, channels, mean, std, levels=256, dtype="uint8", channel_axis=channels > 1)
    classes = config["network"]["config"].get("classes") or 0
    return {
        "codec": codec.to_json(),
        "frequencies": [1 / classes] * classes if classes else None,
        "plans": {},
        "info": {},
    }
