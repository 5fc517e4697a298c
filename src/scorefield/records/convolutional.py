"""A small convolutional autoencoder of pictures, made to train on a CPU too."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import interpolate, pad, pixel_shuffle, pixel_unshuffle, silu

from scorefield.nets._embedding import check_sizes
from scorefield.nets._init import conv, initialise, norm

FACTORS = (2, 4, 8, 16)
"""How many times smaller the sides of a latent may be than those of a picture."""
_PATCH = 2  # pixels along each side that enter and leave as channels: a quarter of the work


def filled_up(x: Tensor, factor: int) -> Tensor:
    """Pictures `(n, c, h, w)` with sides that are multiples of the factor: the last row and column repeated."""
    return pad(x, (0, -x.shape[3] % factor, 0, -x.shape[2] % factor), mode="replicate")


class _Block(nn.Module):
    """`h + conv(silu(norm(conv(silu(norm(h))))))`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm_in, self.norm_out = norm(channels), norm(channels)
        self.conv_in, self.conv_out = conv(channels, channels), conv(channels, channels)

    def forward(self, h: Tensor) -> Tensor:
        inner = self.conv_in(silu(self.norm_in(h.contiguous())))
        return h + self.conv_out(silu(self.norm_out(inner.contiguous())))


class _Rise(nn.Module):
    """Twice the sides: fewer channels, then nearest neighbours."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = conv(inputs, outputs, kernel=1)

    def forward(self, h: Tensor) -> Tensor:
        return interpolate(self.conv(h), scale_factor=2.0)


def _blocks(channels: int, count: int) -> list[nn.Module]:
    return [_Block(channels) for _ in range(count)]


class Convolutional(nn.Module):
    """Pictures `(n, channels, h, w)` <-> latents `(n, latent, h / factor, w / factor)`, of any size.

    Residual blocks at each resolution, on patches of 2 x 2 pixels taken as channels.

    Args:
        channels: of a picture.
        latent: channels of a latent.
        factor: 2, 4, 8 or 16; sides of pictures are multiples of it.
        width: channels inside at the finest resolution; twice as many below it.
        blocks: residual blocks at each resolution.
        seed: of the initialisation; torch's global generator is not touched.

    Raises:
        ValueError: for sizes < 1, another factor.

    Example:
        >>> import torch
        >>> net = Convolutional(3, factor=4, width=16)
        >>> z = net.encode(torch.ones(2, 3, 8, 12))
        >>> z.shape, net.decode(z).shape
        (torch.Size([2, 4, 2, 3]), torch.Size([2, 3, 8, 12]))
    """

    def __init__(
        self, channels: int, latent: int = 4, factor: int = 4, width: int = 32, blocks: int = 1, seed: int = 0
    ) -> None:
        super().__init__()
        check_sizes(channels=channels, latent=latent, width=width, blocks=blocks)
        if factor not in FACTORS:
            raise ValueError(f"an autoencoder's factor is one of {', '.join(map(str, FACTORS))}, got {factor!r}.")
        self.config: dict[str, object] = {
            "channels": channels,
            "latent": latent,
            "factor": factor,
            "width": width,
            "blocks": blocks,
            "seed": seed,
        }
        self.channels, self.factor = channels, factor
        pixels, wide = channels * _PATCH**2, [width] + [2 * width] * FACTORS.index(factor)  # fine to coarse
        down, up = _blocks(width, blocks), _blocks(width, blocks)
        for fine, coarse in pairwise(wide):
            down += [conv(fine, coarse, stride=2), *_blocks(coarse, blocks)]
            up = [*_blocks(coarse, blocks), _Rise(coarse, fine), *up]
        self.encoder = nn.Sequential(conv(pixels, width), *down, norm(wide[-1]), nn.SiLU(), conv(wide[-1], latent, 1))
        self.decoder = nn.Sequential(conv(latent, wide[-1]), *up, norm(width), nn.SiLU(), conv(width, pixels))
        initialise(self, seed, zero=[m.conv_out for m in self.modules() if isinstance(m, _Block)])

    def forward(self, x: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """The latents of pictures of any sides, and the pictures of these latents with noise on them.

        Args:
            x: `(n, channels, h, w)`.
            noise: `(n, ...)`, at least as many numbers for each picture as its latent has; the first ones are added.
        """
        z = self.encode(filled_up(x, self.factor))
        noise = noise.flatten(1)[:, : z[0].numel()].reshape(z.shape)
        return z, self.decode(z + noise)[:, :, : x.shape[2], : x.shape[3]]

    def encode(self, x: Tensor) -> Tensor:
        """The latents of pictures.

        Raises:
            ValueError: for another number of channels, sides that are no multiples of the factor.
        """
        if x.ndim != 4 or x.shape[1] != self.channels or x.shape[2] % self.factor or x.shape[3] % self.factor:
            raise ValueError(
                f"this autoencoder takes pictures (n, {self.channels}, h, w) with sides that are multiples of "
                f"{self.factor}, got {tuple(x.shape)}."
            )
        z: Tensor = self.encoder(pixel_unshuffle(x, _PATCH))
        return z

    def decode(self, z: Tensor) -> Tensor:
        """The pictures of latents."""
        return pixel_shuffle(self.decoder(z), _PATCH)
