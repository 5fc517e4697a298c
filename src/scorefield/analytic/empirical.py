"""The ideal model of a finite data set."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real, expand
from scorefield.analytic._law import CLEAN, check_noisy, in_pieces, noised
from scorefield.core import Estimate, Level
from scorefield.numerics.random import uniform


@dataclass(frozen=True, eq=False)
class Empirical:
    """The ideal model of a finite data set: every point equally likely. Computed in float64, answered in x's dtype.

    Without noise it has neither density nor score; its estimate at sigma = 0 is `(x / alpha, 0)`, which is right
    where it is queried, at the data.

    Args:
        data: `(N, *shape)`.

    Example:
        >>> law = Empirical(torch.tensor([[-1.0], [1.0]]))
        >>> law(torch.tensor([[0.9]]), Level(1.0, 0.1)).x0.tolist()
        [[1.0]]
    """

    data: Tensor
    mean: Tensor = field(init=False, repr=False)
    _centred: Tensor = field(init=False, repr=False)
    _half_squares: Tensor = field(init=False, repr=False)

    def __post_init__(self) -> None:
        check_batch("Empirical(data)", self.data)
        check_real("Empirical(data)", self.data)
        if not self.data.numel():
            raise ValueError(f"Empirical needs at least one point, got data of shape {tuple(self.data.shape)}.")
        flat = self.data.detach().flatten(1).double()
        centred = flat - flat.mean(0)
        object.__setattr__(self, "mean", flat.mean(0).reshape(self.data.shape[1:]))
        object.__setattr__(self, "_centred", centred)
        object.__setattr__(self, "_half_squares", centred.square().sum(1) / 2)

    def __repr__(self) -> str:
        return f"Empirical({len(self.data)} points of shape {tuple(self.data.shape[1:])})"

    @property
    def covariance(self) -> Tensor:
        """`(d, d)` of the flattened data, divided by N: the covariance of this law."""
        return self._centred.T @ self._centred / len(self._centred)

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """`E[x0 | x]`, `E[eps | x]` at x `(n, *shape)`, for a level 0-d or `(n,)`."""
        return Estimate(*self._answer(self._estimate, x, level))

    def log_density(self, x: Tensor, level: Level | None = None) -> Tensor:
        """`log p(x)` in nats at a noise level, `(n, *shape) -> (n,)`.

        Raises:
            ValueError: at sigma = 0, where points have no density.
        """
        level = CLEAN if level is None else level
        check_noisy(level, "a law of separate points")
        return self._answer(self._log_density, x, level)[0]

    def score(self, x: Tensor, level: Level | None = None) -> Tensor:
        """`grad log p(x)` at a noise level, `(n, *shape) -> (n, *shape)`.

        Raises:
            ValueError: at sigma = 0, where points have no density.
        """
        level = CLEAN if level is None else level
        check_noisy(level, "a law of separate points")
        return self(x, level).score(level)

    def noise_variance(self, x: Tensor, level: Level) -> Tensor:
        """`E[|eps - E[eps | x]|^2 | x]`, `(n, *shape) -> (n,)`, sigma > 0."""
        check_noisy(level, "a law of separate points")
        return self._answer(self._noise_variance, x, level)[0]

    def sample(self, n: int, seed: int, level: Level | None = None, *, first: int = 0) -> Tensor:
        """n of the points, drawn with replacement, noised to a level if there is one: `(n, *shape)`."""
        u = uniform(n, (), seed, "analytic component", first=first, dtype=torch.float64, device=self.data.device)
        return noised(self.data[(u * len(self.data)).long()], seed, level, first)

    def _answer(
        self, function: Callable[[Tensor, Level], tuple[Tensor, ...]], x: Tensor, level: Level
    ) -> tuple[Tensor, ...]:
        check_batch("x", x)
        if x.shape[1:] != self.data.shape[1:]:
            raise ValueError(f"x must be (n, *{tuple(self.data.shape[1:])}) as the data, got {tuple(x.shape)}.")
        answers = in_pieces(function, x.flatten(1).double(), level, len(self.data))
        return tuple((v if v.ndim == 1 else v.reshape(x.shape)).to(x.dtype) for v in answers)

    def _weights(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """alpha and sigma (with 1 in place of 0), `y = x - alpha * mean`, and the logits of the points `(n, N)`."""
        alpha, sigma = (expand(v, x) for v in level)
        sigma = torch.where(sigma > 0, sigma, torch.ones_like(sigma))
        y = x - alpha * self.mean.flatten()
        logits = (alpha * (y @ self._centred.T) - alpha * alpha * self._half_squares) / sigma**2
        return alpha, sigma, y, logits

    def _estimate(self, x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        alpha, sigma, _, logits = self._weights(x, level)
        clean = expand(level.sigma, x) == 0
        x0 = self.mean.flatten() + logits.softmax(1) @ self._centred
        eps = (x - alpha * x0) / sigma
        unit = torch.where(clean, alpha, torch.ones_like(alpha))
        return torch.where(clean, x / unit, x0), torch.where(clean, torch.zeros_like(eps), eps)

    def _log_density(self, x: Tensor, level: Level) -> tuple[Tensor]:
        _, sigma, y, logits = self._weights(x, level)
        normaliser = (sigma.log() + 0.5 * math.log(2 * math.pi)) * x.shape[1] + math.log(len(self.data))
        return (logits.logsumexp(1) - ((y / sigma).square() / 2).sum(1) - normaliser.reshape(-1),)

    def _noise_variance(self, x: Tensor, level: Level) -> tuple[Tensor]:
        alpha, sigma, _, logits = self._weights(x, level)
        weights = logits.softmax(1)
        variance = 2 * weights @ self._half_squares - (weights @ self._centred).square().sum(1)
        return ((alpha / sigma).reshape(-1).square() * variance.clamp(min=0),)
