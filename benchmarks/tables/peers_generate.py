"""Generators of rows: fitted to one half of a table, judged against the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from tables import metrics, peers_density, peers_forest
from tables.peers_density import Density, Rows
from tables.problems import Split

Floats = NDArray[np.float64]
Sample = Callable[[int, int], Floats]
"""From a number of rows and a seed to rows in the table's units."""

JUDGED = 5000
"""Rows of each kind for the classifier at most."""
PAIRED = 3000
"""Rows of each kind for the energy distance at most."""
REPEATS = 3


@dataclass(frozen=True)
class Judged:
    """How a set of rows compares with the half not fitted to, each a mean over `REPEATS` sets, with its spread."""

    c2st: float
    c2st_error: float
    energy: float


def density(fit: Callable[[Rows, float, int], Density]) -> Callable[[Split, float, int], tuple[Sample, str]]:
    """A density of standardised, noised columns as a generator; a tenth of the half serves for choices."""

    def make(split: Split, seconds: float, seed: int) -> tuple[Sample, str]:
        values = split.halves()[0].to_numpy(float)
        center, scale = values.mean(0), values.std(0)
        scale = np.where(scale > 0, scale, 1.0)
        order = np.random.default_rng(seed).permutation(len(values))
        standard = (values[order] - center) / scale
        cut = max(len(values) // 10, 2)
        model = fit(Rows(standard[cut:], standard[:cut], split.widths / scale), seconds, seed)
        return (lambda n, draw: model.sample(n, draw) * scale + center), model.note

    return make


def copula(split: Split, seconds: float, seed: int) -> tuple[Sample, str]:
    """Gaussian copula over the columns' own empirical laws, ties broken at random."""
    values = split.halves()[0].to_numpy(float)
    rng = np.random.default_rng(seed)
    broken = values + 1e-9 * values.std(0) * rng.random(values.shape)
    normal = norm.ppf(rankdata(broken, axis=0) / (len(values) + 1))
    correlation = np.corrcoef(normal, rowvar=False)
    ordered = np.sort(values, axis=0)

    def sample(n: int, draw: int) -> Floats:
        rng = np.random.default_rng(draw)
        z = rng.multivariate_normal(np.zeros(len(correlation)), correlation, n)
        at = np.clip((norm.cdf(z) * len(ordered)).astype(int), 0, len(ordered) - 1)
        return np.take_along_axis(ordered, at, axis=0)

    return sample, "empirical margins"


def forest(split: Split, seconds: float, seed: int) -> tuple[Sample, str]:
    model = peers_forest.fit(split.columns, split.halves()[0].to_numpy(float), "flow", seconds, seed)
    return model.sample, model.note


METHODS: Mapping[str, Callable[[Split, float, int], tuple[Sample, str]]] = {
    "mixture": density(peers_density.mixture),
    "copula": copula,
    "NSF": density(peers_density.nsf),
    "ForestDiffusion": forest,
}


def judged(split: Split, sample: Sample) -> Judged:
    """The generated rows, in the table's format, against half b."""
    a, b = (half.to_numpy(float) for half in split.halves())
    accuracies, energies = [], []
    for repeat in range(REPEATS):
        rng = np.random.default_rng([split.number, repeat])
        real = b[rng.permutation(len(b))]
        # Some samplers give one component after another, and only a part of the rows may be judged.
        made = rng.permutation(split.snapped(sample(len(b), repeat)).to_numpy(float))
        accuracies.append(metrics.c2st(real[:JUDGED], made[:JUDGED], repeat))
        energies.append(metrics.energy_distance(real[:PAIRED] / a.std(0), made[:PAIRED] / a.std(0)))
    error = float(np.std(accuracies, ddof=1) / np.sqrt(REPEATS))
    return Judged(float(np.mean(accuracies)), error, float(np.mean(energies)))


def floor(split: Split) -> Judged:
    """Half a as if it were generated: what a perfect generator gets."""
    a = split.halves()[0].to_numpy(float)
    size = len(split.halves()[1])

    def sample(n: int, seed: int) -> Floats:
        order = np.random.default_rng([seed, 7]).permutation(len(a))
        return a[order][: min(n, size)]

    return judged(split, sample)
