"""Langevin chains for a static score or an energy: unadjusted, and Metropolis-adjusted (no bias at any step).

One step is `x + step * score(x) + sqrt(2 * step) * z`. The noise of chain i at step k is a pure function of (seed,
first + i, start + k): more chains, or a run in two parts, give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real, expand, sum_rest
from scorefield.core import StaticScore
from scorefield.mcmc.diagnostics import effective_sample_size, split_r_hat
from scorefield.numerics.random import normal, uniform

__all__ = ["Chains", "EnergyFunction", "adjusted", "effective_sample_size", "split_r_hat", "unadjusted"]

EnergyFunction: TypeAlias = Callable[[Tensor], Tensor]


@dataclass(frozen=True, eq=False)
class Chains:
    """What a run of n chains left.

    Args:
        samples: `(kept, n, *shape)`: every thin-th state after burn_in.
        state: `(n, *shape)`: the last state, from which a run can go on.
        acceptance: `(n,)`: share of proposals that each chain accepted after burn_in; None for unadjusted chains, which
            reject nothing.
    """

    samples: Tensor
    state: Tensor
    acceptance: Tensor | None

    @property
    def pooled(self) -> Tensor:
        """The samples of all chains together, `(kept * n, *shape)`."""
        return self.samples.flatten(0, 1)

    @property
    def ess(self) -> Tensor:
        """`effective_sample_size` of every coordinate, `shape`."""
        return effective_sample_size(self.samples)

    @property
    def r_hat(self) -> Tensor:
        """`split_r_hat` of every coordinate, `shape`."""
        return split_r_hat(self.samples)

    def __repr__(self) -> str:
        kept, n, *shape = self.samples.shape
        accepted = "" if self.acceptance is None else f", acceptance {float(self.acceptance.mean()):.2f}"
        return f"Chains({n} chains, {kept} samples each of shape {tuple(shape)}{accepted})"


# --------------------------------------------------------------------------------------------------------- samplers


def unadjusted(
    score: StaticScore,
    x: Tensor,
    step: float | Tensor,
    steps: int,
    *,
    seed: int,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
) -> Chains:
    """Unadjusted Langevin (Roberts and Tweedie 1996): `x <- x + step * score(x) + sqrt(2 * step) * z`.

    Its stationary law is off by O(step): on N(0, s^2) the variance is `s^2 / (1 - step / (2 s^2))`.

    Args:
        score: `x -> grad log p(x)`, both `(n, *shape)`.
        x: `(n, *shape)`, where the n chains start.
        step: > 0, in squared units of x; one for all, or `(n,)`.
        steps: steps per chain, burn_in included.
        seed: of the noise.
        burn_in: steps that are not kept.
        thin: of the steps after burn_in, every thin-th is kept.
        first: index of the first chain.
        start: index of the first step, to go on from another run's `state`.

    Raises:
        ValueError: when a chain leaves the finite numbers: the step is too large.

    Example:
        >>> chains = unadjusted(lambda x: -x, torch.zeros(100, 1), step=0.1, steps=400, seed=0, burn_in=100)
        >>> chains
        Chains(100 chains, 300 samples each of shape (1,))
        >>> round(float(chains.pooled.var()), 1)  # 1 / (1 - step / 2) = 1.05
        1.1
    """
    h = _check(x, step, steps, burn_in, thin)
    x = x.detach()
    kept = []
    for k in range(steps):
        x = x + h * _field(score, x) + (2 * h).sqrt() * _noise(x, seed, first, start + k)
        if not bool(torch.isfinite(x).all()):
            _diverged(x, step, start + k)
        if k >= burn_in and (k - burn_in + 1) % thin == 0:
            kept.append(x)
    return Chains(torch.stack(kept), x, None)


def adjusted(
    energy: EnergyFunction,
    x: Tensor,
    step: float | Tensor,
    steps: int,
    *,
    seed: int,
    score: StaticScore | None = None,
    burn_in: int = 0,
    thin: int = 1,
    first: int = 0,
    start: int = 0,
) -> Chains:
    """Metropolis-adjusted Langevin (Roberts and Tweedie 1996): the density `exp(-energy)` exactly, at any step.

    A proposal is a step of `unadjusted`; it is taken with probability `min(1, p(y) q(x | y) / (p(x) q(y | x)))`. An
    acceptance near 0.57 is the most efficient in many dimensions (Roberts and Rosenthal 1998).

    Args:
        energy: `x -> -log p(x) + const`, `(n, *shape) -> (n,)`; +inf outside the support.
        x: `(n, *shape)`, where the chains start: of finite energy.
        step: as `unadjusted`.
        steps: as `unadjusted`.
        seed: as `unadjusted`.
        score: the drift of the proposals; default minus the gradient of energy. Any other field leaves the law exact.
        burn_in: as `unadjusted`.
        thin: as `unadjusted`.
        first: as `unadjusted`.
        start: as `unadjusted`.

    Raises:
        ValueError: when energy does not answer `(n,)` (a score alone cannot be adjusted), is NaN, or is not finite at
            the start.

    Example:
        >>> chains = adjusted(lambda x: x.square().sum(1) / 2, torch.zeros(100, 1), step=0.5, steps=200, seed=0)
        >>> 0.8 < float(chains.acceptance.mean()) < 1, 0.9 < float(chains.pooled.var()) < 1.1
        (True, True)
    """
    h = _check(x, step, steps, burn_in, thin)
    flat_h = h.expand(len(x), *[1] * (x.ndim - 1)).reshape(-1)
    x = x.detach()
    u, s = _energy_and_score(energy, score, x, start)
    if not bool(torch.isfinite(u).all()):
        raise ValueError(f"chain {_where(~torch.isfinite(u))} starts where the energy is not finite; start elsewhere.")
    kept, accepted = [], torch.zeros_like(u)
    for k in range(steps):
        z = _noise(x, seed, first, start + k)
        y = x + h * s + (2 * h).sqrt() * z
        v, t = _energy_and_score(energy, score, y, start + k)
        back = sum_rest((x - y - h * t) ** 2) / (4 * flat_h)
        ratio = u - v + sum_rest(z**2) / 2 - back
        threshold = uniform(len(x), (), seed, "langevin-accept", first=first, row=start + k, dtype=x.dtype)
        take = threshold.to(x.device).log() < ratio  # never where the ratio is NaN: a proposal of no density
        x, s = (torch.where(expand(take, x).bool(), new, old) for new, old in ((y, x), (t, s)))
        u = torch.where(take, v, u)
        if k >= burn_in:
            accepted += take
            if (k - burn_in + 1) % thin == 0:
                kept.append(x)
    return Chains(torch.stack(kept), x, accepted / (steps - burn_in))


# ------------------------------------------------------------------------------------------------------------ parts


def _noise(x: Tensor, seed: int, first: int, step: int) -> Tensor:
    return normal(len(x), x.shape[1:], seed, "langevin", first=first, row=step, dtype=x.dtype, device=x.device)


def _field(score: StaticScore, x: Tensor) -> Tensor:
    s = score(x).detach()
    if s.shape != x.shape:
        raise ValueError(
            f"score must answer with x's shape {tuple(x.shape)}, got {tuple(s.shape)}; for an energy use adjusted, or "
            "its gradient."
        )
    return s


def _energy_and_score(energy: EnergyFunction, score: StaticScore | None, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
    with torch.enable_grad():
        x = x.detach().requires_grad_(score is None)
        u = energy(x)
        if u.shape != x.shape[:1]:
            raise ValueError(
                f"energy must answer with one number per chain, ({len(x)},), got {tuple(u.shape)}; a score alone "
                "cannot be adjusted: give its energy, or use unadjusted."
            )
        s = _field(score, x) if score is not None else -torch.autograd.grad(u.sum(), x)[0]
    if bool(torch.isnan(u).any()):
        raise ValueError(
            f"the energy is NaN at step {step} in chain {_where(torch.isnan(u))}; it must be a number or +inf."
        )
    return u.detach(), s


def _where(bad: Tensor) -> int:
    return int(bad.nonzero()[0, 0])


def _diverged(x: Tensor, step: float | Tensor, k: int) -> None:
    chain = _where(~torch.isfinite(x.reshape(len(x), -1)).all(1))
    size = float(step.reshape(-1)[chain if step.numel() > 1 else 0]) if isinstance(step, Tensor) else step
    raise ValueError(
        f"chain {chain} left the finite numbers at step {k}: step = {size:g} is too large for this score; lower it, or "
        "use adjusted chains."
    )


def _check(x: Tensor, step: float | Tensor, steps: int, burn_in: int, thin: int) -> Tensor:
    """The step as a tensor that broadcasts against x."""
    check_batch("x", x)
    check_real("x", x)
    h = expand(step, x)
    if not bool(((h > 0) & torch.isfinite(h)).all()):
        raise ValueError(f"step must be positive and finite, got {step}; it is in squared units of x.")
    for name, value, least in (("steps", steps, 1), ("burn_in", burn_in, 0), ("thin", thin, 1)):
        _check_count(name, value, least)
    if steps - burn_in < thin:
        raise ValueError(
            f"steps = {steps} with burn_in = {burn_in} and thin = {thin} keeps no sample; take more steps."
        )
    return h


def _check_count(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}.")
