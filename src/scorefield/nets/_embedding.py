"""The inputs of a network other than x: the noise level and, optionally, a condition, as one vector."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scorefield._tensor import is_traced
from scorefield.nets._init import linear, lookup

_FREQUENCIES = 16
_SLOWEST, _FASTEST = 0.1, 4.0  # radians per unit of log(sigma / alpha): smooth in the level, as samplers need
_FARTHEST = 12.0  # sigma / alpha beyond exp(+-12) enters as exp(+-12): bounded features, finite at sigma = 0


class Embedding(nn.Module):
    """`(level_feature, condition) -> (n, width)`, or `(1, width)` where all samples share both.

    The level enters as sines and cosines of fixed frequencies, a condition as a learned vector that is added. No
    condition (None, class K, a row with NaN) has a learned vector too, which classifier-free guidance needs (Ho and
    Salimans 2021).

    Args:
        width: length of the answer.
        classes: K for conditions that are int64 tensors `(n,)` of 0..K, K meaning none; 0 for no such condition.
        condition_dim: m for conditions that are float tensors `(n, m)`, a row with NaN meaning none; 0 for none.

    Raises:
        ValueError: when both are asked for, or either is negative.
    """

    frequencies: Tensor

    def __init__(self, width: int, classes: int = 0, condition_dim: int = 0) -> None:
        super().__init__()
        check_sizes(width=width)
        check_sizes(least=0, classes=classes, condition_dim=condition_dim)
        if classes and condition_dim:
            raise ValueError("a network takes classes or condition_dim, got both; put the class into the vector.")
        self.classes = classes
        self.condition_dim = condition_dim
        # on the CPU whatever the default device: on "meta", powers load torch's compiler, two seconds
        spread = torch.linspace(0, 1, _FREQUENCIES, dtype=torch.float64, device="cpu")
        frequencies = _SLOWEST * (_FASTEST / _SLOWEST) ** spread
        self.register_buffer("frequencies", frequencies.to(torch.get_default_dtype()), persistent=False)
        self.level = linear(2 * _FREQUENCIES, width)
        if classes:
            self.table = lookup(classes + 1, width)
        if condition_dim:
            self.none = nn.Parameter(torch.empty(width))
            self.vector_in = linear(condition_dim, width)
            self.vector_out = linear(width, width)
        self.out = linear(width, width)

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None) -> Tensor:
        """The embedding for a batch x `(n, *shape)`, in x's dtype; x itself is not looked at.

        Raises:
            ValueError: for a level feature or a condition of another shape, type or range than the network's.
        """
        if level_feature.ndim > 1 or (level_feature.ndim == 1 and level_feature.shape[0] != x.shape[0]):
            raise ValueError(
                f"the level feature must be 0-d or of shape ({x.shape[0]},) for this batch, got "
                f"{tuple(level_feature.shape)}."
            )
        place = level_feature.to(x.dtype).clamp(-_FARTHEST, _FARTHEST).reshape(-1, 1) * self.frequencies
        h = self.level(torch.cat([place.sin(), place.cos()], dim=1))
        if self.classes or self.condition_dim or condition is not None:
            h = h + self._condition(x, condition)
        return silu(self.out(silu(h)))

    def _condition(self, x: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            return (self.table.weight[-1] if self.classes else self.none)[None]
        if self.classes:
            self._check_classes(x, condition)
            return self.table(condition.long())
        if self.condition_dim:
            return self._vector(x, condition)
        raise ValueError(
            "this network has no condition, got one; build it with classes or condition_dim, or give condition=None."
        )

    def _vector(self, x: Tensor, condition: Tensor) -> Tensor:
        if tuple(condition.shape) != (x.shape[0], self.condition_dim):
            raise ValueError(
                f"this network takes conditions of shape ({x.shape[0]}, {self.condition_dim}) for this batch, got "
                f"{tuple(condition.shape)}."
            )
        if not condition.is_floating_point():
            raise ValueError(f"this network takes conditions of floating-point numbers, got {condition.dtype}.")
        missing = condition.isnan().any(dim=1, keepdim=True)
        present = torch.where(missing, torch.zeros_like(condition), condition).to(x.dtype)
        return torch.where(missing, self.none, self.vector_out(silu(self.vector_in(present))))

    def _check_classes(self, x: Tensor, condition: Tensor) -> None:
        if condition.is_floating_point() or condition.is_complex() or condition.dtype == torch.bool:
            raise ValueError(f"this network takes classes as int64 numbers, got {condition.dtype}; use .long().")
        if tuple(condition.shape) != (x.shape[0],):
            raise ValueError(
                f"this network takes one class per sample, shape ({x.shape[0]},) for this batch, got "
                f"{tuple(condition.shape)}."
            )
        if is_traced(condition) or (self.training and condition.is_cuda) or not condition.shape[0]:
            return  # no value to read yet, or one that a training step should not wait for
        low, high = int(condition.min()), int(condition.max())
        if low < 0 or high > self.classes:
            raise ValueError(
                f"this network knows classes 0 to {self.classes - 1}, and {self.classes} for none; got {low} to {high}."
            )


def check_sizes(least: int = 1, **sizes: int) -> None:
    """Raise unless every size is a whole number of at least `least`."""
    for name, value in sizes.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"a network's {name} must be a whole number >= {least}, got {value!r}.")
