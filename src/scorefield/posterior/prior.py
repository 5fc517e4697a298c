"""What is known of the parameters before any observation: a law that can be drawn from, and its support."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

from scorefield._files import shown
from scorefield.numerics.random import normal, uniform
from scorefield.posterior.coordinates import Coordinates

_DRAWS = 4096  # by which a law of torch.distributions is standardised


Numbers: TypeAlias = float | Sequence[float] | Tensor
"""A number for all parameters, or one for each."""


@dataclass(frozen=True, eq=False)
class Prior:
    """A law of parameters `(d,)`.

    Made by `box`, `gaussian`, `log_normal`, `of` (any law of torch.distributions) or `from_samples`.

    Args:
        coordinates: in which the parameters have no edges.
        draw: `(n, seed) -> (n, d)`; None: only its draws in the simulations are known.
        density: `theta (n, d) -> (n,)`, log-density in nats on the support; None: not known.
        covariance: `(d, d)` where the law is `N(0, covariance)` in the coordinates; None: it is not, or not known.
        made: by which function and with which arguments, JSON-able, so that a file can hold it; None: it cannot.
    """

    coordinates: Coordinates
    draw: Callable[[int, int], Tensor] | None = None
    density: Callable[[Tensor], Tensor] | None = None
    covariance: Tensor | None = None
    made: Mapping[str, Any] | None = None

    @property
    def dim(self) -> int:
        """d."""
        return self.coordinates.dim

    def sample(self, n: int, seed: int = 0) -> Tensor:
        """n draws `(n, d)`, float64.

        Raises:
            ValueError: for a prior of which only draws are known.
        """
        if self.draw is None:
            raise ValueError(
                "only draws of this prior are known; to draw anew, give its law: prior=posterior.box(low, high), a "
                "distribution of torch.distributions, ..."
            )
        return self.draw(n, seed).double()

    def log_density(self, theta: Tensor) -> Tensor:
        """In nats, `(n,)`, at theta `(n, d)`; -inf outside the support.

        Raises:
            ValueError: for a prior of which only draws are known.
        """
        density = self._known_density()
        inside = self.coordinates.inside(theta)
        value = theta.new_full((len(theta),), -torch.inf, dtype=torch.float64)
        if bool(inside.any()):
            value[inside] = density(theta[inside].double()).double()
        return value

    def log_density_inward(self, u: Tensor) -> Tensor:
        """Of the coordinates u `(n, d)`, `(n,)`; differentiable."""
        if self.covariance is not None:
            law = torch.distributions.MultivariateNormal(torch.zeros(self.dim).double(), self.covariance)
            return law.log_prob(u)
        theta = self.coordinates.outward(u)
        return self._known_density()(theta) - self.coordinates.log_slope(theta)

    def _known_density(self) -> Callable[[Tensor], Tensor]:
        if self.density is None:
            raise ValueError("the density of this prior is not known; give its law, such as posterior.box(low, high).")
        return self.density


def box(low: Numbers, high: Numbers) -> Prior:
    """Uniform between edges, each a number or `(d,)`.

    Example:
        >>> box([0.0, -1.0], [1.0, 1.0]).log_density(torch.tensor([[0.5, 0.0], [2.0, 0.0]])).exp().tolist()
        [0.5, 0.0]
    """
    lower, upper = torch.broadcast_tensors(_vector("low", low), _vector("high", high))
    if not bool(torch.isfinite(torch.stack([lower, upper])).all()):
        raise ValueError("a uniform prior needs finite edges; give finite low and high.")
    coordinates = Coordinates.of(lower, upper)
    level = -float((upper - lower).log().sum())
    return Prior(
        coordinates,
        lambda n, seed: lower + (upper - lower) * uniform(n, (len(lower),), seed, "prior", dtype=torch.float64),
        lambda theta: torch.full((len(theta),), level, dtype=torch.float64) + 0 * theta.sum(1),
        torch.eye(len(lower), dtype=torch.float64),
        {"law": "box", "low": lower.tolist(), "high": upper.tolist()},
    )


def gaussian(mean: Numbers, covariance: object) -> Prior:
    """Normal with a mean `(d,)` and a covariance: a variance for all, `(d,)` variances or `(d, d)`."""
    centre, spread = _vector("mean", mean), torch.as_tensor(covariance, dtype=torch.float64)
    spread = spread if spread.ndim == 2 else torch.diag(spread.expand(len(centre)).clone())
    law = torch.distributions.MultivariateNormal(centre, spread)
    scale = spread.diagonal().sqrt()
    infinite = torch.full_like(centre, torch.inf)
    return Prior(
        Coordinates.of(-infinite, infinite, centre, scale),
        lambda n, seed: centre + normal(n, (len(centre),), seed, "prior", dtype=torch.float64) @ law.scale_tril.T,
        law.log_prob,
        spread / (scale[:, None] * scale),
        {"law": "gaussian", "mean": centre.tolist(), "covariance": spread.tolist()},
    )


def log_normal(mean: Numbers, deviation: Numbers) -> Prior:
    """Independent log-normal parameters: mean and standard deviation of their logarithms, numbers or `(d,)`."""
    centre, spread = torch.broadcast_tensors(_vector("mean", mean), _vector("deviation", deviation))
    law = torch.distributions.Independent(torch.distributions.LogNormal(centre, spread), 1)
    zero = torch.zeros_like(centre)
    return Prior(
        Coordinates.of(zero, zero + torch.inf, centre, spread),
        lambda n, seed: (centre + spread * normal(n, (len(centre),), seed, "prior", dtype=torch.float64)).exp(),
        law.log_prob,
        torch.eye(len(centre), dtype=torch.float64),
        {"law": "log_normal", "mean": centre.tolist(), "deviation": spread.tolist()},
    )


def of(law: Distribution) -> Prior:
    """The prior of any law of torch.distributions over vectors; an independent one of numbers is taken as a vector.

    Uniform, normal and log-normal laws keep what is exact of them; others are standardised on their draws.

    Raises:
        ValueError: for laws of other shapes, discrete ones, or a support that is no box.
    """
    if not law.event_shape and len(law.batch_shape) == 1:
        law = torch.distributions.Independent(law, 1)
    if len(law.event_shape) != 1 or law.batch_shape:
        raise ValueError(
            f"a prior is a law of vectors (d,), got one of shape {tuple(law.event_shape)} in a batch of "
            f"{tuple(law.batch_shape)}; wrap it: torch.distributions.Independent(law, 1)."
        )
    known = _known(law)
    if known is not None:
        return known
    low, high = _support(law)
    coordinates = Coordinates.measured(_drawn(law, _DRAWS, 0), low, high)
    return Prior(coordinates, lambda n, seed: _drawn(law, n, seed), lambda theta: _density(law, theta))


def from_samples(theta: Tensor, low: object = None, high: object = None) -> Prior:
    """A prior of which only draws `(n, d)` are known, perhaps with edges: numbers, `(d,)`, inf for none."""
    infinite = torch.full((theta.shape[1],), torch.inf, dtype=torch.float64)
    lower = -infinite if low is None else _vector("low", low).expand(len(infinite))
    upper = infinite if high is None else _vector("high", high).expand(len(infinite))
    outside = ~((theta.double() >= lower) & (theta.double() <= upper)).all(1)
    if bool(outside.any()):
        row = int(outside.nonzero()[0, 0])
        raise ValueError(f"the parameters of row {row} lie outside the prior's edges: {theta[row].tolist()}.")
    return Prior(Coordinates.measured(theta, lower, upper))


def prior_from_json(value: object) -> Prior:
    """The prior that `Prior.made` describes.

    Raises:
        ValueError: for anything else.

    Example:
        >>> prior_from_json({"law": "box", "low": [0.0], "high": [2.0]}).dim
        1
    """
    made = dict(value) if isinstance(value, dict) else {}
    law = made.pop("law", None)
    makers: dict[object, Callable[..., Prior]] = {"box": box, "gaussian": gaussian, "log_normal": log_normal}
    if law not in makers:
        raise ValueError(
            f"a stored prior is one of {', '.join(map(str, makers))} with its numbers, got {shown(value)}."
        )
    try:
        return makers[law](**made)
    except (TypeError, RuntimeError) as why:
        raise ValueError(f"a stored {law} prior does not fit together: {why}") from None


def as_prior(prior: Prior | Distribution | None, theta: Tensor | None = None) -> Prior:
    """The prior that a user gave: a `Prior`, a law of torch.distributions, or None: that of the simulations."""
    if isinstance(prior, Prior):
        return prior
    if isinstance(prior, Distribution):
        return of(prior)
    if prior is None and theta is not None:
        return from_samples(theta)
    raise ValueError(f"a prior is a Prior or a law of torch.distributions, got {type(prior).__name__}.")


# ---------------------------------------------------------------------------------------------------- torch's laws


def _known(law: Distribution) -> Prior | None:
    """Laws of which the coordinates are normal."""
    if isinstance(law, torch.distributions.MultivariateNormal):
        return gaussian(law.loc, law.covariance_matrix)
    inner = law.base_dist if isinstance(law, torch.distributions.Independent) else None
    if isinstance(inner, torch.distributions.Uniform):
        return box(inner.low, inner.high)
    if isinstance(inner, torch.distributions.Normal):
        return gaussian(inner.loc, inner.scale.double().square())
    if isinstance(inner, torch.distributions.LogNormal):
        return log_normal(inner.loc, inner.scale)
    return None


def _support(law: Distribution) -> tuple[Tensor, Tensor]:
    """The box that a law lives in."""
    d = law.event_shape[0]
    support = law.support
    while isinstance(support, constraints.independent):
        support = support.base_constraint
    infinite = torch.full((d,), torch.inf, dtype=torch.float64)
    low, high = (getattr(support, name, None) for name in ("lower_bound", "upper_bound"))
    if support in (constraints.real, constraints.real_vector):
        return -infinite, infinite
    if (low is None and high is None) or getattr(support, "is_discrete", False):
        raise ValueError(
            f"the support of this prior ({support}) is no box; give it in parameters that vary freely, or "
            "posterior.from_samples(...)."
        )
    return (
        -infinite if low is None else _vector("low", low).expand(d),
        infinite if high is None else _vector("high", high).expand(d),
    )


def _drawn(law: Distribution, n: int, seed: int) -> Tensor:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # noqa: TID251 (the laws of torch draw from its global generator, kept here)
        return law.sample((n,)).double()


def _density(law: Distribution, theta: Tensor) -> Tensor:
    """In the law's own precision, which its parameters have."""
    dtype = next((v.dtype for v in vars(law).values() if isinstance(v, Tensor)), torch.get_default_dtype())
    return law.log_prob(theta.to(dtype)).double()


def _vector(name: str, value: object) -> Tensor:
    v = torch.atleast_1d(torch.as_tensor(value, dtype=torch.float64)).detach()
    if v.ndim != 1:
        raise ValueError(f"{name} is a number or a vector (d,), got the shape {tuple(v.shape)}.")
    return v
