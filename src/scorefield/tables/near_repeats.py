"""Things that a table has several rows of, nearly alike: components of their own in the mixture of its numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scorefield.analytic.mixture import GaussianMixture
from scorefield.tables.mixture import log_densities

Floats = NDArray[np.float64]

_NEAREST = 8  # other rows that a row is compared with
_STARTS = (0.1, 0.4)  # shares of the rows, those nearest to another one, whose differences begin the estimate
_ROUNDS, _RELINKED = 50, 5
_WITHIN = 0.999  # of the differences between two rows of one thing, that link them
_MOST_NUMBERS = 6000  # things times dimensions: what each row costs in training
MOST_EACH = 20
"""Rows that a thing may have in the mean: with more it is a class, which a mixture knows."""
_SURE = 3.0  # standard errors of the gain on rows held out
_FLOOR = 1e-6  # variance, of standardised data
_FEWEST = 40  # rows
_PRIOR = 2.0  # things of each number of rows, whose next rows come as often as their own did


def with_things(law: GaussianMixture, x: Tensor, held: Tensor) -> GaussianMixture:
    """The mixture with a component for each thing that has several rows, nearly alike; as it came where there are none.

    Rows are often several measurements of one thing: a patient at three visits, a specimen measured four times. With
    n rows, N_r things of r rows each, and the covariance S of a thing's rows around their mean,

        p(x) = N_1 / n law(x) + sum_k w_k N(x; mean_k, (1 + 1 / c_k) S),    w_k = (c_k + 1) N_(c_k + 1) / (n N_(c_k)):

    of n rows so many would be of a thing that has c_k rows among the others (Turing's estimate; Good 1953), and of a
    new one so many have none beside them. A design in which each thing is measured four times is understood by this: a
    thing that has four rows gets no more. Taken only where rows held out are more likely so, beyond chance.

    Args:
        law: of all rows.
        x: `(n, d)` rows that it was fitted to, none of them there twice; NaN where missing, and such rows belong to no
            thing.
        held: `(m, d)` rows held out, likewise.
    """
    whole = x[torch.isfinite(x).all(1)].double()
    most = _MOST_NUMBERS // x.shape[1]
    if not len(held) or len(whole) > MOST_EACH * most:
        return law
    things = things_of(whole, log_densities(law, whole), most)
    if things is None:
        return law
    own = _joined(law, things)
    return own if surely_more(log_densities(own, held) - log_densities(law, held)) else law


@dataclass(frozen=True, eq=False)
class Things:
    """Things that rows are measurements of.

    Args:
        means: of the rows of each, `(K, d)`.
        counts: how many rows each has, `(K,)` int64.
        covariance: of a row around its thing, `(d, d)`.
        groups: which group each is of, `(K,)` int64.
    """

    means: Tensor
    counts: Tensor
    covariance: Tensor
    groups: Tensor

    @property
    def scale(self) -> Tensor:
        """How much further a next row of each lies from the mean of those known than from the thing, `(K,)`."""
        return (1 + 1 / self.counts.double()).sqrt()

    @property
    def covariances(self) -> Tensor:
        """Of a next row of each around the mean of those that are known, `(K, d, d)`."""
        return self.scale.square()[:, None, None] * self.covariance


def things_of(x: Tensor, background: Tensor, most: int, groups: Tensor | None = None) -> Things | None:
    """The things that rows are of; None where no two rows are of one, there are fewer than 40, or too many things.

    Args:
        x: `(n, d)` float64, no holes, no row there twice.
        background: the log-density of each in a law of new things, `(n,)`.
        most: things that there may be.
        groups: `(n,)` int64; rows of one thing are of one group. Default: all are.
    """
    if len(x) < _FEWEST:
        return None
    groups = torch.zeros(len(x), dtype=torch.int64) if groups is None else groups
    apart = _difference_covariance(x, background, groups)
    found = None if apart is None else _linked(x, apart, groups, most)
    return found if found is not None and len(found.counts) <= most else None


def once(*parts: Tensor) -> list[Tensor]:
    """The places in each part of the rows that neither it nor a part before has: those there again are left out."""
    together = torch.cat(parts).nan_to_num(nan=math.inf).numpy()
    first = torch.zeros(len(together), dtype=torch.bool)
    first[torch.from_numpy(np.unique(together, axis=0, return_index=True)[1])] = True
    return [some.nonzero()[:, 0] for some in first.split([len(part) for part in parts])]


def whitened(x: Tensor, covariance: Tensor) -> Tensor:
    """Rows `(n, d)` in coordinates in which the covariance is 1."""
    return torch.linalg.solve_triangular(torch.linalg.cholesky(covariance), x.T, upper=False).T


def surely_more(gain: Tensor) -> bool:
    """Whether the mean of gains in log-density `(n,)` is above 0 beyond chance."""
    return len(gain) > 1 and float(gain.mean()) > _SURE * float(gain.std()) / math.sqrt(len(gain))


def _difference_covariance(x: Tensor, background: Tensor, groups: Tensor) -> Floats | None:
    """A first covariance of the difference between two rows of one thing, by expectation maximisation; None: no pairs.

    Row i is one of the background, or of the thing of some other row j, each of these equally likely:
    `p(x_i) = (1 - w) background(x_i) + w sum_j N(x_i - x_j; 0, C) / (n - 1)`, j not i. Of a thing with many rows the
    nearest ones count most, so that C is too small there.
    """
    from scipy.spatial import cKDTree

    rows = x.numpy()
    n, d = rows.shape
    away, near = cKDTree(rows).query(rows, k=min(_NEAREST, n - 1) + 1)
    near, away = near[:, 1:], away[:, 1]
    same = groups.numpy()[near] == groups.numpy()[:, None]
    gaps = rows[:, None] - rows[near]  # (n, k, d)
    if not same[:, 0].any():
        return None
    best, found = -math.inf, None
    for share in _STARTS:
        first = gaps[(away <= np.quantile(away[same[:, 0]], share)) & same[:, 0], 0]
        c = first.T @ first / len(first) + _FLOOR * np.eye(d)
        value, c = _maximised(gaps, np.where(same, 0.0, -np.inf), background.numpy(), c)
        if value > best:
            best, found = value, c
    return found


def _maximised(gaps: Floats, allowed: Floats, background: Floats, c: Floats) -> tuple[float, Floats]:
    """The log-likelihood and the covariance at the end of the rounds; allowed `(n, k)`: 0, or minus infinity."""
    n, _, d = gaps.shape
    flat = torch.from_numpy(gaps.reshape(-1, d))
    w, last = 0.5, -math.inf
    for _ in range(_ROUNDS):
        half = whitened(flat, torch.from_numpy(c)).numpy().reshape(gaps.shape)
        log_det = float(np.linalg.slogdet(2 * math.pi * c)[1])
        joint = math.log(w / (n - 1)) - 0.5 * (half**2).sum(2) - 0.5 * log_det + allowed
        both = np.concatenate([joint, math.log1p(-w) + background[:, None]], 1)
        top = both.max(1, keepdims=True)
        log_p = top[:, 0] + np.log(np.exp(both - top).sum(1))
        share = np.exp(joint - log_p[:, None])
        total = float(share.sum())
        if total < 2 or log_p.sum() - last < 1e-3:
            break
        last = float(log_p.sum())
        w = min(max(total / n, 1e-3), 1 - 1e-3)
        weighed = np.sqrt(share).reshape(-1, 1) * flat.numpy()
        c = weighed.T @ weighed / total + _FLOOR * np.eye(d)
    return last, c


def _linked(x: Tensor, apart: Floats, groups: Tensor, most: int) -> Things | None:
    """The things, linked again by what their own rows say of the covariance, until these stay."""
    found = _things(x, apart, groups)
    for _ in range(_RELINKED):
        if found is None or len(found.counts) > 2 * most:  # linking again changes few
            return None
        again = _things(x, 2 * found.covariance.numpy(), groups)
        if again is None or torch.equal(again.counts, found.counts):
            break
        found = again
    return found


def _things(x: Tensor, apart: Floats, groups: Tensor) -> Things | None:
    """Rows linked where they differ no more than two rows of one thing do; None where no two are."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import cKDTree

    n, d = x.shape
    white = whitened(x, torch.from_numpy(apart)).numpy()
    pairs = cKDTree(white).query(white, k=min(_NEAREST, n - 1) + 1, distance_upper_bound=reach(d))[1][:, 1:]
    own = groups.numpy()
    i, j = np.nonzero((pairs < n) & (own[pairs.clip(max=n - 1)] == own[:, None]))
    links = coo_matrix((np.ones(len(i)), (i, pairs[i, j])), shape=(n, n))
    label = torch.from_numpy(connected_components(links, directed=False)[1]).long()
    counts = torch.bincount(label)
    if len(counts) == n:
        return None
    means = torch.zeros(len(counts), d, dtype=torch.float64).index_add_(0, label, x) / counts[:, None]
    kinds = torch.zeros_like(counts).index_copy_(0, label, groups)  # the same for all rows of a thing
    return Things(means, counts, _spread(x - means[label], label, counts), kinds)


def _spread(off: Tensor, label: Tensor, counts: Tensor) -> Tensor:
    """The covariance of rows around their thing's mean, without things whose rows lie too far apart to be one."""
    from scipy.stats import chi2

    d, use = off.shape[1], counts > 1
    floor = _FLOOR * torch.eye(d, dtype=torch.float64)
    limit = torch.from_numpy(chi2.ppf(_WITHIN, d * (counts.numpy() - 1).clip(1)))
    covariance = floor
    for _ in range(_RELINKED):
        mine = off[use[label]]
        covariance = mine.T @ mine / (counts[use] - 1).sum() + floor
        distance = whitened(off, covariance).square().sum(1)
        whole = (counts > 1) & (torch.zeros_like(limit).index_add_(0, label, distance) <= limit)
        if torch.equal(whole, use) or not bool(whole.any()):
            break
        use = whole
    return covariance


def reach(d: int) -> float:
    """How far two rows of one thing lie from each other at most, in roots of the covariance of their difference."""
    from scipy.stats import chi2

    return float(np.sqrt(chi2.ppf(_WITHIN, d)))


def _joined(law: GaussianMixture, things: Things) -> GaussianMixture:
    """The law of new things and the components of those that are known."""
    new, known = turing_weights(things.counts)
    weights = torch.cat([law.weights.double() * new, known])
    means = torch.cat([law.means.double(), things.means])
    return GaussianMixture(weights, means, torch.cat([law.covariances.double(), things.covariances]))


def turing_weights(counts: Tensor) -> tuple[float, Tensor]:
    """Turing's probabilities of a new thing and of each known one.

    Few things of one number of rows say little: w_k is held towards c_k / n, the share of the thing's own rows, as by
    two more things. So nothing that was seen is impossible.
    """
    things = torch.bincount(counts, minlength=int(counts.max()) + 2).double()  # by their number of rows
    own = counts.double()
    known = ((own + 1) * things[counts + 1] + _PRIOR * own) / (things[counts] + _PRIOR)
    new = max(float(things[1]), 1.0)
    total = new + float(known.sum())
    return new / total, known / total
