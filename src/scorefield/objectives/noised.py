"""Denoising at many noise levels: the loss of a model, its weightings, and its least possible value."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from scorefield._tensor import check_batch, sum_rest
from scorefield.analytic import Law
from scorefield.core import Level, Model, Scalar, check_level
from scorefield.levels import TrainingLevels
from scorefield.numerics.random import uniform
from scorefield.objectives.static import drawn_noise
from scorefield.schedules import Schedule

# ----------------------------------------------------------------------------------------------------- weightings


class Weighting(Protocol):
    """The coefficient of `|eps error|^2 / 2` at a noise level: a function of sigma / alpha, in float64.

    Errors of the other regressed quantities follow from `alpha * x0 error + sigma * eps error = 0`.
    """

    def __call__(self, level: Level) -> Tensor:
        """`()` or `(n,)`, as the level; alpha > 0 and sigma > 0."""
        ...


@dataclass(frozen=True)
class NCSN:
    """`sigma^2` on the squared error of the score, that is 1 on that of eps (Song and Ermon 2019; Ho and others 2020).

    Example:
        >>> NCSN()(Level(1.0, 3.0)).item()
        1.0
    """

    def __call__(self, level: Level) -> Tensor:
        return torch.ones_like(_ratio(level))


@dataclass(frozen=True)
class EDM:
    """The squared error of the unit-variance residual F, equal at every level (Karras and others 2022, table 1).

    `(alpha^2 sigma_data^2 + sigma^2) / (alpha sigma_data)^2` on that of eps.

    Args:
        sigma_data: the data's standard deviation.

    Example:
        >>> EDM()(Level(1.0, 3.0)).item()
        10.0
    """

    sigma_data: float = 1.0

    def __post_init__(self) -> None:
        _check_positive(self, "sigma_data", self.sigma_data)

    def __call__(self, level: Level) -> Tensor:
        return 1 + (_ratio(level) / self.sigma_data) ** 2


@dataclass(frozen=True)
class MinSNR:
    """`min(SNR, gamma)` on the squared error of x0, `SNR = (alpha / sigma)^2` (Hang and others 2023).

    `min(1, gamma (sigma / alpha)^2)` on that of eps.

    Args:
        gamma: > 0.

    Example:
        >>> MinSNR(gamma=5.0)(Level(1.0, 0.2)).item() < MinSNR(gamma=5.0)(Level(1.0, 2.0)).item() == 1.0
        True
    """

    gamma: float = 5.0

    def __post_init__(self) -> None:
        _check_positive(self, "gamma", self.gamma)

    def __call__(self, level: Level) -> Tensor:
        return (self.gamma * _ratio(level) ** 2).clamp(max=1)


@dataclass(frozen=True)
class Flow:
    """The squared error of the straight-line velocity `eps - x0` (Lipman and others 2023; Liu and others 2023).

    `(1 + sigma / alpha)^2` on that of eps.

    Example:
        >>> Flow()(Level(1.0, 3.0)).item()
        16.0
    """

    def __call__(self, level: Level) -> Tensor:
        return (1 + _ratio(level)) ** 2


@dataclass(frozen=True)
class Likelihood:
    """`g(t)^2` on the squared error of the score, `g(t)^2 / sigma(t)^2` on that of eps (Song and others 2021).

    With levels at uniform times of the same schedule, the mean loss bounds the Kullback-Leibler divergence per unit
    of time ('Maximum likelihood training of score-based diffusion models').

    Args:
        schedule: whose g and sigma; evaluated at its time of the same sigma / alpha.

    Raises:
        ValueError: at levels that the schedule does not pass.

    Example:
        >>> from scorefield.schedules import EDM as Time
        >>> round(Likelihood(Time())(Level(1.0, 4.0)).item(), 6)  # g^2 = 2 sigma
        0.5
    """

    schedule: Schedule

    def __call__(self, level: Level) -> Tensor:
        t = self._time(_ratio(level))
        return self.schedule.diffusion_squared(t) / torch.as_tensor(self.schedule(t).sigma) ** 2

    def _time(self, ratio: Tensor) -> Tensor:
        """The times of the given sigma / alpha, by bisection of all of them at once."""
        lo, hi = (torch.full_like(ratio, t) for t in (self.schedule.t_min, self.schedule.t_max))
        least, greatest = (torch.as_tensor(self.schedule(t).ratio) for t in (lo, hi))
        if not bool(((ratio >= least * (1 - 1e-5)) & (ratio <= greatest * (1 + 1e-5))).all()):
            raise ValueError(
                f"Likelihood({self.schedule}) got sigma / alpha from {float(ratio.min()):g} to {float(ratio.max()):g}, "
                f"which its schedule does not pass; train on UniformTime of that schedule."
            )
        for _ in range(60):
            middle = (lo + hi) / 2
            below = torch.as_tensor(self.schedule(middle).ratio) < ratio
            lo, hi = torch.where(below, middle, lo), torch.where(below, hi, middle)
        return (lo + hi) / 2


def _ratio(level: Level) -> Tensor:
    alpha, sigma = (_float64(v) for v in level)
    return sigma / alpha


def _float64(value: Scalar) -> Tensor:
    return torch.as_tensor(value, dtype=torch.float64)


def _check_positive(owner: object, name: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise ValueError(f"{type(owner).__name__}({name}=...) must be positive and finite, got {value}.")


# ------------------------------------------------------------------------------------------------------- the loss


def multilevel(
    model: Model,
    x: Tensor,
    training_levels: TrainingLevels,
    weighting: Weighting | None = None,
    seed: int | torch.Generator | None = None,
    condition: Tensor | None = None,
    *,
    noise: Tensor | None = None,
    u: Tensor | None = None,
    stratified: bool = False,
) -> Tensor:
    """`weighting(level) |model(alpha x + sigma eps, level).eps - eps|^2 / 2`, a level and a noise for every sample.

    The error is taken from both members of the pair, `|eps error|^2 = alpha^2 / (alpha^2 + sigma^2) (|x0 error|^2 +
    |eps error|^2)`, so that it keeps its digits at both ends. Squares are summed over coordinates.

    Args:
        model: any model; what its network regresses does not change the loss.
        x: samples of the data, `(n, *shape)`.
        training_levels: u in (0, 1) `(n,)` to levels: their density.
        weighting: default: EDM's, with the model's sigma_data if it has one, else 1.
        seed: an int (the draw of sample i is then a pure function of seed and i) or a torch.Generator.
        condition: passed to the model.
        noise: eps itself, `(n, *shape)`, in place of a drawn one.
        u: uniform numbers `(n,)`, in place of drawn ones.
        stratified: spread u evenly over the batch, from one random offset (Kingma and others 2021): each is still
            uniform, their mean varies less.

    Returns:
        One loss per sample, `(n,)`.

    Raises:
        TypeError: without a seed, unless noise and u are given.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> from scorefield.levels import LogNormal
        >>> law = Gaussian(torch.zeros(2), torch.eye(2))
        >>> multilevel(law, law.sample(3, seed=0), LogNormal(), seed=1).shape
        torch.Size([3])
    """
    check_batch("x", x)
    eps = drawn_noise(noise, x, seed, "multilevel noise")
    level = training_levels(_drawn_levels(x, seed, stratified) if u is None else u)
    if not x.is_cuda:  # where it would wait for the device at every step
        check_level(level)
    estimate = model(level.noised(x, eps), level, condition)
    error = sum_rest((estimate.x0 - x).square()) + sum_rest((estimate.eps - eps).square())
    weighting = EDM(float(getattr(model, "sigma_data", 1.0))) if weighting is None else weighting
    alpha, sigma = (_float64(v) for v in level)
    share = alpha**2 / (alpha**2 + sigma**2)
    return (weighting(level) * share).to(error) * error / 2


def _drawn_levels(x: Tensor, seed: int | torch.Generator | None, stratified: bool) -> Tensor:
    n = 1 if stratified else len(x)
    if isinstance(seed, torch.Generator):
        u = torch.rand(n, generator=seed, dtype=x.dtype, device=x.device)
    elif seed is None:
        raise TypeError(
            "noise levels are drawn here, so a seed is required: give seed=0 (an int) or a torch.Generator."
        )
    else:
        u = uniform(n, (), seed, "multilevel levels", dtype=x.dtype, device=x.device)
    if stratified:
        u = (u + torch.arange(len(x), dtype=x.dtype, device=x.device) / len(x)) % 1
    edge = torch.finfo(x.dtype).eps / 2
    return u.clamp(edge, 1 - edge)


# ------------------------------------------------------------------------------------------------------ its floor


class Floor(NamedTuple):
    """The least possible mean loss of any model.

    Args:
        value: averaged over samples of the law.
        standard_error: of that average.
    """

    value: float
    standard_error: float


def denoising_floor(law: Law, sigma: float, n: int = 4096, seed: int = 0) -> Floor:
    """`E|eps - E[eps|x]|^2 / (2 sigma^2)`: what the true noised score still loses under `denoising`.

    The inner expectation, given x, is exact; the outer one is over n samples.

    Args:
        law: an exact model.
        sigma: > 0.
        n: samples, >= 2.
        seed: of the samples.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> denoising_floor(Gaussian(torch.zeros(1), torch.eye(1)), sigma=1.0)
        Floor(value=0.25, standard_error=0.0)
    """
    level = Level(1.0, float(sigma))
    return multilevel_floor(law, level, lambda at: _float64(at.sigma) ** -2, n, seed)


def multilevel_floor(law: Law, level: Level, weighting: Weighting, n: int = 4096, seed: int = 0) -> Floor:
    """`weighting(level) E|eps - E[eps|x]|^2 / 2`: what the exact model still loses under `multilevel` at one level.

    Args:
        law: an exact model.
        level: one level, 0-d, sigma > 0.
        weighting: as in training.
        n: samples, >= 2.
        seed: of the samples.
    """
    if n < 2:
        raise ValueError(f"a floor with a standard error needs n >= 2 samples, got {n}.")
    each = law.noise_variance(law.sample(n, seed, level), level).double()
    scale = float(weighting(level)) / 2
    return Floor(scale * float(each.mean()), scale * float(each.std()) / math.sqrt(n))
