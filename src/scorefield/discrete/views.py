"""What is known of a corrupted sequence, and its views.

A model answers one question, `model(x, total, condition=None) -> log p(x0_l = k | x)`, `(n, L, K)`: the law of each
clean token given the corrupted sequence. All that score-based methods for tokens use follows from it, exactly, because
noise acts on every token by itself:

- the concrete score, `p(x with x_l = y) / p(x)`: `sum_k q(y | k) p(x0_l = k | x) / q(x_l | k)`
- rates of the reversed chain: `Q(y, x_l)` times the concrete score
- a token at less noise given the sequence now: `sum_k q(z | k, x_l) p(x0_l = k | x)`
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

import torch
from torch import Tensor

from scorefield.discrete.corruptions import Corruption, likelihood, matrices

Step: TypeAlias = Callable[[Corruption, Tensor, Tensor, Tensor, Tensor], Tensor]
"""`(corruption, log_posterior, x, total, after) -> (n, L, S)`: `euler` or `analytic`."""


class TokenModel(Protocol):
    """What is known of clean tokens given corrupted ones."""

    @property
    def corruption(self) -> Corruption:
        """The chain whose noise the model knows."""
        ...

    def __call__(self, x: Tensor, total: Tensor, condition: Tensor | None = None) -> Tensor:
        """`log p(x0_l = k | x)`, `(n, L, K)`, for x `(n, L)` int64 at a total of noise 0-d or `(n,)`."""
        ...


def posterior(corruption: Corruption, logits: Tensor, x: Tensor, total: Tensor) -> Tensor:
    """`log p(x0_l | x)` by Bayes' rule from logits of `p(x0_l | the other tokens of x)`, both `(n, L, K)`.

    What x_l itself says of its clean token is known, so a network need not learn it.
    """
    return torch.log_softmax(logits + corruption.evidence(x, total.to(logits)), dim=-1)


def ratios(corruption: Corruption, log_posterior: Tensor, x: Tensor, total: Tensor) -> Tensor:
    """The concrete score `p(x with its token l changed to y) / p(x)`, `(n, L, S)`; 1 at y = x_l.

    `sum_k q(y | k) p(x0_l = k | x) / q(x_l | k)` (Meng and others 2022; Lou and others 2024). It is the ratio wherever
    noise leads from y to x_l; under `Absorbing` those between clean tokens are given as 0, which no rate multiplies.
    """
    return _share(corruption, log_posterior, x, total) @ _clean(corruption, x, total.to(log_posterior))


def rates_into(corruption: Corruption, x: Tensor, like: Tensor) -> Tensor:
    """The rates `Q(y, x_l)` at which noise makes x_l of another y, `(n, L, S)`; 0 at y = x_l.

    Args:
        corruption: the chain.
        x: tokens `(n, L)`.
        like: a tensor of the wanted dtype and device.
    """
    Q = corruption.rates().to(like)
    return (Q - torch.diag(Q.diagonal())).mT[x]


def euler(corruption: Corruption, log_posterior: Tensor, x: Tensor, total: Tensor, after: Tensor) -> Tensor:
    """Where each token is after a step down that holds the reversed rates still: probabilities `(n, L, S)`.

    A token jumps once at most: `P(x_l stays) = exp(-rate * (total - after))`. Of first order in the step; other tokens
    move at the same time (tau-leaping).

    Args:
        corruption: the chain.
        log_posterior: the model's answer `(n, L, K)` at x.
        x: tokens `(n, L)`.
        total: of the noise now, finite.
        after: less than total.
    """
    rates = rates_into(corruption, x, log_posterior) * ratios(corruption, log_posterior, x, total)
    out = rates.sum(-1, keepdim=True)
    stays = torch.exp(-out * _column(total - after, x, rates))
    jumps = torch.where(out > 0, rates * (1 - stays) / out, torch.zeros_like(rates))
    return jumps.scatter_add(-1, x[..., None], stays)


def analytic(corruption: Corruption, log_posterior: Tensor, x: Tensor, total: Tensor, after: Tensor) -> Tensor:
    """Where each token is at less noise, given the sequence now: exact probabilities of each token, `(n, L, S)`.

    `p(z_l | x) = q(x_l | z_l) sum_k q(z_l | k) p(x0_l = k | x) / q(x_l | k)`: the Tweedie step of Lou and others (2024)
    and the ancestral one of Austin and others (2021), which are the same. Tokens move at the same time without regard
    to each other, which is all that is left of an error. Arguments as `euler`; total may be infinite.
    """
    gap = (total - after).to(log_posterior)
    back = matrices(corruption, gap, len(x)).mT  # q(x_l | z): rows by x_l
    seen = back[torch.arange(len(x), device=x.device)[:, None], x]
    share = _share(corruption, log_posterior, x, total)
    return seen * (share @ _clean(corruption, x, after.to(log_posterior)))


def _share(corruption: Corruption, log_posterior: Tensor, x: Tensor, total: Tensor) -> Tensor:
    """`p(x0_l = k | x) / q(x_l | k)`, 0 where the first is."""
    p = log_posterior.exp()
    q = likelihood(corruption, x, total.to(p))
    return p / torch.where((q > 0) | (p > 0), q, torch.ones_like(q))


def _clean(corruption: Corruption, x: Tensor, total: Tensor) -> Tensor:
    """`q(y | k)` from clean tokens, `(n, K, S)`."""
    return matrices(corruption, total, len(x))[:, : corruption.size]


def _column(value: Tensor, x: Tensor, like: Tensor) -> Tensor:
    return value.to(like).expand(len(x)).reshape(-1, 1, 1)
