"""p(target | features): log-density, CRPS and 90 % intervals of the last column."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from tables import metrics
from tables.problems import Split

Floats = NDArray[np.float64]

ROWS = 1000
"""Test rows at most."""
PROCESS_ROWS = 2000
LEVELS = np.arange(0.025, 1.0, 0.05)
"""Levels of the quantile regression: 0.025, 0.075 .. 0.975, evenly spread for the CRPS."""


@dataclass(frozen=True)
class Predicted:
    """(n,) each, of the standardised target."""

    log_density: Floats
    crps: Floats
    covered: NDArray[np.bool_]
    note: str = ""


@dataclass(frozen=True)
class Regression:
    """Standardised rows: fitted to `x`, `y`, scored on `x_test`, `y_test`; choices by `x_val`, `y_val`."""

    x: Floats
    y: Floats
    x_val: Floats
    y_val: Floats
    x_test: Floats
    y_test: Floats


def test_rows(split: Split) -> NDArray[np.int_]:
    """Which of the test rows are scored."""
    return np.random.default_rng([split.number, 30]).permutation(len(split.rows("test")))[:ROWS]


def regression(split: Split) -> Regression:
    """Features as they are, the target with the noise of its cell, both standardised."""
    found = []
    for part in ("train", "val", "test"):
        x = split.standardised(split.rows(part).to_numpy(float))[:, :-1]
        y = split.standardised(split.noised(part))[:, -1]
        pick = test_rows(split) if part == "test" else slice(None)
        found += [x[pick], y[pick]]
    return Regression(*found)


def process(data: Regression, seed: int) -> Predicted:
    """Gaussian process with a length scale for each feature; its parameters from 600 rows, at most 2,000 in all."""
    order = np.random.default_rng(seed).permutation(len(data.x) + len(data.x_val))
    x, y = np.concatenate([data.x, data.x_val])[order], np.concatenate([data.y, data.y_val])[order]
    law = ConstantKernel(1.0) * RBF(np.full(x.shape[1], 2.0), (0.05, 1e3)) + WhiteKernel(0.1, (1e-6, 10.0))
    found = GaussianProcessRegressor(law, normalize_y=True, random_state=seed).fit(x[:600], y[:600])
    few = slice(0, PROCESS_ROWS)
    model = GaussianProcessRegressor(found.kernel_, normalize_y=True, optimizer=None).fit(x[few], y[few])
    mean, std = model.predict(data.x_test, return_std=True)
    z = (data.y_test - mean) / std
    crps = std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))
    inside = np.abs(z) <= norm.ppf(0.95)
    return Predicted(norm.logpdf(z) - np.log(std), crps, inside, f"{min(len(x), PROCESS_ROWS)} rows")


def piecewise(quantiles: Floats, truth: Floats, width: float) -> Floats:
    """Log-density of the law with equal mass between quantiles and Laplace tails, smoothed by a normal of `width`.

    Each interval between neighbours is a normal law with the interval's own mean and variance (plus width^2), so the
    density is smooth and never zero; the outer levels' mass lies in normals as far out as the next gap.
    """
    mids = (quantiles[1:] + quantiles[:-1]) / 2
    spread = (quantiles[1:] - quantiles[:-1]) / np.sqrt(12.0)
    low, high = quantiles[:1] - 2 * spread[:1], quantiles[-1:] + 2 * spread[-1:]
    mean = np.concatenate([low, mids, high])
    std = np.sqrt(np.concatenate([2 * spread[:1], spread, 2 * spread[-1:]]) ** 2 + width**2)
    mass = np.concatenate([LEVELS[:1], np.diff(LEVELS), 1 - LEVELS[-1:]])[:, None]
    return np.log((mass * norm.pdf(truth, mean, std)).sum(0) + 1e-300)


def boosting(data: Regression, seed: int) -> Predicted:
    """Gradient-boosted quantile regressions, stopped early, sorted; the smoothing width by the validation rows."""
    made = []
    for level in LEVELS:
        model = HistGradientBoostingRegressor(
            loss="quantile", quantile=level, max_iter=300, learning_rate=0.07, max_leaf_nodes=15,
            min_samples_leaf=max(3, min(20, len(data.x) // 30)), early_stopping=True, random_state=seed,
        )  # fmt: skip
        model.fit(data.x, data.y, X_val=data.x_val, y_val=data.y_val)
        made.append(np.stack([model.predict(np.concatenate([data.x_val, data.x_test]))])[0])
    both = np.sort(np.array(made), axis=0)
    val, test = np.split(both, [len(data.x_val)], axis=1)
    widths = np.geomspace(0.005, 0.5, 15)
    width = widths[int(np.argmax([piecewise(val, data.y_val, w).mean() for w in widths]))]
    low, high = (np.array([np.interp(p, LEVELS, column) for column in test.T]) for p in (0.05, 0.95))
    inside = (low <= data.y_test) & (data.y_test <= high)
    crps = metrics.crps_quantiles(LEVELS, test, data.y_test)
    return Predicted(piecewise(test, data.y_test, float(width)), crps, inside, f"width {width:.3f}")


METHODS: Mapping[str, Callable[[Regression, int], Predicted]] = {
    "Gaussian process": process,
    "boosted quantiles": boosting,
}
