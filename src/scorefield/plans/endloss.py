"""The loss by which plans are fitted to end points, and how much each trajectory weighs in least squares that lower it.

A plan's RMS error is made of the few trajectories that it takes to another basin than the flow does. Those start within
some distance of a border; that distance is the plan's error at the levels where basins part, so that their number, and
with it the *square* of the RMS, goes with that error, and so does the mean error, to which the many trajectories
contribute that come near a border without crossing it. Hence the mean stands in the loss beside the RMS: it says the
same with far less noise.
"""

from __future__ import annotations

import torch
from torch import Tensor

PARTS = {"rms": 0.4, "mean": 0.3, "trajectory": 0.3}
"""How much each logarithm weighs."""
_FLOOR = 0.01
"""Of the median square: below it an error counts as none."""
_STEEPEST = 0.9
"""The quantile beyond which a trajectory's share of the equations is cut: next to a border the end jumps, and the slope
there says nothing of a step of the size that is made."""


def end_loss(squares: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of the logarithms of the RMS error, of the mean error, and of each trajectory's.

    Args:
        squares: of the errors, `(..., n)`.
        weight: how many trajectories each represents, `(n,)`; default: one.

    Example:
        >>> round(float(end_loss(torch.full((5,), 0.01)).exp()), 3)
        0.1
    """
    squares = squares + 1e-18
    share = torch.ones_like(squares) if weight is None else weight.to(squares).expand_as(squares)
    share = share / share.sum(-1, keepdim=True)
    floor = _FLOOR * squares.detach().median(-1, keepdim=True).values
    rms, mean = (share * squares).sum(-1).log(), 2 * (share * squares.sqrt()).sum(-1).log()
    each = (share * ((squares + floor) / (1 + _FLOOR)).log()).sum(-1)
    return 0.5 * (PARTS["rms"] * rms + PARTS["mean"] * mean + PARTS["trajectory"] * each)


def end_weights(squares: Tensor, weight: Tensor | None = None) -> Tensor:
    """The loss's derivative in each square, `(..., n)`: weights of least squares with the same gradient."""
    squares = (squares + 1e-18).detach().requires_grad_()
    with torch.enable_grad():
        return torch.autograd.grad(end_loss(squares, weight).sum(), squares)[0]


def without_steepest(weight: Tensor, slopes: Tensor) -> Tensor:
    """Weights `(n,)` lowered where a trajectory's slopes `(n, parameters)` make most of the equations."""
    square = slopes.square()
    size = weight * (square / (weight @ square).clamp(min=1e-300)).mean(1)
    return weight * (torch.quantile(size, _STEEPEST) / size.clamp(min=1e-300)).clamp(max=1)
