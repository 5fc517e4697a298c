"""The answers of a masked network together with their derivatives, in one pass: cheaper than d pullbacks.

All rows are at one noise level, so that the level's gates and scales are multiplied into the weights once. Along each
direction a tangent goes through the layers as the value does; the derivatives of the activations are shared.
"""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor
from torch.nn.functional import silu

from scorefield.nets._members import Layer, MembersBlock
from scorefield.tables.network import WAVE, MaskedMLP


class Entrance:
    """The first layer of a masked network for rows of which the condition is known: what it adds is found once.

    Args:
        network: of rows.
        given: `(n, dim + codes)`, as the network takes it, of its weights' type.
    """

    def __init__(self, network: MaskedMLP, given: Tensor) -> None:
        d = network.dim
        self.queried, self.waves = torch.isnan(given[:, :d]), network.waves
        self.weight = _entering(network)
        self._constant = network.inputs(network.features(given.new_zeros(len(given), d), given))

    def __call__(self, x: Tensor, index: Tensor | None = None) -> Tensor:
        """The layer's answers at x `(n, dim)` of the rows of an index, by default of all, `(members, n, width)`."""
        queried, constant = self.queried, self._constant
        if index is not None:
            queried, constant = queried[index], constant[:, index]
        moving = torch.where(queried, x, 0.0)
        parts = [moving]
        if self.waves:
            place = WAVE * moving
            parts += [place.sin(), place.cos() - 1]
        return torch.baddbmm(constant, torch.cat(parts, 1).expand(len(self.weight), -1, -1), self.weight)

    def places(self, x: Tensor, directions: Tensor, dtype: torch.dtype) -> Tensor:
        """How what enters moves with x along directions `(q, n, dim)`, `(members, q n, kinds dim)`."""
        moving = torch.where(self.queried, directions, 0.0)
        places = [moving]
        if self.waves:
            place = WAVE * x
            places += [WAVE * place.cos() * moving, -WAVE * place.sin() * moving]
        return torch.cat(places, 2).flatten(0, 1).to(dtype).expand(len(self.weight), -1, -1)


class LevelNetwork:
    """A masked network at one noise level, in evaluation mode.

    Args:
        network: of rows.
        level_feature: 0-d, of its weights' type.
        dtype: of the products along directions; default: the weights' own.
    """

    def __init__(self, network: MaskedMLP, level_feature: Tensor, dtype: torch.dtype | None = None) -> None:
        self.network = network
        e = network.embedding(level_feature, level_feature, None)
        self._inputs = Layer(network.inputs.weight, network.inputs.bias)
        self._blocks = [block.at_level(e) for block in network.blocks if isinstance(block, MembersBlock)]
        self._scale, self._shift = network.last(e).chunk(2, dim=-1)
        d = network.dim
        self._outputs = Layer(network.outputs.weight[..., :d], network.outputs.bias[..., :d])
        self._dtype = dtype or level_feature.dtype
        self._pairs = [(up.weight.to(self._dtype), down.weight.to(self._dtype)) for up, down in self._blocks]
        self._last = self._outputs.weight.to(self._dtype)

    @cached_property
    def _slopes(self) -> Tensor:
        return _entering(self.network).to(self._dtype)

    @cached_property
    def _through(self) -> list[Tensor]:
        slopes = _entering(self.network)
        return [torch.bmm(slopes, up.weight).to(self._dtype) for up, _ in self._blocks[:1]]

    @torch.no_grad()
    def answer(self, x: Tensor, entrance: Entrance, index: Tensor | None = None) -> Tensor:
        """The mean of the members' raw answers at x `(n, dim)`, products of the derivatives' type; see `Entrance`."""
        h = entrance(x, index)
        for (up, down), (first, second) in zip(self._blocks, self._pairs, strict=True):
            inner = torch.bmm(h.to(self._dtype), first).to(h).add_(up.bias)
            h = h.add_(torch.bmm(silu(inner).to(self._dtype), second)).add_(down.bias)
        last = silu(torch.addcmul(self._shift, h, 1 + self._scale)).to(self._dtype)
        return torch.bmm(last, self._last).to(h).add_(self._outputs.bias).mean(0)

    @torch.no_grad()
    def answer_and_derivatives(self, x: Tensor, entrance: Entrance, directions: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of the members' raw answers, and its derivatives along directions of x.

        Args:
            x: `(n, dim)` noised numbers.
            entrance: for the rows.
            directions: `(q, n, dim)`, or `(q, 1, dim)` for the same ones in every row. What a row does not query does
                not move, whatever the directions say.

        Returns:
            The raw answers `(n, dim)`, and the derivatives `(q, n, dim)`.
        """
        h, places = entrance(x), entrance.places(x, directions, self._dtype)
        tangent = torch.bmm(places, self._slopes)
        inner = torch.empty_like(tangent)
        for i, ((up, down), (first, second)) in enumerate(zip(self._blocks, self._pairs, strict=True)):
            active, slope = _silu(up(h))
            torch.bmm(tangent if i else places, first if i else self._through[0], out=inner)
            h = h.baddbmm_(active, down.weight).add_(down.bias)
            tangent = tangent.baddbmm_(_scaled(inner, slope), second)
        value, slope = _silu(torch.addcmul(self._shift, h, 1 + self._scale))
        raw = self._outputs(value).mean(0)
        moved = torch.bmm(_scaled(tangent, slope.mul_(1 + self._scale)), self._last).to(raw).mean(0)
        return raw, moved.unflatten(0, (-1, len(x)))


def _entering(network: MaskedMLP) -> Tensor:
    """The first layer's weights of what noised numbers enter by, `(members, kinds dim, width)`."""
    kinds, d = (0, 3, 4) if network.waves else (0,), network.dim
    return torch.cat([network.inputs.weight[:, k * d : (k + 1) * d] for k in kinds], 1)


def _silu(x: Tensor) -> tuple[Tensor, Tensor]:
    """silu and its derivative."""
    return silu(x), torch.ops.aten.silu_backward(x.new_ones(()).expand_as(x), x)


def _scaled(tangents: Tensor, slope: Tensor) -> Tensor:
    """Tangents `(members, q n, width)` times slopes `(members, n, width)`, in place.

    Direction by direction: products that are broadcast take twice as long.
    """
    slope = slope.to(tangents.dtype)
    for each in tangents.split(slope.shape[1], 1):
        each.mul_(slope)
    return tangents
