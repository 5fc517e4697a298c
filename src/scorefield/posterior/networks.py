"""The networks of a conditional law: what reads the condition, its normal part, and the correction of the score."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import silu

from scorefield.nets._init import initialise, linear
from scorefield.numerics.random import normal

_WAVE = 2.0  # radians per standard deviation
_FREQUENCIES, _SLOWEST, _FASTEST = 16, 0.1, 4.0  # radians per unit of log(s / scale)
_FULL = 24  # parameters up to which their correlations depend on the observation


class VectorReader(nn.Module):
    """Reads a vector `(n, inputs)`, NaN where a value is missing, into features `(n, width)`.

    Args:
        inputs: length of the vector.
        width: of the features.
        depth: residual blocks.
        holes: whether values may be missing; the network then also sees which are there.
        dropout: share of features that are dropped while training.
    """

    def __init__(
        self, inputs: int, width: int = 128, depth: int = 2, holes: bool = False, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.config = {"inputs": inputs, "width": width, "depth": depth, "holes": holes, "dropout": dropout}
        self.width, self.holes = width, holes
        self.inputs = linear(2 * inputs if holes else inputs, width)
        self.up = nn.ModuleList(linear(width, width) for _ in range(depth))
        self.down = nn.ModuleList(linear(width, width) for _ in range(depth))
        self.dropout = nn.Dropout(dropout)

    def forward(self, z: Tensor) -> Tensor:
        if self.holes:
            there = ~z.isnan()
            z = torch.cat([torch.where(there, z, 0.0), there.to(z.dtype)], 1)
        h = self.inputs(z)
        for up, down in zip(self.up, self.down, strict=True):
            h = h + down(self.dropout(silu(up(silu(h)))))
        return silu(h)


class SetReader(nn.Module):
    """Reads a set `(n, length, inputs)` of any length, NaN behind its end: the same for every order of its members.

    The mean of each member's features (Zaheer and others 2017) and the logarithm of their number.

    Args:
        inputs: length of a member.
        width: of the features.
        dropout: share of features that are dropped while training.
    """

    def __init__(self, inputs: int, width: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = {"inputs": inputs, "width": width, "dropout": dropout}
        self.width = width
        self.member = VectorReader(inputs, width, 1, dropout=dropout)
        self.whole = VectorReader(width + 1, width, 1, dropout=dropout)

    def forward(self, z: Tensor) -> Tensor:
        there, filled = _members(z)
        each = self.member(filled.flatten(0, 1)).unflatten(0, there.shape) * there[..., None]
        count = there.sum(1, keepdim=True).to(z.dtype)
        return self.whole(torch.cat([each.sum(1) / count.clamp(min=1), count.log1p()], 1))


class SeriesReader(nn.Module):
    """Reads a series `(n, length, inputs)` of any length, NaN behind its end, by a recurrent network (GRU).

    Args:
        inputs: values at a time.
        width: of the features.
        dropout: share of features that are dropped while training.
    """

    def __init__(self, inputs: int, width: int = 128, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = {"inputs": inputs, "width": width, "dropout": dropout}
        self.width = width
        self.steps = nn.GRU(inputs, width, batch_first=True)
        self.whole = VectorReader(2 * width, width, 1, dropout=dropout)

    def forward(self, z: Tensor) -> Tensor:
        there, filled = _members(z)
        states, _ = self.steps(filled)
        count = there.sum(1)
        last = states[torch.arange(len(z), device=z.device), (count - 1).clamp(min=0)]
        mean = (states * there[..., None]).sum(1) / count.clamp(min=1)[:, None]
        return self.whole(torch.cat([last, mean], 1))


def _members(z: Tensor) -> tuple[Tensor, Tensor]:
    """Which members are there, `(n, length)`, and all with 0 in place of NaN."""
    there = ~z.isnan().any(2)
    return there, torch.where(there[..., None], z, 0.0)


READERS: tuple[type[nn.Module], ...] = (VectorReader, SetReader, SeriesReader)
"""The readers of this library."""


class NormalNetwork(nn.Module):
    """The normal law of y given a condition: its mean, and a factor of its precision.

    Args:
        reader: of the condition; a copy of it is kept.
        inputs: length of a condition that is a vector, whose linear part is kept apart; 0 for others.
        dim: of y.
        seed: of the initialisation.
    """

    def __init__(self, reader: nn.Module, inputs: int, dim: int, seed: int = 0) -> None:
        super().__init__()
        self.dim, self.inputs = dim, inputs
        self.reader = copy.deepcopy(reader)
        self.straight = linear(inputs, dim) if inputs else None
        self.corners = dim * (dim - 1) // 2 if dim <= _FULL else 0
        self.outputs = linear(reader_width(reader), 2 * dim + self.corners)
        seeded(self, seed, zero=[self.outputs, *([self.straight] if self.straight is not None else [])])

    @torch.no_grad()
    def start(self, weight: Tensor, bias: Tensor) -> None:
        """Set the linear part, `(d, inputs)` and `(d,)`: that of the regression."""
        if self.straight is not None:
            self.straight.weight.copy_(weight)
            self.straight.bias.copy_(bias)
            self.straight.requires_grad_(False)  # what is known in closed form, training would only blur

    @torch.no_grad()
    def shrink(self, mean: float, spread: float) -> None:
        """Multiply what the network adds to the linear part, and what it says of the covariance, by a factor each."""
        d = self.dim
        factor = torch.full((len(self.outputs.bias),), spread)
        factor[:d] = mean
        self.outputs.weight.mul_(factor[:, None])
        self.outputs.bias.mul_(factor)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The mean `(n, d)` and a lower triangular L `(n, d, d)` with precision `L^T L`, of conditions z."""
        return normal_law(self.answer(z), self.dim)

    def answer(self, z: Tensor) -> Tensor:
        """The mean, the logarithm of L's diagonal and what is below it, `(n, 2 d + corners)`."""
        out = self.outputs(self.reader(z))
        if self.straight is None:
            return out
        straight = self.straight(torch.nan_to_num(z, nan=0.0))
        return torch.cat([out[:, : self.dim] + straight, out[:, self.dim :]], 1)


def normal_law(answer: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """Mean `(n, d)` and L `(n, d, d)` of what a `NormalNetwork` answers."""
    factor = torch.diag_embed(answer[:, d : 2 * d].clamp(-12, 12).exp())
    if answer.shape[1] > 2 * d:
        row, column = torch.tril_indices(d, d, -1, device=answer.device)
        place = torch.arange(len(answer), device=answer.device)[:, None]
        factor = factor.index_put((place, row, column), answer[:, 2 * d :])
    return answer[:, :d], factor


class NormalEnsemble(nn.Module):
    """The normal law by the mean of what several `NormalNetwork` answer: their errors average out.

    Args:
        networks: at least one, of one kind.
    """

    def __init__(self, networks: Sequence[NormalNetwork]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)
        self.dim = networks[0].dim

    @property
    def members(self) -> list[NormalNetwork]:
        """The networks."""
        return cast(list[NormalNetwork], list(self.networks))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """As `NormalNetwork`."""
        return normal_law(torch.stack([network.answer(z) for network in self.members]).mean(0), self.dim)


class NetworkOfCodes(nn.Module):
    """Logarithms of probabilities of K codes given a condition, up to a constant: of their frequencies, corrected.

    Args:
        reader: of the condition; a copy of it is kept.
        frequencies: `(K,)`, logarithms, where nothing is known.
        seed: of the initialisation.
    """

    frequencies: Tensor

    def __init__(self, reader: nn.Module, frequencies: Tensor, seed: int = 0) -> None:
        super().__init__()
        self.reader = copy.deepcopy(reader)
        self.outputs = linear(reader_width(reader), len(frequencies))
        self.register_buffer("frequencies", frequencies)
        seeded(self, seed, zero=[self.outputs])

    def forward(self, z: Tensor, share: float = 1.0) -> Tensor:
        """`(n, K)`, of conditions z, with a share of the correction."""
        return self.frequencies + share * self.outputs(self.reader(z))

    @torch.no_grad()
    def shrink(self, share: float) -> None:
        """Multiply the correction by a share."""
        self.outputs.weight.mul_(share)
        self.outputs.bias.mul_(share)


def standardised(v: Tensor, mean: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Residuals of v `(n, d)` under normal laws as `NormalNetwork` gives them, `(n, d)`, and `log |dr / dv|`, `(n,)`.

    In v's dtype.
    """
    factor = factor.to(v)
    return torch.einsum("nij,nj->ni", factor, v - mean.to(v)), factor.diagonal(dim1=1, dim2=2).log().sum(1)


class ScoreNetwork(nn.Module):
    """What the score adds to that of the normal law: `(w (n, d), log level (n,), z) -> (n, d)`, 0 before training.

    A residual network over points, their sines and cosines, those of the level, and what was read of the condition:
    half the price of a modulated one, which is worth more than the modulation where the budget is minutes.

    Args:
        reader: of the condition; a copy of it is kept.
        dim: d.
        width: of the hidden layers.
        depth: residual blocks.
        dropout: share of hidden features that are dropped while training.
        seed: of the initialisation.
    """

    frequencies: Tensor

    def __init__(
        self, reader: nn.Module, dim: int, width: int = 128, depth: int = 4, dropout: float = 0.0, seed: int = 0
    ) -> None:
        super().__init__()
        self.config = {"dim": dim, "width": width, "depth": depth, "dropout": dropout}
        self.reader = copy.deepcopy(reader)
        spread = torch.linspace(0, 1, _FREQUENCIES)
        self.register_buffer("frequencies", _SLOWEST * (_FASTEST / _SLOWEST) ** spread, persistent=False)
        self.trunk = VectorReader(3 * dim + 2 * _FREQUENCIES + reader_width(reader), width, depth, dropout=dropout)
        self.outputs = linear(width, dim)
        seeded(self, seed, zero=[self.outputs])

    def forward(self, w: Tensor, level: Tensor, z: Tensor) -> Tensor:
        """At standardised, noised points for conditions z, one for each."""
        return self.answer(w, level, self.reader(z))

    def answer(self, w: Tensor, level: Tensor, features: Tensor) -> Tensor:
        """Of conditions that were read already, `(n, width)`."""
        place = level[:, None] * self.frequencies
        waves = [(_WAVE * w).sin(), (_WAVE * w).cos(), place.sin(), place.cos()]
        return self.outputs(self.trunk(torch.cat([w, *waves, features], 1)))


def seeded(network: nn.Module, seed: int, zero: list[nn.Module]) -> None:
    """Fill the layers of this library from a stream of their own; the reader that a user gave keeps what it has."""
    reader = network.get_submodule("reader")
    kept = None if isinstance(reader, READERS) else copy.deepcopy(reader.state_dict())
    initialise(network, seed, zero=zero)
    if kept is not None:
        reader.load_state_dict(kept)
        return
    for path, module in network.named_modules():
        if isinstance(module, nn.GRU):
            _fill_matrices(module, seed, path)


@torch.no_grad()
def _fill_matrices(module: nn.Module, seed: int, path: str) -> None:
    for name, parameter in module.named_parameters():
        if parameter.ndim == 2:
            draw = normal(len(parameter), parameter.shape[1:], seed, f"parameter {path}.{name}")
            parameter.copy_(draw / math.sqrt(parameter.shape[1]))
        else:
            parameter.zero_()


def reader_width(reader: nn.Module) -> int:
    """How many features a reader gives."""
    width = getattr(reader, "width", None)
    if not isinstance(width, int):
        raise ValueError(
            "an embedding of observations says by an attribute `width` how many features it gives; set "
            "embedding.width = ..."
        )
    return width
