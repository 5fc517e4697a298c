"""How likely sequences are by a model: a bound in nats with its standard error, and the exact value for short ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield._ranges import whole
from scorefield.discrete.corruptions import Absorbing, Corruption, check_tokens, corrupt
from scorefield.discrete.losses import cross_entropy, denoising_score_entropy, order_cross_entropy
from scorefield.discrete.noise import Geometric, Noise
from scorefield.discrete.sampling import total_of_share, with_masks
from scorefield.discrete.views import TokenModel, ratios
from scorefield.numerics.random import uniform

_DRAWS = whole(1, 1_000_000)
_LONGEST = 16
"""Tokens of a sequence whose 2^L sets of visible tokens are gone through."""
_PART = 4096  # sequences at a time


@dataclass(frozen=True, eq=False)
class LogProbBound:
    """A lower bound of `log p(x)` in nats per sequence.

    Args:
        value: unbiased, `(n,)` float64.
        standard_error: over the draws, `(n,)`; NaN for one draw.
        tokens: how many of each sequence it is of.
        evaluations: of the model per sequence.
    """

    value: Tensor
    standard_error: Tensor
    tokens: Tensor
    evaluations: int

    @property
    def bits_per_token(self) -> tuple[float, float]:
        """Of all sequences together, an upper bound, with the standard error of its draws alone."""
        unit = float(self.tokens.sum()) * math.log(2)
        return -float(self.value.sum()) / unit, float(self.standard_error.square().sum().sqrt()) / unit

    def __repr__(self) -> str:
        bits, error = self.bits_per_token
        return (
            f"LogProbBound({len(self.value)} sequences, mean {float(self.value.mean()):.4f} nats, "
            f"{bits:.4f} +- {error:.2g} bits per token, {self.evaluations} evaluations)"
        )


@torch.no_grad()
def log_prob_bound(
    model: TokenModel,
    x: Tensor,
    *,
    seed: int,
    draws: int = 4,
    levels: int = 16,
    given: Tensor | None = None,
    noise: Noise | None = None,
    condition: Tensor | None = None,
    first: int = 0,
) -> LogProbBound:
    """A lower bound of `log p(x)`, unbiased, with its standard error.

    With masks: minus the expectation of `order_cross_entropy` over the number of masks and their places, which by
    Jensen's inequality bounds the log of the mean over all orders that `unmask` draws from (Uria and others 2014; Ou
    and others 2024). For other corruptions: minus the integral of `denoising_score_entropy` from the noise's total at t
    = 0 to that at t = 1, what it takes to come from there to x, and the divergence of the noised x from the limit (Lou
    and others 2024). Either is log p(x) itself where the model is the exact one, but for the last divergence.

    Args:
        model: any.
        x: clean tokens `(n, L)`.
        seed: what is random of sequence i is a pure function of (seed, first + i).
        draws: >= 1; the standard error is over these.
        levels: of noise in each draw, one in each equal part of the range.
        given: with masks: `(L,)` or `(n, L)`, True for tokens that are given: the bound is of the others.
        noise: without masks: where levels lie; default `Geometric()`.
        condition: for the model.
        first: number of the first sequence.

    Raises:
        ValueError: for tokens that are not clean, or `given` and `noise` where they have no meaning.

    Example:
        >>> from scorefield.discrete import Exact, MarkovChain
        >>> law = MarkovChain.of([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], length=8)
        >>> x = law.sample(3, seed=0)
        >>> bound = log_prob_bound(Exact(law, Absorbing(2)), x, seed=0, draws=8, levels=8)
        >>> bool(((bound.value - law.log_prob(x)).abs() < 4 * bound.standard_error + 1e-9).all())
        True
    """
    check_tokens("x", x, model.corruption.size)
    _DRAWS("draws", draws)
    _DRAWS("levels", levels)
    if isinstance(model.corruption, Absorbing):
        if noise is not None:
            raise ValueError("the bound of a model of masked tokens has no noise schedule; leave noise out.")
        free = _free(x, given)
        each = [_by_order(model, model.corruption, x, free, seed, (k, levels), condition, first) for k in range(draws)]
    else:
        if given is not None:
            raise ValueError("given tokens need a model of masked tokens; train with Absorbing.")
        free = torch.ones_like(x, dtype=torch.bool)
        each = [_by_noise(model, x, noise or Geometric(), seed, (k, levels), condition, first) for k in range(draws)]
    found = torch.stack(each)
    error = found.std(0) / math.sqrt(draws) if draws > 1 else torch.full_like(found[0], math.nan)
    return LogProbBound(-found.mean(0), error, free.sum(1), draws * levels)


def _free(x: Tensor, given: Tensor | None) -> Tensor:
    """Which tokens are not given, `(n, L)`."""
    if given is None:
        return torch.ones_like(x, dtype=torch.bool)
    if given.dtype != torch.bool or tuple(given.shape) not in (tuple(x.shape), tuple(x.shape[1:])):
        raise ValueError(f"given must be a bool tensor {tuple(x.shape[1:])} or {tuple(x.shape)}, got {given.dtype} "
                         f"{tuple(given.shape)}.")  # fmt: skip
    free = ~given.expand(x.shape)
    if not bool(free.any(1).all()):
        raise ValueError(f"all tokens of row {int((~free.any(1)).nonzero()[0])} are given; leave some to be told.")
    return free


def masks(number: Tensor, order: Tensor, free: Tensor) -> Tensor:
    """Which tokens are masked: `number (n,)` of the free ones, those of the least `order (n, L)`."""
    rank = torch.where(free, order, torch.inf).argsort(1).argsort(1)
    return rank < number[:, None]


def _by_order(
    model: TokenModel,
    corruption: Absorbing,
    x: Tensor,
    free: Tensor,
    seed: int,
    draw: tuple[int, int],
    condition: Tensor | None,
    first: int,
) -> Tensor:
    """One draw of the bound of -log p: each level of it has a number of masks and an order of its own."""
    k, levels = draw
    length, total = free.sum(1), torch.zeros(len(x), dtype=torch.float64, device=x.device)
    shift = uniform(len(x), (), seed, "masks", first=first, row=k, dtype=torch.float64, device=x.device)
    for j in range(levels):
        number = ((j + shift) / levels * length).long().clamp(max=length - 1) + 1
        order = uniform(
            len(x), x.shape[1:], seed, f"masks/{j}", first=first, row=k, dtype=torch.float64, device=x.device
        )
        masked = masks(number, order, free)
        seen = torch.where(masked, corruption.mask, x)
        found = model(seen, total_of_share(masked.double().mean(1)), condition).double()
        total += order_cross_entropy(found, x, masked, length) / levels
    return total


def _by_noise(
    model: TokenModel, x: Tensor, noise: Noise, seed: int, draw: tuple[int, int], condition: Tensor | None, first: int
) -> Tensor:
    """One draw of the bound of -log p: the integral over the noise, and both ends."""
    (k, levels), corruption = draw, model.corruption
    low, high = noise.total(torch.tensor([0.0, 1.0], dtype=torch.float64)).to(x.device)
    if not float(low) > 0 or not math.isfinite(float(high)):
        raise ValueError("the bound needs noise with a total > 0 at t = 0 and finite at t = 1; take Geometric().")

    def at(total: Tensor, name: str) -> Tensor:
        u = uniform(len(x), x.shape[1:], seed, name, first=first, row=k, dtype=torch.float64, device=x.device)
        return corrupt(corruption, x, total, u)

    found = _end(corruption, x, high)
    found = found + cross_entropy(model(at(low, "noise/end"), low, condition).double(), x)
    shift = uniform(len(x), (), seed, "noise", first=first, row=k, dtype=torch.float64, device=x.device)
    for j in range(levels):
        t = (j + shift) / levels
        total = noise.total(t)
        noisy = at(total, f"noise/{j}")
        score = ratios(corruption, model(noisy, total, condition).double(), noisy, total)
        found = found + noise.rate(t) * denoising_score_entropy(corruption, score, noisy, x, total) / levels
    return found


def _end(corruption: Corruption, x: Tensor, high: Tensor) -> Tensor:
    """The divergence of the noised x from the limit, exactly."""
    rows = corruption.matrix(high)[x]
    limit = corruption.limit().to(rows)
    return (torch.xlogy(rows, rows) - torch.xlogy(rows, limit)).sum((1, 2))


@torch.no_grad()
def exact_log_prob(
    model: TokenModel, x: Tensor, *, given: Tensor | None = None, condition: Tensor | None = None
) -> Tensor:
    """`log p(x)` of what `unmask` draws one token at a time, `(n,)` float64: the mean over all orders, exactly.

    The mean over the L! orders is a sum over the 2^L sets A of visible tokens:
    `f(A) = mean over l in A of f(A - l) p(x_l | A - l)`. At most 16 tokens that are not given.

    Args:
        model: whose corruption is `Absorbing`.
        x: clean tokens `(n, L)`.
        given: as `log_prob_bound`, the same for all sequences, `(L,)`.
        condition: for the model.

    Raises:
        ValueError: for longer sequences.

    Example:
        >>> from scorefield.discrete import Exact, MarkovChain
        >>> law = MarkovChain.of([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], length=6)
        >>> x = law.sample(2, seed=0)
        >>> torch.allclose(exact_log_prob(Exact(law, Absorbing(2)), x), law.log_prob(x))
        True
    """
    corruption = with_masks(model, "exact_log_prob")
    check_tokens("x", x, corruption.size)
    if given is not None and given.ndim != 1:
        raise ValueError(f"given must be the same for all sequences, ({x.shape[1]},), got {tuple(given.shape)}.")
    places = _free(x[:1], given)[0].nonzero()[:, 0] if len(x) else torch.arange(x.shape[1])
    if len(places) > _LONGEST:
        raise ValueError(f"exact_log_prob goes through 2^L sets of tokens, for L <= {_LONGEST}; got L = {len(places)}.")
    found = [
        _over_orders(model, corruption, row, places, None if condition is None else condition[i : i + 1])
        for i, row in enumerate(x)
    ]
    return torch.stack(found) if found else torch.zeros(0, dtype=torch.float64)


def _over_orders(
    model: TokenModel, corruption: Absorbing, x: Tensor, places: Tensor, condition: Tensor | None
) -> Tensor:
    """`log p` of one sequence `(L,)`, over its free places."""
    count = len(places)
    codes = torch.arange(1 << count, device=x.device)
    visible = (codes[:, None] >> torch.arange(count, device=x.device)) & 1 == 1
    step = []
    for part in visible.split(_PART):
        seen = x.repeat(len(part), 1)
        seen[:, places] = torch.where(part, seen[:, places], corruption.mask)
        given = None if condition is None else condition.expand(len(part), *condition.shape[1:])
        log_p = model(seen, total_of_share((seen == corruption.mask).double().mean(1)), given).double()
        step.append(log_p[:, places, x[places]])
    log_p, sizes = torch.cat(step), visible.sum(1)
    f = torch.full((len(codes),), -torch.inf, dtype=torch.float64, device=x.device)
    f[0] = 0
    for size in range(1, count + 1):
        into = codes[sizes == size]
        before = into[:, None] ^ (1 << torch.arange(count, device=x.device))  # without each of its tokens
        each = torch.where(visible[into], f[before] + log_p[before, torch.arange(count)], -torch.inf)
        f[into] = each.logsumexp(1) - math.log(size)
    return f[-1]
