"""Residual MLPs for rows of numbers and codes of which any part may be given: one network for every question."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from scorefield.nets._embedding import Embedding, check_sizes
from scorefield.nets._init import initialise
from scorefield.nets._members import Members, MembersBlock

WAVE = 2.0  # radians per unit of x
_WAVE_DIMS = 16
_EMBEDDING = 32  # numbers that say the level
_NO_LEVEL = 12.0  # the level at which codes are queried: nothing is seen of what is noised


class MaskedMLP(nn.Module):
    """`(x, level_feature, given) -> (raw (n, dim), logits (n, sum of sizes))`; 0 before training.

    The mean of one or several members, which differ in their first weights alone: the mean of the numbers, and of the
    probabilities of the codes. Each member learns by itself (`each`); what they do not agree on, few rows do not tell
    (Lakshminarayanan and others 2017).

    A row is `dim` numbers and one code of `0..K - 1` for each K of sizes. `given` `(n, dim + codes)` says of each entry
    that it is given (its value or code), queried (NaN) or hidden (infinite); x holds the noised numbers that are
    queried and is not looked at elsewhere. An unknown code is the same as a hidden one.

    Args:
        dim: how many numbers, >= 0.
        sizes: of the codes.
        width: of the hidden layers.
        depth: number of residual blocks.
        dropout: share of hidden features left out while training.
        members: networks that answer together.
        seed: of the initialisation.
        values: of each code the standardised numbers behind it, none where there are none: codes of numbers enter as
            such, too, so that what is learned of one carries over to its neighbours. Default: none for all.

    Example:
        >>> net = MaskedMLP(2, (3,), width=16, depth=1)
        >>> given = torch.tensor([[float("nan"), 0.5, 2.0]])
        >>> [v.shape for v in net(torch.zeros(1, 2), torch.tensor(0.0), given)]
        [torch.Size([1, 2]), torch.Size([1, 3])]
    """

    def __init__(
        self,
        dim: int,
        sizes: Sequence[int] = (),
        width: int = 128,
        depth: int = 3,
        dropout: float = 0.0,
        members: int = 1,
        seed: int = 0,
        values: Sequence[Sequence[float]] = (),
    ) -> None:
        super().__init__()
        check_sizes(width=width, depth=depth, members=members)
        check_sizes(least=0, dim=dim)
        sizes = tuple(int(k) for k in sizes)
        if not dim and not sizes:
            raise ValueError("a network for rows needs at least one number or code, got none.")
        self.config: dict[str, object] = {
            "dim": dim,
            "sizes": list(sizes),
            "width": width,
            "depth": depth,
            "dropout": dropout,
            "members": members,
            "seed": seed,
        }
        self.values = {j: [float(v) for v in part] for j, part in enumerate(values) if len(part)}
        if values:
            self.config["values"] = [[float(v) for v in part] for part in values]
        if any(j >= len(sizes) or len(part) != sizes[j] for j, part in self.values.items()):
            raise ValueError(f"a network of codes {sizes} needs as many values for each, or none, got {values}.")
        self.dim, self.sizes = dim, sizes
        self.waves = 0 < dim <= _WAVE_DIMS
        inputs = dim * (7 if self.waves else 3) + sum(sizes) + len(self.values)
        self.embedding = Embedding(_EMBEDDING)
        self.inputs = Members(members, inputs, width)
        self.blocks = nn.ModuleList(MembersBlock(members, width, _EMBEDDING) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)
        self.last = Members(members, _EMBEDDING, 2 * width)
        self.outputs = Members(members, width, dim + sum(sizes))
        modulations = [block.modulation for block in self.blocks if isinstance(block, MembersBlock)]
        initialise(self, seed, zero=[self.outputs, self.last, *modulations])

    def forward(self, x: Tensor, level_feature: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """The raw answers at x `(n, dim)` and the logits of all codes, side by side."""
        raw, logits = self.each(x, level_feature, given)
        return raw.mean(0), self.together(logits)

    def each(self, x: Tensor, level_feature: Tensor, given: Tensor) -> tuple[Tensor, Tensor]:
        """The members' answers: `(members, n, dim)` and `(members, n, sum of sizes)`."""
        e = self.embedding(x, level_feature, None)
        h = self.inputs(self.features(x, given))
        for block in self.blocks:
            h = self.dropout(block(h, e))
        scale, shift = self.last(e).chunk(2, dim=-1)
        out = self.outputs(nn.functional.silu(torch.addcmul(shift, 1 + scale, h)))
        return out[..., : self.dim], out[..., self.dim :]

    def together(self, logits: Tensor) -> Tensor:
        """The logarithm of the members' mean probability of each code: `(members, n, sum of sizes)` to `(n, ...)`."""
        if len(logits) == 1 or not self.sizes:
            return logits.mean(0)
        parts = [torch.log_softmax(part, -1).logsumexp(0) for part in logits.split(self.sizes, -1)]
        return torch.cat(parts, -1) - math.log(len(logits))

    def logits(self, given: Tensor) -> Tensor:
        """The members' logits of all codes, nothing noised being seen: `(members, n, sum of sizes)`."""
        hidden = given.clone()
        hidden[:, : self.dim] = torch.where(torch.isnan(hidden[:, : self.dim]), torch.inf, hidden[:, : self.dim])
        nothing = given.new_zeros(given.shape[0], self.dim)
        return self.each(nothing, given.new_tensor(_NO_LEVEL), hidden)[1]

    def features(self, x: Tensor, given: Tensor) -> Tensor:
        numbers = given[:, : self.dim].to(x.dtype)
        visible, queried = torch.isfinite(numbers), torch.isnan(numbers)
        value = torch.where(queried, x, torch.where(visible, numbers, torch.zeros_like(x)))
        parts = [value, visible.to(x.dtype), queried.to(x.dtype)]
        if self.waves:
            noised = torch.where(queried, value, torch.zeros_like(value))
            clean = value - noised
            parts += [f(WAVE * v) for v in (noised, clean) for f in (torch.sin, torch.cos)]
        return torch.cat([*parts, *self._codes(given, x.dtype)], 1)

    def _codes(self, given: Tensor, dtype: torch.dtype) -> list[Tensor]:
        """One-hot codes and the numbers behind them, all 0 where unknown."""
        found = []
        for j, size in enumerate(self.sizes):
            code = given[:, self.dim + j]
            places = torch.arange(size, device=given.device, dtype=given.dtype)
            found.append((code[:, None] == places).to(dtype))
        found += [found[j] @ found[j].new_tensor(part)[:, None] for j, part in self.values.items()]
        return found


def inference_dtype(network: MaskedMLP) -> MaskedMLP:
    """A trained network ready for questions: several small members answer in float64.

    They cost little, and a row's answer then does not depend on where it stands by more than a part in 1e12.
    """
    return network.double() if network.config["members"] != 1 else network
