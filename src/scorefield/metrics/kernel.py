"""The kernel two-sample test: maximum mean discrepancy with a permutation p-value."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.metrics.samples import CHUNK, Sample, check_count, distance_rows, pair, random_order
from scorefield.numerics.random import uniform


class TwoSample(NamedTuple):
    """A distance and the probability of one at least as large when both samples come from one law."""

    value: float
    p_value: float


def mmd(
    x: Sample,
    y: Sample,
    *,
    bandwidth: float | None = None,
    permutations: int = 199,
    seed: int = 0,
    chunk: int = CHUNK,
) -> TwoSample:
    """Squared maximum mean discrepancy with a Gaussian kernel, and its permutation p-value (Gretton and others 2012).

    `k(a, b) = exp(-|a - b|^2 / (2 bandwidth^2))`; the unbiased statistic, which can be slightly negative. The p-value
    is exact at any sample size: under equal laws `P(p_value <= q) <= q`.

    Args:
        x: `(n, *shape)`, n >= 2.
        y: `(m, *shape)`, m >= 2.
        bandwidth: default the median distance within the pooled sample (of 2,000 of its rows, when there are more).
        permutations: random relabellings; the p-value is a multiple of `1 / (permutations + 1)`.
        seed: of the relabellings.
        chunk: rows of the kernel matrix in memory at a time.

    Example:
        >>> x = torch.linspace(0, 1, 20)[:, None]
        >>> mmd(x, x + 2).p_value
        0.005
    """
    x, y = pair(x, y)
    check_count("permutations", permutations, 1)
    n, m = len(x), len(y)
    pooled = torch.cat([x, y])
    scale = median_distance(pooled, seed) if bandwidth is None else float(bandwidth)
    if not 0 < scale < math.inf:
        raise ValueError(f"mmd needs a bandwidth > 0, got {scale:g}; give bandwidth= (is the pooled sample constant?).")
    order = uniform(permutations, (n + m,), seed, "mmd", dtype=torch.float64, device=x.device).argsort(1)
    label = torch.zeros(n + m, permutations + 1, dtype=x.dtype, device=x.device)
    label[:n, 0] = 1
    label[:, 1:].scatter_(0, order[:, :n].T, 1.0)
    total, with_label, within = 0.0, torch.zeros_like(label[0]), torch.zeros_like(label[0])
    for start, distance in distance_rows(pooled, pooled, chunk):
        kernel = (-(distance**2) / (2 * scale**2)).exp()
        kernel.diagonal(start).zero_()
        product = kernel @ label
        total += float(kernel.sum())
        with_label += product.sum(0)
        within += (label[start : start + len(kernel)] * product).sum(0)
    cross, rest = with_label - within, total - 2 * with_label + within
    values = within / (n * (n - 1)) + rest / (m * (m - 1)) - 2 * cross / (n * m)
    tied = values[1:] >= values[0] - 1e-12 * values[0].abs()
    return TwoSample(float(values[0]), (1 + int(tied.sum())) / (permutations + 1))


def median_distance(pooled: Tensor, seed: int) -> float:
    """Between two rows of a sample `(n, d)`, of 2,000 of them where there are more."""
    if len(pooled) > 2000:
        pooled = pooled[random_order(len(pooled), seed, "mmd-bandwidth", pooled)[:2000]]
    return float(torch.pdist(pooled).median())
