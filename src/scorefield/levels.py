"""Where to step (grids, `Levels`) and what to train on (`TrainingLevels`: a density over noise levels).

Ratios `sigma / alpha` are in units of the standardised data. Every grid ends at noise level 0 unless `end=False`:
the last step returns the estimate of the data.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from scorefield.core import Level, Levels
from scorefield.schedules import Schedule

# ---------------------------------------------------------------------------------------------------------- grids


def given(sigmas: Sequence[float] | Tensor, end: bool = True) -> Levels:
    """A user's own list of ratios sigma / alpha, as levels with alpha = 1, then 0 (unless it is there, or end=False).

    Example:
        >>> given([10.0, 1.0])
        Levels(3 levels, sigma/alpha = 10, 1, 0)
    """
    sigma = torch.as_tensor(sigmas, dtype=torch.float64).reshape(-1)
    if end and (not len(sigma) or float(sigma[-1]) != 0):
        sigma = torch.cat([sigma, sigma.new_zeros(1)])
    return Levels(torch.ones_like(sigma), sigma)


def karras(n: int, sigma_max: float = 80.0, sigma_min: float = 0.002, rho: float = 7.0, end: bool = True) -> Levels:
    """n levels, evenly spaced in `sigma**(1/rho)` from sigma_max to sigma_min, then 0 (Karras and others 2022, eq. 5).

    Example:
        >>> karras(3, sigma_max=8.0, sigma_min=1.0, rho=3.0)
        Levels(4 levels, sigma/alpha = 8, 3.375, 1, 0)
    """
    _check_range(n, sigma_max, sigma_min)
    if not rho > 0:
        raise ValueError(f"karras(rho=...) must be > 0, got {rho}.")
    s = _spaced(n, sigma_max ** (1 / rho), sigma_min ** (1 / rho)) ** rho
    return given(_pinned(s, sigma_max, sigma_min), end)


def log_uniform(n: int, sigma_max: float = 80.0, sigma_min: float = 0.002, end: bool = True) -> Levels:
    """n levels evenly spaced in log sigma, that is in log-SNR, then 0 (Lu and others 2022).

    Example:
        >>> log_uniform(3, sigma_max=4.0, sigma_min=1.0)
        Levels(4 levels, sigma/alpha = 4, 2, 1, 0)
    """
    _check_range(n, sigma_max, sigma_min)
    return given(_pinned(_spaced(n, math.log(sigma_max), math.log(sigma_min)).exp(), sigma_max, sigma_min), end)


def angle(n: int, sigma_max: float = 80.0, sigma_min: float = 0.002, scale: float = 1.0, end: bool = True) -> Levels:
    """n levels evenly spaced in the angle `atan(sigma / scale)`, then 0; alpha = 1.

    Args:
        scale: the data's standard deviation, where the angle is 45 degrees.
    """
    _check_range(n, sigma_max, sigma_min)
    phi = _spaced(n, math.atan(sigma_max / scale), math.atan(sigma_min / scale))
    return given(_pinned(scale * phi.tan(), sigma_max, sigma_min), end)


def flow(n: int, sigma_max: float = 80.0, sigma_min: float = 0.002, scale: float = 1.0, end: bool = True) -> Levels:
    """n levels evenly spaced in rectified flow's time `u = sigma / (scale + sigma)`, then 0; alpha = 1.

    Args:
        scale: the data's standard deviation, where u is one half.
    """
    _check_range(n, sigma_max, sigma_min)
    u = _spaced(n, sigma_max / (scale + sigma_max), sigma_min / (scale + sigma_min))
    return given(_pinned(scale * u / (1 - u), sigma_max, sigma_min), end)


def uniform_time(
    n: int, schedule: Schedule, t_max: float | None = None, t_min: float | None = None, end: bool = True
) -> Levels:
    """n levels of a schedule, evenly spaced in its time from t_max down to t_min, then clean data.

    Args:
        t_max: default: the schedule's last time, where alpha = 0 is allowed.
        t_min: default: one n-th of the way above the schedule's first time, as a DDPM table has it; > its first time
            where sigma is 0.

    Example:
        >>> from scorefield.schedules import RectifiedFlow
        >>> uniform_time(4, RectifiedFlow()).sigma.tolist()
        [1.0, 0.75, 0.5, 0.25, 0.0]
    """
    _check_count(n)
    hi = schedule.t_max if t_max is None else t_max
    lo = schedule.t_min + (hi - schedule.t_min) / n if t_min is None else t_min
    if not (lo < hi or (n == 1 and lo <= hi)):
        raise ValueError(f"uniform_time needs t_min < t_max, got {lo:g} and {hi:g}.")
    level = schedule(_spaced(n, hi, lo))
    return _with_end(torch.as_tensor(level.alpha), torch.as_tensor(level.sigma), end)


def ddpm(n: int, schedule: Schedule, end: bool = True) -> Levels:
    """n of the indices of a beta table, the last one first, evenly spread, then clean data (Song, Meng, Ermon 2021).

    Args:
        n: at most the table's length.
        schedule: a `Betas`.
    """
    from scorefield.schedules import Betas

    if not isinstance(schedule, Betas):
        raise TypeError(f"levels.ddpm takes a Betas schedule, got {type(schedule).__name__}; use uniform_time for it.")
    _check_count(n)
    if n > len(schedule):
        raise ValueError(f"levels.ddpm: {n} levels of a table of {len(schedule)}; take at most that many.")
    index = [round((len(schedule) * (n - k)) / n) - 1 for k in range(n)]
    level = schedule(torch.tensor([schedule.time(i) for i in index], dtype=torch.float64))
    return _with_end(torch.as_tensor(level.alpha), torch.as_tensor(level.sigma), end)


def _with_end(alpha: Tensor, sigma: Tensor, end: bool) -> Levels:
    if end:
        alpha, sigma = torch.cat([alpha, alpha.new_ones(1)]), torch.cat([sigma, sigma.new_zeros(1)])
    return Levels(alpha, sigma)


def _spaced(n: int, start: float, stop: float) -> Tensor:
    return torch.linspace(start, stop, n, dtype=torch.float64)


def _pinned(sigma: Tensor, first: float, last: float) -> Tensor:
    """The ends to the last digit, so that a grid stays inside a model's range."""
    sigma = sigma.clone()
    if len(sigma) > 1:
        sigma[-1] = last
    sigma[0] = first
    return sigma


def _check_count(n: int) -> None:
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"a grid needs a whole number n >= 1 of levels, got {n!r}.")


def _check_range(n: int, sigma_max: float, sigma_min: float) -> None:
    _check_count(n)
    if not (0 < sigma_min < sigma_max < math.inf):
        raise ValueError(f"a grid needs 0 < sigma_min < sigma_max, got {sigma_min:g} and {sigma_max:g}.")


# --------------------------------------------------------------------------------------------------- training levels


class TrainingLevels(Protocol):
    """A density over noise levels, as its inverse distribution function: uniform numbers in, levels out."""

    def __call__(self, u: Tensor) -> Level:
        """Levels `(n,)` for u `(n,)` in (0, 1)."""
        ...


def _check_positive(owner: object, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{type(owner).__name__}({name}=...) must be positive and finite, got {value}.")


@dataclass(frozen=True)
class LogNormal:
    """`log(sigma / alpha)` normal, cut at the ends.

    Karras and others (2022) train with mean -1.2 and std 1.2 at data of std 0.5.

    Args:
        mean: of log sigma; the default is theirs in units of the data's standard deviation.
        std: of log sigma.
        sigma_min: least noise level; the normal is truncated there, not clipped.
        sigma_max: greatest noise level.
    """

    mean: float = -0.5
    std: float = 1.2
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_positive(self, std=self.std, sigma_min=self.sigma_min, sigma_max=self.sigma_max)

    def __call__(self, u: Tensor) -> Level:
        lo, hi = (
            0.5 * math.erfc(-(math.log(s) - self.mean) / (self.std * math.sqrt(2)))
            for s in (self.sigma_min, self.sigma_max)
        )
        z = torch.special.ndtri(lo + (hi - lo) * u.double())
        sigma = (self.mean + self.std * z).exp().clamp(self.sigma_min, self.sigma_max).to(u.dtype)
        return Level(torch.ones_like(sigma), sigma)


@dataclass(frozen=True)
class LogUniform:
    """`log(sigma / alpha)` uniform between the ends."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_positive(self, sigma_min=self.sigma_min, sigma_max=self.sigma_max)

    def __call__(self, u: Tensor) -> Level:
        lo, hi = math.log(self.sigma_min), math.log(self.sigma_max)
        sigma = (lo + (hi - lo) * u.double()).exp().to(u.dtype)
        return Level(torch.ones_like(sigma), sigma)


@dataclass(frozen=True)
class Ladder:
    """A fixed set of noise levels, all equally often (NCSN: Song and Ermon 2019)."""

    sigmas: tuple[float, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "sigmas", tuple(float(s) for s in self.sigmas))
        if not self.sigmas:
            raise ValueError("Ladder(sigmas) needs at least one noise level.")
        for s in self.sigmas:
            _check_positive(self, sigmas=s)

    def __call__(self, u: Tensor) -> Level:
        table = torch.tensor(self.sigmas, dtype=u.dtype, device=u.device)
        sigma = table[(u * len(table)).long().clamp(0, len(table) - 1)]
        return Level(torch.ones_like(sigma), sigma)


@dataclass(frozen=True)
class UniformTime:
    """The levels of a schedule at uniform times (Song and others 2021; Lipman and others 2023).

    Args:
        schedule: t -> Level.
        t_min: default: the schedule's first time.
        t_max: default: its last.
    """

    schedule: Schedule
    t_min: float | None = None
    t_max: float | None = None

    def __call__(self, u: Tensor) -> Level:
        lo = self.schedule.t_min if self.t_min is None else self.t_min
        hi = self.schedule.t_max if self.t_max is None else self.t_max
        level = self.schedule(lo + (hi - lo) * u.double())
        return Level(torch.as_tensor(level.alpha).to(u.dtype), torch.as_tensor(level.sigma).to(u.dtype))


def one(sigma: float) -> Ladder:
    """One noise level only: plain denoising score matching (Vincent 2011)."""
    return Ladder((sigma,))


@dataclass(frozen=True)
class Mixed:
    """A share of the levels from one density, the rest from another: a bulk with a floor under its tails.

    Args:
        main: where most levels come from.
        other: where a share of them comes from.
        share: of `other`, in (0, 1).
    """

    main: TrainingLevels
    other: TrainingLevels
    share: float = 0.1

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise ValueError(f"Mixed(share=...) must be in (0, 1), got {self.share}.")

    def __call__(self, u: Tensor) -> Level:
        wide = u.double()
        from_other = wide < self.share
        a = self.other((wide / self.share).clamp(max=1.0))
        b = self.main(((wide - self.share) / (1 - self.share)).clamp(min=0.0))
        alpha, sigma = (
            torch.where(from_other, torch.as_tensor(p), torch.as_tensor(q)).to(u.dtype)
            for p, q in zip(a, b, strict=True)
        )
        return Level(alpha, sigma)
