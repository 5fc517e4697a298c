"""Pictures as the standardised latents of an autoencoder."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield._files import shown
from scorefield.data.dataset import Array
from scorefield.records.autoencoder import Autoencoder
from scorefield.records.codec import Codec
from scorefield.records.convolutional import filled_up
from scorefield.records.image_codec import ImageCodec

KIND = "latent"
"""What JSON calls such a codec."""
_AT_ONCE = 1 << 20  # numbers of pictures that an autoencoder sees at once


@dataclass(frozen=True, eq=False)
class LatentCodec:
    """Each channel of the latents on its own scale: `encoded = (z - mean) / std`, `z = autoencoder.encode(x)`.

    The user's unit of an encoded number is that of the latent z: `slope` and `log_det` are `d encoded / d z`, so that
    log-densities and scores are of the latent, per unit of the latent. What an autoencoder drops has no density, and a
    density of pixels does not follow.

    Args:
        images: of the user's pictures.
        autoencoder: pictures <-> latents.
        mean: of each channel of the latents `(n, c, *sizes)`; of `(n, d)` of each number.
        std: likewise, > 0.
        sizes: of a channel; empty for latents `(n, d)`.

    Raises:
        ValueError: for pictures that the autoencoder does not take, other than finite means and positive deviations.

    Example:
        >>> from scorefield.records.convolutional import Convolutional
        >>> images = ImageCodec(8, 8, 1, mean=8.0, std=4.0, levels=17, dtype="uint8", channel_axis=False)
        >>> by = Autoencoder(Convolutional(1, latent=2, width=8), factor=4)
        >>> codec = LatentCodec(images, by, mean=(0.0, 0.0), std=(1.0, 1.0), sizes=(2, 2))
        >>> z = codec.encode(np.zeros((3, 8, 8), np.uint8))
        >>> z.shape, codec.decode(z).shape
        (torch.Size([3, 2, 2, 2]), (3, 8, 8))
    """

    images: ImageCodec
    autoencoder: Autoencoder
    mean: tuple[float, ...]
    std: tuple[float, ...]
    sizes: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, tuple(float(v) for v in getattr(self, name)))
        finite = all(math.isfinite(v) for v in (*self.mean, *self.std))
        if not self.mean or len(self.mean) != len(self.std) or not finite or min(self.std) <= 0:
            raise ValueError(
                "LatentCodec needs a finite mean and std > 0 for each channel, got "
                f"{shown(self.mean)} and {shown(self.std)}."
            )
        if len(self.sizes) > 3 or not all(type(size) is int and size > 0 for size in self.sizes):
            raise ValueError(f"LatentCodec(sizes=...) are at most three whole numbers >= 1, got {shown(self.sizes)}.")
        self.autoencoder.seen(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """`(c, *sizes)` or `(d,)` of a latent."""
        return (len(self.mean), *self.sizes)

    @property
    def record_shape(self) -> tuple[int, ...]:
        """Of a picture, as the user has it."""
        return self.images.record_shape

    def encode(self, records: Array, seed: int | None = None, *, first: int | Tensor = 0, row: int = 0) -> Tensor:
        """Pictures as standardised latents, float32 `(n, *shape)`; arguments as `ImageCodec.encode`."""
        return self.standardised(self.latents(records, seed, first=first, row=row))

    def latents(self, records: Array, seed: int | None = None, *, first: int | Tensor = 0, row: int = 0) -> Tensor:
        """Pictures as the autoencoder's own latents `(n, *shape)`; arguments as `ImageCodec.encode`.

        Raises:
            ValueError: for latents of another shape, or that are not finite.
        """
        number = torch.arange(len(records)) + first if isinstance(first, int) else first
        made = [
            self._checked(latents_of(self.autoencoder, self.images, records[part], seed, number[part], row))
            for part in in_parts(len(records), self.record_shape)
        ]
        return torch.cat(made) if made else torch.empty(0, *self.shape)

    def standardised(self, z: Tensor) -> Tensor:
        """Latents `(n, *shape)` as float32 of mean 0 and deviation 1, computed in float64."""
        return ((z.double() - self._along(self.mean)) / self._along(self.std)).float()

    def unstandardised(self, x: Tensor) -> Tensor:
        """The inverse of `standardised`, float64."""
        return x.double() * self._along(self.std) + self._along(self.mean)

    def decode(self, x: Tensor) -> Array:
        """Encoded latents `(n, *shape)` as pictures of the user's shape and dtype; integers rounded and clipped."""
        return self._decoded(x, self.autoencoder.seen(self.images).decode)

    def decode_floats(self, x: Tensor) -> Array:
        """As decode, but float64 and neither rounded nor clipped."""
        return self._decoded(x, self.autoencoder.seen(self.images).decode_floats)

    def layout(self, x: Tensor) -> Array:
        """Encoded latents `(n, *shape)` as float64 arrays, on the encoded scale."""
        if x.shape[1:] != self.shape:
            raise ValueError(f"latents must have the shape (n, {_sizes(self.shape)}), got {tuple(x.shape)}.")
        values: Array = x.detach().cpu().double().numpy()
        return values

    @property
    def slope(self) -> Array:
        """`d encoded / d z = 1 / std`, float64, broadcasting against latents."""
        return 1 / np.asarray(self._along(self.std).numpy())

    def log_det(self, records: Array) -> Tensor:
        """`log |d encoded / d z|`, float64 `(n,)`: log p(z) = log p(encoded) + log_det."""
        value = -math.prod(self.sizes) * math.fsum(math.log(s) for s in self.std)
        return torch.full((len(records),), value, dtype=torch.float64)

    def to_json(self) -> dict[str, Any]:
        """Plain lists and numbers, for `from_json`; the autoencoder is stored beside them."""
        return {
            "kind": KIND,
            "images": self.images.to_json(),
            "mean": list(self.mean),
            "std": list(self.std),
            "sizes": list(self.sizes),
        }

    @staticmethod
    def from_json(fields: Mapping[str, Any], images: ImageCodec, autoencoder: Autoencoder) -> LatentCodec:
        """The codec that `to_json` described, with its codec of images and its autoencoder."""
        mean, std, sizes = (tuple(fields[name]) for name in ("mean", "std", "sizes"))
        return LatentCodec(images, autoencoder, mean, std, sizes)

    def _decoded(self, x: Tensor, as_pictures: Callable[[Tensor], Array]) -> Array:
        self.layout(x[:1])  # for its check
        if bool(torch.isnan(x).any()):
            raise ValueError("decode got NaN latents; the sampling diverged.")
        parts = [as_pictures(self._pixels(x[part])) for part in in_parts(len(x), self.record_shape)]
        return np.concatenate(parts) if parts else as_pictures(torch.empty(0, *self.images.shape))

    def _pixels(self, x: Tensor) -> Tensor:
        """Encoded latents as pictures on the autoencoder's scale, `(n, c, h, w)`, without what was filled up."""
        _, height, width = self.images.shape
        wanted = tuple(filled_up(torch.empty(1, *self.images.shape), self.autoencoder.factor).shape[1:])
        pixels = self.autoencoder.decode(self.unstandardised(x.cpu()).float())
        if tuple(pixels.shape[1:]) != wanted:
            raise ValueError(
                f"decode of the autoencoder gave the shape {tuple(pixels.shape)}, expected (n, {_sizes(wanted)}) as "
                "the pictures that were encoded."
            )
        return pixels[:, :, :height, :width]

    def _checked(self, z: Tensor) -> Tensor:
        if tuple(z.shape[1:]) != self.shape:
            raise ValueError(
                f"encode of the autoencoder gave the shape {tuple(z.shape)}, expected (n, {_sizes(self.shape)}) as "
                "when the run was fitted."
            )
        return z

    def _along(self, values: tuple[float, ...]) -> Tensor:
        """One value a channel, float64, broadcasting against latents."""
        return torch.tensor(values, dtype=torch.float64).reshape(-1, *[1] * len(self.sizes))


def records_codec(codec: Codec) -> Codec:
    """The codec of the user's records themselves: of pictures, where the given one is of their latents."""
    return codec.images if isinstance(codec, LatentCodec) else codec


def latents_of(
    autoencoder: Autoencoder,
    images: ImageCodec,
    records: Array,
    seed: int | None = None,
    first: int | Tensor = 0,
    row: int = 0,
) -> Tensor:
    """The autoencoder's latents of some pictures, all at once; see `LatentCodec.latents`."""
    x = autoencoder.seen(images).encode(records, seed, first=first, row=row)
    return autoencoder.encode(filled_up(x, autoencoder.factor))


def in_parts(n: int, record_shape: tuple[int, ...]) -> Iterator[slice]:
    """The places of n pictures, as many at a time as an autoencoder sees at once."""
    step = max(1, _AT_ONCE // math.prod(record_shape))
    return (slice(start, min(start + step, n)) for start in range(0, n, step))


def _sizes(shape: tuple[int, ...]) -> str:
    return ", ".join(map(str, shape))
