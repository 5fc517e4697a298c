"""Noise schedules: `schedule(t) -> Level`. Drift, diffusion and rates follow by automatic differentiation.

The forward process is `dx = f(t) x dt + g(t) dw` with `f = alpha' / alpha` and `g^2 = 2 sigma sigma' - 2 f sigma^2`,
so that x at t has the law of `alpha(t) x0 + sigma(t) eps` (Song and others 2021, Appendix B; Kingma and others 2021).
Noise grows with t.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from scorefield.core import Level, Scalar


@dataclass(frozen=True)
class Schedule:
    """What all schedules share: times `t_min <= t <= t_max` and the quantities derived from `alpha`, `sigma`.

    A subclass gives `_alpha_sigma(t: Tensor) -> (Tensor, Tensor)` in elementwise, differentiable tensor operations.
    """

    @property
    def t_min(self) -> float:
        """The first time, where noise is least."""
        return 0.0

    @property
    def t_max(self) -> float:
        """The last time, where noise is greatest."""
        return 1.0

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError("a schedule must define _alpha_sigma(t)")

    def _variance(self, t: Tensor) -> Tensor:
        """`sigma^2`; a schedule whose sigma is a square root gives it without one, which has no derivative at 0."""
        return self._alpha_sigma(t)[1] ** 2

    def __call__(self, t: Scalar) -> Level:
        """The level at time t.

        Args:
            t: `t_min <= t <= t_max`; a number (computed in float64), or a tensor of any shape.

        Raises:
            ValueError: for a time outside the schedule.
        """
        return Level(*self._alpha_sigma(self._checked(t)))

    def rates(self, t: Scalar) -> Level:
        """`(dalpha/dt, dsigma/dt)` at t, by forward-mode differentiation."""
        t = self._checked(t)
        rates = torch.func.jvp(self._alpha_sigma, (t,), (torch.ones_like(t),))[1]
        return Level(*rates)

    def drift(self, t: Scalar) -> Tensor:
        """`f(t)` of the forward process `dx = f(t) x dt + g(t) dw`.

        Raises:
            ValueError: where alpha = 0: the drift is infinite there.
        """
        alpha, rate = (torch.as_tensor(v.alpha) for v in (self(t), self.rates(t)))
        if bool((alpha == 0).any()):
            raise ValueError(
                f"{type(self).__name__}: the drift is infinite where alpha = 0; stay below t = {self.t_max:g}."
            )
        return rate / alpha

    def diffusion_squared(self, t: Scalar) -> Tensor:
        """`g(t)^2 = (sigma^2)' - 2 f sigma^2`.

        Raises:
            ValueError: where alpha = 0, as `drift`.
        """
        t = self._checked(t)
        rate = torch.func.jvp(self._variance, (t,), (torch.ones_like(t),))[1]
        return rate - 2 * self.drift(t) * self._variance(t)

    def diffusion(self, t: Scalar) -> Tensor:
        """`g(t)` of the forward process `dx = f(t) x dt + g(t) dw`."""
        return self.diffusion_squared(t).clamp(min=0).sqrt()

    def t_at(self, ratio: float) -> float:
        """The time at which `sigma / alpha` is `ratio`, by bisection: cuts a schedule to a model's range.

        Raises:
            ValueError: when no time of the schedule has that ratio.
        """
        lo, hi = (torch.tensor(t, dtype=torch.float64) for t in (self.t_min, self.t_max))
        first, last = float(self(lo).ratio), float(self(hi).ratio)
        if not first <= ratio <= last:
            raise ValueError(
                f"{type(self).__name__} has sigma / alpha from {first:g} to {last:g}, asked for {ratio:g}."
            )
        for _ in range(80):
            middle = (lo + hi) / 2
            lo, hi = (middle, hi) if float(self(middle).ratio) < ratio else (lo, middle)
        return float(hi)

    def _checked(self, t: Scalar) -> Tensor:
        t = torch.as_tensor(t, dtype=None if isinstance(t, Tensor) else torch.float64)
        if not t.is_floating_point():
            t = t.to(torch.float64)
        slack = 1e-6 * (self.t_max - self.t_min)
        if t.numel() and not bool(((t >= self.t_min - slack) & (t <= self.t_max + slack)).all()):
            raise ValueError(
                f"{type(self).__name__} is defined for times from {self.t_min:g} to {self.t_max:g}, "
                f"got {float(t.min()):g} to {float(t.max()):g}."
            )
        return t.clamp(self.t_min, self.t_max)


def _positive(owner: object, **values: float) -> None:
    for name, value in values.items():
        if not (math.isfinite(value) and value > 0):
            raise ValueError(f"{type(owner).__name__}({name}=...) must be positive and finite, got {value}.")


def _ordered(owner: object, low: str, high: str) -> None:
    a, b = getattr(owner, low), getattr(owner, high)
    if not a < b:
        raise ValueError(f"{type(owner).__name__} needs {low} < {high}, got {a:g} and {b:g}.")


@dataclass(frozen=True)
class VE(Schedule):
    """Variance exploding: `alpha = 1`, `sigma = sigma_min * (sigma_max / sigma_min)**t` (Song and others 2021, eq. 30).

    Example:
        >>> float(VE(sigma_min=0.01, sigma_max=50.0)(1.0).sigma)
        50.0
    """

    sigma_min: float = 0.01
    sigma_max: float = 50.0

    def __post_init__(self) -> None:
        _positive(self, sigma_min=self.sigma_min, sigma_max=self.sigma_max)
        _ordered(self, "sigma_min", "sigma_max")

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        # by halves from either end, so that both ends come out to the last digit
        sigma = self.sigma_min ** (1 - t) * self.sigma_max**t
        return torch.ones_like(t), sigma


def _vp_log_alpha(t: Tensor, beta_min: float, beta_max: float) -> Tensor:
    """Minus half the integral of `beta_min + t (beta_max - beta_min)`."""
    return -0.25 * t * t * (beta_max - beta_min) - 0.5 * t * beta_min


@dataclass(frozen=True)
class VP(Schedule):
    """Variance preserving with linear beta: `f = -beta/2`, `g^2 = beta` (Song and others 2021, eq. 32-33).

    `alpha = exp(-1/2 int beta)`, `sigma = sqrt(1 - alpha^2)`, through expm1 so that small t keep their digits.

    Example:
        >>> level = VP()(0.5)
        >>> round(float(level.alpha**2 + level.sigma**2), 12)
        1.0
    """

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        _positive(self, beta_min=self.beta_min, beta_max=self.beta_max)

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return _vp_log_alpha(t, self.beta_min, self.beta_max).exp(), _safe_sqrt(self._variance(t))

    def _variance(self, t: Tensor) -> Tensor:
        return -torch.expm1(2 * _vp_log_alpha(t, self.beta_min, self.beta_max))


@dataclass(frozen=True)
class SubVP(Schedule):
    """Sub-VP: VP's alpha, `sigma = 1 - alpha^2`, `g^2 = beta (1 - alpha^4)` (Song and others 2021, eq. 29)."""

    beta_min: float = 0.1
    beta_max: float = 20.0

    def __post_init__(self) -> None:
        _positive(self, beta_min=self.beta_min, beta_max=self.beta_max)

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha = _vp_log_alpha(t, self.beta_min, self.beta_max)
        return log_alpha.exp(), -torch.expm1(2 * log_alpha)


@dataclass(frozen=True)
class Cosine(Schedule):
    """`alpha = cos(phi) / cos(phi_0)` with `phi = pi/2 (t + offset) / (1 + offset)` (Nichol and Dhariwal 2021, eq. 17).

    alpha is 0 at t = 1. With offset = 0 this is the angle schedule, x = cos(phi) x0 + sin(phi) eps.
    """

    offset: float = 0.008

    def __post_init__(self) -> None:
        if not 0 <= self.offset < 1:
            raise ValueError(f"Cosine(offset=...) must be in [0, 1), got {self.offset}.")

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        rest = math.pi / 2 * (1 - t) / (1 + self.offset)  # the angle left to pi/2: cos(phi) = sin(rest), exact at t = 1
        return torch.sin(rest) / math.cos(self._start), _safe_sqrt(self._variance(t))

    def _variance(self, t: Tensor) -> Tensor:
        # 1 - alpha^2 = sin(phi - start) sin(phi + start) / cos(start)^2, without cancellation at t = 0
        move = math.pi / 2 * t / (1 + self.offset)
        return torch.sin(move) * torch.sin(move + 2 * self._start) / math.cos(self._start) ** 2

    @property
    def _start(self) -> float:
        return math.pi / 2 * self.offset / (1 + self.offset)


@dataclass(frozen=True)
class EDM(Schedule):
    """`alpha = 1`, `sigma = t`: time is the noise level (Karras and others 2022), from 0 to sigma_max."""

    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _positive(self, sigma_max=self.sigma_max)

    @property
    def t_max(self) -> float:
        return self.sigma_max

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return torch.ones_like(t), t + 0


@dataclass(frozen=True)
class RectifiedFlow(Schedule):
    """`alpha = 1 - t`, `sigma = t`: straight lines from data to noise (Liu and others 2023; Lipman and others 2023)."""

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return 1 - t, t + 0


def linear_betas(steps: int = 1000, first: float = 1e-4, last: float = 0.02) -> tuple[float, ...]:
    """The table of Ho and others (2020): `steps` values of beta from first to last, evenly spaced."""
    return tuple(torch.linspace(first, last, steps, dtype=torch.float64).tolist())


@dataclass(frozen=True)
class Betas(Schedule):
    """A DDPM table: `alpha_i^2 = prod_{j <= i} (1 - beta_j)` (Ho and others 2020); index i of N is at t = (i + 1) / N.

    Between the indices log alpha is linear in t (beta constant); t = 0 is clean data.

    Args:
        betas: N numbers in (0, 1); default: 1000 from 1e-4 to 0.02.

    Example:
        >>> level = Betas((0.1, 0.2))(1.0)
        >>> round(float(level.alpha**2), 12)
        0.72
    """

    betas: tuple[float, ...] = field(default_factory=linear_betas, repr=False)

    def __post_init__(self) -> None:
        betas = tuple(float(b) for b in self.betas)
        if not betas or not all(0 < b < 1 for b in betas):
            raise ValueError("Betas(betas) needs at least one number, all of them in (0, 1).")
        object.__setattr__(self, "betas", betas)
        log_alpha = 0.5 * torch.log1p(-torch.tensor(betas, dtype=torch.float64)).cumsum(0)
        object.__setattr__(self, "_log_alpha", torch.cat([torch.zeros(1, dtype=torch.float64), log_alpha]))

    def __len__(self) -> int:
        return len(self.betas)

    def time(self, index: int) -> float:
        """The time of index i of the table: `(i + 1) / N`."""
        if not 0 <= index < len(self):
            raise ValueError(f"index {index} is outside the table of {len(self)} betas (0 to {len(self) - 1}).")
        return (index + 1) / len(self)

    def _log_alpha_at(self, t: Tensor) -> Tensor:
        table = self._log_alpha.to(t.device)  # type: ignore[attr-defined]
        place = t.to(torch.float64) * len(self)
        k = (place.detach().ceil().long() - 1).clamp(0, len(self) - 1)
        return table[k] + (place - k) * (table[k + 1] - table[k])

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        log_alpha = self._log_alpha_at(t)
        return log_alpha.exp().to(t.dtype), _safe_sqrt(-torch.expm1(2 * log_alpha)).to(t.dtype)

    def _variance(self, t: Tensor) -> Tensor:
        return -torch.expm1(2 * self._log_alpha_at(t)).to(t.dtype)


def _safe_sqrt(x: Tensor) -> Tensor:
    """sqrt without the sign of a rounded zero."""
    return x.clamp(min=0).sqrt()


@dataclass(frozen=True)
class Custom(Schedule):
    """A user's own schedule from a function `t -> (alpha, sigma)` in differentiable tensor operations.

    Args:
        function: elementwise in t.
        start: first time.
        end: last time.

    Example:
        >>> angle = Custom(lambda t: (torch.cos(t), torch.sin(t)), end=1.5)
        >>> float(angle.rates(0.0).sigma)
        1.0
    """

    function: Callable[[Tensor], tuple[Tensor, Tensor]]
    start: float = 0.0
    end: float = 1.0

    def __post_init__(self) -> None:
        _ordered(self, "start", "end")

    @property
    def t_min(self) -> float:
        return self.start

    @property
    def t_max(self) -> float:
        return self.end

    def _alpha_sigma(self, t: Tensor) -> tuple[Tensor, Tensor]:
        return self.function(t)
