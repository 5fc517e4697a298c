"""Are ranks uniform? Exact tests, and bands that hold a whole curve of them at once."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from scorefield._ranges import PROBABILITY, whole

_POINTS = 50
"""At most so many places at which a curve of ranks is looked at."""
_SMALLEST = 1e-13
"""No p-value is said to be less."""
_NEVER = 1e-16  # tails of counts that are not looked at


class Uniformity(NamedTuple):
    """How likely uniform ranks are to look at least as odd as these, by three tests.

    Args:
        p: of the curve of the ranks: how far it leaves, anywhere, what is likely at each place (exact).
        ks: of its greatest vertical distance, Kolmogorov and Smirnov's (exact).
        chi2: of a histogram, Pearson's (in the limit of many ranks).
    """

    p: float
    ks: float
    chi2: float


class Bands(NamedTuple):
    """Bands around the curve of uniform ranks.

    Args:
        z: shares of the possible ranks, ascending within (0, 1), `(k,)`.
        low: the least share of ranks below each, `(k,)`.
        high: the greatest.
    """

    z: np.ndarray
    low: np.ndarray
    high: np.ndarray


def uniformity(ranks: np.ndarray, draws: int) -> Uniformity:
    """Test ranks for uniformity on 0 ... draws.

    Args:
        ranks: whole numbers `(m,)`, each from 0 to draws.
        draws: among how many each was ranked.

    Example:
        >>> uniformity(np.arange(100), 99).p > 0.9, uniformity(np.arange(50), 99).p < 1e-9
        (True, True)
    """
    m, places = len(ranks), _places(draws)
    counts, z = (ranks[:, None] < places).sum(0), places / (draws + 1)
    tails = _tails(m, z)
    least = float(tails[np.arange(len(z)), counts].min())
    off = float(np.abs(counts - m * z).max())
    grid = np.arange(m + 1)
    close = np.abs(grid - m * z[:, None]) < off - 1e-9 * m
    possible = tails > _NEVER
    as_likely = possible & (tails > least * (1 + 1e-9))
    return Uniformity(_outside(m, z, as_likely), _outside(m, z, close & possible), _chi2(ranks, draws))


def bands(m: int, draws: int, level: float) -> Bands:
    """Bands that the whole curve of m uniform ranks leaves with a probability of at most `level`, and almost that.

    Equal tails at every place, their size such that all of them together have the level (Sailynoja, Burkner and
    Vehtari 2022); the probability is computed, not simulated.

    Args:
        m: how many ranks.
        draws: among how many each was ranked.
        level: in (0, 1).

    Example:
        >>> found = bands(100, 19, 0.05)
        >>> i = int(np.argmin(np.abs(found.z - 0.5)))
        >>> round(float(found.low[i]), 2), round(float(found.high[i]), 2)
        (0.37, 0.63)
    """
    PROBABILITY("level", level)
    whole(1, 10**6)("m", m)
    whole(1, 10**9)("draws", draws)
    return _bands(m, draws, float(level))


@lru_cache(maxsize=64)
def _bands(m: int, draws: int, level: float) -> Bands:
    z = _places(draws) / (draws + 1)
    tails = _tails(m, z)
    low, high = math.log(_SMALLEST), math.log(level)
    for _ in range(30):
        middle = (low + high) / 2
        if _outside(m, z, tails > math.exp(middle)) <= level:
            low = middle
        else:
            high = middle
    inside = tails > math.exp(low)
    least, most = inside.argmax(1), m - inside[:, ::-1].argmax(1)
    return Bands(z, least / m, most / m)


def _places(draws: int) -> np.ndarray:
    """Numbers of possible ranks below which ranks are counted, spread evenly: `(k,)`, each from 1 to draws."""
    return np.unique(np.round(np.linspace(0, draws + 1, min(_POINTS, draws + 1) + 1)[1:-1]).astype(np.int64))


def _tails(m: int, z: np.ndarray) -> np.ndarray:
    """Twice the smaller tail of a binomial count at each place: `(k, m + 1)`, 1 in the middle."""
    from scipy.stats import binom

    count = np.arange(m + 1)
    below = binom.cdf(count, m, z[:, None])
    above = binom.sf(count - 1, m, z[:, None])
    return np.minimum(1.0, 2 * np.minimum(below, above))


def _outside(m: int, z: np.ndarray, inside: np.ndarray) -> float:
    """The probability that the counts of m uniform ranks below the places z leave a band anywhere.

    The counts are a Markov chain: of the ranks not yet counted each lies before the next place with probability
    `(z[k + 1] - z[k]) / (1 - z[k])`.

    Args:
        inside: `(k, m + 1)`, the counts that are allowed at each place: an interval.
    """
    from scipy.special import gammaln

    if not inside.any(1).all():
        return 1.0
    log_factorial = gammaln(np.arange(m + 1) + 1.0)
    counts, p, before = np.zeros(1, dtype=np.int64), np.ones(1), 0.0
    for place, allowed in zip(z, inside, strict=True):
        q = (place - before) / (1 - before)
        after = allowed.nonzero()[0]
        more, left = after[:, None] - counts, m - counts
        fits = more >= 0
        more = np.where(fits, more, 0)
        rest = np.maximum(left - more, 0)
        log_p = log_factorial[left] - log_factorial[more] - log_factorial[rest]
        log_p = log_p + more * math.log(q) + rest * math.log1p(-q)
        p = (np.exp(log_p) * fits) @ p
        counts, before = after, place
    return float(np.clip(1 - p.sum(), _SMALLEST, 1.0))


def _chi2(ranks: np.ndarray, draws: int) -> float:
    from scipy.stats import chisquare

    edges = np.unique(np.round(np.linspace(0, draws + 1, bins(len(ranks), draws) + 1)).astype(np.int64))
    counts = np.histogram(ranks, edges)[0]
    return float(chisquare(counts, len(ranks) * np.diff(edges) / (draws + 1)).pvalue)


def bins(m: int, draws: int) -> int:
    """How many bins a histogram of m ranks has: at most 20, of 10 ranks or more, and equally wide where that goes."""
    most = max(2, min(20, m // 10, draws + 1))
    return next((k for k in range(most, most // 2, -1) if (draws + 1) % k == 0), most)


def p_text(p: float) -> str:
    """A p-value as it is shown.

    Example:
        >>> p_text(0.0312), p_text(4e-9), p_text(1e-13)
        ('0.031', '4e-09', '< 1e-12')
    """
    return "< 1e-12" if p < 1e-12 else f"{p:.2g}"
