"""A network whose answer is a tangent field for every noise level: the score of noised data on a manifold."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scorefield._tensor import expand
from scorefield.manifolds.manifold import Manifold, noise_level
from scorefield.manifolds.mixture import HeatMixture
from scorefield.nets import ResidualMLP


class TangentScore(nn.Module):
    """`score(x, sigma) = base(x, sigma) + c(sigma) * tangent part of network(features of x, log sigma)`.

    `c^2 = e / (exp(e sigma^2) - 1)`, e the manifold's `eigenvalue`: 1 / sigma for small noise, and for large noise as
    the score itself, which fades; so the network's answer is of order 1 at every level. Its features are the
    coordinates of `Manifold.embed` with sines and cosines of multiples of them. It is 0 before training: what is
    learned is what base, if there is one, misses.

    Args:
        manifold: of the points.
        base: a law whose noised score is known, such as a fitted mixture; None: uniform, whose score is 0.
        frequencies: multiples of the coordinates that enter; more of them for finer structure.
        width: of the hidden layers.
        depth: number of residual blocks.
        seed: of the initialisation.

    Example:
        >>> from scorefield.manifolds import Sphere
        >>> score = TangentScore(Sphere(2), width=16, depth=1)
        >>> score(torch.tensor([[0.0, 0.0, 1.0]]), 0.5).abs().sum().item()
        0.0
    """

    def __init__(
        self,
        manifold: Manifold,
        base: HeatMixture | None = None,
        frequencies: tuple[float, ...] = (2.0, 4.0, 8.0),
        width: int = 128,
        depth: int = 3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if base is not None and base.manifold != manifold:
            raise ValueError(f"base is a law on {base.manifold}, the score one on {manifold}; give both the same.")
        self.manifold, self.base, self.frequencies = manifold, base, frequencies
        self.network = ResidualMLP(manifold.embedded * (1 + 2 * len(frequencies)), width, depth, seed=seed)

    def forward(self, x: Tensor, sigma: float | Tensor) -> Tensor:
        """The score `(n, *shape)` at points x `(n, *shape)` for sigma 0-d or `(n,)`, in x's dtype."""
        level = noise_level(sigma, x)
        scale = expand(output_scale(self.manifold, level).to(x), x)
        learned = scale * self.raw(x, level)
        return learned if self.base is None else learned + self.base(x, level)

    def raw(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The network's tangent field of order 1, `(n, *shape)`, without base and scale."""
        place = self.manifold.embed(x)
        waves = [f(k * place) for k in self.frequencies for f in (torch.sin, torch.cos)]
        seen = torch.cat([place, *waves], 1).to(next(self.network.parameters()).dtype)
        answer = self.network(seen, sigma.log().to(seen))[:, : self.manifold.embedded]
        return self.manifold.tangent(x, answer.to(x.dtype))


def output_scale(manifold: Manifold, sigma: Tensor) -> Tensor:
    """c of `TangentScore`: about the root mean square, per dimension, of the score of a heat kernel."""
    e = manifold.eigenvalue
    return (e / torch.expm1(e * sigma.double().square())).sqrt()
