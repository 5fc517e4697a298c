"""What the parameters of queries have in common: kinds of value with bounds, checked however they are made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from scorefield.analytic import GaussianMixture
from scorefield.explorer.queries.laws import PRESETS, mixture_of
from scorefield.web.checked import Checked
from scorefield.web.reading import read

__all__ = ["read", "Checked", "Within", "AtMost", "Rising", "Mixture", "Law", "law_of", "Pair", "Points", "Seed"]

MOST_MODES, MOST_POINTS, MOST_PARTICLES, MOST_STEPS = 16, 5000, 20_000, 500


@dataclass(frozen=True)
class Within:
    """A number, or every number in nested tuples, is finite and from low to high."""

    low: float
    high: float

    def __call__(self, name: str, value: Any) -> None:
        if isinstance(value, tuple):
            for i, part in enumerate(value):
                self(f"{name}[{i}]", part)
        elif not (math.isfinite(value) and self.low <= value <= self.high):
            raise ValueError(f"{name} must be from {self.low:g} to {self.high:g}, got {value:g}.")


@dataclass(frozen=True)
class AtMost:
    """A tuple has at least one entry, and at most so many."""

    count: int

    def __call__(self, name: str, value: Any) -> None:
        if not 1 <= len(value) <= self.count:
            raise ValueError(f"{name} must have from 1 to {self.count} entries, got {len(value)}.")


@dataclass(frozen=True)
class Rising:
    """The second of two numbers is greater than the first."""

    def __call__(self, name: str, value: Any) -> None:
        if not value[1] - value[0] >= 1e-6:
            raise ValueError(f"{name} must rise, got from {value[0]:g} to {value[1]:g}.")


_FAR = Within(-1e4, 1e4)
Pair: TypeAlias = Annotated[tuple[float, float], _FAR]
Extent: TypeAlias = Annotated[tuple[float, float], _FAR, Rising()]
Points: TypeAlias = Annotated[tuple[tuple[float, float], ...], AtMost(MOST_POINTS), _FAR]
Seed: TypeAlias = Annotated[int, Within(0, 2**31 - 1)]
Steps: TypeAlias = Annotated[int, Within(2, MOST_STEPS)]
Particles: TypeAlias = Annotated[int, Within(2, MOST_PARTICLES)]
Matrix: TypeAlias = tuple[tuple[float, float], tuple[float, float]]


@dataclass(frozen=True)
class Mixture(Checked):
    """A Gaussian mixture in the plane, of at most 16 modes.

    Args:
        weights: K, from 1e-6 to 1e6; made to sum to 1.
        means: K points.
        covariances: K symmetric, positive definite matrices.

    Raises:
        ValueError: for anything else.
    """

    weights: Annotated[tuple[float, ...], AtMost(MOST_MODES), Within(1e-6, 1e6)]
    means: Annotated[tuple[tuple[float, float], ...], AtMost(MOST_MODES), _FAR]
    covariances: Annotated[tuple[Matrix, ...], AtMost(MOST_MODES), _FAR]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not len(self.weights) == len(self.means) == len(self.covariances):
            raise ValueError(
                f"a mixture has as many weights as means and covariances, got {len(self.weights)}, {len(self.means)} "
                f"and {len(self.covariances)}."
            )
        for i, ((a, b), (c, d)) in enumerate(self.covariances):
            if abs(b - c) > 1e-9 * max(abs(a), abs(d)):
                raise ValueError(f"covariances[{i}] must be symmetric, got {b:g} and {c:g}.")
            if not (a >= 1e-6 and d >= 1e-6 and a * d - b * b >= 1e-6 * a * d):
                raise ValueError(
                    f"covariances[{i}] must be positive definite with variances of 1e-6 or more, got "
                    f"[[{a:g}, {b:g}], [{c:g}, {d:g}]]."
                )


Law: TypeAlias = str | Mixture
"""The name of a preset, or a mixture."""


def law_of(mixture: Law) -> GaussianMixture:
    """The exact law of a preset's name or a mixture.

    Raises:
        ValueError: for a name that is none.
    """
    if isinstance(mixture, Mixture):
        return mixture_of(mixture.weights, mixture.means, mixture.covariances)
    if mixture not in PRESETS:
        raise ValueError(f"mixture must be one of {', '.join(PRESETS)}, got {mixture[:40]!r}.")
    return PRESETS[mixture]
