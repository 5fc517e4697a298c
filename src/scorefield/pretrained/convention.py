"""How another library's network is asked and understood: what it sees of x and of the level, and what it answers."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from torch import Tensor

from scorefield._tensor import expand
from scorefield.core import Estimate, Level, Scalar
from scorefield.denoiser import DATA, EDM_F, NOISE, SCORE, Target, plain
from scorefield.times import BetaTimes, LogSigmaTimes, Times

NEGATIVE_F = Target("-F", lambda alpha, sigma, sd: _negative(EDM_F.coefficients(alpha, sigma, sd)))
"""EDM's F with the sign of a velocity, as diffusers' EDM schedulers call `v_prediction`."""


def _negative(pair: tuple[Scalar, Scalar]) -> tuple[Scalar, Scalar]:
    return -pair[0], -pair[1]


@dataclass(frozen=True)
class Convention:
    """A network is given x over the `size` of the level, and its `time`, and answers with the target.

    Args:
        times: what it is told of the noise.
        target: what it answers: `denoiser.NOISE`, `DATA`, `ANGLE` (v), `FLOW`, `EDM_F`. What says nothing of the data
            at alpha = 0 (NOISE) leaves a table's entry there out of the range.

    Raises:
        ValueError: for a target that is singular within the range of the times.

    Example:
        >>> import torch
        >>> from scorefield.denoiser import ANGLE
        >>> Convention(BetaTimes(torch.tensor([0.9, 0.5, 0.0])), ANGLE).sigma_max
        inf
    """

    times: Times
    target: Target

    def __post_init__(self) -> None:
        target, times = self.target, self.times
        if not isinstance(target, Target):
            raise TypeError(
                f"a prediction is a Target of scorefield.denoiser, such as NOISE or ANGLE, got {type(target).__name__}."
            )
        if target in (NOISE, SCORE) and times.sigma_max == math.inf:
            if not isinstance(times, BetaTimes) or len(times) < 3:
                raise ValueError(f"{target.name} says nothing of the data at alpha = 0; end the times below it.")
            object.__setattr__(self, "times", replace(times, alphas_cumprod=times.alphas_cumprod[:-1]))
        if target in (DATA, SCORE) and times.sigma_min == 0:
            raise ValueError(f"{target.name} says nothing of the noise at sigma = 0; begin the times above it.")

    @property
    def sigma_min(self) -> float:
        """Least `sigma / alpha` at which the network answers."""
        return self.times.sigma_min

    @property
    def sigma_max(self) -> float:
        """Greatest; infinite where it answers at alpha = 0."""
        return self.times.sigma_max

    @property
    def sigma_data(self) -> float:
        """The constant of EDM's preconditioning, 1 without one."""
        return self.times.sigma_data if isinstance(self.times, LogSigmaTimes) else 1.0

    def seen(self, x: Tensor, level: Level) -> Tensor:
        """x `(n, *shape)` at the network's scale."""
        return x * expand(1 / self.times.size(level), x)

    def estimate(self, x: Tensor, raw: Tensor, level: Level) -> Estimate:
        """The pair that the network's answer at x says, in x's dtype."""
        return self.target.solve(x, raw.to(x.dtype), plain(level), self.sigma_data)
