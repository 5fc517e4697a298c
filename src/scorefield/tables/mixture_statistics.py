"""What expectation maximisation of a Gaussian mixture needs of rows with holes: shares of the components, and sums."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.analytic.mixture import GaussianMixture
from scorefield.analytic.partial import ComponentEstimates, PartialMixture, Pattern, precision_roots, scaled_cholesky

_AT_ONCE = 1 << 22  # numbers in a table of products of coordinates
_MANY = 64  # patterns of holes: beyond, and with few rows each, rows are taken one by one


class Sums(NamedTuple):
    """Of completed rows, weighted by each component's share in them.

    Args:
        weight: shares in all, `(K,)`: how many rows each component has.
        first: of `x - mean_k`, `(K, d)`.
        second: of `E[(x - mean_k) (x - mean_k)^T | what is there, k]`, `(K, d, d)`.
    """

    weight: Tensor
    first: Tensor
    second: Tensor

    def plus(self, other: Sums) -> Sums:
        """The sums over both sets of rows."""
        return Sums(*(a + b for a, b in zip(self, other, strict=True)))


class Group(NamedTuple):
    """Rows with the same holes.

    Args:
        rows: which, `(m,)`.
        there: the coordinates that all of them have.
        away: the others.
    """

    rows: Tensor
    there: Tensor
    away: Tensor


def groups_of(x: Tensor) -> list[Group]:
    """Rows `(n, d)` by their holes, which are NaN."""
    patterns, place = torch.unique(torch.isfinite(x), dim=0, return_inverse=True)
    return [
        Group((place == p).nonzero()[:, 0], kind.nonzero()[:, 0], (~kind).nonzero()[:, 0])
        for p, kind in enumerate(patterns)
    ]


def log_joint(law: GaussianMixture, x: Tensor, groups: list[Group] | None = None) -> Tensor:
    """`log w_k p_k(what is there)`, `(n, K)`, of float64 rows `(n, d)`; 0 for `p_k` where nothing is."""
    groups = groups_of(x) if groups is None else groups
    out = x.new_empty(len(x), len(law.weights))
    if one_by_one(groups, len(x)):
        for rows in torch.arange(len(x)).split(512):
            out[rows] = _completed(law, x[rows])[0]
        return out
    for group in groups:
        precision, constant = _marginal(law, group)
        for rows in parts_of(group.rows, len(group.there)):
            out[rows] = _group_log_joint(law, x[rows][:, group.there], group, precision, constant)
    return out


def expected(law: GaussianMixture, x: Tensor, groups: list[Group]) -> tuple[float, Sums]:
    """The mean log-density of rows `(n, d)`, and the sums around the law's means."""
    k, d = law.means.shape
    total, sums = 0.0, Sums(x.new_zeros(k), x.new_zeros(k, d), x.new_zeros(k, d, d))
    if one_by_one(groups, len(x)):
        for rows in torch.arange(len(x)).split(512):
            joint, filled, spread = _completed(law, x[rows])
            total += float(torch.logsumexp(joint, 1).sum())
            sums = sums.plus(_summed(torch.softmax(joint, 1), filled - law.means, spread))
        return total / len(x), sums
    for group in groups:
        found, part = _group_sums(law, x, group)
        total, sums = total + found, sums.plus(part)
    return total / len(x), sums


def _summed(share: Tensor, away: Tensor, spread: Tensor | None) -> Sums:
    """Sums of rows one by one: shares `(n, K)`, `x - mean_k` `(n, K, d)`, covariances `(n, K, d, d)` of the holes."""
    weighted = away * share.sqrt()[..., None]
    second = torch.einsum("nkd,nke->kde", weighted, weighted)
    if spread is not None:
        second = second + torch.einsum("nk,nkde->kde", share, spread)
    return Sums(share.sum(0), torch.einsum("nk,nkd->kd", share, away), second)


def one_by_one(groups: list[Group], rows: int) -> bool:
    """Whether rows have holes of so many kinds that each is taken by itself."""
    return len(groups) > max(_MANY, rows // 16)


def parts_of(rows: Tensor, size: int) -> tuple[Tensor, ...]:
    """Rows of so many coordinates in parts whose products fit into memory."""
    return rows.split(max(1, _AT_ONCE // max(1, size**2)))


def _products(x: Tensor) -> tuple[Tensor, Tensor]:
    """The products of all pairs of coordinates, `(n, d (d + 1) / 2)`, and which pairs they are."""
    pair = torch.triu_indices(x.shape[1], x.shape[1])
    return x[:, pair[0]] * x[:, pair[1]], pair


def _marginal(law: GaussianMixture, group: Group) -> tuple[Tensor, Tensor]:
    """Precisions `(K, o, o)` of what is there, and `log w_k` with the normalising constants, `(K,)`."""
    covariance = law.covariances[:, group.there][:, :, group.there]
    factor = torch.linalg.cholesky(covariance)
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    constant = law.weights.log() - log_det - 0.5 * len(group.there) * math.log(2 * math.pi)
    return torch.cholesky_inverse(factor), constant


def _group_log_joint(law: GaussianMixture, x: Tensor, group: Group, precision: Tensor, constant: Tensor) -> Tensor:
    """The quadratic forms of all components as one product of matrices: x `(n, o)` is what is there."""
    means = law.means[:, group.there]
    products, pair = _products(x)
    twice = torch.where(pair[0] == pair[1], 1.0, 2.0).to(x)
    square = products @ (precision[:, pair[0], pair[1]] * twice).T
    slope = torch.einsum("koe,ke->ko", precision, means)
    away = square - 2 * x @ slope.T + (slope * means).sum(1)
    return constant - 0.5 * away


def _group_sums(law: GaussianMixture, x: Tensor, group: Group) -> tuple[float, Sums]:
    """Of what is there by products of matrices, of the holes by regression on it."""
    precision, constant = _marginal(law, group)
    means, total = law.means[:, group.there], 0.0
    sums = around_zero(x.new_zeros(0, len(means)), x.new_zeros(0, means.shape[1]))
    for rows in parts_of(group.rows, len(group.there)):
        here = x[rows][:, group.there]
        joint = _group_log_joint(law, here, group, precision, constant)
        log_density = torch.logsumexp(joint, 1, keepdim=True)
        total += float(log_density.sum())
        sums = sums.plus(around_zero((joint - log_density).exp_(), here))
    count, first, second = sums
    mixed = first[:, :, None] * means[:, None, :]
    second = second - mixed - mixed.mT + count[:, None, None] * means[:, :, None] * means[:, None, :]
    return total, _with_holes(law, group, precision, Sums(count, first - count[:, None] * means, second))


def around_zero(share: Tensor, x: Tensor) -> Sums:
    """Sums of x itself, `(n, d)` without holes, for shares `(n, K)`: one product of matrices."""
    d = x.shape[1]
    products, pair = _products(x)
    square = share.T @ products
    second = x.new_zeros(share.shape[1], d, d)
    second[:, pair[0], pair[1]] = square
    second[:, pair[1], pair[0]] = square
    return Sums(share.sum(0), share.T @ x, second)


def _with_holes(law: GaussianMixture, group: Group, precision: Tensor, sums: Sums) -> Sums:
    """The sums with the holes filled in by their conditional means and covariances."""
    if not len(group.away):
        return sums
    (k, d), count = law.means.shape, sums.weight
    cross = law.covariances[:, group.away][:, :, group.there]
    slope = cross @ precision  # of the holes on what is there
    left = law.covariances[:, group.away][:, :, group.away] - slope @ cross.mT
    across = slope @ sums.second
    order = torch.cat([group.there, group.away])
    first, second = sums.first.new_empty(k, d), sums.second.new_empty(k, d, d)
    first[:, order] = torch.cat([sums.first, torch.einsum("kmo,ko->km", slope, sums.first)], 1)
    upper = torch.cat([sums.second, across.mT], 2)
    lower = torch.cat([across, across @ slope.mT + count[:, None, None] * left], 2)
    second[:, order[:, None], order] = torch.cat([upper, lower], 1)
    return Sums(count, first, second)


def _completed(law: GaussianMixture, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Rows each with holes of its own: `log w_k p_k`, the rows filled in, and the holes' covariances."""
    partial = PartialMixture(law)
    there = torch.isfinite(x)
    pattern = Pattern(torch.zeros_like(there), there, torch.nan_to_num(x))
    one = x.new_ones(())
    seen: ComponentEstimates = partial.component_estimates(pattern.value, one, one, pattern)
    root = precision_roots(one, one, pattern)
    factor = scaled_cholesky(law.covariances, root)
    half = torch.linalg.solve_triangular(factor, root[:, None, :, None] * law.covariances, upper=False)
    spread = law.covariances - half.mT @ half
    # the density of what is given: what `partly` leaves out is the same for all components
    constant = torch.where(there, root, 1.0).log().sum(1) - 0.5 * there.sum(1) * math.log(2 * math.pi)
    filled = torch.where(there[:, None], pattern.value[:, None], seen.x0)
    return seen.log_joint + constant[:, None], filled, spread
