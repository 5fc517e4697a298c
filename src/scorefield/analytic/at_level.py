"""A Gaussian mixture at one noise level, for many points: its answers as products of matrices."""

from __future__ import annotations

import torch
from torch import Tensor


class MixtureAtLevel:
    """`E[eps | x]` of a mixture at the level (1, s): about ten times less work than the mixture itself needs.

    The precisions of all components are at hand, so that their quadratic forms are one product with the products of
    all pairs of coordinates, and the score is the mean precision times x. Digits are lost where x is far from the
    means in units of the smallest standard deviation: of 16, twice those of that ratio.

    Args:
        weights: of the components, `(K,)`.
        means: `(K, d)` float64.
        covariances: `(K, d, d)`.
        s: noise, > 0.

    Example:
        >>> law = torch.ones(1).double(), torch.zeros(1, 1).double(), torch.ones(1, 1, 1).double()
        >>> round(float(MixtureAtLevel(*law, 1.0).noise(torch.ones(1, 1).double())), 12)
        0.5
    """

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor, s: float) -> None:
        d = means.shape[1]
        self._s, self._mean = s, weights @ means
        means = means - self._mean
        factor = torch.linalg.cholesky(covariances + s**2 * torch.eye(d).to(means))
        precision = torch.cholesky_inverse(factor)
        self._slopes = (precision @ means[..., None])[..., 0]
        log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        self._constant = weights.log() - log_det - 0.5 * (self._slopes * means).sum(1)
        self._pairs = torch.triu_indices(d, d)
        twice = torch.where(self._pairs[0] == self._pairs[1], 1.0, 2.0).to(means)
        self._products = (precision[:, self._pairs[0], self._pairs[1]] * twice).T.contiguous()
        self._precision = precision.flatten(1)

    def noise(self, x: Tensor) -> Tensor:
        """`E[eps | x]` at x `(n, d)`, float64."""
        z = x - self._mean
        square = (z[:, self._pairs[0]] * z[:, self._pairs[1]]) @ self._products
        share = torch.softmax(self._constant + z @ self._slopes.T - 0.5 * square, 1)
        precision = (share @ self._precision).unflatten(1, (z.shape[1], z.shape[1]))
        return self._s * (torch.bmm(precision, z[..., None])[..., 0] - share @ self._slopes)
