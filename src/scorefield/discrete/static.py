"""Losses of energies of tokens, without noise: no normalising constant is needed, one value per sequence, `(n,)`.

An energy is any callable `x (n, L) int64 -> (n,)` with `p(x) ~ exp(-energy(x))`. All of these look at the sequences
that differ from x in one token.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from scorefield.discrete.corruptions import SIZE, check_tokens

TokenEnergy = Callable[[Tensor], Tensor]


def neighbours(x: Tensor, size: int) -> Tensor:
    """x with each token changed to each value: `(n, L, K, L)`; x itself stands L times among them."""
    SIZE("size", size)
    check_tokens("x", x, size)
    n, length = x.shape
    here = torch.eye(length, dtype=torch.bool, device=x.device)[:, None]
    values = torch.arange(size, device=x.device)[None, :, None]
    return torch.where(here, values, x[:, None, None, :].expand(n, length, size, length))


def log_conditionals(energy: TokenEnergy, x: Tensor, size: int) -> Tensor:
    """`log p(x_l = k | the other tokens)`, `(n, L, K)`, by L K evaluations for each sequence."""
    around = neighbours(x, size)
    return torch.log_softmax(-energy(around.reshape(-1, x.shape[1])).reshape(around.shape[:3]), dim=-1)


def pseudo_likelihood(energy: TokenEnergy, x: Tensor, size: int) -> Tensor:
    """`-sum log p(x_l | the other tokens)` (Besag 1975).

    Args:
        energy: of a sequence.
        x: tokens `(n, L)`.
        size: K, how many values a token has.
    """
    return -log_conditionals(energy, x, size).gather(-1, x[..., None])[..., 0].sum(1)


def ratio_matching(energy: TokenEnergy, x: Tensor, size: int) -> Tensor:
    """`sum over l, k of (1[x_l = k] - p(x_l = k | the other tokens))^2 / 2` (Hyvarinen 2007; Lyu 2009 for K > 2).

    For two values it is Hyvarinen's `sum g(p(x) / p(x with token l changed))^2` with g(u) = 1 / (1 + u). Arguments as
    `pseudo_likelihood`.

    Example:
        >>> x = torch.tensor([[0, 1, 1]])
        >>> ratio_matching(lambda x: x.sum(1) * 0.0, x, 2)
        tensor([0.7500])
    """
    p = log_conditionals(energy, x, size).exp()
    return 0.5 * (torch.nn.functional.one_hot(x, size) - p).square().sum((1, 2))


def concrete(energy: TokenEnergy, x: Tensor, size: int) -> Tensor:
    """`sum over neighbours y of s(x, y)^2 / 2 - s(y, x)`, s(x, y) = p(y) / p(x): implicit concrete score matching.

    Its expectation is that of `sum (s(x, y) - p(y) / p(x))^2 / 2` but for a constant (Meng and others 2022). Ratios are
    squared, so rare sequences weigh much: prefer `implicit_score_entropy`. Arguments as `pseudo_likelihood`.
    """
    log_ratio = _log_ratios(energy, x, size)
    other = _others(x, size)
    each = 0.5 * (2 * log_ratio).exp() - (-log_ratio).exp()
    return torch.where(other, each, torch.zeros_like(each)).sum((1, 2))


def implicit_score_entropy(energy: TokenEnergy, x: Tensor, size: int) -> Tensor:
    """`sum over neighbours y of s(x, y) - log s(y, x)`, s(x, y) = p(y) / p(x): score entropy, implicit form.

    As Lou and others (2024). Arguments as `pseudo_likelihood`.
    """
    log_ratio = _log_ratios(energy, x, size)
    each = log_ratio.exp() + log_ratio
    return torch.where(_others(x, size), each, torch.zeros_like(each)).sum((1, 2))


def _log_ratios(energy: TokenEnergy, x: Tensor, size: int) -> Tensor:
    """`log p(y) - log p(x)` of all neighbours, `(n, L, K)`."""
    around = neighbours(x, size)
    return energy(x)[:, None, None] - energy(around.reshape(-1, x.shape[1])).reshape(around.shape[:3])


def _others(x: Tensor, size: int) -> Tensor:
    return x[..., None] != torch.arange(size, device=x.device)
