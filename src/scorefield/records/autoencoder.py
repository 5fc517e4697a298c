"""Autoencoders: what brings pictures to latents and back, from a folder or from a module of the user's own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from scorefield import _files
from scorefield._files import FileError, reason, shown
from scorefield.nets import rebuilt
from scorefield.records.codec import codec_from_json
from scorefield.records.convolutional import Convolutional
from scorefield.records.diffusers_kl import DiffusersKL, is_kl
from scorefield.records.image_codec import ImageCodec
from scorefield.training import model_folder, parallel

FORM = "scorefield autoencoder"
"""What model.json calls the folder of an autoencoder."""
FORMAT = 1
CONVOLUTIONAL, DIFFUSERS, MODULE = "convolutional", "diffusers-kl", "module"
"""The forms: one trained here, one of the package diffusers, a module that is handed over."""


@dataclass(frozen=True, eq=False)
class Autoencoder:
    """A module `encode(x (n, c, h, w)) -> z (n, ...)`, `decode(z) -> x`, and how pictures enter it.

    A pixel enters on [-1, 1] where it is a whole number from 0 to the greatest of its type, 255 or 65535, and as it is
    where it is a float; an autoencoder that was trained here knows its own scale. Sides are filled up to a multiple of
    `factor` by repeating the last row or column, which decoding cuts off again.

    Args:
        module: with `encode` and `decode`, the latent being what encode answers; it is asked without gradients and in
            evaluation mode, and stays in the mode it was in.
        form: "convolutional" or "diffusers-kl", whose weights a run holds, or "module", which is handed over again.
        config: what a file rebuilds it from; empty for a module.
        factor: sides of pictures that it takes are a multiple of it.
        channels: of pictures that it takes; None: any.
        images: the codec of the pictures that it was trained on; None: not known.
        info: what else is known of it, JSON-able.
    """

    module: nn.Module
    form: str = MODULE
    config: Mapping[str, Any] = field(default_factory=dict)
    factor: int = 1
    channels: int | None = None
    images: ImageCodec | None = None
    info: Mapping[str, Any] = field(default_factory=dict)

    def seen(self, images: ImageCodec) -> ImageCodec:
        """The codec by which pictures enter, channels first.

        Raises:
            ValueError: for pictures that it does not take.
        """
        if self.channels not in (None, images.channels):
            raise ValueError(
                f"the autoencoder takes pictures of {self.channels} channel(s), got {images.channels}; bring them to "
                "that by --image-mode, or take another autoencoder."
            )
        if self.images is not None:
            if (self.images.levels is None) != (images.levels is None):
                kinds = ("whole numbers", "floats")
                mine, theirs = kinds[self.images.levels is None], kinds[images.levels is None]
                raise ValueError(
                    f"the autoencoder was trained on pictures of {mine}, got {theirs}; train one on such pictures."
                )
            return replace(images, mean=self.images.mean, std=self.images.std)
        if images.levels is None:
            return replace(images, mean=0.0, std=1.0)
        half = float(np.iinfo(images.dtype).max) / 2
        return replace(images, mean=half, std=half)

    def encode(self, x: Tensor) -> Tensor:
        """What the module encodes `(n, c, h, w)` to, on the CPU.

        Raises:
            ValueError: where it fails, or its answer is no finite tensor of floats with a row for each picture.
        """
        return self._asked("encode", x, "a latent for each picture, (n, d) or (n, c, ...)")

    def decode(self, z: Tensor) -> Tensor:
        """What the module decodes latents to, `(n, c, h, w)` on the CPU; errors as `encode`."""
        return self._asked("decode", z, "a picture for each latent, (n, c, h, w)")

    def on(self, device: torch.device | str) -> Autoencoder:
        """Itself, moved to a device; a module that was handed over stays where it is."""
        if self.form != MODULE:
            self.module.to(device)
        return self

    def to_json(self) -> dict[str, Any]:
        """What `rebuilt_from` takes beside the weights."""
        images = None if self.images is None else self.images.to_json()
        return {"form": self.form, "config": dict(self.config), "images": images}

    def save(self, folder: str | Path) -> None:
        """Write it to a folder, as `opened` reads it; a ValueError for one that is handed over."""
        if self.form == MODULE:
            raise ValueError("a module that was handed over has no configuration to write; keep it where it is from.")
        model_folder.save(Path(folder), FORM, FORMAT, {**self.to_json(), "info": dict(self.info)}, self.weights())

    def weights(self) -> dict[str, Tensor]:
        """By name, whole and on the CPU."""
        return {name: parallel.whole(value).cpu() for name, value in self.module.state_dict().items()}

    def fingerprint(self) -> str:
        """By which it is known again: its class, configuration, scale of pixels and weights."""
        about = [type(self.module).__qualname__, self.to_json()]
        content = hashlib.blake2b(json.dumps(about, sort_keys=True, default=str).encode(), digest_size=16)
        content.update(model_folder.digest(self.weights()).encode())
        return content.hexdigest()

    def _asked(self, name: str, x: Tensor, wanted: str) -> Tensor:
        first = next((v for v in self.module.state_dict().values() if v.is_floating_point()), x)
        given = x.to(first.device, first.dtype)
        try:
            with torch.no_grad(), _evaluating(self.module):
                found = getattr(self.module, name)(given)
        except Exception as fault:
            raise ValueError(
                f"the autoencoder cannot {name} what has the shape {tuple(x.shape)}: {reason(fault)}."
            ) from fault
        if not isinstance(found, Tensor) or not found.is_floating_point():
            kind = found.dtype if isinstance(found, Tensor) else type(found).__name__
            raise ValueError(f"{name} of the autoencoder gave {kind}, expected a tensor of floats: {wanted}.")
        if found.ndim < 2 or len(found) != len(x):
            raise ValueError(
                f"{name} of the autoencoder gave the shape {tuple(found.shape)} for {len(x)} of them, expected "
                f"{wanted}."
            )
        if not bool(torch.isfinite(found).all()):
            raise ValueError(f"{name} of the autoencoder gave NaN or infinite values, expected finite ones.")
        return found.cpu()


def opened(source: str | Path | nn.Module | Autoencoder) -> Autoencoder:
    """An autoencoder from a folder that `scorefield autoencode` or diffusers wrote, or of a module.

    Args:
        source: a folder with `model.json` of scorefield or `config.json` of an `AutoencoderKL` of the package diffusers
            (with its safetensors), or a module with `encode` and `decode`.

    Raises:
        FileError: for a folder that holds neither.
        TypeError: for an object without these two methods.
        ValueError: where diffusers is needed and missing.
    """
    if isinstance(source, Autoencoder):
        return source
    if isinstance(source, (str, Path)):
        return _from_folder(Path(source))
    if is_kl(source):
        return _of_kl(DiffusersKL(source))
    if not isinstance(source, nn.Module) or not all(callable(getattr(source, n, None)) for n in ("encode", "decode")):
        raise TypeError(
            f"an autoencoder is a folder or a torch.nn.Module with encode and decode, got {type(source).__name__}."
        )
    return Autoencoder(source)


def rebuilt_from(form: object, config: object, weights: Mapping[str, Tensor], images: object) -> Autoencoder:
    """The autoencoder that a file describes.

    Args:
        form: "convolutional" or "diffusers-kl".
        config: its own.
        weights: its own.
        images: the codec, as JSON, of the pictures that it was trained on; None: not known.

    Raises:
        ValueError: for another form, or parts that do not fit together.
    """
    if form == DIFFUSERS:
        return _of_kl(DiffusersKL.rebuilt(config, weights))
    if form != CONVOLUTIONAL:
        raise ValueError(f"an autoencoder is of the form {CONVOLUTIONAL} or {DIFFUSERS}, got {shown(form)}")
    module = rebuilt(Convolutional, config, weights)
    codec = codec_from_json(images)  # type: ignore[arg-type]  # it checks
    if not isinstance(codec, ImageCodec):
        raise ValueError(f"an autoencoder knows the codec of its images, got {shown(images)}")
    return of_convolutional(module, codec)


def of_convolutional(module: Convolutional, images: ImageCodec, info: Mapping[str, Any] | None = None) -> Autoencoder:
    """An autoencoder that was trained here, on pictures with this codec."""
    return Autoencoder(
        module.eval(), CONVOLUTIONAL, module.config, module.factor, module.channels, images, dict(info or {})
    )


def _from_folder(folder: Path) -> Autoencoder:
    if (folder / "config.json").is_file() and not (folder / "model.json").is_file():
        return _of_kl(DiffusersKL.from_folder(folder))
    if not (folder / "model.json").is_file():
        inner = "; give its folder vae" if (folder / "vae" / "config.json").is_file() else ""
        raise FileError(
            f"{folder} holds no autoencoder: expected the model.json that `scorefield autoencode` writes or the "
            f"config.json of an AutoencoderKL of diffusers{inner}."
        )
    header = _files.read_json(folder / "model.json")
    if header.get("format") != FORM:
        raise FileError(
            f"{folder} holds no autoencoder but {shown(header.get('format'))}; give the folder that "
            "`scorefield autoencode` wrote."
        )

    def made(header: dict[str, Any], tensors: dict[str, Tensor]) -> Autoencoder:
        found = rebuilt_from(header["form"], header["config"], tensors, header["images"])
        return replace(found, info=header["info"])

    return model_folder.load(folder, FORM, FORMAT, FORM, made)


def _of_kl(module: DiffusersKL) -> Autoencoder:
    return Autoencoder(module.eval(), DIFFUSERS, module.config, module.factor, module.channels)


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """With every part in evaluation mode, and in its own again afterwards."""
    training = [part for part in module.modules() if part.training]
    module.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True
