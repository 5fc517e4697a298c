"""What is measured: two-sample accuracy and energy distance, CRPS and coverage of draws and of quantiles."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score

Floats = NDArray[np.float64]

INTERVAL = 0.9


def c2st(real: Floats, made: Floats, seed: int = 0) -> float:
    """Accuracy of gradient boosting, 5-fold cross-validated, at telling the two sets of equal size apart.

    0.5 for equal laws. Lopez-Paz and Oquab (2017), with trees.
    """
    size = min(len(real), len(made))
    rows = np.concatenate([real[:size], made[:size]])
    labels = np.repeat([0, 1], size)
    folds = StratifiedKFold(5, shuffle=True, random_state=seed)
    model = HistGradientBoostingClassifier(random_state=seed, early_stopping=False)
    return float(cross_val_score(model, rows, labels, cv=folds).mean())


def energy_distance(x: Floats, y: Floats) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'|, each mean over all pairs, (n, d) and (m, d). Szekely and Rizzo (2013)."""
    return float(2 * cdist(x, y).mean() - cdist(x, x).mean() - cdist(y, y).mean())


def crps_draws(draws: Floats, truth: Floats) -> Floats:
    """E|X - y| - E|X - X'| / 2, unbiased in the number of draws: (m, n) and (n,) to (n,).

    Gneiting and Raftery (2007). With the draws ascending, the mean over pairs is a weighted sum.
    """
    m = len(draws)
    ordered = np.sort(draws, axis=0)
    weights = (2 * np.arange(1, m + 1) - m - 1)[:, None]
    pairs = 2 * (weights * ordered).sum(0) / (m * (m - 1))
    return np.abs(draws - truth).mean(0) - pairs / 2


def crps_quantiles(levels: Floats, quantiles: Floats, truth: Floats) -> Floats:
    """Twice the mean pinball loss over levels spread evenly within (0, 1): (k,), (k, n) and (n,) to (n,)."""
    gap = truth - quantiles
    return 2 * np.maximum(levels[:, None] * gap, (levels[:, None] - 1) * gap).mean(0)


def covered_draws(draws: Floats, truth: Floats, seed: int = 0) -> NDArray[np.bool_]:
    """Whether the rank of the truth among the draws lies in the middle `INTERVAL` of ranks: (m, n) and (n,) to (n,).

    Ties are broken and ranks spread at random, so that right draws give `INTERVAL` exactly for any number of draws
    and for discrete values too.
    """
    rng = np.random.default_rng(seed)
    below = (draws < truth).sum(0)
    ties = (draws == truth).sum(0)
    rank = (below + rng.random(len(truth)) * (ties + 1)) / (len(draws) + 1)
    return np.abs(rank - 0.5) <= INTERVAL / 2
