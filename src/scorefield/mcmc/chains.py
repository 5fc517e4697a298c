"""What a run of Markov chains leaves, and how an energy and a score are asked and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from scorefield._tensor import check_batch, check_real, expand
from scorefield.core import StaticScore
from scorefield.mcmc.diagnostics import effective_sample_size, split_r_hat
from scorefield.mcmc.exchange import inference_data
from scorefield.mcmc.metric import Metric

EnergyFunction: TypeAlias = Callable[[Tensor], Tensor]
"""`x -> -log p(x) + const`, `(n, *shape) -> (n,)`; +inf outside of the support."""


@dataclass(frozen=True, eq=False)
class Chains:
    """What a run of n chains left.

    Args:
        samples: `(kept, n, *shape)`: every thin-th state after burn_in.
        state: `(n, *shape)`: the last state, from which a run can go on.
        acceptance: `(n,)`: share of proposals that each chain accepted after burn_in; None for unadjusted chains, which
            reject nothing.
        momentum: `(n, *shape)`: with the last state, of chains that have one, in the metric's coordinates.
        step: `(n,)`: of each chain after burn_in, where it may have been adapted.
        metric: the covariance that scaled the moves after burn_in.
    """

    samples: Tensor
    state: Tensor
    acceptance: Tensor | None
    momentum: Tensor | None = None
    step: Tensor | None = None
    metric: Metric | None = None

    @property
    def pooled(self) -> Tensor:
        """The samples of all chains together, `(kept * n, *shape)`."""
        return self.samples.flatten(0, 1)

    @property
    def covariance(self) -> Tensor:
        """The covariance of the pooled samples, `(d, d)`: to precondition another run with."""
        x = self.pooled.detach().flatten(1)
        return torch.cov(x.T).reshape(x.shape[1], x.shape[1])

    @property
    def ess(self) -> Tensor:
        """`effective_sample_size` of every coordinate, `shape`."""
        return effective_sample_size(self.samples)

    @property
    def r_hat(self) -> Tensor:
        """`split_r_hat` of every coordinate, `shape`."""
        return split_r_hat(self.samples)

    def to_arviz(self, names: Sequence[str] | None = None) -> Any:
        """The samples as ArviZ's InferenceData (from its version 1 on, a DataTree), for its summaries and plots.

        Args:
            names: of the coordinates, for samples of shape `(d,)`, each of which is a variable then; default: one
                variable `x`.

        Raises:
            ValueError: where arviz is not installed, or names do not fit.
        """
        return inference_data(self.samples, names, self.acceptance)

    def __repr__(self) -> str:
        kept, n, *shape = self.samples.shape
        accepted = "" if self.acceptance is None else f", acceptance {float(self.acceptance.mean()):.2f}"
        return f"Chains({n} chains, {kept} samples each of shape {tuple(shape)}{accepted})"


class Count(NamedTuple):
    """How many steps are made, and which are kept.

    Args:
        steps: of each chain, burn_in included.
        burn_in: that are not kept.
        thin: of the others every thin-th is kept.
        first: index of the first chain.
        start: index of the first step.
    """

    steps: int
    burn_in: int
    thin: int
    first: int
    start: int

    def keeps(self, k: int) -> bool:
        """Whether the state after step k (from 0) is kept."""
        return k >= self.burn_in and (k - self.burn_in + 1) % self.thin == 0

    def check(self) -> None:
        """Raise unless something is kept."""
        for name, value, least in (("steps", self.steps, 1), ("burn_in", self.burn_in, 0), ("thin", self.thin, 1)):
            check_whole(name, value, least)
        if self.steps - self.burn_in < self.thin:
            raise ValueError(
                f"steps = {self.steps} with burn_in = {self.burn_in} and thin = {self.thin} keeps no sample; take more "
                "steps."
            )


# ----------------------------------------------------------------------------------------------------------- answers


def field(score: StaticScore, x: Tensor) -> Tensor:
    """A score's answer, of x's shape."""
    s = score(x).detach()
    if s.shape != x.shape:
        raise ValueError(
            f"score must answer with x's shape {tuple(x.shape)}, got {tuple(s.shape)}; for an energy use adjusted, or "
            "its gradient."
        )
    return s


def slope(u: Tensor, x: Tensor) -> Tensor:
    """Minus the gradient of energies u `(n,)` in x."""
    if not u.requires_grad:
        raise ValueError(
            "the energy's answer does not depend on x in a way that can be differentiated; compute it with torch from "
            "x itself (no .detach(), no NumPy), or give score=."
        )
    return -torch.autograd.grad(u.sum(), x)[0]


def energy_and_score(energy: EnergyFunction, score: StaticScore | None, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """The energy `(n,)` at x and the score: the given one, or minus the energy's gradient.

    Raises:
        ValueError: for an energy that is not one number per chain, or NaN or -inf in one; for one that cannot be
            differentiated; for a gradient that is NaN where the energy is finite.
    """
    with torch.enable_grad():
        x = x.detach().requires_grad_(score is None)
        u = energy(x)
        if not isinstance(u, Tensor) or u.shape != x.shape[:1]:
            got = tuple(u.shape) if isinstance(u, Tensor) else type(u).__name__
            raise ValueError(
                f"energy must answer with one number per chain, ({len(x)},), got {got}; a score alone cannot be "
                "adjusted: give its energy, or use unadjusted."
            )
        s = field(score, x) if score is not None else slope(u, x)
    u = u.detach()
    wrong = torch.isnan(u) | (u == -torch.inf)
    if bool(wrong.any()):
        chain = first_of(wrong)
        value = "NaN" if bool(torch.isnan(u[chain])) else "-inf"
        raise ValueError(f"the energy is {value} at step {step} in chain {chain}; it must be a number or +inf.")
    lost = torch.isfinite(u) & torch.isnan(s.reshape(len(s), -1)).any(1)
    if bool(lost.any()):
        raise ValueError(
            f"the score is NaN at step {step} in chain {first_of(lost)}, where the energy is finite; see to its "
            "derivative there."
        )
    return u, s


def start_of(energy: EnergyFunction, score: StaticScore | None, x: Tensor, step: int) -> tuple[Tensor, Tensor]:
    """Energy and score where chains start: of finite energy."""
    u, s = energy_and_score(energy, score, x, step)
    if not bool(torch.isfinite(u).all()):
        raise ValueError(
            f"chain {first_of(~torch.isfinite(u))} starts where the energy is not finite; start elsewhere."
        )
    return u, s


# ------------------------------------------------------------------------------------------------------------ checks


def first_of(bad: Tensor) -> int:
    """The index of the first that is true."""
    return int(bad.nonzero()[0, 0])


def check_start(x: Tensor, step: float | Tensor, unit: str = "squared units of x") -> Tensor:
    """The step of each chain, `(n,)`; unit: what it is in, for the message."""
    check_batch("x", x)
    check_real("x", x)
    if not len(x):
        raise ValueError("x has no chain: its first dimension counts them.")
    if not x[0].numel():
        raise ValueError(f"x has no coordinate: its shape is {tuple(x.shape)}.")
    h = expand(step, x)
    if not bool(((h > 0) & torch.isfinite(h)).all()):
        raise ValueError(f"step must be positive and finite, got {step}; it is in {unit}.")
    return h.reshape(-1).expand(len(x))


def check_whole(name: str, value: object, least: int) -> None:
    """Raise unless a value is an integer from least on."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ValueError(f"{name} must be an integer >= {least}, got {value!r}.")
