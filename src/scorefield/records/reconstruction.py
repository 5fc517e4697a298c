"""How well pictures come back from their latents: what an autoencoder costs."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from scorefield.data.dataset import Array
from scorefield.records.latent_codec import LatentCodec, in_parts


class Reconstructed(NamedTuple):
    """How far pictures are from themselves, encoded and decoded.

    Args:
        error: root mean square of the differences of pixels, in the user's units.
        share: of the standard deviation of the pixels.
        pixels: numbers of a picture.
        latent: shape of a latent.
        rows: how many pictures.
    """

    error: float
    share: float
    pixels: int
    latent: tuple[int, ...]
    rows: int

    @property
    def compression(self) -> float:
        """Numbers of a picture to one of its latent."""
        return self.pixels / math.prod(self.latent)

    def to_json(self) -> dict[str, Any]:
        """The fields, JSON-able."""
        return {**self._asdict(), "latent": list(self.latent)}

    def __str__(self) -> str:
        return (
            f"{self.pixels:,} numbers of a picture as {' x '.join(map(str, self.latent))} of a latent, "
            f"{self.compression:.3g} to 1; {self.rows:,} pictures that went through it are off by "
            f"{self.error:.4g} (root mean square), {100 * self.share:.1f} % of the pixels' standard deviation"
        )


def reconstructed(codec: LatentCodec, records: Array) -> tuple[Array, Reconstructed]:
    """Pictures encoded and decoded, in the user's units and type, and how far they are off.

    Args:
        codec: of latents.
        records: `(n, h, w)` or `(n, h, w, c)`.
    """
    back = codec.decode(codec.encode(records))
    squares = sum(
        float(np.square(back[part].astype(np.float64) - records[part]).sum())
        for part in in_parts(len(records), codec.record_shape)
    )
    error = math.sqrt(squares / records.size)
    pixels = math.prod(codec.record_shape)
    return back, Reconstructed(error, error / codec.images.std, pixels, codec.shape, len(records))
