"""Exponential families of tokens, the Ising model among them: fitted without a normalising constant, with errors.

`p(x) ~ exp(theta . T(x))` on sequences of tokens. The losses of `discrete.static` compare each sequence with those that
differ in one token; where one of them is least theta is an M-estimate, whose covariance is the sandwich
`H^-1 Omega H^-1 / n` (Huber 1967), right for laws outside the family too.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch import Tensor

from scorefield import _ranges
from scorefield._columns import column_named, numbers_of
from scorefield.discrete.corruptions import SIZE, check_tokens
from scorefield.discrete.family_terms import Terms, TokenLoss
from scorefield.discrete.static import ratio_matching
from scorefield.objectives.closed_form import ExponentialFamilyFit, normalised_weights, positive_inverse
from scorefield.objectives.families import Family, FamilyFit, check_columns

__all__ = ["TokenLoss", "Tokens", "ising", "fit_family"]

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
    return Family("Ising", statistics, Tokens(2), names, lambda theta: theta, d)


def fit_family(x: Any, family: Family, loss: TokenLoss = ratio_matching, *, weights: Tensor | None = None) -> FamilyFit:
    """Fit a family of tokens, by ratio matching unless told otherwise.

    Args:
        x: sequences `(n, L)` of whole numbers from 0 (or of booleans): a tensor, an array or a data frame.
        family: its support are `Tokens`; `ising(d)`, or one's own with statistics `(n, L) -> (n, k)`.
        loss: of `discrete.static`. `pseudo_likelihood` has the smaller errors where the family holds the truth;
            `ratio_matching` is bounded, so that no sequence weighs much. One's own must be a sum over places and ask
            for the energies of x and of `neighbours(x, size)` alone.
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
    tokens, columns = _tokens(x)
    check_columns(family, tokens.shape[1])
    family.support.check(tokens)
    w = normalised_weights(weights, tokens.double())
    terms = Terms(tokens, w, family, loss, size)
    theta, curve = _least(terms, family, columns)
    inverse = positive_inverse(curve, "the curvature of the loss", "parameters", family.names)
    omega = terms.spread(theta)
    covariance, optimism = inverse @ omega @ inverse, float((inverse * omega).sum())
    found = ExponentialFamilyFit(theta, covariance, family.statistics, float(terms.value(theta)), optimism)
    return FamilyFit(family, found, len(tokens), loss.__name__.replace("_", " "))


def _least(terms: Terms, family: Family, columns: tuple[str, ...]) -> tuple[Tensor, Tensor]:
    """Theta where the loss is least, and the curvature there: quasi-Newton steps from 0, and one of Newton's.

    The steps are taken in coordinates in which the curvature at 0 is 1.
    """
    first = terms.curvature(torch.zeros(terms.count, dtype=torch.float64))
    names = family.names if len(family.names) == terms.count else ()
    positive_inverse(first, "the curvature of the loss", "parameters", names)  # for its error
    root = torch.linalg.cholesky(first)
    free = torch.zeros(terms.count, dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [free], max_iter=_STEPS, tolerance_grad=1e-11, tolerance_change=1e-15, line_search_fn="strong_wolfe"
    )

    def to_theta() -> Tensor:
        return torch.linalg.solve_triangular(root.T, free.detach()[:, None], upper=True)[:, 0]

    def closure() -> Tensor:
        value, slope = terms.slope(to_theta())
        free.grad = torch.linalg.solve_triangular(root, slope[:, None], upper=False)[:, 0]
        return value

    optimiser.step(closure)
    theta = to_theta()
    curve = terms.curvature(theta)
    if not bool(torch.isfinite(curve).all()) or _least_share(curve, root) < _FLAT:
        which = int(theta.abs().argmax())
        name = family.names[which] if names else f"parameter {which}"
        places = [column_named(l, columns).replace("column", "place") for l in terms.places(which)]
        raise ValueError(
            f"{family.name}: {name} ({', '.join(places)}) has no finite estimate on these sequences (separation: some "
            "column follows from others, or nearly); leave one out or give more sequences."
        )
    return theta - torch.linalg.solve(curve, terms.slope(theta)[1]), curve


def _least_share(curve: Tensor, root: Tensor) -> float:
    """The least of the curvature over that at 0, in any direction: `root root^T` is the latter."""
    half = torch.linalg.solve_triangular(root, curve, upper=False)
    whole = torch.linalg.solve_triangular(root, half.T, upper=False)
    return float(torch.linalg.eigvalsh((whole + whole.T) / 2)[0])


def _tokens(x: Any) -> tuple[Tensor, tuple[str, ...]]:
    """`(n, L)` int64 of a tensor, an array or a data frame, and the names of its columns."""
    whole, names = numbers_of("fit_family", x, "biuf")
    if whole.ndim != 2 or not whole.numel():
        raise ValueError(
            f"sequences of tokens have the shape (n, L) with n and L at least 1, got {tuple(whole.shape)}."
        )
    off = whole != whole.round()
    if bool(off.any()):
        row, place = off.nonzero()[0].tolist()
        where = column_named(place, names).replace("column", "place")
        raise ValueError(f"row {row}, {where}: {float(whole[row, place]):g} is no token; they are whole numbers.")
    return whole.long(), names
