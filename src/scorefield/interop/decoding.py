"""Codecs of records as modules: from standardised tensors to the user's units, in tensors alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield.records.array_codec import ArrayCodec
from scorefield.records.codec import Codec
from scorefield.records.ends import Ends
from scorefield.records.grid_codec import GridCodec
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec

_DTYPES = {"float32": torch.float32, "float64": torch.float64}


class GridDecoder(nn.Module):
    """`x * std + mean` in float64, in the layout of records, rounded where the codec rounds.

    Args:
        std: broadcasting against x.
        mean: likewise.
        dtype: of the answer.
        channels_last: move the axis of channels to the end; None: drop it, it is one.
    """

    std: Tensor
    mean: Tensor

    def __init__(self, std: Tensor, mean: Tensor, dtype: torch.dtype, channels_last: bool | None = None) -> None:
        super().__init__()
        self.register_buffer("std", std.double())
        self.register_buffer("mean", mean.double())
        self.dtype, self.channels_last = dtype, channels_last

    def forward(self, x: Tensor) -> Tensor:
        y = x.double() * self.std + self.mean
        return (y.movedim(1, -1) if self.channels_last else y[:, 0]).to(self.dtype)


class ArrayDecoder(nn.Module):
    """`ArrayCodec.decode`: float64 `(n, d)`, whole columns rounded."""

    std: Tensor
    mean: Tensor
    resolution: Tensor

    def __init__(self, codec: ArrayCodec) -> None:
        super().__init__()
        for name in ("std", "mean", "resolution"):
            self.register_buffer(name, torch.tensor(getattr(codec, name), dtype=torch.float64))
        self.whole = any(codec.resolution)

    def forward(self, x: Tensor) -> Tensor:
        y = x.double() * self.std + self.mean
        if not self.whole:
            return y
        unit = torch.where(self.resolution > 0, self.resolution, 1.0)
        return torch.where(self.resolution > 0, torch.round(y / unit) * unit + 0.0, y)


class ImageDecoder(nn.Module):
    """`ImageCodec.decode`, but floats: grey levels are whole numbers in float32, so that NaN stays to be seen."""

    def __init__(self, codec: ImageCodec, ends: Ends) -> None:
        super().__init__()
        self.codec, self.ends = codec, ends
        self.dtype = torch.float32 if codec.levels else _DTYPES[codec.dtype]

    def forward(self, x: Tensor) -> Tensor:
        codec = self.codec
        x = self.ends.taken(codec, x)[:, :, : codec.height, : codec.width].double()
        y = (x.movedim(1, 3) if codec.channel_axis else x[:, 0]) * codec.std + codec.mean
        if codec.levels:
            whole = torch.round(y).clamp(0.0, codec.levels - 1.0)
            y = torch.where(torch.isnan(y), y, whole)
        return y.to(self.dtype)


class LatentUnits(nn.Module):
    """Standardised latents on the autoencoder's scale, which decodes them."""

    def __init__(self, codec: LatentCodec, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.codec, self.dtype = codec, dtype

    def forward(self, x: Tensor) -> Tensor:
        return self.codec.unstandardised(x).to(self.dtype)


def decoder(codec: Codec, ends: Ends) -> nn.Module:
    """The way back of a codec as a module; of latents to the autoencoder's scale.

    Raises:
        TypeError: for a codec of another kind.
    """
    if isinstance(codec, ArrayCodec):
        return ArrayDecoder(codec)
    if isinstance(codec, ImageCodec):
        return ImageDecoder(codec, ends)
    if isinstance(codec, LatentCodec):
        return LatentUnits(codec)
    if isinstance(codec, GridCodec):
        along = [1] * len(codec.sizes)
        std, mean = (torch.tensor(v, dtype=torch.float64).reshape(-1, *along) for v in (codec.std, codec.mean))
        return GridDecoder(std, mean, _DTYPES[codec.dtype], True if codec.channel_axis else None)
    raise TypeError(
        f"records of a {type(codec).__name__} cannot be exported; export the denoiser instead of a sampler."
    )
