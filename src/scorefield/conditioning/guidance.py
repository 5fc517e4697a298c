"""Models made from two models: `base + scale * (model - base)`. A guided model is a model."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from scorefield._tensor import expand
from scorefield.core import Estimate, Level, Model
from scorefield.denoiser import Denoiser, Energy, plain
from scorefield.plans import Plan


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A model whose condition is fixed: called without one, and any other is ignored.

    Args:
        model: any.
        condition: for every sample: a number (a class), or a tensor of one sample's condition `shape`, which is
            repeated over the batch; None: no condition.
    """

    model: Model
    condition: int | float | Tensor | None = None

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The model's estimate at x `(n, *shape)` under the fixed condition."""
        if self.condition is None:
            return self.model(x, level, None)
        one = torch.as_tensor(self.condition, device=x.device)
        return self.model(x, level, one.expand(len(x), *one.shape))

    def __getattr__(self, name: str) -> Any:
        return _forwarded(name, self.__dict__.get("model"))


@dataclass(frozen=True, eq=False)
class Guided:
    """`base + scale * (model - base)` of two models' estimates, in the interval of noise; outside it, `model`.

    The weights sum to 1, so that `alpha * x0 + sigma * eps = x` holds, and the same formula holds for x0, eps and the
    score. Two calls where both are needed, one where a single model answers (scale 0 or 1, outside the interval): a
    batch of both halves would double the memory, and change the last digits of either.

    Args:
        model: the stronger one.
        base: the weaker one, which the difference is taken from.
        scale: 1 is `model`, 0 is `base`, more goes beyond `model`.
        interval: least and greatest `sigma / alpha` at which the scale holds; None: everywhere.
        needs_condition: whether a call without a condition is an error.

    Raises:
        ValueError: for a scale that is not finite, or an interval that is none.
    """

    model: Model
    base: Model
    scale: float
    interval: tuple[float, float] | None = None
    needs_condition: bool = field(default=False, repr=False)

    def __post_init__(self) -> None:
        if not math.isfinite(self.scale):
            raise ValueError(f"a guidance scale must be finite, got {self.scale}; 1 means no guidance.")
        if self.interval is not None and not 0 <= self.interval[0] < self.interval[1]:
            raise ValueError(
                f"interval must be (low, high) with 0 <= low < high, in sigma / alpha, got {self.interval}."
            )

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The guided estimate at x `(n, *shape)`, for a level 0-d or `(n,)`.

        Raises:
            ValueError: without a condition, where the guidance is towards one.
        """
        if self.needs_condition and condition is None:
            raise ValueError(
                "guidance towards a condition needs one, got None; give condition=..., or fix it by "
                "guidance.conditioned(guided, condition)."
            )
        weight = self._weight(plain(level))
        if isinstance(weight, Tensor):
            shares = expand(weight, x)
            pairs = zip(self.base(x, level, condition), self.model(x, level, condition), strict=True)
            return Estimate(*(torch.lerp(one, two, shares.expand_as(one)) for one, two in pairs))
        if weight == 1:
            return self.model(x, level, condition)
        if weight == 0:
            return self.base(x, level, condition)
        pairs = zip(self.base(x, level, condition), self.model(x, level, condition), strict=True)
        return Estimate(*(torch.lerp(one, two, weight) for one, two in pairs))

    def evaluations(self, plan: Plan) -> int:
        """How many network evaluations a plan costs with this model: two a row where both models are evaluated."""
        return sum(1 if self._weight(plain(level)) in (0, 1) else 2 for level in list(plan.levels)[:-1])

    def _weight(self, level: Level) -> float | Tensor:
        """The scale at a level: a number, or one per sample `(n,)`."""
        if self.interval is None or self.scale == 1:
            return self.scale
        low, high = self.interval
        ratio = level.ratio
        if isinstance(ratio, Tensor):
            return torch.where((ratio >= low) & (ratio <= high), self.scale, 1.0)
        return self.scale if low <= ratio <= high else 1.0

    @property
    def sigma_min(self) -> float:
        """Least `sigma / alpha` at which both models answer; of one of them where the other has none."""
        return max(_all("sigma_min", self.model, self.base))

    @property
    def sigma_max(self) -> float:
        """Greatest `sigma / alpha` at which both models answer; of one of them where the other has none."""
        return min(_all("sigma_max", self.model, self.base))

    def __getattr__(self, name: str) -> Any:
        return _forwarded(name, self.__dict__.get("model"))


_FORWARDED = ("sigma_min", "sigma_max", "sigma_data", "mean", "covariance", "classes")
"""Attributes of the inner model that a wrapper passes on: its range of noise and its data's moments."""


def _forwarded(name: str, model: object) -> Any:
    if name in _FORWARDED and hasattr(model, name):
        return getattr(model, name)
    raise AttributeError(f"this model has no {name!r}", name=name)


def _all(name: str, *models: Model) -> list[float]:
    found = [float(getattr(m, name)) for m in models if hasattr(m, name)]
    if not found:
        raise AttributeError(f"these models have no {name!r}", name=name)
    return found


def classifier_free(
    model: Model,
    scale: float,
    *,
    interval: tuple[float, float] | None = None,
    null: int | float | Tensor | None = None,
) -> Guided:
    """Classifier-free guidance: `unconditional + scale * (conditional - unconditional)` (Ho and Salimans 2021).

    The score is that of `p(x) p(condition | x)^scale`, noised separately at each level: exact where the model is. Two
    calls of the model per evaluation, one where scale is 0 or 1 or the level is outside the interval, where the
    conditional model answers alone (Kynkaanniemi and others 2024).

    Args:
        model: conditional, and trained with conditions left out at times.
        scale: 1 is the conditional model bit for bit, 0 the unconditional one; customary are 1.5 to 4.
        interval: least and greatest `sigma / alpha` at which guidance acts; None: everywhere.
        null: the condition that means none: a class, or one sample's condition, repeated over the batch; default:
            condition=None, which every network of scorefield takes for none (as it does class K of K classes).

    Raises:
        ValueError: for a network that takes no condition.

    Example:
        >>> from scorefield import Denoiser
        >>> from scorefield.nets import ResidualMLP
        >>> guided = classifier_free(Denoiser(ResidualMLP(2, width=8, depth=1, classes=10)), 2.0)
        >>> guided(torch.zeros(3, 2), Level(1.0, 0.5), torch.tensor([7, 7, 3])).x0.shape
        torch.Size([3, 2])
    """
    if not _takes_condition(model):
        raise ValueError(
            "classifier_free needs a conditional model, this network takes no condition; train it with classes or "
            "condition_dim, or use guidance.autoguidance."
        )
    return Guided(model, Conditioned(model, null), float(scale), interval, needs_condition=True)


def autoguidance(model: Model, weaker: Model, scale: float, interval: tuple[float, float] | None = None) -> Guided:
    """Guidance away from a weaker model of the same data: `weaker + scale * (model - weaker)` (Karras and others 2024).

    The weaker one is smaller or trained more briefly; both get the same condition, if any.

    Args:
        model: the better one.
        weaker: of the same data, in the same coordinates.
        scale: 1 is `model` bit for bit, 0 is `weaker`.
        interval: as `classifier_free`.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> model, weaker = (Gaussian(torch.zeros(1), v * torch.eye(1)) for v in (1.0, 2.0))
        >>> guided = autoguidance(model, weaker, 2.0)
        >>> guided(torch.ones(1, 1), Level(1.0, 1.0)).score(Level(1.0, 1.0)).item()  # -1/2 - (1/2 - 1/3)
        -0.666...
    """
    return Guided(model, weaker, float(scale), interval)


def conditioned(model: Model, condition: int | float | Tensor | None) -> Conditioned:
    """A model with its condition fixed, for what calls models without one: calibration, log-density, checks.

    Args:
        model: any conditional one; guided ones too.
        condition: a class, one sample's condition, or None for none.

    Example:
        >>> from scorefield import Denoiser
        >>> from scorefield.nets import ResidualMLP
        >>> seven = conditioned(Denoiser(ResidualMLP(2, width=8, depth=1, classes=10)), 7)
        >>> seven(torch.zeros(3, 2), Level(1.0, 0.5)).x0.shape
        torch.Size([3, 2])
    """
    return Conditioned(model, condition)


def _takes_condition(model: object) -> bool:
    """False only for a network whose configuration has none; other models decide for themselves."""
    if not isinstance(model, Denoiser | Energy):
        return True
    network: nn.Module = model.potential if isinstance(model, Energy) else model.network
    config: dict[str, Any] | None = getattr(network, "config", None)
    return config is None or bool(config.get("classes") or config.get("condition_dim"))
