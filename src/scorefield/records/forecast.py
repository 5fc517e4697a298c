"""Series of which a part is known: draws of the rest, by the posterior of a trained model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from scorefield.conditioning.inverse import posterior_samples
from scorefield.conditioning.inverse.operators import Mask
from scorefield.data.dataset import Array
from scorefield.metrics.crps import crps
from scorefield.progress import Report, silent
from scorefield.records.grid_codec import GridCodec
from scorefield.records.trained import TrainedModel

_SLACK = 3e-3
"""Of a single particle, which has no weights to bound: enough where the covariance is singular, and of means it changes
less than a thousandth of a deviation."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """Draws of series given what is known of them.

    Args:
        draws: `(m, n, length)` or `(m, n, length, channels)`, float64; what is known is the same in all.
        known: `(m, length)` or `(m, length, channels)`, NaN where it is not.
    """

    draws: Array
    known: Array

    @property
    def mean(self) -> Array:
        """Of the draws, as `known` is shaped."""
        mean: Array = self.draws.mean(1)
        return mean

    def quantile(self, q: float) -> Array:
        """Of the draws, as `known` is shaped."""
        found: Array = np.quantile(self.draws, q, axis=1)
        return found

    def scores(self, truth: Array, interval: float = 0.9) -> tuple[float, float]:
        """The mean CRPS and the share of values within their central intervals, where the truth alone is known.

        Args:
            truth: as `known` is shaped; NaN is left out.
            interval: probability of the intervals.
        """
        asked = np.isnan(self.known) & ~np.isnan(truth)
        if not asked.any():
            raise ValueError("there is nothing to compare: no value is in the truth that was not known.")
        each = crps(torch.from_numpy(self.draws).movedim(1, 0), torch.from_numpy(np.nan_to_num(truth)))
        low, high = (self.quantile(q) for q in ((1 - interval) / 2, (1 + interval) / 2))
        held = (low <= truth) & (truth <= high)
        return float(each.numpy()[asked].mean()), float(held[asked].mean())


def series_codec_of(model: TrainedModel) -> GridCodec:
    """The codec of a run of series; a ValueError for another run."""
    codec = model.codec
    if not isinstance(codec, GridCodec) or len(codec.sizes) != 1:
        raise ValueError(
            "forecast answers for runs of series; fit one by `scorefield fit DATA -o RUN --records series`."
        )
    return codec


def filled_up(model: TrainedModel, values: Array) -> Array:
    """Series `(m, k)` or `(m, k, channels)` of at most the run's length as the run has them, NaN after their end.

    Raises:
        ValueError: for another shape, or longer series.
    """
    codec = series_codec_of(model)
    x = np.asarray(values, dtype=np.float64)
    length, rest = codec.sizes[0], codec.record_shape[1:]
    if x.ndim != 2 + len(rest) or x.shape[2:] != rest or not 1 <= x.shape[1] <= length:
        shape = ", ".join(map(str, ("m", f"1 to {length}", *rest)))
        raise ValueError(f"this run is of series of {length} steps: give an array ({shape}), got {x.shape}.")
    missing: Array = np.full((len(x), length - x.shape[1], *rest), np.nan)
    whole: Array = np.concatenate([x, missing], 1)
    return whole


def forecast(
    model: TrainedModel,
    known: Array,
    n: int = 100,
    *,
    steps: int = 18,
    particles: int = 1,
    jacobian: bool = False,
    seed: int = 0,
    report: Report = silent,
) -> Forecast:
    """Draws of what is not known of series given what is: the future given the past, or anything between.

    What is known is taken as exact. For normal laws (Gaussian processes) the draws are exact with one particle; for
    others more particles bring them nearer to the posterior, see `inverse.posterior_samples`.

    Args:
        model: of series.
        known: `(m, k)` or `(m, k, channels)`, k at most the run's length; NaN where a value is not known.
        n: draws for each series.
        steps: network evaluations per draw.
        particles: that are weighted against each other.
        jacobian: take the network's Jacobian: nearer to the posterior, at as many times the cost as a series is long.
        seed: of all noise.
        report: hears how far the work is.

    Raises:
        ValueError: for a run of no series, or what does not fit.

    Example:
        >>> codec = GridCodec((2,), mean=(10.0,), std=(2.0,), channel_axis=False)
        >>> from scorefield.denoiser import Denoiser
        >>> from scorefield.nets import UNet
        >>> run = TrainedModel(Denoiser(UNet((2,), base=8, blocks=1)).eval(), codec)
        >>> forecast(run, np.array([[12.0]]), n=3, steps=4).draws.shape
        (1, 3, 2)
    """
    codec = series_codec_of(model)
    whole = filled_up(model, known)
    if np.isinf(whole).any():
        raise ValueError("known values are finite numbers, NaN where nothing is known; got an infinite one.")
    given = codec.encode(whole)
    found = posterior_samples(
        model.model,
        Mask(torch.ones(codec.shape, dtype=torch.bool)),
        given.double().flatten(1).to(model._device),
        0.0,
        n,
        steps=steps,
        particles=particles,
        jacobian=jacobian,
        seed=seed,
        mean=model.mean,
        covariance=model.covariance,
        shape=codec.shape,
        slack=_SLACK if particles == 1 else None,
        pooled=particles > 1,
        report=report,
    )
    x0 = found.x0.reshape(n, len(whole), *codec.shape).cpu()
    draws = np.stack([codec.decode_floats(part) for part in x0.movedim(0, 1)])
    unknown = np.isnan(whole)[:, None]
    return Forecast(np.where(unknown, draws, whole[:, None]), whole)
