"""The vocabulary: a noise level, a grid of them, and what a score model says at a noisy point."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from scorefield._tensor import check_real, expand

Scalar: TypeAlias = float | Tensor


class Level(NamedTuple):
    """A noise level: `x = alpha * x0 + sigma * eps` with eps standard normal.

    A NamedTuple, so that it crosses `torch.func` transforms.

    Args:
        alpha: signal scale, >= 0; a number, a 0-d tensor, or `(n,)` for one level per sample.
        sigma: noise standard deviation, >= 0; as alpha.

    Example:
        >>> Level(1.0, 0.5).ratio
        0.5
    """

    alpha: Scalar
    sigma: Scalar

    @property
    def ratio(self) -> Scalar:
        """`sigma / alpha`: the noise level in units of the data. Infinite at alpha = 0."""
        if isinstance(self.alpha, Tensor) or isinstance(self.sigma, Tensor):
            return torch.as_tensor(self.sigma) / torch.as_tensor(self.alpha)
        return self.sigma / self.alpha if self.alpha else float("inf")

    @property
    def log_ratio(self) -> Tensor:
        """`log(sigma / alpha)`: what networks see of a level; minus half the log signal-to-noise ratio."""
        if isinstance(self.alpha, float) and isinstance(self.sigma, float) and self.alpha > 0 and self.sigma > 0:
            return torch.tensor(math.log(self.sigma) - math.log(self.alpha), dtype=torch.float64)
        alpha, sigma = (v if isinstance(v, Tensor) else torch.as_tensor(v, dtype=torch.float64) for v in self)
        return sigma.log() - alpha.log()

    def like(self, x: Tensor) -> Level:
        """The same level as tensors that broadcast against x: dtype and device of x, shape () or `(n, 1, ...)`."""
        return Level(expand(self.alpha, x), expand(self.sigma, x))

    def noised(self, x0: Tensor, eps: Tensor) -> Tensor:
        """`alpha * x0 + sigma * eps` for x0, eps `(n, *shape)`."""
        level = self.like(x0)
        return level.alpha * x0 + level.sigma * eps


class Estimate(NamedTuple):
    """All that a score model knows at x: the posterior means of data and noise, `alpha * x0 + sigma * eps = x`.

    Score, velocity, steps to other levels are views of the pair (Robbins 1956 and Efron 2011, 'Tweedie').

    Args:
        x0: `E[x0 | x]`, shape `(n, *shape)`.
        eps: `E[eps | x]`, shape `(n, *shape)`.

    Example:
        >>> e = Estimate(x0=torch.tensor([[1.0]]), eps=torch.tensor([[0.5]]))
        >>> float(e.at(Level(1.0, 2.0))), float(e.score(Level(1.0, 2.0)))
        (2.0, -0.25)
    """

    x0: Tensor
    eps: Tensor

    def score(self, level: Level) -> Tensor:
        """`grad log p(x) = -eps / sigma` for the level at which the estimate was made, sigma > 0."""
        return -self.eps / level.like(self.eps).sigma

    def at(self, level: Level) -> Tensor:
        """The point of the same data and noise at another level: a deterministic (DDIM) step."""
        return level.noised(self.x0, self.eps)

    def velocity(self, rate: Level) -> Tensor:
        """`dalpha * x0 + dsigma * eps`: the probability-flow velocity along a schedule with these rates."""
        return rate.noised(self.x0, self.eps)


@runtime_checkable
class Model(Protocol):
    """Any callable `(x, level, condition=None) -> Estimate`.

    x is `(n, *shape)`, level 0-d or `(n,)`, condition whatever the model was trained with. Both fields of the answer
    have the shape and dtype of x.
    """

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate: ...


@runtime_checkable
class StaticScore(Protocol):
    """Any callable `x -> score`, both `(n, *shape)`: a score that belongs to one density."""

    def __call__(self, x: Tensor, /) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Levels:
    """A grid of noise levels, in the order in which a plan visits them: float64, on the CPU.

    Another type than `Level`, so that a grid is never taken for a batch.

    Args:
        alpha: `(k,)`, finite, >= 0.
        sigma: `(k,)`, finite, >= 0; alpha and sigma are never both 0.

    Raises:
        ValueError: for another shape, values that are not finite, negative ones, or a level that is (0, 0).

    Example:
        >>> lv = Levels(torch.ones(3), torch.tensor([2.0, 1.0, 0.0]))
        >>> len(lv), float(lv[1].sigma)
        (3, 1.0)
    """

    alpha: Tensor
    sigma: Tensor

    def __post_init__(self) -> None:
        for name in ("alpha", "sigma"):
            value = torch.as_tensor(getattr(self, name), dtype=torch.float64).detach().cpu().clone()
            check_real(f"Levels.{name}", value, dim=1)
            if bool((value < 0).any()):
                raise ValueError(f"Levels.{name} must be >= 0, got {float(value.min()):g}; give standard deviations.")
            object.__setattr__(self, name, value)
        if self.alpha.shape != self.sigma.shape or not len(self.alpha):
            raise ValueError(
                f"Levels needs alpha and sigma of one length >= 1, got {tuple(self.alpha.shape)} and "
                f"{tuple(self.sigma.shape)}."
            )
        if bool(((self.alpha == 0) & (self.sigma == 0)).any()):
            raise ValueError("a level with alpha = sigma = 0 holds neither data nor noise; remove it from the grid.")

    def __len__(self) -> int:
        return len(self.alpha)

    def __getitem__(self, k: int) -> Level:
        if not isinstance(k, int):
            raise TypeError(f"Levels[k] takes one integer, got {type(k).__name__}; use .alpha and .sigma for slices.")
        return Level(self.alpha[k], self.sigma[k])

    def __iter__(self) -> Iterator[Level]:
        return (self[k] for k in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Levels):
            return NotImplemented
        return torch.equal(self.alpha, other.alpha) and torch.equal(self.sigma, other.sigma)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        shown = [f"{r:.4g}" for r in self.ratio.tolist()]
        if len(shown) > 8:
            shown = [*shown[:4], "...", *shown[-3:]]
        return f"Levels({len(self)} levels, sigma/alpha = {', '.join(shown)})"

    @property
    def ratio(self) -> Tensor:
        """`sigma / alpha`, `(k,)`; infinite where alpha is 0."""
        return self.sigma / self.alpha

    def from_index(self, start: int, stop: int | None = None) -> Levels:
        """The levels start, start + 1, ..., stop - 1 (to the end without stop): a tail, for editing or restarting."""
        return Levels(self.alpha[start:stop], self.sigma[start:stop])

    def rising(self) -> Levels:
        """The grid in the opposite order, without levels of sigma = 0 (the score is not known there): inversion."""
        keep = self.sigma > 0
        return Levels(self.alpha[keep].flip(0), self.sigma[keep].flip(0))
