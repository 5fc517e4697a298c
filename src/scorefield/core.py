"""The vocabulary: a noise level, a grid of them, the estimate of a score model at a noisy point, and checks of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias, runtime_checkable

import torch
from torch import Tensor

from scorefield._tensor import check_real, expand, is_traced

Scalar: TypeAlias = float | Tensor

_CHECKED_ROWS = 64
"""Samples of a batch whose estimates are checked: a model that contradicts itself does so in all of them."""
_INCONSISTENCY = 1e-4
"""Greatest `|alpha x0 + sigma eps - x|` over the size of its terms: about a thousand roundings of float32, so that a
network may run in float32 whatever the dtype of x."""


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
    """The estimate of a score model at x: the posterior means of data and noise, `alpha * x0 + sigma * eps = x`.

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
        """The grid in the opposite order, without levels of sigma = 0 (the score is not defined there): inversion."""
        keep = self.sigma > 0
        return Levels(self.alpha[keep].flip(0), self.sigma[keep].flip(0))


# ------------------------------------------------------------------------------------------------------------- checks


def check_level(level: Level) -> None:
    """Raise unless alpha and sigma are finite, >= 0 and never both 0.

    For public entries: a `Level` crosses `torch.func`, where its numbers cannot be read, so it cannot check itself.

    Raises:
        ValueError: with the level that came. Levels inside function transforms and compiled code pass.

    Example:
        >>> check_level(Level(1.0, -1.0))
        Traceback (most recent call last):
        ...
        ValueError: a noise level needs alpha >= 0 and sigma >= 0, finite and not both 0, got alpha = 1, sigma = -1.
    """
    if is_traced(level[0]) or is_traced(level[1]):
        return
    (a, b), (s, t) = ends = [_ends(v) for v in level]
    valid = a >= 0 and s >= 0 and b < math.inf and t < math.inf
    if valid and (a > 0 or s > 0 or not bool(((torch.as_tensor(level[0]) == 0) & (level[1] == 0)).any())):
        return
    alpha, sigma = (f"{low:g}" if low == high or low != low else f"{low:g} to {high:g}" for low, high in ends)
    raise ValueError(
        f"a noise level needs alpha >= 0 and sigma >= 0, finite and not both 0, got alpha = {alpha}, sigma = {sigma}."
    )


def _ends(value: Scalar) -> tuple[float, float]:
    """Least and greatest number; NaN where any is."""
    if isinstance(value, Tensor) and value.ndim:
        if not value.numel():
            return 1.0, 1.0
        low, high = value.detach().aminmax()
        return float(low), float(high)
    number = float(value)
    return number, number


def check_form(model: object, x: Tensor, estimate: object) -> None:
    """Raise unless a model's answer at x is an `Estimate` of x's shape and dtype.

    Raises:
        TypeError: naming the model.
    """
    if not isinstance(estimate, Estimate):
        raise TypeError(
            f"a model must answer with an Estimate(x0, eps), {name_of(model)} gives {type(estimate).__name__}."
        )
    for name, value in zip(estimate._fields, estimate, strict=True):
        if value.shape != x.shape or value.dtype != x.dtype:
            raise TypeError(
                f"a model's {name} must have x's shape and dtype, {tuple(x.shape)} and {x.dtype}, {name_of(model)} "
                f"gives {tuple(value.shape)} and {value.dtype}."
            )


def check_estimate(model: object, x: Tensor, level: Level, estimate: Estimate) -> None:
    """Raise unless a model's answer at x is finite with `alpha * x0 + sigma * eps = x`; called once or twice a run.

    The defect is the greatest `|alpha x0 + sigma eps - x|` of a sample over the greatest
    `|alpha x0| + |sigma eps| + |x|`. Rounding explains 1e-4, or eight roundings where x, the model's parameters or the
    autocast in force are of half precision. The first 64 samples are looked at.

    Args:
        model: for the error's text.
        x: `(n, *shape)`.
        level: 0-d or `(n,)`.
        estimate: the model's answer at x.

    Raises:
        TypeError: when the answer is no `Estimate` of x's shape and dtype.
        ValueError: when it is not finite or contradicts x, naming the model and the size of the defect. Values inside
            function transforms and compiled code pass.

    Example:
        >>> x = torch.ones(1, 2)
        >>> check_estimate("mine", x, Level(1.0, 1.0), Estimate(x, -x))
        Traceback (most recent call last):
        ...
        ValueError: the model mine contradicts itself at alpha = 1, sigma = 1: alpha * x0 + sigma * eps misses x by ...
    """
    check_form(model, x, estimate)
    if not x.numel() or any(is_traced(v) for v in (x, *estimate, *level)):
        return
    first = slice(_CHECKED_ROWS)
    dtype = torch.promote_types(x.dtype, torch.float32)
    y, x0, eps = (v.detach()[first].to(dtype) for v in (x, *estimate))
    at = Level(*(v[first] if isinstance(v, Tensor) and v.ndim else v for v in level)).like(y)
    signal, noise = at.alpha * x0, at.sigma * eps
    size = (y.abs() + signal.abs() + noise.abs()).flatten(1).amax(1).clamp(min=torch.finfo(dtype).tiny)
    defects = (signal + noise - y).abs().flatten(1).amax(1) / size
    defect = float(defects.max())
    bound = max(_INCONSISTENCY, 8 * _coarsest_rounding(model, x))
    if defect <= bound:
        return
    alpha, sigma = (float(torch.as_tensor(v).expand_as(y).flatten(1)[defects.argmax(), 0]) for v in at)
    where = f"alpha = {alpha:g}, sigma = {sigma:g}"
    check_real("x", y)
    for name, value in zip(estimate._fields, (x0, eps), strict=True):
        if not bool(torch.isfinite(value).all()):
            raise ValueError(f"the model {name_of(model)} gives an {name} with NaN or infinite values at {where}.")
    raise ValueError(
        f"the model {name_of(model)} contradicts itself at {where}: alpha * x0 + sigma * eps misses x by "
        f"{defect:.2g} of the size of the terms, expected at most {bound:.1g}; x0 and eps must be the posterior means "
        "of data and noise at this level, solved for in x's dtype."
    )


def check_model(model: Model, x: Tensor, level: Level, condition: Tensor | None = None) -> None:
    """Evaluate a model at up to 64 of the points x `(n, *shape)` and raise as `check_estimate` does.

    For entries that evaluate a model only inside function transforms.
    """
    if len(x):
        first = slice(_CHECKED_ROWS)
        given = condition[first] if condition is not None and condition.ndim else condition
        check_estimate(model, x[first], level, model(x[first], level, given))


def name_of(model: object) -> str:
    """What to call a model in an error: its class or function, and the model inside it."""
    if isinstance(model, str):
        return model
    name = str(getattr(model, "__qualname__", type(model).__name__))
    inner = getattr(model, "model", None)
    return f"{name} of {name_of(inner)}" if callable(inner) else name


def _coarsest_rounding(model: object, x: Tensor) -> float:
    """The largest relative rounding error among the dtypes in play."""
    dtypes = {x.dtype}
    if isinstance(model, torch.nn.Module):
        dtypes |= {p.dtype for p in model.parameters() if p.is_floating_point()}
    if torch.is_autocast_enabled(x.device.type):
        dtypes.add(torch.get_autocast_dtype(x.device.type))
    return max(torch.finfo(dtype).eps for dtype in dtypes)
