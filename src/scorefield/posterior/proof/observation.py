"""Where one observation lies among the simulations: a posterior is learned there and nowhere else."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scorefield.posterior.proof.arrays import finite, numbers
from scorefield.posterior.proof.features import Features

_NEIGHBOUR, _COMPARED = 5, 1000
_RARE = 0.99
"""An observation lonelier than this share of simulations is told of."""
_NAMED = 4


@dataclass(frozen=True, eq=False)
class Place:
    """Where an observation lies.

    Args:
        percentiles: of each of its entries among the simulations', 0 to 100, `(e,)`; NaN where it is missing.
        loneliness: the percentage of simulations that are nearer to their neighbours than the observation is.
        warnings: what is to be said of it, a sentence each; none where it lies among the simulations.
    """

    percentiles: np.ndarray
    loneliness: float
    warnings: tuple[str, ...]


def place(x_obs: object, x: object, names: Sequence[str] | None = None) -> Place:
    """Where an observation lies among simulations.

    Args:
        x_obs: `(...)`, one observation; NaN where it is missing.
        x: simulations `(m, ...)`, m >= 2.
        names: of the entries; default: x0, x1, ...

    Raises:
        ValueError: for shapes that do not fit, or infinite values.

    Example:
        >>> x = np.arange(100.0)[:, None]
        >>> place([40.0], x).warnings
        ()
        >>> print(place([250.0], x, ["speed"]).warnings[0])
        speed = 250 lies above all 100 simulations (greatest 99; percentile 100).
    """
    all_x, one = numbers("x", x), numbers("the observation", x_obs)
    if len(all_x) < 2 or all_x.shape[1:] != one.shape:
        raise ValueError(f"the observation must have the shape of one simulation, {all_x.shape[1:]}, got {one.shape}.")
    if np.isinf(one).any():
        raise ValueError("the observation has infinite values; give numbers, or NaN where an entry is missing.")
    flat, at = all_x.reshape(len(all_x), -1), one.reshape(-1)
    names = [f"x{j}" for j in range(len(at))] if names is None else [str(name) for name in names]
    percentiles = np.array([_percentile(column, value) for column, value in zip(flat.T, at, strict=True)])
    lonely = _loneliness(all_x, one)
    told = (*_beyond(flat, at, names), *_missing(flat, at, names), *_lonely(lonely))
    return Place(percentiles, lonely, told)


def _percentile(column: np.ndarray, value: float) -> float:
    there = column[np.isfinite(column)]
    if not len(there) or math.isnan(value):
        return math.nan
    return 100 * float((there < value).mean() + (there == value).mean() / 2)


def _beyond(flat: np.ndarray, at: np.ndarray, names: Sequence[str]) -> list[str]:
    """Of entries beyond all simulations, where they are more than chance lets be."""
    from scipy.stats import binom

    low, high = np.nanmin(flat, 0), np.nanmax(flat, 0)
    out = ((at < low) | (at > high)).nonzero()[0]
    if not len(out) or binom.sf(len(out) - 1, len(at), 2 / (len(flat) + 1)) > 0.05:
        return []
    told = [_beyond_words(names[j], at[j], low[j], high[j], len(flat)) for j in out[:_NAMED]]
    more = len(out) - _NAMED
    return [*told, f"{more} more entries of the observation lie beyond all simulations."] if more > 0 else told


def _beyond_words(name: str, value: float, low: float, high: float, m: int) -> str:
    side, end, far, percent = ("above", "greatest", high, 100) if value > high else ("below", "least", low, 0)
    return f"{name} = {value:.4g} lies {side} all {m:,} simulations ({end} {far:.4g}; percentile {percent})."


def _missing(flat: np.ndarray, at: np.ndarray, names: Sequence[str]) -> list[str]:
    never = np.isnan(at) & np.isfinite(flat).all(0)
    if not never.any():
        return []
    shown = ", ".join(np.array(names)[never][:_NAMED])
    return [f"{shown} {'is' if never.sum() == 1 else 'are'} missing in the observation, and in no simulation."]


def _lonely(percent: float) -> list[str]:
    if percent < 100 * _RARE:
        return []
    return [
        f"The observation is farther from the simulations than {percent:.1f} % of them are from each other: the "
        "posterior is a guess there; simulate nearer to it, or look whether the simulator can make it."
    ]


def _loneliness(x: np.ndarray, one: np.ndarray) -> float:
    """The percentage of simulations with a nearer neighbour number `_NEIGHBOUR`."""
    from scipy.spatial import cKDTree

    features = Features.of(x)
    z = features(x)
    finite("the numbers of x", z)
    k = min(_NEIGHBOUR, len(z) - 1)
    tree = cKDTree(z)
    some = z[np.linspace(0, len(z) - 1, min(len(z), _COMPARED)).astype(int)]
    own = np.atleast_2d(tree.query(some, [k + 1])[0])[:, -1]  # the first is the simulation itself
    here = float(tree.query(features(one[None]), [k])[0].ravel()[-1])
    return 100 * float((own < here).mean())
