"""What the trainer minimises: one loss per sequence of a batch whose randomness is given."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield.core import Level
from scorefield.discrete.corruptions import Absorbing, Corruption, corrupt
from scorefield.discrete.likelihood import masks
from scorefield.discrete.losses import denoising_score_entropy, order_cross_entropy
from scorefield.discrete.noise import Geometric, Noise
from scorefield.discrete.sampling import total_of_share
from scorefield.discrete.views import ratios
from scorefield.levels import TrainingLevels
from scorefield.objectives.batch import Draws


@dataclass(frozen=True)
class Shares:
    """The share of tokens that noise has reached, for reports: `alpha` those left, `sigma` the others."""

    noise: Noise | None = None

    def __call__(self, u: Tensor) -> Level:
        """Levels `(n,)` for u `(n,)`; without a schedule the share is u itself."""
        left = 1 - u if self.noise is None else torch.exp(-self.noise.total(u.double())).to(u)
        return Level(left, 1 - left)


@dataclass(frozen=True)
class OrderCrossEntropy:
    """`losses.order_cross_entropy`: the bound of -log p of a model of masked tokens, unbiased, with no end cut off.

    Args:
        corruption: with a mask.
        levels: of reports; u is the share that is masked.
        holes: of the interface: sequences have none.
    """

    corruption: Absorbing
    levels: TrainingLevels = field(default_factory=Shares)
    holes: bool = False

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sequence, in nats; x holds tokens as floats; arguments as `Objective`."""
        x0, length = x.long(), x.shape[1]
        number = (draws.u.double() * length).long().clamp(max=length - 1) + 1
        masked = masks(number, draws.noise, torch.ones_like(x0, dtype=torch.bool))
        seen = torch.where(masked, self.corruption.mask, x0)
        found = model(seen, total_of_share(number.to(draws.u) / length), condition)
        return order_cross_entropy(found.float() if found.dtype != torch.float64 else found, x0, masked, length)


@dataclass(frozen=True)
class ScoreEntropy:
    """`losses.denoising_score_entropy` times the noise's rate: the bound of -log p, for any corruption (SEDD).

    Args:
        corruption: the chain.
        noise: which levels are trained on, and how often.
        levels: of reports; default: the noise's.
        holes: of the interface: sequences have none.
    """

    corruption: Corruption
    noise: Noise = field(default_factory=Geometric)
    holes: bool = False

    @property
    def levels(self) -> TrainingLevels:
        """Of reports: the share of tokens that noise has reached."""
        return Shares(self.noise)

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per sequence, in nats; x holds tokens as floats; arguments as `Objective`."""
        x0, total = x.long(), self.noise.total(draws.u)
        noisy = corrupt(self.corruption, x0, total, torch.special.ndtr(draws.noise.double()))
        found = model(noisy, total, condition)
        score = ratios(self.corruption, found, noisy, total)
        return self.noise.rate(draws.u) * denoising_score_entropy(self.corruption, score, noisy, x0, total)
