"""The losses of `discrete.static` of an exponential family of tokens, as functions of theta with two derivatives.

Each of them is, for every sequence x, a sum over its places of a function of the log ratios `u_lk = log p(y) -
log p(x)`, y being x with token l changed to k, and `u_lk = theta . (T(y) - T(x))` is linear in theta. So slopes and
curvatures in theta are those in u, found by automatic differentiation, between matrices of changes that are computed
once; a change of token l leaves most statistics of a model with local ones as they are, and only those that it moves
are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from scorefield.discrete.static import TokenEnergy, neighbours
from scorefield.objectives.families import Family

TokenLoss = Callable[[TokenEnergy, Tensor, int], Tensor]
"""Of an energy, sequences `(n, L)` and the number of tokens, one value for each sequence: of `discrete.static`."""

_NUMBERS = 1 << 22  # of statistics that are computed at a time
_KEPT = 1 << 27  # of changes that are kept, 1 GB; the rest is computed again


@dataclass(frozen=True, eq=False)
class Part:
    """Some of the sequences.

    Args:
        x: `(n, L)`.
        around: their neighbours, `(n L K, L)`.
        w: sums of the weights of the rows that are the same sequence, `(n,)`.
        squares: sums of the squares of these.
    """

    x: Tensor
    around: Tensor
    w: Tensor
    squares: Tensor


Changes = list[tuple[Tensor, Tensor]]
"""For each place the statistics that it moves, `(c,)`, and by how much, `(n, K, c)`."""


class Terms:
    """The mean loss at theta, its slope and curvature, and how its slopes spread over sequences."""

    def __init__(self, x: Tensor, w: Tensor, family: Family, loss: TokenLoss, size: int) -> None:
        self.family, self.loss, self.size = family, loss, size
        self.count = family.statistics(x[:1]).shape[1]
        x, which = torch.unique(x, dim=0, return_inverse=True)  # what is the same is computed once
        sums, squares = (w.new_zeros(len(x)).index_add(0, which, values) for values in (w, w.square()))
        rows = max(1, _NUMBERS // (size * x.shape[1] * max(self.count, x.shape[1])))
        parts = zip(x.split(rows), sums.split(rows), squares.split(rows), strict=True)
        self.parts = [Part(one, neighbours(one, size).reshape(-1, x.shape[1]), *rest) for one, *rest in parts]
        self.known: list[Changes] = []
        room = _KEPT
        for part in self.parts:
            found = self._changes(part)
            room -= sum(moved.numel() for _, moved in found)
            if room < 0:
                break
            self.known.append(found)
        self._check_places()

    def value(self, theta: Tensor) -> Tensor:
        """The mean loss."""
        return torch.stack([part.w @ self._each(part, u) for part, _, u in self._ratios(theta)]).sum()

    def slope(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """The mean loss and its slope, `(k,)`."""
        value, slope = theta.new_zeros(()), theta.new_zeros(self.count)
        for part, changes, u in self._ratios(theta):
            each, along = self._slopes(part, u)
            value += part.w @ each.detach()
            for l, (moved, change) in enumerate(changes):
                slope.index_add_(0, moved, torch.einsum("n,nk,nkc->c", part.w, along[:, l].detach(), change))
        return value, slope

    def curvature(self, theta: Tensor) -> Tensor:
        """`(k, k)`."""
        total = theta.new_zeros(self.count, self.count)
        for part, changes, u in self._ratios(theta):
            bend = self._bends(part, u) * part.w[:, None, None, None]
            for l, (moved, change) in enumerate(changes):
                bent = torch.bmm(bend[:, l], change).flatten(0, 1)
                total[moved[:, None], moved] += bent.T @ change.flatten(0, 1)
        return (total + total.T) / 2

    def spread(self, theta: Tensor) -> Tensor:
        """`(k, k)`: the sum of `w^2` times the outer product of a sequence's slopes."""
        total = theta.new_zeros(self.count, self.count)
        for part, changes, u in self._ratios(theta):
            along, slopes = self._slopes(part, u)[1].detach(), theta.new_zeros(len(u), self.count)
            for l, (moved, change) in enumerate(changes):
                slopes[:, moved] += torch.einsum("nk,nkc->nc", along[:, l], change)
            total += (part.squares[:, None] * slopes).T @ slopes
        return total

    def places(self, parameter: int) -> list[int]:
        """The tokens that a statistic depends on."""
        found = self.known[0] if self.known else self._changes(self.parts[0])
        return [l for l, (moved, _) in enumerate(found) if bool((moved == parameter).any())]

    def _ratios(self, theta: Tensor) -> Iterator[tuple[Part, Changes, Tensor]]:
        """Each part with its changes and the log ratios `(n, L, K)`."""
        for k, part in enumerate(self.parts):
            changes = self.known[k] if k < len(self.known) else self._changes(part)
            yield part, changes, torch.stack([change @ theta[moved] for moved, change in changes], 1)

    def _changes(self, part: Part) -> Changes:
        n, length = part.x.shape
        here = self.family.statistics(part.x).double()
        there = part.around.reshape(n, length, self.size, length)
        found = []
        for l in range(length):
            change = self.family.statistics(there[:, l].reshape(-1, length)).double().reshape(n, self.size, -1)
            change = change - here[:, None]
            moved = (change != 0).flatten(0, 1).any(0).nonzero()[:, 0]
            found.append((moved, change[..., moved].contiguous()))
        return found

    def _each(self, part: Part, u: Tensor) -> Tensor:
        """The loss of each sequence, `(n,)`, x being the one of energy 0."""

        def energy(z: Tensor) -> Tensor:
            if z.shape == part.around.shape and torch.equal(z, part.around):
                return -u.flatten()
            if z.shape == part.x.shape and torch.equal(z, part.x):
                return u.new_zeros(len(z))
            raise ValueError("fit_family(loss=...) must ask for the energies of x and of neighbours(x, size) alone.")

        return self.loss(energy, part.x, self.size)

    def _slopes(self, part: Part, u: Tensor, graph: bool = False) -> tuple[Tensor, Tensor]:
        """Of each sequence the loss, and its slope in u, `(n, L, K)`."""
        if not u.requires_grad:
            u = u.detach().requires_grad_()
        each = self._each(part, u)
        return each, torch.autograd.grad(each.sum(), u, create_graph=graph)[0]

    def _bends(self, part: Part, u: Tensor) -> Tensor:
        """The curvature in u, which couples the values of one place alone, `(n, L, K, K)`."""
        u = u.detach().requires_grad_()
        slope = self._slopes(part, u, graph=True)[1]
        return torch.stack(
            [torch.autograd.grad(slope[..., k].sum(), u, retain_graph=True)[0] for k in range(self.size)], -1
        )

    def _check_places(self) -> None:
        """Raise for a loss that is no sum over places, of which `_bends` would not be the curvature."""
        part = self.parts[0]
        start = torch.linspace(-0.5, 0.5, len(part.around), dtype=torch.float64).reshape(len(part.x), -1, self.size)
        start.requires_grad_()
        direction = start.detach().flip(1).cos()
        exact = torch.autograd.grad((self._slopes(part, start, graph=True)[1] * direction).sum(), start)[0]
        bends = self._bends(part, start)
        found = torch.einsum("nlkj,nlj->nlk", bends, direction)
        if float((found - exact).abs().max()) > 1e-9 * float(bends.abs().max()):
            raise ValueError("fit_family(loss=...) must be a sum over places, as the losses of discrete.static are.")
