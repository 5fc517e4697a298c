"""How the law of one number given the rest is widened or narrowed so that its intervals hold what they say."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.tables.residual import interpolation_weights

KNOTS = 4
"""Of the share of a row that is given: none, half, nearly all; and all, which stands by itself."""


@dataclass(frozen=True, eq=False)
class Recalibration:
    """Increasing maps between the deviates of a model's law of a number and standard normal ones.

    The model says that a value has the deviate z, its quantile level as that of a standard normal. If w is standard
    normal for rows that the model has not seen, then so is, with

        z = exp(a) sinh(exp(b) asinh(w)),

    the law that these rows follow: a is its width against the model's, and b the weight of its tails (Jones and Pewsey
    2009, without location and skew: the median stays). All zeros change nothing. For each number a and b are linear
    between knots in the share of the row that is given, and have values of their own where all of it is.

    Args:
        parameters: a and b, `(KNOTS, numbers, 2)` float64.

    Example:
        >>> wider = Recalibration(torch.tensor([0.5, 0.0], dtype=torch.float64).expand(KNOTS, 1, 2))
        >>> z = wider.of_model(torch.ones(1, dtype=torch.float64), wider.at(torch.ones(1), 0))
        >>> round(z.item(), 4)
        1.6487
    """

    parameters: Tensor

    def __post_init__(self) -> None:
        shape = tuple(self.parameters.shape)
        if len(shape) != 3 or (shape[0], shape[2]) != (KNOTS, 2) or not bool(self.parameters.isfinite().all()):
            raise ValueError(f"a recalibration has finite parameters ({KNOTS}, numbers, 2), got {shape}.")

    def at(self, share: Tensor, number: Tensor | int) -> Tensor:
        """a and b where a share `(n,)` of the row is given, for the numbers `(n,)` or one number: `(n, 2)`."""
        full = (share == 1)[:, None].double()
        weights = torch.cat([(1 - full) * interpolation_weights(share.double(), KNOTS - 1), full], 1)
        own = self.parameters[:, number if isinstance(number, Tensor) else torch.full((len(share),), number)]
        return (weights.T[:, :, None] * own).sum(0)

    @staticmethod
    def of_model(w: Tensor, at: Tensor) -> Tensor:
        """Standard normal deviates w to those of the model; `at` broadcasts against w but for its last axis."""
        return at[..., 0].exp() * torch.sinh(at[..., 1].exp() * torch.asinh(w))

    @staticmethod
    def standard(z: Tensor, at: Tensor) -> Tensor:
        """Deviates z of the model to standard normal ones, the inverse of `of_model`."""
        return torch.sinh((-at[..., 1]).exp() * torch.asinh(z * (-at[..., 0]).exp()))

    @staticmethod
    def log_gain(z: Tensor, at: Tensor) -> Tensor:
        """By how much the log-density at the deviate z rises over the model's: `log N(w) + log dw/dz - log N(z)`."""
        u = z * (-at[..., 0]).exp()
        tilted = (-at[..., 1]).exp() * torch.asinh(u)
        log_cosh = tilted.abs() + torch.log1p((-2 * tilted.abs()).exp()) - math.log(2.0)
        log_slope = log_cosh - at[..., 1] - torch.log1p(u.square()) / 2 - at[..., 0]
        return (z.square() - torch.sinh(tilted).square()) / 2 + log_slope

    def spread(self, given: Tensor, w: Tensor) -> Tensor:
        """Deviates w `(n, numbers)` to the model's where a row queries one number alone; elsewhere as they are.

        Args:
            given: `(n, numbers + codes)`: NaN is queried, infinity unknown.
            w: standard normal.
        """
        numbers = w.shape[1]
        ask = given[:, :numbers].isnan()
        row = (ask.sum(1) == 1).nonzero()[:, 0]
        column = ask[row].double().argmax(1)
        out = w.clone()
        out[row, column] = self.of_model(w[row, column], self.at(share_given(given[row]), column))
        return out


def share_given(given: Tensor) -> Tensor:
    """The share of a row's other entries that are given, where one is queried: `(n, entries)` to `(n,)`."""
    return given.isfinite().double().sum(1) / max(1, given.shape[1] - 1)
