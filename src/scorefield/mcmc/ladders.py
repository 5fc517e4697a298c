"""Laws between one that is easy and the target, `base^(1 - power) target^power`, and a chain's step at each of them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from scorefield._tensor import expand
from scorefield.mcmc.chains import EnergyFunction, check_whole, first_of


@dataclass(frozen=True, eq=False)
class Ladder:
    """Powers of the target, rising to 1, and the leapfrog's step at each.

    Args:
        powers: `(K,)`, K >= 2, float64; the first is 0 where the base is a law.
        steps: `(K,)`, > 0.
        barrier: `(K,)`, the communication barrier up to each rung (Syed and others 2022), where it was measured: the
            sum of the shares of exchanges refused. Twice the last of it is a good number of rungs.
    """

    powers: Tensor
    steps: Tensor
    barrier: Tensor | None = None

    def __post_init__(self) -> None:
        powers, steps = (torch.as_tensor(v).detach().double().cpu() for v in (self.powers, self.steps))
        if powers.ndim != 1 or len(powers) < 2 or steps.shape != powers.shape:
            raise ValueError(
                f"Ladder needs powers (K,), K >= 2, and as many steps, got {tuple(powers.shape)} and "
                f"{tuple(steps.shape)}."
            )
        if not (float(powers[0]) >= 0 and bool((powers.diff() > 0).all()) and float(powers[-1]) == 1):
            raise ValueError(f"powers must rise from at least 0 to 1, got {[round(v, 6) for v in powers.tolist()]}.")
        if not bool(((steps > 0) & torch.isfinite(steps)).all()):
            rung = first_of(~((steps > 0) & torch.isfinite(steps)))
            raise ValueError(f"steps must be positive and finite, got {float(steps[rung])} at rung {rung}.")
        object.__setattr__(self, "powers", powers)
        object.__setattr__(self, "steps", steps)

    def __len__(self) -> int:
        return len(self.powers)

    def __repr__(self) -> str:
        told = "" if self.barrier is None else f", barrier {float(self.barrier[-1]):.2f}"
        return f"Ladder({len(self)} rungs from {float(self.powers[0]):.3g}{told})"


def ladder(rungs: int, step: float, *, lowest: float = 0.0, curve: float = 3.0) -> Ladder:
    """`lowest + (1 - lowest) (k / (rungs - 1))^curve`, one step for all: most rungs lie near the base.

    Args:
        rungs: >= 2.
        step: of the leapfrog, at each.
        lowest: power, 0 <= lowest < 1.
        curve: >= 1; 1 spaces the rungs evenly.

    Example:
        >>> ladder(3, 0.5, curve=1).powers.tolist()
        [0.0, 0.5, 1.0]
    """
    check_whole("rungs", rungs, 2)
    if not 0 <= lowest < 1 or not 1 <= curve < math.inf:
        raise ValueError(f"ladder needs 0 <= lowest < 1 and curve >= 1, got {lowest} and {curve}.")
    share = torch.linspace(0, 1, rungs, dtype=torch.float64) ** curve
    powers = lowest + (1 - lowest) * share
    powers[-1] = 1
    return Ladder(powers, torch.full((rungs,), float(step), dtype=torch.float64))


def respaced(of: Ladder, refused: Tensor) -> Ladder:
    """The ladder with its rungs where each pair of neighbours would refuse equally often (Syed and others 2022).

    Args:
        of: what was run.
        refused: share of the exchanges of each pair, `(K - 1,)`.
    """
    small = 1e-3  # a pair that exchanges always still has a length
    barrier = np.concatenate([[0.0], np.cumsum(np.maximum(refused.cpu().numpy(), small))])
    powers, steps = of.powers.numpy(), of.steps.numpy()
    places = np.interp(np.linspace(0, barrier[-1], len(of)), barrier, powers)
    places[[0, -1]] = powers[[0, -1]]
    moved = np.exp(np.interp(places, powers, np.log(steps)))
    return Ladder(torch.from_numpy(places), torch.from_numpy(moved), torch.linspace(0, float(barrier[-1]), len(of)))


class Path:
    """The energies of the laws between: `power * energy + (1 - power) * base`.

    Args:
        energy: of the target.
        base: of the law at power 0; None: none, the target's powers alone.
        powers: of each row that is asked about, `(m,)`.
    """

    def __init__(self, energy: EnergyFunction, base: EnergyFunction | None, powers: Tensor) -> None:
        self.energy, self.base, self.powers = energy, base, powers

    def __call__(self, x: Tensor) -> Tensor:
        """`(m,)`."""
        b = self.powers.to(x)
        target = self.energy(_asked(x, b > 0))
        if not isinstance(target, Tensor) or target.shape != b.shape:
            return target  # whose shape is refused by who asked
        between = torch.where(b > 0, target, 0.0) * b
        if self.base is None:
            return between
        easy = self.base(_asked(x, b < 1))
        if not isinstance(easy, Tensor) or easy.shape != b.shape:
            return easy
        return between + (1 - b) * torch.where(b < 1, easy, 0.0)

    @torch.no_grad()
    def gap(self, x: Tensor) -> Tensor:
        """`energy - base`, by which the law at a power differs from its neighbours', `(m,)`."""
        target = self.energy(x)
        return target if self.base is None else target - self.base(x)


def _asked(x: Tensor, there: Tensor) -> Tensor:
    """x, without derivatives in rows to which an energy does not count: it may have none there."""
    return torch.where(expand(there, x).bool(), x, x.detach())


def check_base(base: EnergyFunction | None, powers: Tensor) -> None:
    """Raise for a ladder that begins at a law that is none."""
    if base is None and float(powers[0]) == 0:
        raise ValueError("a ladder from power 0 needs the base's energy; give base=, or begin at a power > 0.")
