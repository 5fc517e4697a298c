"""What the exact laws share: their contract, and answers in pieces for large batches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from scorefield._tensor import check_real
from scorefield.core import Estimate, Level, check_level
from scorefield.numerics.random import normal

CLEAN = Level(1.0, 0.0)
_LARGEST_BLOCK = 1 << 24  # numbers in one intermediate tensor: larger batches are answered in pieces


class Law(Protocol):
    """What the three exact laws share: a model with samples, density, score and posterior variance of the noise."""

    @property
    def mean(self) -> Tensor: ...
    @property
    def covariance(self) -> Tensor: ...
    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate: ...
    def log_density(self, x: Tensor, level: Level | None = None) -> Tensor: ...
    def score(self, x: Tensor, level: Level | None = None) -> Tensor: ...
    def noise_variance(self, x: Tensor, level: Level) -> Tensor: ...
    def sample(self, n: int, seed: int, level: Level | None = None) -> Tensor: ...


def parameter(name: str, value: Tensor, dim: int) -> Tensor:
    value = torch.as_tensor(value)
    check_real(name, value, dim)
    return value.detach().double()


def check_noisy(level: Level, what: str) -> None:
    check_level(level)
    if not bool((torch.as_tensor(level.sigma) > 0).all()):
        raise ValueError(f"{what} has no density or score at sigma = 0; give a level with sigma > 0.")


def noised(x: Tensor, seed: int, level: Level | None, first: int) -> Tensor:
    if level is None:
        return x
    check_level(level)
    return level.noised(
        x, normal(len(x), x.shape[1:], seed, "analytic noise", first=first, dtype=x.dtype, device=x.device)
    )


def in_pieces(
    function: Callable[[Tensor, Level], tuple[Tensor, ...]], x: Tensor, level: Level, width: int
) -> tuple[Tensor, ...]:
    """function at a checked level over pieces of the batch, so small that `(rows, width)` stays within bounds."""
    check_level(level)
    rows = max(1, _LARGEST_BLOCK // width)
    if torch.compiler.is_compiling() or len(x) <= rows:  # in what is exported the batch has any size
        return function(x, level)
    pieces = []
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        at = Level(*(v[part] if isinstance(v, Tensor) and v.ndim else v for v in level))
        pieces.append(function(x[part], at))
    return tuple(torch.cat(answers) for answers in zip(*pieces, strict=True))
