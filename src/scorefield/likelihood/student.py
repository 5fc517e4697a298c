"""Student's t distribution, for integer degrees of freedom."""

from __future__ import annotations

import math


def student_quantile(level: float, freedom: int) -> float:
    """The t below which Student's distribution (1908) with `freedom` degrees of freedom has this probability.

    By bisection on the finite sums of its distribution function (Abramowitz and Stegun 1964, 26.7.3-4).

    Args:
        level: in (0.5, 1).
        freedom: >= 1.

    Example:
        >>> round(student_quantile(0.975, 15), 4)
        2.1314
    """
    if not (0.5 < level < 1 and freedom >= 1):
        raise ValueError(f"student_quantile needs 0.5 < level < 1 and freedom >= 1, got {level} and {freedom}.")
    low, high = 0.0, math.pi / 2  # of theta = atan(t / sqrt(freedom))
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _central(middle, freedom) < 2 * level - 1 else (low, middle)
    return math.tan(high) * math.sqrt(freedom)


def _central(theta: float, freedom: int) -> float:
    """The probability of |t| < tan(theta) sqrt(freedom)."""
    cosine, odd = math.cos(theta), freedom % 2
    term, total = (cosine if odd else 1.0), 0.0
    for k in range(2 + odd, freedom + 1, 2):
        total += term
        term *= cosine**2 * (k - 1) / k
    total *= math.sin(theta)
    return 2 / math.pi * (theta + total) if odd else total
