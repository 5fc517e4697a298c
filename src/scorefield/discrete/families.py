"""Exponential families of tokens, the Ising model among them: fitted without a normalising constant, with errors.

`p(x) ~ exp(theta . T(x))` on sequences of tokens. The losses of `discrete.static` compare each sequence with those that
differ in one token; where one of them is least theta is an M-estimate, whose covariance is the sandwich
`H^-1 Omega H^-1 / n` (Huber 1967), right for laws outside the family too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield import _ranges
from scorefield.discrete.corruptions import SIZE, check_tokens
from scorefield.discrete.static import TokenEnergy, ratio_matching
from scorefield.objectives.closed_form import ExponentialFamilyFit, normalised_weights, positive_inverse
from scorefield.objectives.families import Family, FamilyFit

__all__ = ["TokenLoss", "Tokens", "ising", "fit_family"]

TokenLoss = Callable[[TokenEnergy, Tensor, int], Tensor]
"""Of an energy, sequences `(n, L)` and the number of tokens, one value for each sequence: of `discrete.static`."""

_NUMBERS = 1 << 22  # of statistics that are differentiated at a time
_KEPT = 1 << 27  # of statistics that are kept, 1 GB, where all are no more
_STEPS = 500  # of the quasi-Newton method; some tens are the rule
_FLAT = 1e-7  # of the curvature at 0: what is left of it where an estimate runs away


@dataclass(frozen=True)
class Tokens:
    """Sequences of tokens 0 to size - 1, as the support of a family.

    Args:
        size: K, how many tokens there are.

    Example:
        >>> Tokens(2).check(torch.tensor([[0, 1, 1]]))
    """

    size: int

    def __post_init__(self) -> None:
        SIZE("Tokens(size=...)", self.size)

    def check(self, x: Tensor) -> None:
        """Raise for a number that is no token, named by row and place."""
        check_tokens("x", x, self.size)

    def nearest(self, x: Tensor) -> Tensor:
        """x."""
        return x

    def field(self, x: Tensor, s: Tensor) -> Tensor:
        """There is none: tokens have no gradient."""
        raise ValueError("tokens have no gradient; fit a family of them with discrete.fit_family(x, family).")


def ising(d: int) -> Family:
    """`exp(sum h_i s_i + sum over i < j of J_ij s_i s_j)` of d spins, `s = 2 x - 1` of the tokens x = 0 and 1.

    `J_ij = 0` is the independence of two spins given all others; d fields and d (d - 1) / 2 couplings.

    Args:
        d: columns, 1 to 200.

    Example:
        >>> ising(3).names
        ('h0', 'h1', 'h2', 'J0,1', 'J0,2', 'J1,2')
    """
    _ranges.whole(1, 200)("ising(d=...)", d)
    pairs = list(combinations(range(d), 2))
    i, j = (torch.tensor([pair[k] for pair in pairs], dtype=torch.long) for k in (0, 1))

    def statistics(x: Tensor) -> Tensor:
        s = 2.0 * x.double() - 1
        return torch.cat([s, s[:, i.to(x.device)] * s[:, j.to(x.device)]], 1)

    names = (*(f"h{k}" for k in range(d)), *(f"J{k},{m}" for k, m in pairs))
    return Family("Ising", statistics, Tokens(2), names, lambda theta: theta)


def fit_family(x: Any, family: Family, loss: TokenLoss = ratio_matching, *, weights: Tensor | None = None) -> FamilyFit:
    """Fit a family of tokens, by ratio matching unless told otherwise.

    Args:
        x: sequences `(n, L)` of whole numbers from 0 (or of booleans): a tensor, an array or a data frame.
        family: its support are `Tokens`; `ising(d)`, or one's own with statistics `(n, L) -> (n, k)`.
        loss: of `discrete.static`. `pseudo_likelihood` has the smaller errors where the family holds the truth;
            `ratio_matching` is bounded, so that no sequence weighs much.
        weights: of the sequences, `(n,)`, >= 0, made to sum to 1; default: equal.

    Raises:
        ValueError: for what is no token, by row and place; for statistics that depend on each other on these sequences;
            where a parameter has no finite estimate, as of a column that is always 1 (separation).

    Source: Hyvarinen (2007) for ratio matching; Besag (1975) for the pseudo-likelihood.

    Example:
        >>> x = torch.tensor([[0], [1], [1], [1]])
        >>> round(float(fit_family(x, ising(1)).parameters), 6)  # log(3) / 2
        0.549306
    """
    if not isinstance(family.support, Tokens):
        raise ValueError(f"the family {family.name} is none of tokens; fit it with objectives.families.fit.")
    size = family.support.size
    tokens = _tokens(x)
    family.support.check(tokens)
    w = normalised_weights(weights, tokens.double())
    terms = _Terms(tokens, w, family, loss, size)
    theta, curve = _least(terms, family)
    inverse = positive_inverse(curve, "the curvature of the loss", "parameters")
    omega = terms.spread(theta)
    covariance, optimism = inverse @ omega @ inverse, float((inverse * omega).sum())
    found = ExponentialFamilyFit(theta, covariance, family.statistics, float(terms.value(theta)), optimism)
    return FamilyFit(family, found, len(tokens), loss.__name__.replace("_", " "))


class _Terms:
    """The mean loss at theta, its slope and curvature, and the mean square of the slopes over n, part by part."""

    def __init__(self, x: Tensor, w: Tensor, family: Family, loss: TokenLoss, size: int) -> None:
        x, which = torch.unique(x, dim=0, return_inverse=True)  # what is the same is computed once
        sums, squares = (w.new_zeros(len(x)).index_add(0, which, values) for values in (w, w.square()))
        numbers = x.shape[1] * size * len(family.names)  # of statistics around one sequence
        rows, kept = max(1, _NUMBERS // numbers), len(x) * numbers <= _KEPT
        parts = zip(x.split(rows), sums.split(rows), squares.split(rows), strict=True)
        self.parts = [_Part(*part, family, loss, size, kept) for part in parts]

    def value(self, theta: Tensor) -> Tensor:
        """Of the loss, one number that can be differentiated."""
        return torch.stack([part.mean(theta) for part in self.parts]).sum()

    def curvature(self, theta: Tensor) -> Tensor:
        """`(k, k)`."""
        total = sum((torch.func.hessian(part.mean)(theta) for part in self.parts), theta.new_zeros(()))
        return (total + total.T) / 2

    def spread(self, theta: Tensor) -> Tensor:
        """`(k, k)`: the sum of `w^2` times the outer product of a sequence's slopes."""
        each = [(part.squares, torch.func.jacfwd(part.each)(theta)) for part in self.parts]
        return sum(((squares[:, None] * slopes).T @ slopes for squares, slopes in each), theta.new_zeros(()))


class _Part:
    """Some of the sequences, the sums of their weights and of the squares of these, and the statistics around them."""

    def __init__(
        self, x: Tensor, w: Tensor, squares: Tensor, family: Family, loss: TokenLoss, size: int, kept: bool
    ) -> None:
        self.x, self.w, self.squares, self.family, self.loss, self.size = x, w, squares, family, loss, size
        self.known: list[tuple[Tensor, Tensor]] = []
        if kept:  # now, as tensors that are made inside a derivative belong to it

            def noted(z: Tensor) -> Tensor:
                self.known.append((z, family.statistics(z).double()))
                return torch.zeros(len(z), dtype=torch.float64)

            loss(noted, x, size)

    def each(self, theta: Tensor) -> Tensor:
        return self.loss(lambda z: -self.statistics(z) @ theta, self.x, self.size)

    def mean(self, theta: Tensor) -> Tensor:
        return self.w @ self.each(theta)

    def statistics(self, z: Tensor) -> Tensor:
        for sequences, values in self.known:
            if sequences.shape == z.shape and torch.equal(sequences, z):
                return values
        return self.family.statistics(z).double()


def _least(terms: _Terms, family: Family) -> tuple[Tensor, Tensor]:
    """Theta where the loss is least, and the curvature there: quasi-Newton steps from 0, and one of Newton's."""
    theta = torch.zeros(len(family.names), dtype=torch.float64)
    first = positive_inverse(terms.curvature(theta), "the curvature of the loss", "parameters")
    theta.requires_grad_()
    optimiser = torch.optim.LBFGS(
        [theta], max_iter=_STEPS, tolerance_grad=1e-11, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimiser.zero_grad()
        value = terms.value(theta)
        value.backward()
        return value

    optimiser.step(closure)
    theta = theta.detach()
    curve = terms.curvature(theta)
    if not bool(torch.isfinite(curve).all()) or float(torch.linalg.eigvals(first @ curve).real.min()) < _FLAT:
        name = family.names[int(theta.abs().argmax())]
        raise ValueError(
            f"{family.name}: {name} has no finite estimate on these sequences (separation: some column follows from "
            "others, or nearly); leave one out or give more sequences."
        )
    return theta - torch.linalg.solve(curve, torch.func.grad(terms.value)(theta)), curve


def _tokens(x: Any) -> Tensor:
    """`(n, L)` int64 of a tensor, an array or a data frame."""
    if isinstance(x, Tensor):
        values = x
    else:
        array = np.array(x)
        if array.dtype.kind not in "biuf":
            raise ValueError(f"sequences of tokens are whole numbers from 0, got values of type {array.dtype}.")
        values = torch.from_numpy(array)
    if values.ndim != 2 or not len(values):
        raise ValueError(f"sequences of tokens have the shape (n, L) with n >= 1, got {tuple(values.shape)}.")
    whole = values.double()
    off = whole != whole.round()
    if bool(off.any()):
        row, place = off.nonzero()[0].tolist()
        raise ValueError(f"row {row}, place {place}: {float(whole[row, place]):g} is no token; they are whole numbers.")
    return values.long()
