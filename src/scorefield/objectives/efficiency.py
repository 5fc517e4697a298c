"""How precise an estimator is where the family holds the truth: asymptotic covariances, by quadrature.

An exponential family `p(x) ~ exp(theta . T(x))` is given by nodes x with weights w that sum to 1 (a quadrature of p, or
a sample of it). Each function answers `(k, k)`: n times the covariance of theta's estimate from n samples, for large n.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.objectives.closed_form import EVERYWHERE, Statistics, derivatives
from scorefield.objectives.supports import Support


def maximum_likelihood(T: Tensor, w: Tensor) -> Tensor:
    """`I^-1`, with Fisher's information `I = Cov(T)`: no estimator is more precise.

    Args:
        T: the statistics at the nodes, `(m, k)`.
        w: weights of the nodes, `(m,)`.

    Example:
        >>> maximum_likelihood(torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, 0.5])).tolist()
        [[1.0]]
    """
    return torch.linalg.inv(_covariance(T, w))


def score_matching(
    statistics: Statistics, theta: Tensor, x: Tensor, w: Tensor, support: Support = EVERYWHERE
) -> Tensor:
    """`G^-1 Omega G^-1` of implicit, or generalised, score matching (Hyvarinen 2007).

    Args:
        statistics: T, `(m, d) -> (m, k)`.
        theta: `(k,)`, the truth.
        x: nodes, `(m, d)`.
        w: weights, `(m,)`.
        support: of the data.

    Example:
        >>> x = torch.tensor([[-1.0], [1.0]])  # of the right mean and variance for N(0, 1)
        >>> score_matching(lambda x: x, torch.zeros(1), x, torch.tensor([0.5, 0.5])).tolist()  # the loss has no noise
        [[0.0]]
    """
    gradients, fields, divergences = derivatives(statistics, support, x)
    G = torch.einsum("n,nid,njd->ij", w, gradients, fields)
    each = torch.einsum("nid,njd,j->ni", gradients, fields, theta.to(x)) + divergences
    return _sandwich(G, _covariance(each, w))


def noise_contrastive(T: Tensor, log_p: Tensor, log_q: Tensor, w: Tensor, k: float) -> Tensor:
    """`H^-1 - (1 + 1 / k) e e^T` of theta and the log-normaliser, last: e its unit vector (Gutmann and Hyvarinen 2012).

    `H = E[P g g^T]`, `g = (T, -1)`, `P = k q / (p + k q)`: for theta alone the corner of `H^-1`, which goes to
    `I^-1` as k grows.

    Args:
        T: `(m, k)`.
        log_p: of the truth, normalised, at the nodes, `(m,)`.
        log_q: of the noise.
        w: weights, `(m,)`.
        k: draws of noise for each sample.

    Example:
        >>> T, w = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, 0.5])
        >>> noise_contrastive(T, torch.zeros(2), torch.zeros(2), w, 1)[0, 0].item()  # q = p: twice the variance
        2.0
    """
    g = torch.cat([T, -torch.ones_like(T[:, :1])], 1)
    P = torch.sigmoid(log_q - log_p + torch.log(torch.tensor(float(k))))
    found = torch.linalg.inv(torch.einsum("n,n,ni,nj->ij", w, P, g, g))
    found[-1, -1] -= 1 + 1 / k
    return found


def neighbours(
    slope: Callable[[Tensor], Tensor], T: Tensor, theta: Tensor, others: Tensor, w: Tensor, v: Tensor, k: float
) -> Tensor:
    """Of objectives `mean over k neighbours of f(energy(x) - energy(neighbour))`, drawn symmetrically.

    Args:
        slope: f', differentiable: `flow_slope` of minimum probability flow, `logistic_slope` of conditional NCE.
        T: at the nodes, `(m, k)`.
        theta: `(k,)`, the truth.
        others: T of the neighbours of each node, `(m, r, k)`.
        w: weights of the nodes, `(m,)`.
        v: of the neighbours, `(r,)`, sum 1.
        k: neighbours of each sample, drawn.

    Example:
        >>> T, w = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, 0.5])  # a fair coin and its other side
        >>> neighbours(flow_slope, T, torch.zeros(1), -T[:, None], w, torch.ones(1), 1).tolist()
        [[1.0]]
    """
    change = others - T[:, None]  # of theta . T, with theta before it: energy(x) - energy(neighbour)
    drop = change @ theta.to(T)
    first, second = slope(drop), torch.func.jvp(slope, (drop,), (torch.ones_like(drop),))[1]
    H = torch.einsum("n,r,nr,nri,nrj->ij", w, v, second, change, change)
    each = first[..., None] * change
    mean = torch.einsum("r,nri->ni", v, each)
    inner = torch.einsum("n,r,nri,nrj->ij", w, v, each, each) - torch.einsum("n,ni,nj->ij", w, mean, mean)
    return _sandwich(H, inner / k + _covariance(mean, w))


def flow_slope(drop: Tensor) -> Tensor:
    """Of `exp(drop / 2)`, minimum probability flow."""
    return (drop / 2).exp() / 2


def logistic_slope(drop: Tensor) -> Tensor:
    """Of `2 softplus(drop)`, conditional noise contrast."""
    return 2 * torch.sigmoid(drop)


def recovery(T: Tensor, w: Tensor, log_kernel: Tensor) -> Tensor:
    """`E[Cov(T | noisy)]^-1` of recovery likelihood, with exact draws, many for each sample (Gao and others 2021).

    Args:
        T: at the nodes, `(m, k)`.
        w: weights, `(m,)`.
        log_kernel: `log p(noisy_r | x_i)`, `(r, m)`, at nodes of the noisy points that are evenly spaced.

    Example:
        >>> T, w = torch.tensor([[-1.0], [1.0]]), torch.tensor([0.5, 0.5])
        >>> recovery(T, w, torch.zeros(3, 2)).tolist()  # noise that says nothing: maximum likelihood
        [[1.0]]
    """
    joint = log_kernel + w.log()
    each = joint.logsumexp(1).softmax(0)  # the law of the noisy point
    inside = joint.softmax(1)
    mean = inside @ T
    second = torch.einsum("r,rn,ni,nj->ij", each, inside, T, T)
    return torch.linalg.inv(second - torch.einsum("r,ri,rj->ij", each, mean, mean))


def _covariance(values: Tensor, w: Tensor) -> Tensor:
    centred = values - w @ values
    return torch.einsum("n,ni,nj->ij", w, centred, centred)


def _sandwich(H: Tensor, omega: Tensor) -> Tensor:
    inverse = torch.linalg.inv((H + H.T) / 2)
    return inverse @ omega @ inverse.T
