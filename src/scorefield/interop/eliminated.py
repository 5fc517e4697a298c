"""A mixture's answers for rows of which some numbers are not there, by operations that a file of a graph has.

`scorefield.analytic.partial` decomposes a matrix for each row; ONNX has no decompositions. Here the same systems are
solved by Gauss and Jordan's elimination, written out step by step. Their matrices are `1 + root C root`, symmetric with
eigenvalues of 1 and more, so that no pivot is less than 1 and rows need not be exchanged.
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.analytic.mixture import GaussianMixture
from scorefield.analytic.partial import ComponentEstimates, combine_components
from scorefield.core import Estimate
from scorefield.tables.residual import safe_sqrt


def solved(matrix: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """`matrix^-1 right` and the logarithm of the determinant, for matrices whose pivots are positive.

    Args:
        matrix: `(..., d, d)`.
        right: `(..., d, c)`.

    Example:
        >>> answer, log_det = solved(torch.tensor([[2.0, 0.0], [0.0, 4.0]]), torch.ones(2, 1))
        >>> answer[:, 0].tolist(), round(float(log_det), 4)
        ([0.5, 0.25], 2.0794)
    """
    d = matrix.shape[-1]
    both, unit = torch.cat([matrix, right], -1), torch.eye(d, dtype=matrix.dtype)
    log_det = torch.zeros_like(matrix[..., 0, 0])
    for k in range(d):  # the first column is eliminated, and left out from then on
        pivot = both[..., k : k + 1, :1]
        log_det = log_det + pivot[..., 0, 0].log()
        row = both[..., k : k + 1, 1:] / pivot
        both = both[..., 1:] - (both[..., :1] - unit[k][:, None]) * row
    return both, log_det


def part_estimate(law: GaussianMixture, x: Tensor, alpha: Tensor, sigma: Tensor, queried: Tensor) -> Estimate:
    """The mixture's estimate of the queried numbers `(n, d)`, the others hidden; elsewhere without meaning.

    Args:
        law: float64.
        x: `(n, d)`.
        alpha: 0-d or `(n, 1)`, like sigma.
        sigma: > 0.
        queried: `(n, d)` bool.
    """
    root = torch.where(queried, alpha / sigma, 0.0)
    seen = torch.where(queried, x / sigma, 0.0)
    right = seen[:, None] - root[:, None] * law.means
    v, log_det = solved(_scaled(law.covariances, root), right[..., None])
    v = v[..., 0]
    log_joint = law.weights.log() - 0.5 * ((right * v).sum(-1) + log_det)
    x0 = law.means + ((root[:, None] * v)[:, :, None] @ law.covariances.mT)[:, :, 0]
    return combine_components(ComponentEstimates(log_joint, v, x0), x, alpha, sigma)


def part_deviation(covariance: Tensor, alpha: Tensor, sigma: Tensor, queried: Tensor) -> Tensor:
    """The posterior standard deviation of each queried number of a Gaussian, `(n, d)`; elsewhere without meaning.

    Args:
        covariance: `(d, d)` float64.
        alpha: 0-d or `(n, 1)`, like sigma.
        sigma: > 0.
        queried: `(n, d)` bool.
    """
    root = torch.where(queried, alpha / sigma, 0.0)
    matrix = _scaled(covariance[None], root)[:, 0]
    inverse, _ = solved(matrix, torch.eye(matrix.shape[-1], dtype=matrix.dtype).expand_as(matrix))
    left = 1 - inverse.diagonal(dim1=-2, dim2=-1)  # root V root = 1 - (1 + root C root)^-1, V: the posterior covariance
    return safe_sqrt(left / torch.where(queried, root, 1.0) ** 2)


def _scaled(covariances: Tensor, root: Tensor) -> Tensor:
    """`1 + root C root` of covariances `(K, d, d)` and rows `(n, d)`, nothing written in place: `(n, K, d, d)`."""
    scaled = root[:, None, :, None] * covariances * root[:, None, None, :]
    return scaled + torch.eye(root.shape[1], dtype=root.dtype)
