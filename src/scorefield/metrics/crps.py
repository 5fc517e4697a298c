"""The continuous ranked probability score of draws."""

from __future__ import annotations

import torch
from torch import Tensor


def crps(draws: Tensor, truth: Tensor) -> Tensor:
    """`E|X - y| - E|X - X'| / 2` of each number, unbiased in the number of draws; less is better, 0 is perfect.

    The fair score of an ensemble (Ferro 2014): its mean does not depend on how many draws there are.

    Args:
        draws: `(n, ...)`, n >= 2, of X.
        truth: `(...)`.

    Returns:
        `(...)` float64, in the units of the numbers; of single cases it may be below 0.

    Raises:
        ValueError: for less than two draws, or another shape of the truth.

    Example:
        >>> crps(torch.tensor([[0.0], [2.0]]), torch.tensor([1.0])).tolist()
        [0.0]
    """
    if draws.ndim < 1 or len(draws) < 2 or draws.shape[1:] != truth.shape:
        raise ValueError(
            f"crps takes draws (n, ...) with n >= 2 and truth (...), got {tuple(draws.shape)} and {tuple(truth.shape)}."
        )
    x, y, n = draws.double().sort(0).values, truth.double(), len(draws)
    weights = (2 * torch.arange(1, n + 1, dtype=torch.float64, device=x.device) - n - 1).reshape(-1, *[1] * y.ndim)
    apart = 2 * (weights * x).sum(0) / (n * (n - 1))  # the mean |x - x'| over pairs
    return (x - y).abs().mean(0) - apart / 2
