"""From a network to a model: what the network regresses (targets), the 2x2 solve, energies, static views."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
from torch import Tensor, nn

from scorefield._tensor import check_batch, expand, is_traced
from scorefield.core import Estimate, Level, Model, Scalar, StaticScore, check_level

# -------------------------------------------------------------------------------------------------------- targets

Number = TypeVar("Number", float, Tensor)


@dataclass(frozen=True)
class Target:
    """What a network regresses: `raw = a * x0 + b * eps`, with a and b functions of the level.

    With `alpha * x0 + sigma * eps = x` this is a 2x2 system for the estimate, solved in x's dtype.

    Args:
        name: for display.
        coefficients: `(alpha, sigma, sigma_data) -> (a, b)`, for numbers and tensors alike.
    """

    name: str
    coefficients: Callable[[Scalar, Scalar, float], tuple[Scalar, Scalar]]

    def __repr__(self) -> str:
        return f"Target({self.name})"

    def raw(self, x0: Tensor, eps: Tensor, level: Level, sigma_data: float = 1.0) -> Tensor:
        """The regression target of a network: its raw output for this pair."""
        a, b = self.coefficients(*level.like(x0), sigma_data)
        return a * x0 + b * eps

    def solve(self, x: Tensor, raw: Tensor, level: Level, sigma_data: float = 1.0) -> Estimate:
        """The estimate from x and the network's answer `(n, *shape)` at a level of numbers, 0-d or `(n,)` tensors."""
        alpha, sigma = (v if isinstance(v, float) else expand(v, x) for v in level)
        a, b = self.coefficients(alpha, sigma, sigma_data)
        determinant = alpha * b - sigma * a
        data, noise = (b / determinant, -sigma / determinant), (-a / determinant, alpha / determinant)
        return Estimate(*(_sum(x, raw, *weights) for weights in (data, noise)))


def _sum(x: Tensor, y: Tensor, a: Scalar, b: Scalar) -> Tensor:
    """`a * x + b * y`; where a and b are numbers in one new tensor, as `a * (x + b / a * y)`."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return a * x + b * y
    return torch.add(x, y, alpha=b / a).mul_(a) if abs(a) > abs(b) else torch.add(y, x, alpha=a / b).mul_(b)


def _edm(alpha: Scalar, sigma: Scalar, sigma_data: float) -> tuple[Scalar, Scalar]:
    r = (alpha * alpha * sigma_data**2 + sigma * sigma) ** 0.5
    return sigma / (sigma_data * r), -alpha * sigma_data / r


def _angle(alpha: Scalar, sigma: Scalar, _: float) -> tuple[Scalar, Scalar]:
    r = (alpha * alpha + sigma * sigma) ** 0.5
    return -sigma / r, alpha / r


DATA = Target("x0", lambda alpha, sigma, sd: (1.0, 0.0 * sigma))
"""The clean data. Singular at sigma = 0."""
NOISE = Target("eps", lambda alpha, sigma, sd: (0.0 * sigma, 1.0))
"""The noise (Ho and others 2020). Singular at alpha = 0."""
SCORE = Target("score", lambda alpha, sigma, sd: (0.0 * sigma, -alpha / sigma))
"""The score of `x / alpha`, `-eps alpha / sigma` (Song and Ermon 2019, alpha = 1): a function of sigma / alpha alone,
as all that a network sees. Singular at alpha = 0, and unbounded at sigma = 0."""
FLOW = Target("flow", lambda alpha, sigma, sd: (-1.0, 1.0))
"""The straight-line velocity `eps - x0` (Liu and others 2023). Regular at both ends."""
ANGLE = Target("angle", _angle)
"""The angle velocity `cos * eps - sin * x0` (Salimans and Ho 2022), for any alpha and sigma. Regular at both ends."""
EDM_F = Target("F", _edm)
"""The residual of Karras and others (2022) in units of its standard deviation: `(sigma x0 / sd - alpha sd eps) / r`
with `r^2 = alpha^2 sd^2 + sigma^2`. Unit variance at every level, regular at both ends; the default."""

TARGETS: tuple[Target, ...] = (DATA, NOISE, SCORE, FLOW, ANGLE, EDM_F)

# -------------------------------------------------------------------------------------------------------- networks


class Denoiser(nn.Module):
    """A network, what it regresses, and the range of noise that it was trained for: a model.

    The network sees `x / sqrt(alpha^2 sigma_data^2 + sigma^2)`, of unit variance, and `log(sigma / alpha)`; it depends
    on no schedule. It runs in its own dtype; its answer is cast to x's, where the 2x2 solve is done.

    Args:
        network: `(x, level_feature, condition) -> raw`, all of x's shape.
        target: what raw means; default EDM's F.
        sigma_data: the data's standard deviation (over all coordinates), measured, > 0.
        sigma_min: least `sigma / alpha` that the network was trained for, > 0.
        sigma_max: greatest.

    Example:
        >>> from scorefield.nets import ResidualMLP
        >>> model = Denoiser(ResidualMLP(2))
        >>> model(torch.zeros(5, 2), Level(1.0, 0.5)).x0.shape
        torch.Size([5, 2])
    """

    def __init__(
        self,
        network: nn.Module,
        target: Target = EDM_F,
        *,
        sigma_data: float = 1.0,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
    ) -> None:
        super().__init__()
        if not (math.isfinite(sigma_data) and sigma_data > 0):
            raise ValueError(f"sigma_data must be positive and finite, got {sigma_data}; measure it on the data.")
        if not 0 < sigma_min < sigma_max < math.inf:
            raise ValueError(f"a Denoiser needs 0 < sigma_min < sigma_max, got {sigma_min} and {sigma_max}.")
        self.network = network
        self.target = target
        self.sigma_data = float(sigma_data)
        self.sigma_min = float(sigma_min)
        self.sigma_max = float(sigma_max)

    def forward(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The estimate at x `(n, *shape)`.

        Raises:
            ValueError: outside `sigma_min <= sigma / alpha <= sigma_max` (not checked in training mode, nor inside
                function transforms and compiled code, where levels have no value yet).
        """
        check_batch("x", x)
        level = plain(level)
        self._check_range(level)
        raw = self.raw(x, level, condition)
        return self.target.solve(x, raw, level, self.sigma_data)

    @property
    def classes(self) -> int:
        """How many classes the network is conditional on; the number itself stands for 'no class'."""
        return _classes(self.network)

    def raw(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Tensor:
        """The raw output of the network, in x's dtype: an estimate of `target.raw(x0, eps, level, sigma_data)`."""
        # levels per sample in x's dtype or better, so that a float64 x keeps its digits
        level = Level(*(v.to(torch.promote_types(v.dtype, x.dtype)) if isinstance(v, Tensor) else v for v in level))
        alpha, sigma = level
        r = (alpha * alpha * self.sigma_data**2 + sigma * sigma) ** 0.5
        scaled = x * (1.0 / r if isinstance(r, float) else expand(1.0 / r, x))
        first = next(self.network.parameters(), x)
        feature = level.log_ratio.to(device=x.device, dtype=first.dtype)
        return self.network(scaled.to(first.dtype), feature, condition).to(x.dtype)

    def extra_repr(self) -> str:
        return (
            f"target={self.target.name}, sigma_data={self.sigma_data:g}, "
            f"sigma_min={self.sigma_min:g}, sigma_max={self.sigma_max:g}"
        )

    def _check_range(self, level: Level) -> None:
        if self.training or is_traced(level.alpha) or is_traced(level.sigma):
            return
        check_level(level)
        ratio = level.ratio
        low, high = (ratio, ratio) if isinstance(ratio, float) else (float(ratio.min()), float(ratio.max()))
        if not (low >= self.sigma_min * (1 - 1e-5) and high <= self.sigma_max * (1 + 1e-5)):
            raise ValueError(
                f"this network was trained for sigma / alpha from {self.sigma_min:g} to {self.sigma_max:g}, "
                f"got {low:g} to {high:g}; choose levels inside its range."
            )


def _classes(network: object) -> int:
    config: dict[str, int] = getattr(network, "config", {})
    return int(config.get("classes", 0))


class PotentialGradient(nn.Module):
    """The gradient in x of a scalar network, as a network: the field it answers with is a gradient by construction.

    Args:
        potential: `(x, level_feature, condition) -> (n,)`.
    """

    def __init__(self, potential: nn.Module) -> None:
        super().__init__()
        self.potential = potential

    def forward(self, x: Tensor, level_feature: Tensor, condition: Tensor | None = None) -> Tensor:
        return torch.func.grad(lambda z: self.potential(z, level_feature, condition).sum())(x)


class Energy(nn.Module):
    """An energy at every noise level: a model whose score is exactly `-grad energy`.

    `energy(x, level) = |x|^2 / (2 r^2) - (alpha sigma_data / sigma) psi(x / r, log(sigma / alpha))` with
    `r^2 = alpha^2 sigma_data^2 + sigma^2`: the energy of Gaussian data plus what the scalar network psi learns. Its
    gradient is EDM's parametrisation of the score with `F = grad psi`, so it trains as any denoiser does.

    Args:
        potential: psi, `(x, level_feature, condition) -> (n,)`.
        sigma_data: as `Denoiser`.
        sigma_min: as `Denoiser`.
        sigma_max: as `Denoiser`.
    """

    def __init__(
        self, potential: nn.Module, *, sigma_data: float = 1.0, sigma_min: float = 0.002, sigma_max: float = 80.0
    ) -> None:
        super().__init__()
        self.denoiser = Denoiser(
            PotentialGradient(potential), sigma_data=sigma_data, sigma_min=sigma_min, sigma_max=sigma_max
        )

    @property
    def potential(self) -> nn.Module:
        """psi, as given."""
        return cast(PotentialGradient, self.denoiser.network).potential

    @property
    def sigma_data(self) -> float:
        """As given."""
        return self.denoiser.sigma_data

    @property
    def sigma_min(self) -> float:
        """As given."""
        return self.denoiser.sigma_min

    @property
    def sigma_max(self) -> float:
        """As given."""
        return self.denoiser.sigma_max

    @property
    def classes(self) -> int:
        """As `Denoiser.classes`."""
        return _classes(self.potential)

    def forward(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The estimate at x `(n, *shape)`; `score = -grad energy`."""
        return self.denoiser(x, level, condition)

    def energy(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Tensor:
        """`-log p(x)` up to a constant of the level, `(n,)`."""
        check_level(level)
        potential = self.potential
        alpha, sigma = (expand(v, x) for v in level)
        r = (alpha * alpha * self.sigma_data**2 + sigma * sigma) ** 0.5
        first = next(self.denoiser.network.parameters(), x)
        feature = level.log_ratio.to(device=x.device, dtype=first.dtype)
        learned = potential((x / r).to(first.dtype), feature, condition).to(x.dtype)
        quadratic = ((x / r) ** 2).reshape(len(x), -1).sum(1) / 2
        return quadratic - (alpha * self.sigma_data / sigma).reshape(-1) * learned


class StaticNetwork(nn.Module):
    """A network as a static score `x -> score`: its level feature is 0. For implicit and sliced matching.

    Args:
        network: `(x, level_feature, condition) -> raw`.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x, torch.zeros((), dtype=x.dtype, device=x.device), None)


# ----------------------------------------------------------------------------------------------------- static views


def at(model: Model, level: Level, condition: Tensor | None = None) -> StaticScore:
    """The static score of a model at one noise level: `x -> -eps / sigma`, the score of the noised density.

    Raises:
        ValueError: for sigma = 0, where the score is not a view of the estimate.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> score = at(Gaussian(torch.zeros(1), torch.eye(1)), Level(1.0, 1.0))
        >>> float(score(torch.tensor([[1.0]])))
        -0.5
    """
    level = plain(level)
    check_level(level)
    if not (is_traced(level.sigma) or bool((torch.as_tensor(level.sigma) > 0).all())):
        raise ValueError("the score at sigma = 0 does not follow from a model's estimate; use sigma > 0.")

    def score(x: Tensor) -> Tensor:
        return model(x, level, condition).score(level)

    return score


def from_energy(energy: Callable[[Tensor], Tensor]) -> StaticScore:
    """The static score `-grad energy` of any differentiable energy `(n, *shape) -> (n,)`, differentiable again.

    Example:
        >>> score = from_energy(lambda x: (x**2).sum(1) / 2)
        >>> score(torch.tensor([[3.0]])).tolist()
        [[-3.0]]
    """

    def score(x: Tensor) -> Tensor:
        return -torch.func.grad(lambda z: energy(z).sum())(x)

    return score


def plain(level: Level) -> Level:
    """0-d levels as Python numbers, which cost nothing to compute with; per-sample levels as they are."""
    return Level(*(_number(v) for v in level))


def _number(value: Scalar) -> Scalar:
    if isinstance(value, Tensor):
        return value if value.ndim or value.requires_grad or is_traced(value) else float(value)
    return float(value)
