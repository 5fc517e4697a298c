"""Data to latent and back, between two records, and partial noising: plans over rising levels and over tails.

The probability flow carries data to noise as well as noise to data. A latent is the state that it reaches at
`Level(1, sigma_max)`, where all data together are nearly `N(mean, sigma_max^2)`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield._tensor import check_batch
from scorefield.core import Levels, Model
from scorefield.levels import given
from scorefield.plans import FLOW, Plan, default, run, unipc

_POWER, _CENTRE = 0.5, 0.6
"""Of the grid: least error of round trips, for exact mixtures and a network trained on digits, of those tried."""

Build = Callable[[Levels], Plan]
"""From a grid of levels, falling or rising, to a deterministic plan over it."""


@dataclass(frozen=True)
class Route:
    """Between data and latent: the same levels, to be gone up or down.

    Args:
        evaluations: of the model, each way, >= 1.
        sigma_min: `sigma / alpha` of the lower end; data are taken as the state there. None: the model's, else 0.002
            standard deviations.
        sigma_max: of the upper end, where the latent is. None: the model's, else 80 standard deviations.
        scale: the data's standard deviation. None: the model's `sigma_data`, else from its `covariance`, else 1.
        build: grid -> plan, one evaluation a step; None: predictor and corrector on straight lines, order 5.

    Example:
        >>> Route(evaluations=50).up(lambda x, level, condition=None: None)
        Plan(unipc4(flow): 50 evaluations, order 5, sigma/alpha from 0.002 to 80, deterministic)
    """

    evaluations: int = 100
    sigma_min: float | None = None
    sigma_max: float | None = None
    scale: float | None = None
    build: Build | None = None

    def __post_init__(self) -> None:
        if isinstance(self.evaluations, bool) or not isinstance(self.evaluations, int) or self.evaluations < 1:
            raise ValueError(f"Route(evaluations=...) must be a whole number >= 1, got {self.evaluations!r}.")

    def down(self, model: Model) -> Plan:
        """The plan from latent to data; it ends at sigma_min, where `up` begins."""
        return self._plan(model, self.levels(model))

    def up(self, model: Model) -> Plan:
        """The plan from data to latent, built again over the rising levels."""
        return self._plan(model, self.levels(model).rising())

    def levels(self, model: Model) -> Levels:
        """From sigma_max to sigma_min, evenly spaced in `1 / (1 + (0.6 scale / sigma)**0.5)`, both ends included."""
        low, high, scale = self._range(model)
        centre = _CENTRE * scale
        top, least = (1 / (1 + (centre / sigma) ** _POWER) for sigma in (high, low))
        place = torch.linspace(top, least, self.evaluations + 1, dtype=torch.float64)
        sigma = centre * (place / (1 - place)) ** (1 / _POWER)
        sigma[0], sigma[-1] = high, low
        return given(sigma, end=False)

    def _plan(self, model: Model, lv: Levels) -> Plan:
        plan = unipc(lv, 4, FLOW, self._range(model)[2]) if self.build is None else self.build(lv)
        if plan.stochastic:
            raise ValueError(f"{plan.name!r} adds noise, a latent needs a deterministic plan; build it with eta = 0.")
        return plan

    def _range(self, model: Model) -> tuple[float, float, float]:
        """sigma_min, sigma_max and scale, from the model where not given."""
        scale = _scale(model) if self.scale is None else self.scale
        low = getattr(model, "sigma_min", 0.002 * scale) if self.sigma_min is None else self.sigma_min
        high = getattr(model, "sigma_max", 80.0 * scale) if self.sigma_max is None else self.sigma_max
        if not (0 < low < high < math.inf and 0 < scale < math.inf):
            raise ValueError(
                f"a route needs 0 < sigma_min < sigma_max and scale > 0, got {low:g}, {high:g} and {scale:g}."
            )
        return low, high, scale


def invert(
    model: Model,
    x0: Tensor,
    route: Route | None = None,
    *,
    refinements: int = 0,
    condition: Tensor | None = None,
    seed: int | None = None,
    first: int = 0,
) -> Tensor:
    """Data to latent along the probability flow (Song, Meng, Ermon 2021; Song and others 2021).

    x0 is taken as the state at sigma_min; a seed adds the noise that belongs there. With exact steps `regenerate`
    brings that state back; the discretisation leaves a difference of the plan's order.

    Args:
        model: any.
        x0: `(n, *shape)`.
        route: default: `Route()`, 100 evaluations.
        refinements: how often to mend x0 by what `regenerate` misses, `y <- y + x0 - regenerate(invert(y))`: each
            takes two more routes and divides that difference by about its inverse, down to rounding.
        condition: handed to the model.
        seed: of noise of sigma_min, without which data on a grid (grey levels), which have no density, get latents
            nearer to 0 than normal ones; None: no noise, and `regenerate` brings back x0 itself.
        first: index of the first sample, for that noise.

    Returns:
        The state at `Level(1, sigma_max)`, `(n, *shape)`.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(1, dtype=torch.float64), torch.eye(1))
        >>> z = invert(law, torch.tensor([[1.0]], dtype=torch.float64))
        >>> round(z.item() / 80.0, 3)
        1.0
    """
    check_batch("x0", x0)
    if isinstance(refinements, bool) or not isinstance(refinements, int) or refinements < 0:
        raise ValueError(f"invert(refinements=...) must be a whole number >= 0, got {refinements!r}.")
    route = route or Route()
    up = route.up(model)
    if seed is not None:
        x0 = up.start_from(x0, seed, first=first)
    target = x0
    for _ in range(refinements):
        back = regenerate(model, run(up, model, target, condition=condition), route, condition=condition)
        target = target + (x0 - back)
    return run(up, model, target, condition=condition)


def regenerate(model: Model, latent: Tensor, route: Route | None = None, *, condition: Tensor | None = None) -> Tensor:
    """Latent to data along the probability flow; with another condition than in `invert`, an edit.

    Args:
        model: any.
        latent: `(n, *shape)`, the state at `Level(1, sigma_max)`.
        route: as in `invert`.
        condition: handed to the model.

    Returns:
        The state at sigma_min, `(n, *shape)`: where `invert` begins.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(1, dtype=torch.float64), torch.eye(1))
        >>> x0 = torch.tensor([[1.0]], dtype=torch.float64)
        >>> bool((regenerate(law, invert(law, x0)) - x0).abs() < 1e-6)
        True
    """
    check_batch("latent", latent)
    return run((route or Route()).down(model), model, latent, condition=condition)


def interpolate(
    model: Model, a: Tensor, b: Tensor, weights: Tensor, route: Route | None = None, *, condition: Tensor | None = None
) -> Tensor:
    """From a to b through latents between theirs: `regenerate(between(invert(a), invert(b), weight))`.

    Args:
        model: any.
        a: `(n, *shape)`.
        b: `(n, *shape)`.
        weights: `(m,)`, 0 for a, 1 for b.
        route: as in `invert`.
        condition: handed to the model, `(n, ...)`; for other conditions at the ends use `invert`, `between` and
            `regenerate` themselves.

    Returns:
        `(m, n, *shape)`.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(2), torch.eye(2))
        >>> interpolate(law, torch.ones(1, 2), -torch.ones(1, 2), torch.linspace(0, 1, 5), Route(20)).shape
        torch.Size([5, 1, 2])
    """
    check_batch("a", a)
    if a.shape != b.shape:
        raise ValueError(f"interpolate needs a and b of one shape, got {tuple(a.shape)} and {tuple(b.shape)}.")
    one, two = (invert(model, x, route, condition=condition) for x in (a, b))
    mean = _mean(model, one)
    latents = between(one - mean, two - mean, weights) + mean
    return torch.stack([regenerate(model, z, route, condition=condition) for z in latents])


def between(a: Tensor, b: Tensor, weights: Tensor) -> Tensor:
    """Spherical interpolation (Shoemake 1985) of each sample's direction, linear in its norm.

    `sin((1 - w) angle) / sin(angle) * a / |a| + sin(w angle) / sin(angle) * b / |b|`: points between two draws of
    N(0, I) keep the norm that draws have, which straight lines lose by up to a factor sqrt(2).

    Args:
        a: `(n, *shape)`.
        b: `(n, *shape)`.
        weights: `(m,)`, 0 for a, 1 for b.

    Returns:
        `(m, n, *shape)`. Where a and b are parallel (in one dimension always) the line between them.
    """
    weights = torch.as_tensor(weights, dtype=a.dtype, device=a.device).reshape(-1, *[1] * a.ndim)
    rest = tuple(range(1, a.ndim))
    norm_a, norm_b = (torch.linalg.vector_norm(x, dim=rest, keepdim=True) for x in (a, b))
    one, two = a / torch.where(norm_a > 0, norm_a, 1.0), b / torch.where(norm_b > 0, norm_b, 1.0)
    sine_half = torch.linalg.vector_norm(one - two, dim=rest, keepdim=True)
    cosine_half = torch.linalg.vector_norm(one + two, dim=rest, keepdim=True)
    angle = 2 * torch.atan2(sine_half, cosine_half)  # exact for small angles, where the cosine is not
    sine = torch.sin(angle)
    parallel = sine < 1e-4
    share, other = (torch.sin(w * angle) / torch.where(parallel, 1.0, sine) for w in (1 - weights, weights))
    return torch.where(
        parallel, torch.lerp(a, b, weights), (share * one + other * two) * torch.lerp(norm_a, norm_b, weights)
    )


def partial_noise(
    model: Model,
    x0: Tensor,
    sigma: float,
    *,
    evaluations: int = 30,
    build: Build | None = None,
    sigma_min: float | None = None,
    scale: float | None = None,
    seed: int = 0,
    first: int = 0,
    condition: Tensor | None = None,
) -> Tensor:
    """Noise data to a level and come back through a plan over the tail of levels (SDEdit: Meng and others 2022).

    What is larger than the noise stays, what is finer is drawn anew. Where x0 is from the data's law, so is the answer.

    Args:
        model: any.
        x0: `(n, *shape)`: data, or a sketch of them.
        sigma: `sigma / alpha` to noise to; above it nothing of x0 is left, below sigma_min nothing is changed.
        evaluations: of the model.
        build: grid -> plan, stochastic or not, one evaluation a step, over `plans.default`'s levels; None:
            `plans.default`.
        sigma_min: least level at which the model is evaluated. None: the model's, else 0.002 standard deviations.
        scale: the data's standard deviation. None: from the model, as in `Route`.
        seed: of the noise; sample i depends on (seed, first + i) alone.
        first: index of the first sample.
        condition: handed to the model.

    Returns:
        New data `(n, *shape)`: the last step goes to noise level 0 by returning the estimate of x0.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(2), torch.eye(2))
        >>> partial_noise(law, torch.ones(3, 2), sigma=0.5, seed=1).shape
        torch.Size([3, 2])
    """
    low, high, scale = Route(evaluations, sigma_min, None, scale)._range(model)
    if not low < sigma <= high * (1 + 1e-9):
        raise ValueError(
            f"partial_noise(sigma=...) must be above {low:g} and at most {high:g} here, got {sigma:g}; choose a level "
            f"in the model's range."
        )
    plan = default(evaluations, scale, low, sigma, x0[0].numel())
    if build is not None:
        plan = build(plan.levels)
    start = plan.start_from(x0, seed, first=first)
    return run(plan, model, start, seed=seed, first=first, condition=condition)


def _scale(model: Model) -> float:
    """The data's standard deviation, from the model's attributes, else 1."""
    std = getattr(model, "sigma_data", None)
    if std is None:
        covariance = getattr(model, "covariance", None)
        std = 1.0 if covariance is None else math.sqrt(float(covariance.diagonal().mean()))
    return float(std)


def _mean(model: Model, like: Tensor) -> Tensor:
    """The data's mean where the model has it, else 0."""
    mean = getattr(model, "mean", None)
    return torch.zeros_like(like[:1]) if mean is None else torch.as_tensor(mean).to(like).reshape(1, *like.shape[1:])
