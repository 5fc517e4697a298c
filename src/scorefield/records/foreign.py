"""A UNet2DModel of diffusers that a run is trained with, from where it stands, on images as diffusers has them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from scorefield import _optional
from scorefield._files import shown
from scorefield.data.dataset import Array, DataError
from scorefield.denoiser import Denoiser
from scorefield.pretrained.hub import PREFIX, is_name
from scorefield.pretrained.pipelines import located, parts_of
from scorefield.pretrained.schedulers import READ
from scorefield.records.adopted import denoiser
from scorefield.records.codec import Codec
from scorefield.records.diffusers_unet import NAME, plain_config
from scorefield.records.image_codec import ImageCodec

_CLASS = "UNet2DModel"


@dataclass(frozen=True, eq=False)
class Foreign:
    """A network of diffusers, and the scheduler that says what it is told of the noise and what it predicts.

    Args:
        module: a UNet2DModel, which stays as it is: a copy is trained.
        scheduler: of diffusers.
    """

    module: Any
    scheduler: Any

    def described(self) -> dict[str, Any]:
        """What a resumed training must share, JSON-able: all but the weights."""
        kind = type(self.scheduler).__name__
        return {
            "name": NAME,
            "unet": plain_config(self.module),
            "scheduler": {"_class_name": kind, **plain_config(self.scheduler)},
        }

    def untrained(self, shape: tuple[int, ...], sigma_data: float, classes: int) -> Denoiser:
        """The model to train.

        Args:
            shape: of an encoded image.
            sigma_data: of encoded images.
            classes: that it is to know.

        Raises:
            ValueError: where network, images and classes do not fit together.
        """
        model = denoiser(copy.deepcopy(self.module), self.scheduler, sigma_data, classes)
        size: Any = model.network.config
        own = (size["channels"], *size["sizes"])
        halvings = 2 ** (len(size["unet"]["block_out_channels"]) - 1)
        if own != shape:
            raise ValueError(
                f"this {_CLASS} is for images of {own[0]} channel(s) and size {own[1]} x {own[2]} (in_channels, "
                f"sample_size), and the images have {shape[0]} and {shape[1]} x {shape[2]}."
            )
        if own[1] % halvings or own[2] % halvings:
            raise ValueError(
                f"this {_CLASS} of {len(size['unet']['block_out_channels'])} resolutions is for heights and widths "
                f"that {halvings} divides, got {own[1]} x {own[2]}."
            )
        return model


def foreign(network: Any, stored: Mapping[str, Any]) -> Foreign | None:
    """The network of diffusers that a training is told to take; None for the name of one of this library.

    Args:
        network: of `fit`.
        stored: options of the training that is resumed, which hold one where nothing else is told.

    Raises:
        ValueError: for another network of diffusers than a UNet2DModel, or another scheduler.
        FileError: for a folder that cannot be read.
    """
    if isinstance(network, str) and network == "auto":
        return _again(stored["network"]) if isinstance(stored.get("network"), Mapping) else None
    if isinstance(network, str) and not (network.startswith(PREFIX) or is_name(network) or Path(network).is_dir()):
        return None
    module, scheduler = parts_of(located(network))
    if type(module).__name__ != _CLASS:
        raise ValueError(f"a run is trained with a {_CLASS} of diffusers, got {shown(type(module).__name__)}.")
    return Foreign(module, scheduler)


def check_given(kind: str, source: str, size: str, latents: bool) -> None:
    """Raise where a network of diffusers is given for records that are no images, or with what says nothing of it."""
    if kind != "image":
        raise ValueError(f"a {_CLASS} of diffusers is trained on images; {source} holds records of kind {kind!r}.")
    if size != "auto":
        raise ValueError(f"a given {_CLASS} has its size; leave size={size!r} out.")
    if latents:
        raise ValueError(f"a {_CLASS} is trained on pixels here, not on latents; leave network or autoencoder out.")


def on_their_scale(codec: Codec, records: Array | None) -> ImageCodec:
    """The codec of the same images as diffusers has them: from 0 to the greatest level on [-1, 1].

    Args:
        codec: that was fitted to them.
        records: the images, where they are floats: these are on [-1, 1] already.

    Raises:
        DataError: for what is not images, or floats elsewhere.
    """
    if not isinstance(codec, ImageCodec):
        raise DataError(f"a {_CLASS} of diffusers is trained on images, got {type(codec).__name__}'s records.")
    if codec.height % 2 or codec.width % 2:
        raise DataError(
            f"a {_CLASS} is trained on images of even height and width, got {codec.height} x {codec.width}; crop or "
            "resize them."
        )
    if codec.levels:
        half = (codec.levels - 1) / 2
        return replace(codec, mean=half, std=half)
    if records is None:
        raise DataError(f"a {_CLASS} is trained on streams of images of whole numbers, got {codec.dtype}.")
    low, high = float(np.min(records)), float(np.max(records))
    if low < -1 or high > 1:
        raise DataError(f"images of floats for a {_CLASS} are on [-1, 1], got {low:g} to {high:g}; scale them.")
    return replace(codec, mean=0.0, std=1.0)


def _again(stored: Mapping[str, Any]) -> Foreign:
    """An untrained network of stored options."""
    kind = stored["scheduler"].get("_class_name")
    if stored.get("name") != NAME or kind not in READ:
        raise ValueError(f"no network {shown(stored.get('name'))} with the scheduler {shown(kind)} is known.")
    package = _optional.diffusers(f"a run of a {_CLASS}")
    scheduler = getattr(package, kind).from_config(dict(stored["scheduler"]))
    return Foreign(getattr(package, _CLASS).from_config(dict(stored["unet"])), scheduler)
