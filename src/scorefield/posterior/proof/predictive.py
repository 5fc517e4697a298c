"""Would the posterior's parameters have made what was observed? Posterior predictive checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeAlias

import numpy as np

from scorefield.posterior.proof.arrays import finite, numbers

Discrepancy: TypeAlias = Callable[[np.ndarray], np.ndarray]
"""A number of each observation: `(s, ...) -> (s,)`."""

_ENTRIES = 20
"""Observations of at most so many entries are compared entry by entry, others by their summaries."""
_LEVEL = 0.01
_COARSE = 0.5
DISTANCE = "distance from what is predicted"


@dataclass(frozen=True, eq=False)
class Predictive:
    """Discrepancies of an observation, and of what the posterior predicts.

    Args:
        names: of the discrepancies, k of them.
        observed: `(k,)`.
        predicted: of s predictions, `(s, k)`.
        note: how the predictions were made, where they only stand for such.
    """

    names: tuple[str, ...]
    observed: np.ndarray
    predicted: np.ndarray
    note: str = ""

    @property
    def tails(self) -> np.ndarray:
        """The probability of a prediction as extreme, `(k,)`: two-sided, of distances above."""
        above = (self.predicted >= self.observed).sum(0)
        below = (self.predicted <= self.observed).sum(0)
        two = 2 * np.minimum(above, below)
        extreme = np.where(np.array(self.names) == DISTANCE, above, two)
        return np.minimum(1.0, (extreme + 1) / (len(self.predicted) + 1))

    @property
    def off(self) -> tuple[str, ...]:
        """The discrepancies that the posterior does not explain, at 1 % for all of them together."""
        worst = self.tails * len(self.names)
        return tuple(self.names[k] for k in np.argsort(worst, kind="stable") if worst[k] < _LEVEL)


def predictive(
    x_obs: object,
    predictions: object,
    *,
    names: Sequence[str] | None = None,
    discrepancies: Mapping[str, Discrepancy] | None = None,
    note: str = "",
) -> Predictive:
    """Compare an observation with predictions, one for each of some posterior draws.

    By default every entry is compared, of observations of more than 20 entries mean, standard deviation, least and
    greatest; and the distance from the predictions' mean in their standard deviations.

    Args:
        x_obs: `(...)`; NaN where it is missing.
        predictions: what the simulator makes of posterior draws, `(s, ...)`, s >= 10; or `nearest_simulations`.
        names: of the entries; default: x0, x1, ...
        discrepancies: what to compare instead, by name.
        note: how the predictions were made.

    Raises:
        ValueError: for shapes that do not fit, or predictions without numbers.

    Example:
        >>> made = np.linspace(-1, 1, 999)[:, None]
        >>> predictive([0.2], made).off, predictive([7.0], made).off[0]
        ((), 'x0')
    """
    one, made = numbers("the observation", x_obs), numbers("predictions", predictions)
    if made.shape[1:] != one.shape or len(made) < 10:
        raise ValueError(
            f"predictions must be (s, ...) with s >= 10, each as the observation, {one.shape}; got {made.shape}."
        )
    flat, at = _complete(made.reshape(len(made), -1), one.reshape(-1))
    if discrepancies is not None:
        found = {name: (of(one[None]), of(made)) for name, of in discrepancies.items()}
    elif len(one.reshape(-1)) <= _ENTRIES:
        labels = [f"x{j}" for j in range(one.size)] if names is None else [str(name) for name in names]
        known = np.isfinite(one.reshape(-1)).nonzero()[0]
        found = {labels[j]: (at[None, k], flat[:, k]) for k, j in enumerate(known)} | _distance(flat, at)
    else:
        found = {name: (of(at[None]), of(flat)) for name, of in _SUMMARIES.items()} | _distance(flat, at)
    columns = [(finite(name, own)[0], finite(name, others)) for name, (own, others) in found.items()]
    own, others = zip(*columns, strict=True)
    return Predictive(tuple(found), np.array(own), np.stack(others, 1), note)


class Nearest(NamedTuple):
    """Recorded simulations in place of predictions.

    Args:
        x: the simulations `(s, ...)`.
        away: how far their parameters are from the draws, in posterior standard deviations, in the median.
        note: that in words.
    """

    x: np.ndarray
    away: float
    note: str

    @property
    def coarse(self) -> bool:
        """Whether they are so far that they are no predictions."""
        return self.away > _COARSE


def nearest_simulations(draws: np.ndarray, theta: np.ndarray, x: np.ndarray) -> Nearest:
    """For each draw the recorded simulation with the nearest parameters, where the simulator is not at hand.

    Args:
        draws: `(s, d)`.
        theta: recorded parameters `(m, d)`.
        x: what the simulator made of them `(m, ...)`.
    """
    from scipy.spatial import cKDTree

    scale = draws.std(0)
    scale = np.where(scale > 0, scale, np.where(theta.std(0) > 0, theta.std(0), 1.0))
    far, index = cKDTree(theta / scale).query(draws / scale)
    middle = float(np.median(far)) / draws.shape[1] ** 0.5
    note = (
        "Without the simulator, the recorded simulations nearest to the draws stand for predictions; in the median "
        f"their parameters are {middle:.2f} posterior standard deviations away"
    )
    coarse = ", which is coarse: their spread is partly that of other parameters." if middle > _COARSE else "."
    return Nearest(x[index], middle, note + coarse)


def _complete(flat: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Without the entries that are missing in the observation; a hole in a prediction is an error."""
    known = np.isfinite(at)
    if not known.any():
        raise ValueError("every entry of the observation is missing; there is nothing to compare.")
    return finite("predictions", flat[:, known]), at[known]


def _distance(flat: np.ndarray, at: np.ndarray) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Root mean square of the deviations from the predictions' mean, in standard deviations."""
    if len(at) < 2:
        return {}
    mean, scale = flat.mean(0), flat.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    return {DISTANCE: tuple(np.sqrt((((v - mean) / scale) ** 2).mean(1)) for v in (at[None], flat))}


_SUMMARIES: Mapping[str, Discrepancy] = {
    "mean": lambda x: x.mean(1),
    "standard deviation": lambda x: x.std(1),
    "least": lambda x: x.min(1),
    "greatest": lambda x: x.max(1),
}
