"""Losses of concrete scores and of laws of clean tokens: one value per sequence, `(n,)`, in nats.

Those of corrupted sequences are integrands: the integral over the total noise of what `denoising_score_entropy`
expects, or for `Absorbing` of `masked_cross_entropy`, and what is left at both ends, bounds -log p(x0)
(`log_prob_bound`).
"""

from __future__ import annotations

import torch
from torch import Tensor

from scorefield.discrete.corruptions import Absorbing, Corruption, matrices
from scorefield.discrete.views import rates_into


def score_entropy(ratios: Tensor, true_ratios: Tensor, weights: Tensor) -> Tensor:
    """`sum w (s - r log s + r (log r - 1))`, 0 at s = r: a divergence of positive numbers (Lou and others 2024).

    Args:
        ratios: s of the model, `(n, L, S)`, > 0 where the weights are.
        true_ratios: r, >= 0.
        weights: w >= 0; where they are 0, nothing counts.

    Example:
        >>> one = torch.ones(1, 1, 1)
        >>> score_entropy(one, one, one), score_entropy(2 * one, one, one)
        (tensor([0.]), tensor([0.3069]))
    """
    counted = weights > 0
    s, r = (torch.where(counted, value, torch.ones_like(value)) for value in (ratios, true_ratios))
    each = s - r * s.log() + torch.xlogy(r, r) - r
    return (torch.where(counted, weights, torch.zeros_like(weights)) * each).sum((1, 2))


def denoising_score_entropy(corruption: Corruption, ratios: Tensor, x: Tensor, x0: Tensor, total: Tensor) -> Tensor:
    """Score entropy with `q(y | x0) / q(x | x0)` for the unknown ratios, weighted by the rates `Q(y, x)`.

    Its expectation is least at the true ratios `p(y) / p(x)` of the noised law, for any weights; with these its
    integral over total is the bound of -log p(x0), but for the ends (Lou and others 2024, Theorem 3.6).

    Args:
        corruption: the chain.
        ratios: of the model, `(n, L, S)`.
        x: corrupted tokens `(n, L)`.
        x0: clean tokens.
        total: of the noise, 0-d or `(n,)`, > 0.
    """
    known = clean_ratios(corruption, x, x0, total.to(ratios))
    return score_entropy(ratios, known, rates_into(corruption, x, ratios))


def denoising_concrete(corruption: Corruption, ratios: Tensor, x: Tensor, x0: Tensor, total: Tensor) -> Tensor:
    """`sum Q(y, x) (s - q(y | x0) / q(x | x0))^2 / 2`: concrete score matching with known noise (Meng and others 2022).

    Least at the true ratios too; arguments as `denoising_score_entropy`.
    """
    known = clean_ratios(corruption, x, x0, total.to(ratios))
    return 0.5 * (rates_into(corruption, x, ratios) * (ratios - known).square()).sum((1, 2))


def clean_ratios(corruption: Corruption, x: Tensor, x0: Tensor, total: Tensor) -> Tensor:
    """`q(y | x0) / q(x | x0)` token by token, `(n, L, S)`."""
    rows = matrices(corruption, total, len(x))[torch.arange(len(x), device=x.device)[:, None], x0]
    return rows / rows.gather(-1, x[..., None])


def cross_entropy(log_posterior: Tensor, x0: Tensor) -> Tensor:
    """`-sum over tokens of log p(x0_l | x)`: least at the true law of each token, for any corruption.

    Args:
        log_posterior: of the model, `(n, L, K)`.
        x0: clean tokens `(n, L)`.
    """
    return -log_posterior.gather(-1, x0[..., None])[..., 0].sum(1)


def masked_cross_entropy(corruption: Absorbing, log_posterior: Tensor, x: Tensor, x0: Tensor, total: Tensor) -> Tensor:
    """`exp(-s) / (1 - exp(-s))` times the cross entropy of the masked tokens (Shi, Sahoo, Ou and others 2024).

    Sequence by sequence the denoising score entropy of `views.ratios(log_posterior)`, without a logarithm of ratios.

    Args:
        corruption: with a mask.
        log_posterior: of the model, `(n, L, K)`.
        x: masked tokens `(n, L)`.
        x0: clean tokens.
        total: of the noise, 0-d or `(n,)`, > 0.
    """
    masked = x == corruption.mask
    found = log_posterior.gather(-1, x0[..., None])[..., 0]
    weight = 1 / torch.expm1(total.to(log_posterior))
    return -weight * torch.where(masked, found, torch.zeros_like(found)).sum(1)


def order_cross_entropy(log_posterior: Tensor, x0: Tensor, masked: Tensor, length: Tensor | int) -> Tensor:
    """`length / m` times the cross entropy of the m masked tokens, m >= 1 of which are drawn uniformly of length many.

    With m uniform on 1..length and a uniform choice of the places its expectation is the integral of
    `masked_cross_entropy` over all totals (the number of masks integrated out: Hoogeboom and others 2021; Ou and others
    2024): the bound itself, with no end cut off and less variance.

    Args:
        log_posterior: of the model given the sequence without its masked tokens, `(n, L, K)`.
        x0: clean tokens `(n, L)`.
        masked: which are masked, `(n, L)`.
        length: how many might have been: L, or those that are not given; an int or `(n,)`.
    """
    found = log_posterior.gather(-1, x0[..., None])[..., 0]
    return -(length / masked.sum(1)) * torch.where(masked, found, torch.zeros_like(found)).sum(1)
