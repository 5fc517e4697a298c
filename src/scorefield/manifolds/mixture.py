"""Mixtures of heat kernels: the laws on a manifold whose noised density, score and samples are known exactly."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.manifolds.manifold import Manifold
from scorefield.numerics.random import normal, uniform

_ROUNDING = 1e-12
_AT_ONCE = 1 << 14  # pairs of a point and a centre, each with the nodes of an integral


@dataclass(frozen=True, eq=False)
class HeatMixture:
    """`sum_k w_k p(x | c_k; sigma_k)`, p the heat kernel: what Gaussian mixtures are in flat space.

    Noise leaves it such a mixture: each `sigma_k^2` grows by `sigma^2`. Calling it gives the score, so that it stands
    wherever a trained score does.

    Args:
        manifold: where it lies.
        weights: `(K,)`, positive; made to sum to 1.
        centres: `(K, *shape)`, points of the manifold; samples have their dtype.
        sigmas: `(K,)`, positive.

    Raises:
        ValueError: for shapes that do not fit, weights or sigmas that are not positive, or centres off the manifold.

    Example:
        >>> from scorefield.manifolds import Torus
        >>> law = HeatMixture(Torus(1), torch.ones(2), torch.tensor([[0.0], [2.0]]), torch.tensor([0.3, 0.3]))
        >>> law(torch.tensor([[1.0]]), 0.5).abs().round(decimals=4).tolist()  # between the two, but for the way around
        [[0.0]]
    """

    manifold: Manifold
    weights: Tensor
    centres: Tensor
    sigmas: Tensor

    def __post_init__(self) -> None:
        self.manifold.check(self.centres)
        count = (len(self.centres),)
        if self.weights.shape != count or self.sigmas.shape != count:
            raise ValueError(
                f"HeatMixture needs weights and sigmas {count} for {count[0]} centres, got {tuple(self.weights.shape)} "
                f"and {tuple(self.sigmas.shape)}."
            )
        for name, value in (("weights", self.weights), ("sigmas", self.sigmas)):
            if not bool(((value > 0) & value.isfinite()).all()):
                raise ValueError(f"the {name} of a HeatMixture must be positive and finite, got {value.tolist()}.")
        weights = self.weights.double()
        if abs(float(weights.sum()) - 1) > _ROUNDING:  # what was made to sum to 1 before stays as it is
            weights = weights / weights.sum()
        object.__setattr__(self, "weights", weights)
        object.__setattr__(self, "sigmas", self.sigmas.double())

    def __repr__(self) -> str:
        return f"HeatMixture({len(self.weights)} components on {self.manifold})"

    def __call__(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """The score of the law noised by sigma: the Riemannian gradient of `log_density`, `(n, *shape)`."""
        return torch.cat([self._score(part, s) for part, s in self._parts(x, sigma)])

    def log_density(self, x: Tensor, sigma: float | Tensor = 0.0) -> Tensor:
        """`log p(x)` of the law noised by sigma, a number or `(n,)`, in nats per unit of volume, `(n,)`."""
        return torch.cat([self._log_joint(part, s).logsumexp(1) for part, s in self._parts(x, sigma)])

    def sample(self, n: int, seed: int, sigma: float | Tensor = 0.0, *, first: int = 0) -> Tensor:
        """n samples of the law noised by sigma; sample i is a pure function of (seed, first + i)."""
        device = self.centres.device
        u = uniform(n, (), seed, "heat mixture component", first=first, dtype=torch.float64, device=device)
        k = torch.searchsorted(self.weights.cumsum(0), u).clamp(max=len(self.weights) - 1)
        z = normal(n, self.manifold.shape, seed, "heat mixture noise", first=first, dtype=torch.float64, device=device)
        level = (self.sigmas[k].square() + torch.as_tensor(sigma, dtype=torch.float64) ** 2).sqrt()
        return self.manifold.diffuse(self.centres[k].double(), z, level).to(self.centres.dtype)

    def _parts(self, x: Tensor, sigma: float | Tensor) -> list[tuple[Tensor, Tensor]]:
        level = torch.as_tensor(sigma, dtype=torch.float64, device=x.device).expand(len(x))
        size = max(1, _AT_ONCE // len(self.weights))
        return list(zip(x.split(size), level.split(size), strict=True))

    def _pairs(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Points, centres and noise levels of all pairs, `(n K, ...)`."""
        count = len(self.weights)
        level = (self.sigmas.square() + sigma[:, None].square()).sqrt()
        centres = self.centres.to(x)[None].expand(len(x), *self.centres.shape)
        return x.repeat_interleave(count, 0), centres.flatten(0, 1), level.flatten()

    def _log_joint(self, x: Tensor, sigma: Tensor) -> Tensor:
        log_p = self.manifold.log_heat(*self._pairs(x, sigma)).reshape(len(x), -1)
        return log_p + self.weights.log().to(x)

    def _score(self, x: Tensor, sigma: Tensor) -> Tensor:
        log_p, scores = self.manifold.heat(*self._pairs(x, sigma))
        log_p = log_p.reshape(len(x), -1) + self.weights.log().to(x)
        scores = scores.reshape(len(x), len(self.weights), *self.manifold.shape)
        share = log_p.softmax(1).reshape(*log_p.shape, *[1] * len(self.manifold.shape))
        return (share * scores).sum(1)


def from_von_mises_fisher(manifold: Manifold, weights: Tensor, directions: Tensor, mean_lengths: Tensor) -> HeatMixture:
    """The mixture of heat kernels on a sphere whose components have given mean vectors.

    The mean vector of a heat kernel has the length `exp(-d sigma^2 / 2)`.

    Args:
        manifold: a sphere of dimension d.
        weights: `(K,)`.
        directions: of the mean vectors, `(K, d + 1)`.
        mean_lengths: of the mean vectors, in (0, 1), `(K,)`.
    """
    return HeatMixture(manifold, weights, directions, (-2 * mean_lengths.double().log() / manifold.dim).sqrt())
