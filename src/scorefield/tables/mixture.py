"""A Gaussian mixture fitted to rows with holes: expectation maximisation with covariances held towards each other."""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from scorefield.analytic.mixture import GaussianMixture
from scorefield.numerics.random import uniform
from scorefield.tables.mixture_statistics import Sums, around_zero, expected, groups_of, log_joint, one_by_one, parts_of

COMPONENTS = (1, 2, 3, 5, 8, 12, 20, 40, 100, 240, 480)
"""Numbers of components that `choose_mixture` tries, in this order, until they no longer help."""
FEWER = (1, 3, 8, 20, 40, 100, 240, 480)
"""What it tries for many rows."""
_FEW = 8  # up to here every prior is tried; the most where each row has holes of its own and costs matrices of its own
_MANY_ROWS = 5000  # speak for themselves: the prior matters little
_ROWS_FOR_EACH = 15  # components beyond `_FEW`
_MOST_NUMBERS = 3000  # components times dimensions: what each row costs in training
PRIORS = ((5.0, 0.3), (30.0, 0.3), (150.0, 0.3), (5.0, 0.003), (30.0, 0.003), (150.0, 0.003))
"""Rows' worth of weight with which each covariance is held towards the pooled one, and the share of its diagonal in
that: much keeps correlations small that few rows suggest, little keeps columns that are nearly functions of others."""
_LOOSE = (5.0, 0.003)
_FLOOR = 1e-6  # variance, of standardised data, below which no direction goes
_MOST_ROWS = 20_000  # that a fit looks at: the reference is a start, the network learns from all rows
_MOST_PRODUCTS = 4_000_000  # rows times pairs of numbers, likewise
_MOST_WITH_HOLES = 1500
_DEFENCE, _BREADTH = 0.1, 2.0  # rows' worth of weight of a last component, and its deviations over those of all
_PATTERNS = 32  # of holes, that a fit to many rows looks at


def fit_mixture(
    x: Tensor, components: int, shrinkage: float = 5.0, diagonal: float = 0.3, seed: int = 0, rounds: int = 40
) -> GaussianMixture:
    """The mixture of greatest penalised likelihood, by expectation maximisation from k-means++ seeds.

    Each covariance is the maximum of the posterior under an inverse Wishart prior around the pooled covariance of all
    components, off its diagonal reduced by the share `diagonal`, worth `shrinkage` rows: Fraley and Raftery (2007). A
    hole counts by its conditional mean and covariance (Ghahramani and Jordan 1994).

    Args:
        x: `(n, d)`, standardised, NaN where missing.
        components: K >= 1, at most n.
        shrinkage: in rows, > 0.
        diagonal: share, in [0, 1].
        seed: of the start.
        rounds: most rounds; fewer where the likelihood stands still.

    Example:
        >>> law = fit_mixture(torch.tensor([[-1.0], [-1.1], [1.0], [float("nan")], [1.1]]), 2)
        >>> law.means.flatten().sort().values.round().tolist()
        [-1.0, 1.0]
    """
    if x.ndim != 2 or not 1 <= components <= len(x):
        raise ValueError(f"fit_mixture needs x (n, d) and 1 to n components, got {tuple(x.shape)} and {components}.")
    z = x.double()
    start = torch.nan_to_num(z)
    groups, holes = groups_of(z), ~torch.isfinite(z)
    sums = _starting_sums(start, holes, components, seed)
    law, last = _maximised(torch.zeros_like(sums.first), sums, shrinkage, diagonal), -math.inf
    for _ in range(rounds):
        total, sums = expected(law, z, groups)
        law = _maximised(law.means, sums, shrinkage, diagonal)
        if total - last < 1e-3:
            break
        last = total
    return law


def choose_mixture(x: Tensor, held: Tensor, seed: int = 0) -> GaussianMixture:
    """The mixture with the greatest log-density on held-out rows, over `COMPONENTS` and `PRIORS`.

    Args:
        x: `(n, d)`, NaN where missing; of many rows a part is looked at.
        held: `(m, d)`.
        seed: of the starts and of the choice of rows.
    """
    order = uniform(len(x), (), seed, "mixture rows", dtype=torch.float64).argsort()
    at_most = min(_MOST_ROWS, _MOST_PRODUCTS // x.shape[1] ** 2)
    rows, test = (_of_common_patterns(part[torch.isfinite(part).any(1)][:at_most]) for part in (x[order], held))
    own_holes = one_by_one(groups_of(rows), len(rows))
    rows = rows[:_MOST_WITH_HOLES] if own_holes else rows
    test = test if len(test) else rows
    most = _FEW if own_holes else max(_FEW, _MOST_NUMBERS // x.shape[1])
    best, prior = -math.inf, list(PRIORS if len(rows) < _MANY_ROWS else PRIORS[:1])
    law = fit_mixture(rows, 1, *_LOOSE, seed)
    for components in COMPONENTS if len(rows) < _MANY_ROWS else FEWER:
        needed = (10 if components <= _FEW else _ROWS_FOR_EACH) * components  # rows
        if components > 1 and (len(rows) < needed or components > most):
            break
        found = [fit_mixture(rows, components, *p, seed) for p in prior]
        values = [float(log_densities(f, test).mean()) for f in found]
        place = values.index(max(values))
        if max(values) > best:
            best, law = max(values), found[place]
        elif components > 3:
            break
        if components == _FEW:  # many components need many rows, which speak for themselves
            prior = sorted({prior[place], _LOOSE})
        elif components > _FEW:
            prior = [prior[place]]
    return law


def defended(law: GaussianMixture, rows: int) -> GaussianMixture:
    """The mixture with one more component, broad and light: a tenth of a row's weight, twice the deviations of all.

    It costs other rows 0.1 / rows nats, and no row is by more than its logarithm less likely than in a broad normal
    law: the tails of narrow components, which few rows have shown, are not taken at their word (Hesterberg 1995).

    Args:
        law: fitted to rows.
        rows: how many, >= 1.
    """
    share = torch.as_tensor(_DEFENCE / rows).to(law.weights)
    weights = torch.cat([law.weights * (1 - share), share[None]])
    covariances = torch.cat([law.covariances, _BREADTH**2 * law.covariance[None]])
    return GaussianMixture(weights, torch.cat([law.means, law.mean[None]]), covariances)


def _of_common_patterns(rows: Tensor) -> Tensor:
    """Of many rows those with the commonest patterns of holes, if they are most: each pattern costs matrices."""
    place, count = torch.unique(torch.isfinite(rows), dim=0, return_inverse=True, return_counts=True)[1:]
    common = count.argsort(descending=True, stable=True)[:_PATTERNS]
    if len(rows) < _MANY_ROWS or count[common].sum() < len(rows) / 2:
        return rows
    return rows[torch.isin(place, common)]


def log_densities(law: GaussianMixture, x: Tensor) -> Tensor:
    """`log p` of what is there of each row, `(n,)`, in the mixture."""
    return torch.logsumexp(log_joint(law, x.double()), 1)


def _maximised(means: Tensor, sums: Sums, shrinkage: float, diagonal: float) -> GaussianMixture:
    """The mixture of greatest penalised likelihood for sums around the means `(K, d)`."""
    count = sums.weight + 1e-9
    shift = sums.first / count[:, None]
    scatter = sums.second - count[:, None, None] * shift[:, :, None] * shift[:, None, :]
    pooled = scatter.sum(0) / sums.weight.sum()
    target = (1 - diagonal) * pooled + diagonal * torch.diag(pooled.diagonal())
    covariances = (scatter + shrinkage * target) / (count + shrinkage)[:, None, None]
    covariances = (covariances + covariances.mT) / 2 + _FLOOR * torch.eye(means.shape[1], dtype=means.dtype)
    return GaussianMixture(count / count.sum(), means + shift, covariances)


def _starting_sums(x: Tensor, holes: Tensor, components: int, seed: int) -> Sums:
    """Sums around 0 of hard shares; holes count as 0 with variance 1."""
    share = _starting_shares(x, components, seed)
    parts = [around_zero(share[rows], x[rows]) for rows in parts_of(torch.arange(len(x)), x.shape[1])]
    sums = functools.reduce(Sums.plus, parts)
    return sums._replace(second=sums.second + torch.diag_embed(share.T @ holes.to(x)))


def _starting_shares(x: Tensor, components: int, seed: int) -> Tensor:
    """Hard shares from k-means: ten rounds from k-means++ seeds (Arthur and Vassilvitskii 2007)."""
    draws = uniform(components, (), seed, "mixture start", dtype=torch.float64)
    centres = x.new_empty(components, x.shape[1])
    centres[0] = x[int(float(draws[0]) * len(x))]
    distance = x.new_full((len(x),), math.inf)
    for k in range(1, components):
        distance = torch.minimum(distance, torch.cdist(x, centres[k - 1 : k])[:, 0].square() + 1e-12)
        place = torch.searchsorted(distance.cumsum(0) / distance.sum(), draws[k])
        centres[k] = x[int(place.clamp(max=len(x) - 1))]
    for _ in range(10):
        nearest = torch.cdist(x, centres).argmin(1)
        hard = torch.nn.functional.one_hot(nearest, components).to(x)
        count = hard.sum(0)
        centres = torch.where(count[:, None] > 0, hard.T @ x / count.clamp(min=1)[:, None], centres)
    return hard
