"""A small autoencoder trained on pictures, in a folder: what `scorefield autoencode` does, as a generator."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.core import Level
from scorefield.data import Dataset, ImageReading, split
from scorefield.levels import TrainingLevels
from scorefield.objectives.batch import Draws
from scorefield.records.autoencoder import FORM, Autoencoder, of_convolutional, opened
from scorefield.records.convolutional import Convolutional
from scorefield.records.encoded import Encoded
from scorefield.records.files import read_to_fit
from scorefield.records.fit import GRID_DEFAULT, HELD_SHARE
from scorefield.records.held import digest
from scorefield.records.latent_codec import LatentCodec
from scorefield.records.latents import check_pictures, picture_codec
from scorefield.records.reconstruction import Reconstructed, reconstructed
from scorefield.training.checkpoint import Settings
from scorefield.training.loop import Progress
from scorefield.training.run import Preparation, train_in_folder

NOISE, WEIGHT = 0.1, 1e-3
"""Of `Reconstruction`: latents then have a deviation of about 1."""
RECONSTRUCTION = "reconstruction"
"""In the info of an autoencoder: how held-out pictures come back."""


@dataclass(frozen=True)
class Reconstruction:
    """`|x - decode(z + noise eps)|^2 + weight |z|^2`, `z = encode(x)`, summed over a picture.

    The bound on the likelihood of a variational autoencoder whose latent has the same variance everywhere, but for
    constants (Kingma and Welling 2014; Ghosh and others 2020): the noise makes neighbouring latents decode to like
    pictures, the weight keeps latents from running away from it.

    Args:
        noise: deviation of the noise on latents.
        weight: of their size.
        holes: of the interface: there are none.
    """

    noise: float = NOISE
    weight: float = WEIGHT
    holes: bool = False

    @property
    def levels(self) -> TrainingLevels:
        """The one noise, on latents."""
        return self._level

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sample, `(n,)`; arguments as `Objective`."""
        z, y = model(x, self.noise * draws.noise)
        return (x - y).square().flatten(1).sum(1) + self.weight * z.square().flatten(1).sum(1)

    def _level(self, u: Tensor) -> Level:
        return Level(torch.ones_like(u), torch.full_like(u, self.noise))


def autoencode(
    source: str | Path | Dataset,
    folder: str | Path,
    *,
    settings: Settings | Mapping[str, Any] | None = None,
    factor: int = 4,
    latent: int = 4,
    held_share: float | None = None,
    images: ImageReading | None = None,
    resume: bool = False,
) -> Iterator[Progress]:
    """Train a `Convolutional` autoencoder of pictures and write it to a folder, one step per turn of the loop.

    Args:
        source: a folder of images, a file or a built-in set of them, or a `Dataset`.
        folder: to write to; `records.fit.fit(..., autoencoder=folder)` takes it.
        settings: of the training, as a whole or some fields; default: three minutes.
        factor: 2, 4, 8 or 16: how many times smaller the sides of a latent are than those of a picture.
        latent: channels of a latent.
        held_share: of the pictures, held out; default: a tenth.
        images: how the image files of a folder become pixels; default: as they are, and when resuming as before.
        resume: go on with what the folder holds, bit for bit as if never stopped.

    Raises:
        DataError: for data that cannot be used, or are no pictures.
        ValueError: for a factor or channels out of their range, latents of as many numbers as a picture has; when the
            folder holds a training and resume is False, or resume is asked with other data.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     for progress in autoencode("digits", folder, factor=2, latent=2, settings={"steps": 2, "batch": 8}):
        ...         pass
        ...     held_out_error(folder).compression
        2.0
    """
    _ranges.LATENT_CHANNELS("autoencode(latent=...)", latent)
    dataset = read_to_fit(source, images, Path(folder) if resume else None)
    check_pictures(dataset)
    options = {
        "source": dataset.source,
        "format": FORM,
        "records": digest(dataset.records),
        "factor": factor,
        "latent": latent,
        "held_share": HELD_SHARE if held_share is None else held_share,
    }
    if dataset.reading is not None:
        options["images"] = dict(dataset.reading)
    return train_in_folder(
        Path(folder),
        options,
        lambda settings: _prepare(dataset, options, settings.seed),
        default=GRID_DEFAULT,
        settings=settings,
        resume=resume,
    )


def held_out_error(folder: str | Path) -> Reconstructed:
    """How the pictures that an autoencoder in a folder has not seen come back."""
    known = opened(folder).info[RECONSTRUCTION]
    return Reconstructed(**{**known, "latent": tuple(known["latent"])})


def _prepare(dataset: Dataset, options: Mapping[str, Any], seed: int) -> Preparation:
    """Cut the data set, fit the codec, build the network."""
    cut = split(len(dataset), options["held_share"], seed, dataset.labels)
    images = picture_codec(dataset, cut[0])
    module = Convolutional(images.channels, options["latent"], options["factor"], seed=seed)
    sizes = tuple(-(-side // module.factor) for side in images.shape[1:])
    pixels, numbers = math.prod(images.record_shape), options["latent"] * math.prod(sizes)
    if numbers >= pixels:
        raise ValueError(
            f"a latent of {numbers:,} numbers does not compress a picture of {pixels:,}; take fewer --channels or a "
            "greater --factor."
        )
    x, held = (Encoded(images, dataset.records, rows) for rows in cut)
    data = {"source": options["source"], "kind": dataset.kind, "records": options["records"], "rows": len(x)}
    data |= {"held": len(held), "held_share": options["held_share"]}
    if "images" in options:
        data["images"] = options["images"]

    def finish(info: dict[str, Any]) -> Autoencoder:
        made = of_convolutional(module, images, {"data": data, **info})
        codec = LatentCodec(images, made, (0.0,) * options["latent"], (1.0,) * options["latent"], sizes)
        _, found = reconstructed(codec, dataset.records[cut[1]])
        return replace(made, info={**made.info, RECONSTRUCTION: found.to_json()})

    return Preparation(module, x, held, finish, objective=Reconstruction())
