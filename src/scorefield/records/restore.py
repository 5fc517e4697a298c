"""Images from measurements: posterior draws of a trained model, in the user's units."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from scorefield import _ranges
from scorefield.conditioning.inverse import posterior_samples
from scorefield.conditioning.inverse.operators import Operator
from scorefield.data.dataset import Array
from scorefield.numerics.random import normal
from scorefield.progress import Report, silent
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec
from scorefield.records.operators import on_encoded
from scorefield.records.trained import TrainedModel


@dataclass(frozen=True, eq=False)
class Restored:
    """Draws of an image given a measurement of it.

    Args:
        draws: `(n, h, w)` or `(n, h, w, c)`, float64 in the user's units, neither rounded nor clipped.
        measurement: what was observed, `(*measured)`, channels first.
        noise: its standard deviation.
        truth: the image that was measured, where it is known.
        effective: the least effective number of particles on the way; as many as draws where there are no weights.
    """

    draws: Array
    measurement: Array
    noise: float
    truth: Array | None
    effective: float

    @property
    def mean(self) -> Array:
        """Of the draws: the image of the least expected squared error."""
        mean: Array = self.draws.mean(0)
        return mean

    @property
    def deviation(self) -> Array:
        """The standard deviation of each pixel; NaN of a single draw."""
        if len(self.draws) == 1:
            return np.full(self.draws.shape[1:], np.nan)
        deviation: Array = self.draws.std(0, ddof=1)
        return deviation


def codec_of(model: TrainedModel) -> ImageCodec:
    """The codec of a run of images; a ValueError for another run."""
    if isinstance(model.codec, LatentCodec):
        raise ValueError(
            "restore takes measurements of pixels, and this run is of latents, of which they are no linear function; "
            "fit the pictures without --autoencoder."
        )
    if not isinstance(model.codec, ImageCodec):
        raise ValueError(
            "restore answers for runs of images, and this one is of rows of numbers; the library's "
            "inverse.posterior_samples takes any model, and the run of a table answers `scorefield impute`."
        )
    return model.codec


def measure(A: Operator, image: Array, noise: float, seed: int = 0) -> Array:
    """`A image + noise`, with seeded normal noise.

    Args:
        A: on `(c, h, w)`.
        image: `(h, w)` or `(h, w, c)`.
        noise: its standard deviation, in the image's units.
        seed: of the noise.
    """
    x = torch.from_numpy(_channels_first(image))
    y = A(x[None])[0]
    z = normal(1, y.shape, seed, "restore measurement", dtype=torch.float64)[0]
    measured: Array = (y + noise * z).numpy()
    return measured


def restore(
    model: TrainedModel,
    A: Operator,
    y: Array,
    noise: float,
    n: int = 16,
    *,
    steps: int = 50,
    particles: int = 1,
    jacobian: bool = False,
    seed: int = 0,
    condition: int | None = None,
    truth: Array | None = None,
    report: Report = silent,
) -> Restored:
    """Draws of images x given `y = A x + noise`, by `inverse.posterior_samples`.

    Args:
        model: of images.
        A: on images `(c, h, w)` in the user's units.
        y: `(*measured)`; NaN: not observed.
        noise: its standard deviation, in the units of y; 0: exact.
        n: draws.
        steps: network evaluations per draw.
        particles: as `inverse.posterior_samples`; so is jacobian, for the small images that it can be had for.
        jacobian: whether to take the network's Jacobian.
        seed: of all noise.
        condition: class of the image, for a model that knows classes.
        truth: the image that was measured, to be handed on.
        report: hears how far the work is.

    Raises:
        ValueError: for a run of no images, or anything that does not fit.

    Example:
        >>> from scorefield import Denoiser, data, fit_codec, inverse, nets
        >>> digits = data.load("digits")
        >>> model = TrainedModel(Denoiser(nets.UNet((8, 8), base=8, blocks=1)).eval(), fit_codec(digits))
        >>> blur = inverse.operators.Blur((1, 8, 8), sigma=1.0)
        >>> y = blur(torch.as_tensor(digits.records[:1], dtype=torch.float64).reshape(1, 1, 8, 8))[0].numpy()
        >>> restore(model, blur, y, noise=0.5, n=2, steps=4).draws.shape
        (2, 8, 8)
    """
    codec = codec_of(model)
    _ranges.real(0, 1e12)("noise", noise)
    on = on_encoded(A, codec)
    values = torch.from_numpy(np.asarray(y, dtype=np.float64)).to(model._device)
    centre = A(torch.full((1, *A.shape), codec.mean, dtype=torch.float64))[0].to(values)
    found = posterior_samples(
        model.model,
        on,
        ((values - centre.reshape(values.shape)) / codec.std).reshape(on.measured),
        (noise / codec.std) ** 2,
        n,
        steps=steps,
        particles=particles,
        jacobian=jacobian,
        seed=seed,
        mean=model.mean,
        covariance=model.covariance,
        condition=None if condition is None else model._conditions(condition, 1)[0].to(model._device),
        shape=codec.shape,
        pooled=particles > 1,
        report=report,
    )
    draws = codec.decode_floats(found.x0.cpu())
    return Restored(draws, np.asarray(y, dtype=np.float64), noise, truth, float(found.effective))


def _channels_first(image: Array) -> Array:
    """`(c, h, w)` float64."""
    x = np.asarray(image, dtype=np.float64)
    first: Array = np.ascontiguousarray(x[None] if x.ndim == 2 else np.moveaxis(x, 2, 0))
    return first
