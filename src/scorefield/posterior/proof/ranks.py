"""Ranks of the truth among posterior draws: simulation-based calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from scorefield.numerics.random import uniform
from scorefield.posterior.proof.uniformity import Bands, Uniformity, bands, uniformity


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the truth of each simulation stands among draws from its posterior: uniform if the posterior is right.

    Args:
        name: of what was ranked, a parameter or any quantity of parameters and observation.
        ranks: how many draws lie below the truth, `(m,)`, each from 0 to `draws`.
        draws: how many there were.
        test: of the ranks for uniformity, made from them.

    Source:
        Talts and others (2018); test quantities: Modrak and others (2023).

    Example:
        >>> found = Ranks("a", np.arange(100), 99)
        >>> found.within(0.9).share, found.test.p > 0.9
        (0.9, True)
    """

    name: str
    ranks: np.ndarray
    draws: int
    test: Uniformity = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "test", uniformity(self.ranks, self.draws))

    def __len__(self) -> int:
        return len(self.ranks)

    @property
    def levels(self) -> np.ndarray:
        """The ranks as shares in (0, 1), `(m,)`: of draws below the truth."""
        return (self.ranks + 0.5) / (self.draws + 1)

    def bands(self, level: float) -> Bands:
        """Where the curve of shares lies, all of it, but with a probability of `level`, if the posterior is right."""
        return bands(len(self), self.draws, level)

    def curve(self, z: np.ndarray) -> np.ndarray:
        """The share of ranks below each share z of the possible ones."""
        below = np.round(np.asarray(z) * (self.draws + 1))
        return (self.ranks[:, None] < below).mean(0)

    def within(self, probability: float) -> Within:
        """How many truths lie within the central interval of the draws with so much probability."""
        cut = round((self.draws + 1) * (1 - probability) / 2)
        inside = (self.ranks >= cut) & (self.ranks <= self.draws - cut)
        return Within(1 - 2 * cut / (self.draws + 1), float(inside.mean()), len(self))

    def below(self, probability: float) -> Within:
        """How many truths have fewer than this share of the draws below them."""
        cut = round((self.draws + 1) * probability)
        return Within(cut / (self.draws + 1), float((self.ranks < cut).mean()), len(self))

    @property
    def shift(self) -> tuple[float, float]:
        """How far the truth lies above the draws' middle, in their standard deviations, were they normal; its error."""
        spread = math.sqrt(float(_scores(self.draws).var()) / len(self))
        return float(_scores(self.draws)[self.ranks].mean()), spread

    @property
    def ratio(self) -> tuple[float, float]:
        """How many times as wide as the draws the truth spreads, were both normal; its error where it is 1."""
        scores = _scores(self.draws)
        square = scores**2
        value = float(scores[self.ranks].std() / scores.std())
        return value, float(square.std() / square.mean()) / (2 * math.sqrt(len(self)))


@dataclass(frozen=True)
class Within:
    """How often a region of the draws holds the truth.

    Args:
        probability: of the region.
        share: of truths that it holds.
        count: of truths.
    """

    probability: float
    share: float
    count: int

    @property
    def error(self) -> float:
        """The standard error of the share if the posterior is right."""
        return math.sqrt(self.probability * (1 - self.probability) / self.count)

    def __str__(self) -> str:
        return f"{100 * self.probability:.3g} % regions hold the truth in {100 * self.share:.0f} of 100 simulations"


def ranks_among(name: str, truth: np.ndarray, draws: np.ndarray, seed: int) -> Ranks:
    """Rank each truth among its draws; among equal ones (discrete parameters) at a random place.

    Args:
        name: of what is ranked.
        truth: `(m,)`.
        draws: `(m, n)`.
        seed: of the places among equals.

    Raises:
        ValueError: for values that are not numbers.

    Example:
        >>> ranks_among("a", np.array([0.5, 3.0]), np.array([[0.0, 1.0], [1.0, 2.0]]), 0).ranks.tolist()
        [1, 2]
    """
    for what, values in (("truth", truth), ("draws", draws)):
        bad = np.isnan(values.reshape(len(values), -1)).any(1)
        if bad.any():
            raise ValueError(f"{name}: the {what} of simulation {int(bad.argmax())} is NaN; a rank needs numbers.")
    below = (draws < truth[:, None]).sum(1)
    equal = (draws == truth[:, None]).sum(1)
    u = uniform(len(truth), (), seed, f"rank among equals: {name}").numpy()
    return Ranks(name, below + np.floor(u * (equal + 1)).astype(np.int64), draws.shape[1])


def _scores(draws: int) -> np.ndarray:
    """Normal scores of the ranks 0 ... draws."""
    from scipy.stats import norm

    return np.asarray(norm.ppf((np.arange(draws + 1) + 0.5) / (draws + 1)))
