"""The time that a fit may take, all of its parts together."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

Clock = Callable[[], float]
"""Seconds since any moment."""


def wall() -> float:
    """Seconds on the clock, also those in which another process had the processor."""
    return time.perf_counter()


@dataclass(frozen=True, eq=False)
class Budget:
    """Seconds that begin to run where it is made.

    Args:
        seconds: in all; None: as many as it takes.
        clock: that they are counted by.

    Example:
        >>> now = iter([5.0, 9.0, 18.0])
        >>> budget = Budget(10.0, lambda: next(now))
        >>> budget.left(), budget.left(share=0.5)
        (6.0, 0.0)
    """

    seconds: float | None
    clock: Clock = wall
    begun: float = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "begun", self.clock())

    def left(self, share: float = 1.0) -> float | None:
        """Seconds until a share of the budget is used, at least 0; None where there is no end."""
        if self.seconds is None:
            return None
        return max(0.0, share * self.seconds - (self.clock() - self.begun))

    def over(self, share: float = 1.0) -> bool:
        """Whether a share of the budget is used."""
        left = self.left(share)
        return left is not None and left <= 0.0
