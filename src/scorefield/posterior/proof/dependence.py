"""Do pairs of parameters depend on each other as their draws say?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from scorefield.posterior.proof.ranks import Ranks, ranks_among

MOST = 66
"""Pairs that are looked at, at most: all of 12 parameters; beyond, those that are correlated most."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two parameters, and where the product of their deviations in the truth ranks among those of the draws.

    Args:
        first: name of a parameter.
        second: of the other.
        ranks: of `(first - mean) * (second - mean)`, means over truth and draws.
    """

    first: str
    second: str
    ranks: Ranks

    @property
    def closer(self) -> bool:
        """Whether the truths rise together more than the draws do."""
        return float(self.ranks.levels.mean()) > 0.5


def pairs_of(names: Sequence[str], theta: np.ndarray, draws: np.ndarray, seed: int) -> tuple[Pair, ...]:
    """All pairs, or the `MOST` whose draws are correlated most.

    Args:
        names: of the parameters.
        theta: the truths `(m, d)`.
        draws: `(m, n, d)`.
        seed: of places among equals.
    """
    points = np.concatenate([theta[:, None], draws], 1)
    points = points - points.mean(1, keepdims=True)
    i, j = np.triu_indices(len(names), 1)
    if len(i) > MOST:
        scale = points.std(1, keepdims=True)
        unit = points / np.where(scale > 0, scale, 1.0)
        strength = np.abs(np.einsum("mka,mkb->ab", unit, unit))[i, j]
        chosen = np.sort(np.argsort(-strength, kind="stable")[:MOST])
        i, j = i[chosen], j[chosen]
    return tuple(
        _pair(names[a], names[b], points[..., a] * points[..., b], seed)
        for a, b in zip(i.tolist(), j.tolist(), strict=True)
    )


def _pair(first: str, second: str, products: np.ndarray, seed: int) -> Pair:
    ranks = ranks_among(f"{first} x {second}", products[:, 0], products[:, 1:], seed)
    return Pair(first, second, ranks)
