"""How likely a run finds pictures that are changed in a known way, beside the pictures themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from scorefield.core import Level
from scorefield.data.dataset import Array
from scorefield.likelihood import log_density
from scorefield.numerics.random import noise_like, uniform
from scorefield.progress import Report, silent
from scorefield.records.restore import codec_of
from scorefield.records.trained import TrainedModel

SIGMA = 0.25
"""The noise at which densities are compared, in standard deviations of the data: grey levels have none without."""
_EVALUATIONS, _PROBES = 12, 2  # an error far below what sets the pictures apart


@dataclass(frozen=True, eq=False)
class Changed:
    """Pictures changed in one way.

    Args:
        name: of the change.
        images: `(n, h, w)` or `(n, h, w, c)`, as changed.
        difference: of log p of each from that of the picture unchanged, `(n,)`, in nats; 0 for no change.
        error: the standard error of each difference, `(n,)`.
    """

    name: str
    images: Array
    difference: Array
    error: Array


def changed(model: TrainedModel, images: Array, seed: int = 0, report: Report = silent) -> tuple[Changed, ...]:
    """Pictures as they are and in `CHANGES`, with `log p` of each less that of the picture unchanged.

    The density is that of the data noised at `SIGMA`, taken at the picture with such noise on it, the same noise for
    all: a density of grey levels as they are is infinite wherever pictures agree, as at their black borders.

    Args:
        model: of images, of even height and width.
        images: `(n, h, w)` or `(n, h, w, c)`, in the user's units, as the run was trained on.
        seed: of noise, probes and changes.
        report: hears how far the work is.

    Raises:
        ValueError: for a run that is not one of images.
    """
    codec = codec_of(model)
    if codec.height % 2 or codec.width % 2:
        raise ValueError(f"images of odd height or width have no density, these are {codec.height} x {codec.width}.")
    ways: dict[str, Callable[[Array, int], Array]] = {"as they are": lambda x, _: x, **CHANGES}
    found, plain = [], None
    for k, (name, change) in enumerate(ways.items()):
        report(k / len(ways), f"density of pictures, {name}")
        shown = change(images, seed)
        values, errors = _densities(model, codec.encode(shown), seed)
        plain = (values, errors) if plain is None else plain
        error = np.hypot(errors, plain[1]) if k else np.zeros_like(errors)
        found.append(Changed(name, shown, values - plain[0], error))
    return tuple(found)


def _densities(model: TrainedModel, x: torch.Tensor, seed: int) -> tuple[Array, Array]:
    found = log_density(
        model.model,
        x + SIGMA * noise_like(x[:1], seed, "odd pictures"),
        divergence="hutchinson",
        probes=_PROBES,
        evaluations=_EVALUATIONS,
        level=Level(1.0, SIGMA),
        mean=model.mean,
        covariance=model.covariance,
        seed=seed,
    )
    return found.value.numpy(), found.standard_error.numpy()


def _negative(x: Array, seed: int) -> Array:
    turned: Array = (x.max() - x + x.min()).astype(x.dtype)
    return turned


def _half(x: Array, seed: int) -> Array:
    left = x.copy()
    left[:, x.shape[1] // 2 :] = x.min()
    return left


def _shuffled(x: Array, seed: int) -> Array:
    pixels = x.reshape(len(x), x.shape[1] * x.shape[2], -1)
    order = uniform(pixels.shape[1], (), seed, "odd order", dtype=torch.float64).argsort().numpy()
    moved: Array = pixels[:, order].reshape(x.shape)
    return moved


def _random(x: Array, seed: int) -> Array:
    u = uniform(len(x), x.shape[1:], seed, "odd greys", dtype=torch.float64).numpy()
    greys: Array = (x.min() + np.floor(u * (float(x.max()) - float(x.min()) + 1))).astype(x.dtype)
    return greys


CHANGES: dict[str, Callable[[Array, int], Array]] = {
    "mirrored": lambda x, _: x[:, :, ::-1].copy(),
    "upside down": lambda x, _: x[:, ::-1].copy(),
    "lower half erased": _half,
    "negative": _negative,
    "pixels shuffled": _shuffled,
    "random greys": _random,
    "nothing at all": lambda x, _: np.full_like(x, x.min()),
}
"""Pictures `(n, h, w)` or `(n, h, w, c)` and a seed -> pictures of that shape, by what is done to them."""
