"""The `AutoencoderKL` of the package diffusers, which is imported where one is opened."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from scorefield import _files, _optional
from scorefield._files import FileError, reason, shown
from scorefield.pretrained.weights import read

_CLASS = "AutoencoderKL"


class DiffusersKL(nn.Module):
    """An `AutoencoderKL` (Rombach and others 2022) as `encode(x) -> z`, `decode(z) -> x`.

    The latent is the mean of the encoder's law, on the scale on which diffusers' models see it:
    `z = (mean - shift_factor) * scaling_factor`, a factor that the configuration has not being 1, a shift 0.

    Args:
        kl: of diffusers.
    """

    def __init__(self, kl: Any) -> None:
        super().__init__()
        self.kl = kl
        self.config = {name: value for name, value in dict(kl.config).items() if not name.startswith("_")}
        self.channels = int(self.config["in_channels"])
        self.factor = 2 ** (len(self.config["block_out_channels"]) - 1)
        self.scale = _number(self.config.get("scaling_factor"), 1.0)
        self.shift = _number(self.config.get("shift_factor"), 0.0)

    def encode(self, x: Tensor) -> Tensor:
        """Pictures `(n, c, h, w)` on [-1, 1] as latents `(n, latent_channels, h / factor, w / factor)`."""
        mean: Tensor = self.kl.encode(x).latent_dist.mean
        return (mean - self.shift) * self.scale

    def decode(self, z: Tensor) -> Tensor:
        """The pictures of latents."""
        x: Tensor = self.kl.decode(z / self.scale + self.shift).sample
        return x

    @staticmethod
    def from_folder(folder: Path) -> DiffusersKL:
        """The one in a folder of diffusers: config.json and safetensors.

        Raises:
            FileError: for another class, files that are damaged or no safetensors, or weights of another configuration.
            ValueError: where the package is missing.
        """
        name = _files.read_json(folder / "config.json").get("_class_name")
        if name != _CLASS:
            raise FileError(f"{folder}/config.json is of {shown(name)}, expected an {_CLASS} of diffusers.")
        return DiffusersKL(read(_kl_class(), folder, f"an {_CLASS} of diffusers"))

    @staticmethod
    def rebuilt(config: object, weights: Mapping[str, Tensor]) -> DiffusersKL:
        """The one of a stored configuration with its stored weights; a ValueError where they do not fit."""
        if not isinstance(config, dict):
            raise ValueError(f"an autoencoder's configuration is a JSON object, got {shown(config)}")
        kind = _kl_class()
        with torch.device("meta"):  # no memory until the weights are known to fit
            module = DiffusersKL(kind.from_config(config))
        try:
            module.load_state_dict(dict(weights), assign=True)
        except RuntimeError as fault:
            raise ValueError(f"the autoencoder's weights do not fit its configuration: {reason(fault)}") from None
        return module


def is_kl(value: object) -> bool:
    """Whether something is an `AutoencoderKL` of diffusers, which is not imported for the question."""
    diffusers = sys.modules.get("diffusers")
    return diffusers is not None and isinstance(value, getattr(diffusers, _CLASS))


def _kl_class() -> Any:
    return _optional.diffusers(f"an {_CLASS}").AutoencoderKL


def _number(value: Any, otherwise: float) -> float:
    return otherwise if value is None else float(value)
