"""What networks are told of the noise: a time, which stands for `sigma / alpha`, and at what scale they see x.

Every network that was trained on one path of levels sees `x / size(level)` and `time(level)`; both depend on the level
through sigma / alpha alone (but for the scale of x), so that it answers at any level whose ratio the path has.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import torch
from torch import Tensor

from scorefield._files import reason, shown
from scorefield._tensor import is_traced
from scorefield.core import Level, Levels, Scalar
from scorefield.levels import given

Between: TypeAlias = Literal["interpolate", "refuse", "nearest"]
_OFF = 1e-3
"""How far from a whole index a level may lie and still be an entry of the table: float32 levels move it by 1e-5."""


class Times(Protocol):
    """A path of noise levels as a network knows it.

    `sigma_min` and `sigma_max` are the least and greatest `sigma / alpha` on it.
    """

    @property
    def sigma_min(self) -> float: ...

    @property
    def sigma_max(self) -> float: ...

    def time(self, level: Level) -> Tensor:
        """What the network is told, 0-d or `(n,)` as the level."""
        ...

    def size(self, level: Level) -> Tensor:
        """What x is divided by before the network sees it."""
        ...

    def level(self, time: Scalar) -> Level:
        """The level of a time, on the path's own scale."""
        ...


@dataclass(frozen=True, eq=False)
class BetaTimes:
    """The indices 0 to N - 1 of a table of betas (Ho and others 2020), `alpha^2 + sigma^2 = 1`.

    Between two entries log alpha is linear in the index, as in `schedules.Betas` (beta is constant there); towards a
    last entry of alpha = 0 (Lin and others 2023) alpha itself is. At the entries every reading of a table agrees.

    Args:
        alphas_cumprod: `(N,)`, `alpha_i^2 = prod_{j <= i} (1 - beta_j)`, falling, from at most 1; the last may be 0.
        between: what becomes of a level between two entries: "interpolate": the network is told a fraction (it embeds
            the index as a number); "refuse": an error; "nearest": it is told the nearest index, which is off by up to
            half an entry, while the estimate is solved for at the true level.
        factor: what the network is told is `factor * index + offset`.
        offset: see factor; with factor 1 / N and offset 1 / N this is the time of `schedules.Betas`.

    Raises:
        ValueError: for a table that is none.

    Example:
        >>> times = BetaTimes(torch.tensor([0.9, 0.5, 0.0]))
        >>> times.time(times.level(1.5)), times.sigma_max
        (tensor(1.5000, dtype=torch.float64), inf)
    """

    alphas_cumprod: Tensor
    between: Between = "interpolate"
    factor: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        table = torch.as_tensor(self.alphas_cumprod).detach().to("cpu", torch.float64).clone()
        if table.ndim != 1 or len(table) < 2:
            raise ValueError(f"a table of alphas_cumprod has two entries or more, got shape {tuple(table.shape)}.")
        if not bool((table.diff() < 0).all() and table[0] <= 1 and table[-1] >= 0):  # NaN fails too
            raise ValueError(
                "alphas_cumprod must fall from at most 1 to at least 0; give the running product of 1 - beta."
            )
        if self.between not in ("interpolate", "refuse", "nearest"):
            raise ValueError(f"between is 'interpolate', 'refuse' or 'nearest', got {self.between!r}.")
        if not (math.isfinite(self.factor) and self.factor > 0 and math.isfinite(self.offset)):
            raise ValueError(f"a time needs a factor > 0 and a finite offset, got {self.factor} and {self.offset}.")
        object.__setattr__(self, "alphas_cumprod", table)

    def __len__(self) -> int:
        return len(self.alphas_cumprod)

    def __repr__(self) -> str:
        return f"BetaTimes({len(self)} entries, sigma/alpha from {self.sigma_min:.4g} to {self.sigma_max:.4g})"

    @property
    def sigma_min(self) -> float:
        return _ratio(float(self.alphas_cumprod[0]))

    @property
    def sigma_max(self) -> float:
        return _ratio(float(self.alphas_cumprod[-1]))

    def time(self, level: Level) -> Tensor:
        """The index of a level, as the network is told it.

        Raises:
            ValueError: for a level between two entries where these are refused.
        """
        index = self._index(level)
        if self.between == "interpolate":
            return self.factor * index + self.offset
        whole = index.round()
        if self.between == "refuse" and not is_traced(index) and bool(((index - whole).abs() > _OFF).any()):
            off = float(index.reshape(-1)[(index - whole).abs().argmax()])
            raise ValueError(
                f"this network is told whole indices of its table of {len(self)} levels, and a level lies at "
                f"{off:.4g}; step on the table's levels, or ask for the nearest entry (between='nearest')."
            )
        return whole.long() if self.factor == 1 and self.offset == 0 else self.factor * whole + self.offset

    def size(self, level: Level) -> Tensor:
        alpha, sigma = _doubles(level)
        return (alpha * alpha + sigma * sigma).sqrt()

    def level(self, time: Scalar) -> Level:
        """The level of a time, with `alpha^2 + sigma^2 = 1`.

        Raises:
            ValueError: outside the table.
        """
        index = (torch.as_tensor(time, dtype=torch.float64) - self.offset) / self.factor
        last = len(self) - 1
        if index.numel() and not bool(((index >= -_OFF) & (index <= last + _OFF)).all()):
            raise ValueError(
                f"this table has the indices 0 to {last}, got {float(index.min()):g} to {float(index.max()):g}."
            )
        index = index.clamp(0, last)
        table = self.alphas_cumprod.to(index.device)
        k = index.floor().long().clamp(max=last - 1)
        share, here, there = index - k, table[k], table[k + 1]
        log_power = torch.where(
            there > 0, (1 - share) * here.log() + share * there.log(), 2 * (here.sqrt() * (1 - share)).log()
        )
        exact = torch.where(share == 1, there, torch.where(share == 0, here, log_power.exp()))
        rest = torch.where((share == 0) | (share == 1), 1 - exact, -torch.expm1(log_power))
        return Level(exact.sqrt(), rest.sqrt())

    def _index(self, level: Level) -> Tensor:
        """Where a level lies in the table, a fraction from 0 to N - 1."""
        alpha, sigma = _doubles(level)
        power = 1 / (1 + (sigma / alpha) ** 2)
        loss = torch.log1p((sigma / alpha) ** 2)  # -log alpha^2
        table = self.alphas_cumprod.to(loss.device)
        losses = -table.log()
        k = (torch.searchsorted(losses, loss.detach().contiguous(), right=True) - 1).clamp(0, len(self) - 2)
        low, high = losses[k], losses[k + 1]
        share = torch.where(high.isfinite(), (loss - low) / (high - low), 1 - (power / table[k]).sqrt())
        return (k + share).clamp(0, len(self) - 1)


@dataclass(frozen=True)
class FlowTimes:
    """Straight lines, `x = (1 - u) x0 + u eps` (Liu and others 2023); the network is told factor * u.

    Args:
        factor: what the network is told at u = 1.
        low: least u that it was trained for.
        high: greatest.

    Example:
        >>> times = FlowTimes(factor=1000.0)
        >>> float(times.time(Level(1.0, 1.0))), times.sigma_max
        (500.0, inf)
    """

    factor: float = 1.0
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.low < self.high <= 1:
            raise ValueError(f"FlowTimes needs 0 <= low < high <= 1, got {self.low} and {self.high}.")
        if not (math.isfinite(self.factor) and self.factor > 0):
            raise ValueError(f"FlowTimes(factor=...) must be positive and finite, got {self.factor}.")

    @property
    def sigma_min(self) -> float:
        return self.low / (1 - self.low)

    @property
    def sigma_max(self) -> float:
        return self.high / (1 - self.high) if self.high < 1 else math.inf

    def time(self, level: Level) -> Tensor:
        alpha, sigma = _doubles(level)
        return self.factor * (sigma / (alpha + sigma))

    def size(self, level: Level) -> Tensor:
        alpha, sigma = _doubles(level)
        return alpha + sigma

    def level(self, time: Scalar) -> Level:
        u = torch.as_tensor(time, dtype=torch.float64) / self.factor
        return Level(1 - u, u)


@dataclass(frozen=True)
class SigmaTimes:
    """`x = x0 + sigma * eps`; the network is told sigma: a denoiser D(x, sigma) of EDM and k-diffusion.

    Args:
        sigma_min: least sigma that it was trained for, > 0.
        sigma_max: greatest.
    """

    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_sigmas(self.sigma_min, self.sigma_max)

    def time(self, level: Level) -> Tensor:
        alpha, sigma = _doubles(level)
        return sigma / alpha

    def size(self, level: Level) -> Tensor:
        return _doubles(level)[0]

    def level(self, time: Scalar) -> Level:
        sigma = torch.as_tensor(time, dtype=torch.float64)
        return Level(torch.ones_like(sigma), sigma)


@dataclass(frozen=True)
class LogSigmaTimes:
    """`x = x0 + sigma * eps` at unit variance; the network is told `log(sigma) / 4`: EDM's F (Karras and others 2022).

    Args:
        sigma_data: of the preconditioning: the network sees `x / sqrt(sigma^2 + sigma_data^2)`.
        sigma_min: least sigma that it was trained for, > 0.
        sigma_max: greatest.
    """

    sigma_data: float = 0.5
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def __post_init__(self) -> None:
        _check_sigmas(self.sigma_min, self.sigma_max)
        if not (math.isfinite(self.sigma_data) and self.sigma_data > 0):
            raise ValueError(f"sigma_data must be positive and finite, got {self.sigma_data}.")

    def time(self, level: Level) -> Tensor:
        alpha, sigma = _doubles(level)
        return (sigma / alpha).log() / 4

    def size(self, level: Level) -> Tensor:
        alpha, sigma = _doubles(level)
        return (alpha * alpha * self.sigma_data**2 + sigma * sigma).sqrt()

    def level(self, time: Scalar) -> Level:
        sigma = (4 * torch.as_tensor(time, dtype=torch.float64)).exp()
        return Level(torch.ones_like(sigma), sigma)


def evenly(times: Times, n: int, sigma_min: float | None = None, sigma_max: float | None = None) -> Levels:
    """n levels evenly spaced in a network's own time, from the last one down, then clean data: where to step.

    For a network that was trained on a table of betas this is a better grid than one that knows the data's scale alone:
    at its greatest noise a network that predicts eps knows little of the data, and steps there should be short.
    At alpha = 1 as other grids, but where it begins at alpha = 0: there on the scale of the times.

    Args:
        times: of the network.
        n: how many; the last lies one step above the first time.
        sigma_min: least sigma / alpha; default: that of the times.
        sigma_max: greatest.

    Raises:
        ValueError: for n < 1, or more levels than a table has entries.

    Example:
        >>> evenly(FlowTimes(), 4)
        Levels(5 levels, sigma/alpha = inf, 3, 1, 0.3333, 0)
    """
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise ValueError(f"a grid needs a whole number n >= 1 of levels, got {n!r}.")
    low, high = times.sigma_min if sigma_min is None else sigma_min, times.sigma_max if sigma_max is None else sigma_max
    first, last = (float(times.time(Level(*_at(ratio)))) for ratio in (low, high))
    time = torch.linspace(last, first, n + 1, dtype=torch.float64)[:n]
    if isinstance(times, BetaTimes) and times.between != "interpolate":
        index = ((time - times.offset) / times.factor).round()
        if len(index.unique()) < n:
            raise ValueError(f"{n} levels of a table of {len(times)} entries; take fewer.")
        time = times.factor * index + times.offset
    alpha, sigma = (torch.as_tensor(v) for v in times.level(time))
    if bool((alpha > 0).all()):
        return given(sigma / alpha)
    return Levels(torch.cat([alpha, alpha.new_ones(1)]), torch.cat([sigma, sigma.new_zeros(1)]))


def _at(ratio: float) -> tuple[float, float]:
    """A level of this sigma / alpha."""
    return (1.0, ratio) if ratio < math.inf else (0.0, 1.0)


_KINDS: dict[str, type[Any]] = {
    "betas": BetaTimes,
    "flow": FlowTimes,
    "sigma": SigmaTimes,
    "log sigma": LogSigmaTimes,
}
"""Names of times in files."""


def times_to_json(times: Times) -> dict[str, Any]:
    """The fields of times, with their kind.

    Raises:
        ValueError: for times of another class than those here.
    """
    kind = next((name for name, known in _KINDS.items() if type(times) is known), None)
    if kind is None:
        raise ValueError(f"{type(times).__name__} has no name in files; there are the times of scorefield.times.")
    return {"kind": kind, **{name: v.tolist() if isinstance(v, Tensor) else v for name, v in vars(times).items()}}


def times_from_json(stored: object) -> Times:
    """The times that `times_to_json` wrote.

    Raises:
        ValueError: for what is none.

    Example:
        >>> times_from_json(times_to_json(FlowTimes(factor=1000.0)))
        FlowTimes(factor=1000.0, low=0.0, high=1.0)
    """
    if not isinstance(stored, Mapping) or stored.get("kind") not in _KINDS:
        raise ValueError(f"stored times are an object of kind {', '.join(_KINDS)}, got {shown(stored)}.")
    fields = {name: value for name, value in stored.items() if name != "kind"}
    try:
        if "alphas_cumprod" in fields:
            fields["alphas_cumprod"] = torch.tensor(fields["alphas_cumprod"], dtype=torch.float64)
        made: Times = _KINDS[stored["kind"]](**fields)
    except (TypeError, ValueError, RuntimeError) as fault:
        raise ValueError(f"these stored times are damaged: {reason(fault)}.") from None
    return made


def cumulative(betas: Tensor) -> Tensor:
    """`prod_{j <= i} (1 - beta_j)` of betas `(N,)` in (0, 1], the last alone being 1 at most; float64.

    Example:
        >>> cumulative(torch.tensor([0.5, 0.5, 1.0]))
        tensor([0.5000, 0.2500, 0.0000], dtype=torch.float64)
    """
    betas = torch.as_tensor(betas).detach().to("cpu", torch.float64)
    if betas.ndim != 1 or len(betas) < 2 or not bool((betas > 0).all() and (betas[:-1] < 1).all() and betas[-1] <= 1):
        raise ValueError("betas are two numbers or more in (0, 1); the last one alone may be 1 (zero terminal SNR).")
    return torch.log1p(-betas).cumsum(0).exp()


def _ratio(power: float) -> float:
    """sigma / alpha for alpha^2."""
    return math.sqrt((1 - power) / power) if power > 0 else math.inf


def _doubles(level: Level) -> tuple[Tensor, Tensor]:
    alpha, sigma = (torch.as_tensor(v, dtype=torch.float64) for v in level)
    return alpha, sigma


def _check_sigmas(low: float, high: float) -> None:
    if not 0 < low < high < math.inf:
        raise ValueError(f"a denoiser of (x, sigma) needs 0 < sigma_min < sigma_max, got {low} and {high}.")
