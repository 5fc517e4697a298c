"""Figures of a comparison: a metric of new records against real ones, and its value for two real halves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from scorefield.metrics.distances import energy_distance, sliced_wasserstein
from scorefield.metrics.samples import floor

MOST = 2000
"""At most this many real records and samples are compared by default."""
LEAST, C2ST_LEAST = 10, 40
"""Real records without which there is no comparison, and no classifier test (of halves, in five folds)."""


class Finding(NamedTuple):
    """One sentence, and whether it is good news (None: neither)."""

    good: bool | None
    text: str


@dataclass(frozen=True)
class Figure:
    """One metric.

    Args:
        name: of the metric.
        value: new records against real ones.
        floor: real records against real ones, in the same way.
        meaning: one sentence.
        error: standard error of the value, where it has one.
        floor_error: standard error of the floor.
    """

    name: str
    value: float
    floor: float
    meaning: str
    error: float | None = None
    floor_error: float | None = None

    def text(self) -> str:
        """The value, with its error."""
        return _text(self.value, self.error)

    def to_json(self) -> dict[str, str | float | None]:
        """The name and the numbers, JSON-able."""
        return {name: getattr(self, name) for name in ("name", "value", "error", "floor", "floor_error")}

    def floor_text(self) -> str:
        """The floor, with its error."""
        return _text(self.floor, self.floor_error)


def distances(real: Tensor, new: Tensor, seed: int) -> tuple[Figure, ...]:
    """Distances of halves: new half to real half, as the floor is real half to real half."""

    def both(metric: Callable[[Tensor, Tensor], float]) -> tuple[float, float]:
        def of_halves(first: Tensor, second: Tensor) -> tuple[float, float]:
            half = len(first)
            value = (metric(new[:half], first) + metric(new[half : 2 * half], second)) / 2
            return value, metric(first, second)

        return floor(of_halves, real, seed=seed)

    energy = both(energy_distance)
    sliced = both(lambda x, y: sliced_wasserstein(x, y, seed=seed))
    return (
        Figure("energy distance", *energy, "0 when the laws agree; in standard deviations of the data"),
        Figure("sliced Wasserstein-1", *sliced, "mean distance between one-dimensional projections"),
    )


def _text(value: float, error: float | None) -> str:
    return f"{value:.4g}" if error is None else f"{value:.3f} +- {error:.3f}"
