"""What every training of records begins and ends with, wherever its rows come from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield import nets
from scorefield.data import grid_png
from scorefield.denoiser import Denoiser, Energy
from scorefield.records.draws import encoded_draws
from scorefield.records.encoded import Encoded
from scorefield.records.ends import Ends, have_ends, measured
from scorefield.records.greys import Counts
from scorefield.records.image_codec import ImageCodec
from scorefield.records.trained import TrainedModel
from scorefield.training.precision import as_trained
from scorefield.training.rows import Rows, deviation, parts
from scorefield.training.run import sigma_range

if TYPE_CHECKING:
    from scorefield.records.foreign import Foreign

_SHOWN = 32  # new images that loggers are shown
_STEPS, _PIXELS = 18, 20_000  # evaluations and pixels of the draws by which black and white are told
_LEAST_DRAWN, _MOST_DRAWN = 8, 64  # images of them
_FULL_COVARIANCE = 256  # most dimensions of which the whole covariance is kept


class Scales(NamedTuple):
    """Of encoded records: their standard deviation, and the least and greatest noise to train on."""

    sigma_data: float
    sigma_min: float
    sigma_max: float


def scales_of(x: Rows) -> Scales:
    """Those of encoded training rows, or of some of them."""
    sigma_min, sigma_max = sigma_range(x)
    return Scales(x.deviation() if isinstance(x, Encoded) else deviation(x), sigma_min, sigma_max)


def untrained(
    shape: tuple[int, ...],
    scales: Scales,
    labels: Tensor | None,
    options: Mapping[str, Any],
    rows: int,
    given: Foreign | None = None,
) -> tuple[Denoiser | Energy, Any]:
    """An untrained model, and how often each class occurs.

    Args:
        shape: of an encoded record.
        scales: of encoded training rows.
        labels: of the training rows, where the model is to know them.
        options: of `fit`.
        rows: to train on.
        given: the network to train, of diffusers; default: one of this library.
    """
    classes, frequencies = 0, None
    if labels is not None:
        counts = np.bincount(labels.numpy())
        classes, frequencies = len(counts), tuple((counts / counts.sum()).tolist())
    if given is not None and not options["energy"]:
        return given.untrained(shape, scales.sigma_data, classes), frequencies
    if options["energy"]:
        if len(shape) != 1:
            raise ValueError(f"an energy network is for tables; these records have shape {shape}.")
        return Energy(nets.ScalarMLP(shape[0], classes=classes), **scales._asdict()), frequencies
    network = nets.network_for(
        shape,
        classes=classes,
        size=options["size"],
        rows=rows,
        kind=options.get("network", "auto"),
    )
    return Denoiser(network, **scales._asdict()), frequencies


def ends_of(made: TrainedModel, counts: Counts | None) -> Ends:
    """At which levels drawn pixels are black and white, by some draws beside the training images.

    Args:
        made: the trained model.
        counts: how often each grey level occurs in the training images; None: they have none.
    """
    codec = made.codec
    if counts is None or not isinstance(codec, ImageCodec):
        return Ends()
    counts = counts[: codec.levels]
    if not any(have_ends(counts)):
        return Ends()
    n = min(_MOST_DRAWN, max(_LEAST_DRAWN, -(-_PIXELS // math.prod(codec.shape))))
    like = next(made.model.parameters())
    drawn = encoded_draws(
        made.model,
        made.plan(_STEPS),
        codec.shape,
        n,
        std=made.model.sigma_data,
        like=like,
        condition=made.conditions(n),
        precision=as_trained(made.info, like.device),
    )
    return measured(np.concatenate([codec.decode_floats(part) for part in drawn]), counts)


def drawn(made: TrainedModel) -> dict[str, bytes]:
    """A grid of new images, for loggers."""
    return {"samples": grid_png(made.sample(_SHOWN, steps=_STEPS), columns=8)}


def moments(x: Rows) -> tuple[Tensor, Tensor]:
    """The mean `(*shape)` of data `(n, *shape)` and their covariance `(d, d)`, or variances `(*shape)` where d > 256.

    In float64; what log-densities start from.
    """
    near = next(parts(x)).mean(0, dtype=torch.float64)  # about which sums lose no digits
    shift, d = torch.zeros_like(near), near.numel()
    whole = d <= _FULL_COVARIANCE
    total = torch.zeros(d, d, dtype=torch.float64) if whole else torch.zeros_like(near)
    for part in parts(x):
        apart = part.double() - near
        shift += apart.sum(0)
        total += apart.flatten(1).T @ apart.flatten(1) if whole else apart.square_().sum(0)
    shift /= len(x)
    off = torch.outer(shift.flatten(), shift.flatten()) if whole else shift**2
    return near + shift, total / len(x) - off
