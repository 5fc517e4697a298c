"""What users hand in, as arrays of float64, checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor

Numbers: TypeAlias = np.ndarray | Tensor | Sequence[Any]
"""Numbers as an array, a tensor, or nested lists."""


def numbers(what: str, value: object) -> np.ndarray:
    """Anything of numbers as float64.

    Example:
        >>> numbers("theta", [[1, 2]]).shape
        (1, 2)
    """
    try:
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else np.asarray(value)
        return array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{what} must hold numbers in rows of one shape, got {type(value).__name__}.") from None


def finite(what: str, value: object) -> np.ndarray:
    """As `numbers`, and without NaN or infinities."""
    array = numbers(what, value)
    bad = ~np.isfinite(array.reshape(len(array), -1)).all(1) if array.ndim else ~np.isfinite(array)[None]
    if bad.any():
        raise ValueError(
            f"{what} has values that are not finite, first in row {int(bad.argmax())}; leave such rows out."
        )
    return array


def together(theta: object, x: object, least: int) -> tuple[np.ndarray, np.ndarray]:
    """Parameters `(m, d)` and the observations that belong to them `(m, ...)`; those may have holes (NaN)."""
    theta, x = finite("theta", theta), numbers("x", x)
    if theta.ndim != 2 or not theta.shape[1]:
        raise ValueError(f"theta must be (m, d), a row of parameters for each simulation, got {theta.shape}.")
    if x.ndim < 1 or len(x) != len(theta):
        raise ValueError(f"there must be an observation for each row of theta ({len(theta)}), got x of {x.shape}.")
    if len(theta) < least:
        raise ValueError(f"a proof needs at least {least} simulations, got {len(theta)}; some hundred tell more.")
    return theta, x


def check_draws(draws: object, m: int, n: int, d: int) -> np.ndarray:
    """Draws `(m, n, d)`, finite."""
    found = numbers("draws", draws)
    if found.shape != (m, n, d):
        raise ValueError(
            f"draws(x, n, seed) for {m} observations, n = {n} and {d} parameters must be {(m, n, d)}, got "
            f"{found.shape}."
        )
    return finite("draws(x, n, seed)", found)


def names_of(names: Sequence[str] | None, d: int) -> tuple[str, ...]:
    """A name for each parameter, all different.

    Example:
        >>> names_of(None, 2)
        ('theta0', 'theta1')
    """
    found = tuple(f"theta{j}" for j in range(d)) if names is None else tuple(map(str, names))
    if len(found) != d or len(set(found)) != d:
        raise ValueError(f"there must be {d} different names of parameters, got {', '.join(found) or 'none'}.")
    return found
