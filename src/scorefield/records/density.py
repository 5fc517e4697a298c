"""Log-densities of records in the user's units, and bits per dimension of integer images."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypedDict

import numpy as np
import torch
from torch import Tensor

from scorefield.core import Model
from scorefield.likelihood.density import LogDensity, log_density
from scorefield.likelihood.reference import Moment
from scorefield.likelihood.traces import Divergence
from scorefield.records.codec import Codec
from scorefield.records.image_codec import ImageCodec
from scorefield.records.latent_codec import LatentCodec


class DensityOptions(TypedDict, total=False):
    """What a user may say of an integration; see `Options`."""

    divergence: Divergence
    probes: int
    tolerance: float
    evaluations: int | None
    seed: int
    chunk: int | None
    batch: int | None


@dataclass(frozen=True)
class Options:
    """How `log_density` is to work; the fields are its arguments."""

    divergence: Divergence = "exact"
    probes: int = 16
    tolerance: float = 1e-5
    evaluations: int | None = None
    mean: Moment | None = None
    covariance: Moment | None = None
    seed: int = 0
    chunk: int | None = None
    batch: int | None = None


@dataclass(frozen=True, eq=False)
class BitsPerDim:
    """Bits per dimension of integer records, `(n,)`, float64.

    Args:
        value: the mean over draws of the dequantising noise: an upper bound, on average, of the code length that the
            density's integral over each unit cell would give (Theis, van den Oord and Bethge 2016).
        standard_error: of value over the draws; NaN for one draw.
        solver_error: as `LogDensity.solver_error`, in bits per dimension.
        evaluations: all draws together.
    """

    value: Tensor
    standard_error: Tensor
    solver_error: Tensor
    evaluations: Tensor

    def __repr__(self) -> str:
        return f"BitsPerDim({len(self.value)} records, mean {float(self.value.mean()):.4f} bits per dimension)"


class LatentLogDensity(LogDensity):
    """Log-densities of latents, in nats per unit of the latent: of pixels none follows; fields as `LogDensity`."""

    def __repr__(self) -> str:
        return "Latent" + super().__repr__().replace("nats", "nats of the latent", 1)


def record_log_density(
    model: Model, codec: Codec, records: np.ndarray, options: Options, condition: Tensor | None = None
) -> LogDensity:
    """`log p(record)` in nats per unit of the record: `log_density` of the encoded records and the codec's log-det.

    Of a codec of latents it is the log-density of the record's latent, in nats per unit of the latent
    (`LatentLogDensity`): no density of pixels.

    Raises:
        ValueError: for images of odd height or width, whose encoding repeats a row: it has no density.
    """
    _check_even(codec)
    found = _in_units(_encoded(model, codec.encode(records), options, condition), codec.log_det(records))
    return LatentLogDensity(**vars(found)) if isinstance(codec, LatentCodec) else found


def bits_per_dim(
    model: Model,
    codec: Codec,
    records: np.ndarray,
    options: Options,
    condition: Tensor | None = None,
    draws: int = 4,
) -> BitsPerDim:
    """`-log p(record + u) / (d ln 2)`, u uniform in a unit cell, averaged over draws.

    In units of the encoded record this is `-log p(encoded) / (d ln 2) + log2(std)`: the well-known offset
    `log2(levels / range)`, 7 for 256 levels on [-1, 1] and 8 on [0, 1].

    Raises:
        ValueError: for records that are not integers: density per unit says nothing of their code length.
    """
    if isinstance(codec, LatentCodec):
        raise ValueError(
            "bits per dimension are of pixels, and this run has a density of latents alone: log_density, in nats of "
            "the latent; for bits per dimension fit without an autoencoder."
        )
    if not isinstance(codec, ImageCodec) or codec.levels is None:
        raise ValueError("bits per dimension are for integer images; for other records use log_density (nats).")
    if isinstance(draws, bool) or not isinstance(draws, int) or draws < 1:
        raise ValueError(f"draws must be an integer >= 1, got {draws!r}.")
    _check_even(codec)
    log_det, d = codec.log_det(records), math.prod(codec.record_shape)
    unit = d * math.log(2)
    results = []
    for row in range(draws):
        x = codec.encode(records, seed=options.seed, row=row)
        results.append(_in_units(_encoded(model, x, options, condition), log_det))
    bits = torch.stack([-r.value / unit for r in results])
    spread = bits.std(0) / math.sqrt(draws) if draws > 1 else torch.full_like(bits[0], math.nan)
    solver = torch.stack([r.solver_error for r in results]).mean(0) / unit
    return BitsPerDim(bits.mean(0), spread, solver, torch.stack([r.evaluations for r in results]).sum(0))


def _encoded(model: Model, x: Tensor, options: Options, condition: Tensor | None) -> LogDensity:
    parameters = getattr(model, "parameters", None)
    first = next(parameters(), None) if callable(parameters) else None
    device = x.device if first is None else first.device
    given = None if condition is None else condition.to(device)
    result = log_density(model, x.to(device).double(), condition=given, **vars(options))
    return LogDensity(*(value.cpu() for value in vars(result).values()))


def _in_units(r: LogDensity, log_det: Tensor) -> LogDensity:
    return replace(r, value=r.value + log_det, interval=r.interval + log_det[:, None])


def _check_even(codec: Codec) -> None:
    if isinstance(codec, ImageCodec) and (codec.height % 2 or codec.width % 2):
        raise ValueError(
            f"images of {codec.height} x {codec.width} are encoded with a repeated row or column, which has no "
            "density; train on images of even height and width."
        )
