"""New sequences: down a grid of noise in any number of steps, or, from masks, one token after the other, exactly."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from scorefield._ranges import ANY_COUNT, whole
from scorefield.discrete.corruptions import Absorbing, check_tokens, drawn
from scorefield.discrete.views import Step, TokenModel, analytic
from scorefield.numerics.random import uniform
from scorefield.progress import Report, silent

_TOKENS = whole(1, 1 << 31)


@torch.no_grad()
def sample(
    model: TokenModel,
    n: int,
    length: int,
    totals: Tensor,
    *,
    seed: int,
    step: Step = analytic,
    condition: Tensor | None = None,
    first: int = 0,
    report: Report = silent,
) -> Tensor:
    """Sequences `(n, L)` from the corruption's limit down a grid of total noise, all tokens at once in every step.

    With the exact model the law of what is drawn differs from the data's by an error of first order in the steps.

    Args:
        model: any `TokenModel`.
        n: sequences.
        length: L.
        totals: falling, `(steps + 1,)`, the last 0: `LogLinear().grid(steps)` or `Geometric().grid(steps)`.
        seed: sequence i is a pure function of (seed, first + i), up to rounding of the model.
        step: `analytic`, or `euler`, which needs finite totals.
        condition: for the model, one for each sequence.
        first: number of the first sequence.
        report: hears how far it is.

    Raises:
        ValueError: for totals that do not fall to 0.

    Example:
        >>> from scorefield.discrete import Exact, Geometric, MarkovChain, Uniform
        >>> law = MarkovChain.of([0.5, 0.5], [[0.9, 0.1], [0.1, 0.9]], length=8)
        >>> x = sample(Exact(law, Uniform(2)), 5, 8, Geometric().grid(32), seed=0)
        >>> x.shape, int(x.max()) < 2
        (torch.Size([5, 8]), True)
    """
    ANY_COUNT("n", n)
    _TOKENS("length", length)
    down = torch.as_tensor(totals, dtype=torch.float64)
    if down.ndim != 1 or len(down) < 2 or float(down[-1]) != 0 or not bool((down[:-1] > down[1:]).all()):
        raise ValueError("totals must fall from step to step and end at 0; take LogLinear().grid(steps).")
    corruption = model.corruption
    limit = corruption.limit().expand(n, length, -1)
    x = drawn(limit, uniform(n, (length,), seed, "tokens at first", first=first, dtype=torch.float64))
    for row, (now, after) in enumerate(pairwise(down)):
        rows = step(corruption, model(x, now, condition), x, now, after)
        x = drawn(rows, uniform(n, (length,), seed, "tokens", first=first, row=row, dtype=torch.float64))
        report((row + 1) / (len(down) - 1), "sequences")
    return x


@torch.no_grad()
def unmask(
    model: TokenModel,
    x: Tensor,
    *,
    seed: int,
    at_once: int = 1,
    condition: Tensor | None = None,
    first: int = 0,
    report: Report = silent,
) -> Tensor:
    """Fill the masks of x `(n, L)` in a random order, `at_once` tokens for each evaluation of the model.

    One at a time there is no error of steps: what is drawn from all masks has exactly the model's law (whose
    log-probability is `exact_log_prob`), and where tokens are given, as they are in x, its conditional law if the model
    is the exact one. It is the first-hitting sampler of Zheng and others (2024), whose times a model without them does
    not ask for; a model that wants a total is told that of the share of masks there is.

    Args:
        model: whose corruption is `Absorbing`.
        x: tokens, masks where one is wanted.
        seed: sequence i is a pure function of (seed, first + i), up to rounding of the model.
        at_once: tokens; more than one are drawn without regard to each other.
        condition: for the model.
        first: number of the first sequence.
        report: hears how far it is.

    Raises:
        ValueError: for a model of another corruption, or tokens that it does not have.

    Example:
        >>> from scorefield.discrete import Exact, MarkovChain
        >>> law = MarkovChain.of([0.5, 0.5], [[0.999, 0.001], [0.001, 0.999]], length=5)
        >>> unmask(Exact(law, Absorbing(2)), torch.tensor([[2, 2, 1, 2, 2]]), seed=0)
        tensor([[1, 1, 1, 1, 1]])
    """
    corruption = with_masks(model, "unmask")
    check_tokens("x", x, corruption.states)
    _TOKENS("at_once", at_once)
    order = uniform(len(x), x.shape[1:], seed, "order", first=first, dtype=torch.float64, device=x.device)
    order = torch.where(x == corruption.mask, order, torch.inf).argsort(1).argsort(1)
    masks = (x == corruption.mask).sum(1)
    steps = -(-int(masks.max()) // at_once) if len(x) else 0
    for row in range(steps):
        now = (x == corruption.mask) & (order >= row * at_once) & (order < (row + 1) * at_once)
        p = model(x, total_of_share((x == corruption.mask).double().mean(1)), condition).exp()
        u = uniform(len(x), x.shape[1:], seed, "unmasked", first=first, row=row, dtype=torch.float64, device=x.device)
        x = torch.where(now, drawn(p, u), x)
        report((row + 1) / steps, "sequences")
    return x


def total_of_share(share: Tensor) -> Tensor:
    """The total noise at which this share of tokens is masked: `-log(1 - share)`."""
    return -torch.log1p(-share)


def with_masks(model: TokenModel, what: str) -> Absorbing:
    """The model's corruption.

    Raises:
        ValueError: where it is not `Absorbing`.
    """
    if not isinstance(model.corruption, Absorbing):
        raise ValueError(
            f"{what} needs a model of masked tokens, got one of {type(model.corruption).__name__}; take Absorbing."
        )
    return model.corruption
