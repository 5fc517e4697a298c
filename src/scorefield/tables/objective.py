"""Denoising score matching of rows of which parts are given: masks, and one loss for numbers and codes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scorefield.levels import TrainingLevels
from scorefield.numerics.random import uniform
from scorefield.objectives.batch import Draws

ROWS_PER_PATTERN = 32
"""Consecutive samples whose masks of parts share their pattern: what it costs to condition on it is shared."""
PATTERNS = 512
"""Patterns that such masks are drawn from, again and again."""


@dataclass(frozen=True)
class Shares:
    """How often each kind of mask is drawn in training; they sum to 1.

    Args:
        whole: all numbers of the row are queried, all codes are given.
        parts: any part is given, the rest queried or hidden.
        codes: some codes are queried, numbers are given or hidden.
    """

    whole: float = 0.5
    parts: float = 0.25
    codes: float = 0.25

    @staticmethod
    def of(numbers: int, codes: int) -> Shares:
        """For rows with so many numbers and codes."""
        if not codes:
            return Shares(0.5, 0.5, 0.0)
        return Shares(0.3, 0.4, 0.3) if numbers else Shares(0.0, 0.0, 1.0)


def gated(given: Tensor, numbers: int, gates: tuple[int, ...]) -> Tensor:
    """`given` with those numbers hidden that do not exist: whose gate, a code, is not known to be 0.

    Args:
        given: `(n, numbers + codes)`.
        numbers: how many come first.
        gates: for each number the index of its code, or -1 for none.

    Example:
        >>> gated(torch.tensor([[float("nan"), 1.0], [float("nan"), 0.0]]), 1, (0,))[:, 0].tolist()
        [inf, nan]
    """
    behind = [c for c, gate in enumerate(gates) if gate >= 0]
    if not behind:
        return given
    codes = given[:, [numbers + gates[c] for c in behind]]
    out = given.clone()
    out[:, behind] = torch.where(codes == 0, given[:, behind], torch.inf)
    return out


class MaskedObjective:
    """The objective of a `MaskedDenoiser` on rows with holes.

    Each row gets one kind of mask, by `Shares`, with its own pattern, a pure function of (seed, number).
    Numbers that are queried carry noise and lose `|error of E[x0]|^2 / 2` in units of what a Gaussian leaves; codes
    that are queried lose `-log P(code | given)`. Holes are hidden, and lose nothing.

    Args:
        numbers: how many of a row's entries are numbers; the rest are codes.
        gates: as `gated`.
        levels: density of noise levels, of the numbers.
        seed: of the masks.
        shares: default: by numbers and codes.
    """

    holes = True

    def __init__(
        self,
        numbers: int,
        codes: int,
        gates: tuple[int, ...],
        levels: TrainingLevels,
        seed: int = 0,
        shares: Shares | None = None,
    ) -> None:
        self.numbers, self.codes, self.gates, self.levels, self.seed = numbers, codes, gates, levels, seed
        self.shares = shares or Shares.of(numbers, codes)

    def __call__(self, model: Any, x: Tensor, draws: Draws, condition: Tensor | None = None) -> Tensor:
        """One loss per row, `(n,)`.

        Args:
            model: a `MaskedDenoiser`, perhaps in a wrapper of several processes.
            x: rows `(n, numbers + codes)`, NaN where there is a hole.
            draws: of the batch; the noise of codes is not used.
            condition: not used: what is given in each row is drawn here.
        """
        given, asked_codes = self.masks(x, draws.number)
        return model(x, self.levels(draws.u), given, (draws.noise, asked_codes))

    def with_shares(self, shares: Shares) -> MaskedObjective:
        """The same objective with other shares."""
        return MaskedObjective(self.numbers, self.codes, self.gates, self.levels, self.seed, shares)

    def masks(self, x: Tensor, number: Tensor) -> tuple[Tensor, Tensor]:
        """What is given in each row, `(n, numbers + codes)`, and which codes count, `(n, codes)`."""
        n, d = x.shape
        there = ~torch.isnan(x)
        is_code = torch.arange(d, device=x.device) >= self.numbers
        own, common = (
            uniform(n, (2 * d + 5,), self.seed, purpose, first=first, dtype=torch.float64, device=x.device)
            for purpose, first in (("masks", number), ("masks of parts", number // ROWS_PER_PATTERN % PATTERNS))
        )
        kind = own[:, 2 * d : 2 * d + 1]
        whole = kind < self.shares.whole
        codes = kind >= 1 - self.shares.codes
        draw = torch.where(codes, own, common)
        rate, hide, some, prefix = draw[:, 2 * d + 1 :].split(1, 1)
        entry, again = draw[:, :d], draw[:, d : 2 * d]
        visible = there & (entry < rate)
        # half of the codes' questions know the codes before one of them, in the order in which codes are drawn
        place = torch.arange(d, device=x.device) - self.numbers
        before = there & (place < rate * (self.codes + 1) - 1) if self.codes else visible
        of_codes = torch.where(is_code, torch.where(prefix < 0.5, before, visible), visible & (some < 0.5))
        shown = torch.where(whole, there & is_code, torch.where(codes, of_codes, visible | (there & is_code)))
        # a quarter of the masks of parts hide more than they query
        hidden = ~whole & ~codes & (hide < 0.25) & (again < 4 * hide)
        queried = there & ~shown & ~hidden & ~is_code & ~codes
        shown = shown & ~(hidden & is_code)
        value = torch.where(shown, x, torch.where(queried, torch.nan, torch.inf).to(x))
        value = torch.where(is_code & ~shown, torch.nan, value)
        return gated(value, self.numbers, self.gates), (there & ~shown & codes)[:, self.numbers :]
