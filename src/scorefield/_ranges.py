"""Ranges of numbers that users give: checked at the entry, said in one sentence."""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Integral, Real
from typing import cast

from scorefield._files import shown


@dataclass(frozen=True)
class Range:
    """The numbers from `low` to `high`, called to check one.

    Args:
        low: the least.
        high: the greatest.
        whole: whether they are whole numbers.
        open_low: whether `low` itself is none of them.
        open_high: likewise `high`.

    Example:
        >>> whole(1, 10)("steps", 0)
        Traceback (most recent call last):
        ValueError: steps must be a whole number from 1 to 10, got 0.
        >>> real(0, 1, open_low=True).words
        'a number > 0 and <= 1'
    """

    low: float
    high: float
    whole: bool = False
    open_low: bool = False
    open_high: bool = False

    @property
    def words(self) -> str:
        """The range for people."""
        if self.whole:
            return f"a whole number from {_number(self.low)} to {_number(self.high)}"
        if self.open_low or self.open_high:
            signs = (">" if self.open_low else ">="), ("<" if self.open_high else "<=")
            return f"a number {signs[0]} {self.low:g} and {signs[1]} {self.high:g}"
        return f"a number from {self.low:g} to {self.high:g}"

    def __contains__(self, value: object) -> bool:
        if isinstance(value, bool) or not isinstance(value, Integral if self.whole else Real):
            return False
        if not self.low <= cast(float, value) <= self.high:
            return False
        return not ((self.open_low and value == self.low) or (self.open_high and value == self.high))

    def __call__(self, name: str, value: object) -> None:
        """Raise a ValueError unless the value is in the range."""
        if value not in self:
            raise ValueError(f"{name} must be {self.words}, got {shown(value)}.")


def whole(low: int, high: int) -> Range:
    """The whole numbers from low to high."""
    return Range(low, high, whole=True)


def real(low: float, high: float, *, open_low: bool = False, open_high: bool = False) -> Range:
    """The numbers from low to high; `open_low` and `open_high` leave out the ends."""
    return Range(low, high, False, open_low, open_high)


def _number(value: float) -> str:
    """A bound as people write it.

    Example:
        >>> _number(2**63 - 1), _number(-(2**63)), _number(10**12), _number(1000)
        ('2**63 - 1', '-2**63', '1,000,000,000,000', '1,000')
    """
    special = {2**63 - 1: "2**63 - 1", -(2**63): "-2**63"}
    return special.get(int(value), f"{value:,}")


SEED = whole(-(2**63), 2**63 - 1)
COUNT = whole(1, 10**12)
"""How many samples or rows."""
DRAWS = whole(1, 1_000_000)
DISTILLED = whole(1, 12)
"""Evaluations that a network is distilled to."""
PARTS = whole(1, 1 << 16)
"""That a process goes through its samples of a step in."""
READERS = whole(1, 64)
"""Threads that read data ahead."""
EXPORTED = whole(1, 100)
"""Evaluations of a sampler that is exported, each of which stands in its graph."""
LATENT_CHANNELS = whole(1, 1024)
STEPS = whole(1, 10_000)
"""Evaluations of a network per sample: a plan of K rows has tables of K**2 numbers."""
EVALUATIONS = whole(1, 10**9)
"""Evaluations of a network by an integration, which has no table."""
TOLERANCE = real(0, 1e6, open_low=True)
"""Of an integration, in nats."""
ANY_COUNT = whole(0, 10**12)
"""How many, none included."""
SHARE = real(0, 1, open_low=True)
PROBABILITY = real(0, 1, open_low=True, open_high=True)
