"""The minimum of the l1-penalised loss over symmetric matrices, and the penalty from which on no edge is left.

With `f(K) = sum_j K_j . G_j K_j / 2 - g_j . K_j + (m - 1) sum_jk diag(G_j)_k K_jk^2 / 2` and m >= 1 the diagonal
multiplier, which bounds f from below where n < d (Yu, Drton and Shojaie 2019), the problem is

    minimise f(K) + penalty * sum_{j != k} |K_jk|    over symmetric K,

whose conditions are, with `S_jk = df_jk + df_kj`, `S_jj = 0`, `S_jk = -2 penalty sign(K_jk)` on edges and
`|S_jk| <= 2 penalty` elsewhere.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from scorefield.graphs.moments import Quadratic

TOLERANCE = 1e-7
"""Of the conditions, in units of the largest penalty."""
_CHECK = 10  # steps between two looks at whether an exact solution on the present edges is the answer
_STEPS = 5000
_DENSE = 64  # a set of more than d^2 / 64 pairs is worked on as a whole matrix


class Problem(NamedTuple):
    """A loss with its diagonal multiplier.

    Args:
        loss: of the data.
        multiplier: m, >= 1.
        bound: the largest eigenvalue of f's Hessian in units of its diagonal.
    """

    loss: Quadratic
    multiplier: float
    bound: float

    def slope(self, K: Tensor) -> Tensor:
        """`S` with the diagonal `df_jj`, `(d, d)`, symmetric."""
        df = self.loss.apply(K) + (self.multiplier - 1) * self.loss.curvature * K - self.loss.linear
        return df + df.T - torch.diag(df.diagonal())


class Pairs(NamedTuple):
    """The problem on some entries `i <= j` of K, all others 0.

    Args:
        i, j: indices `(p,)`.
        curvature: f's second derivatives `(p,)`.
        linear: minus f's slopes at 0, `(p,)`.
    """

    problem: Problem
    i: Tensor
    j: Tensor
    curvature: Tensor
    ridge: Tensor
    linear: Tensor

    def matrix(self, values: Tensor) -> Tensor:
        """K of these values `(p,)`."""
        K = values.new_zeros(self.problem.loss.d, self.problem.loss.d)
        K[self.i, self.j] = values
        K[self.j, self.i] = values
        return K

    def hessian(self, values: Tensor) -> Tensor:
        """f's Hessian times values, `(p,)`."""
        loss = self.problem.loss
        if len(values) * _DENSE > loss.d**2:
            whole = loss.apply(self.matrix(values))
            both = whole[self.i, self.j] + whole[self.j, self.i]
            applied = torch.where(self.i == self.j, both / 2, both)
        else:
            applied = loss.apply_pairs(self.i, self.j, values)
        return applied + self.ridge * values


def problem(loss: Quadratic, multiplier: float = 1.0) -> Problem:
    """The problem, its bound by the power method."""
    d = loss.d
    everything = pairs_on(Problem(loss, multiplier, math.nan), torch.ones(d, d, dtype=torch.bool))
    root = everything.curvature.clamp(min=torch.finfo(torch.float64).tiny).sqrt()
    values = (torch.arange(len(root), dtype=torch.float64) * 0.7548776662466927) % 1 - 0.25  # no special direction
    size = 1.0
    for _ in range(30):
        values = values / values.norm()
        values = everything.hessian(values / root) / root
        size = float(values.norm())
    return Problem(loss, multiplier, 1.1 * size)


def pairs_on(problem: Problem, chosen: Tensor) -> Pairs:
    """The entries where a symmetric `(d, d)` holds true."""
    i, j = chosen.triu().nonzero().T
    loss, own = problem.loss, i == j

    def both(matrix: Tensor) -> Tensor:
        return torch.where(own, matrix[i, j], matrix[i, j] + matrix[j, i])

    diagonal = both(loss.curvature)
    ridge = (problem.multiplier - 1) * diagonal
    return Pairs(problem, i, j, diagonal + ridge, ridge, both(loss.linear))


def empty(problem: Problem) -> Tensor:
    """The minimum over diagonal matrices."""
    loss = problem.loss
    return torch.diag(loss.linear.diagonal() / loss.curvature.diagonal() / problem.multiplier)


def largest_penalty(problem: Problem) -> float:
    """The penalty from which on there is no edge: half the largest slope at the minimum over diagonal matrices."""
    slope = problem.slope(empty(problem))
    return float(slope.fill_diagonal_(0).abs().max()) / 2


def violation(problem: Problem, K: Tensor, penalty: float) -> Tensor:
    """How far each entry is from the conditions of the minimum, `(d, d)`, >= 0."""
    slope = problem.slope(K)
    edge = K != 0
    off = torch.where(edge, (slope + 2 * penalty * K.sign()).abs(), (slope.abs() - 2 * penalty).clamp(min=0))
    off.diagonal().copy_(slope.diagonal().abs())
    return off


def solve(problem: Problem, penalty: float, start: Tensor, previous: float, tolerance: float) -> Tensor:
    """K at a penalty, from K at the previous, larger one; the conditions hold to the tolerance.

    Works on the entries that are not 0 or may not stay it (the strong rule of Tibshirani and others, 2012), and adds
    those that break the conditions until none does.
    """
    K = start
    slope = problem.slope(K)
    chosen = (K != 0) | (slope.abs() >= 2 * (2 * penalty - previous))
    chosen.fill_diagonal_(True)
    while True:
        pairs = pairs_on(problem, chosen)
        K = pairs.matrix(_on_pairs(pairs, K[pairs.i, pairs.j], penalty, tolerance))
        broken = (violation(problem, K, penalty) > tolerance) & ~chosen
        if not bool(broken.any()):
            return K
        chosen = chosen | broken


def minimum_on(problem: Problem, chosen: Tensor, start: Tensor | None = None, tolerance: float = 1e-10) -> Tensor:
    """The minimum of f without a penalty, K being 0 where `chosen` (symmetric, `(d, d)`) is false.

    Raises:
        ValueError: where f has no minimum there: too many edges for so few rows, or columns that depend on each other.
    """
    pairs = pairs_on(problem, chosen | torch.eye(problem.loss.d, dtype=torch.bool))
    first = torch.zeros_like(pairs.linear) if start is None else start[pairs.i, pairs.j]
    values = _conjugate(pairs, first, pairs.linear, tolerance * float(pairs.linear.abs().max()))
    if values is None:
        raise ValueError(
            f"score matching has no unique answer for {int((pairs.i != pairs.j).sum()):,} edges of {problem.loss.d} "
            f"columns and {problem.loss.n:,} rows: fewer edges, a penalty, or a multiplier > 1 is needed."
        )
    return pairs.matrix(values)


def _on_pairs(pairs: Pairs, start: Tensor, penalty: float, tolerance: float) -> Tensor:
    """Accelerated proximal gradient steps with restarts; finished by conjugate gradients once the edges stay."""
    size = torch.where(pairs.i == pairs.j, 0.0, 2 * penalty).double()
    step = 1 / (pairs.problem.bound * pairs.curvature)
    values, ahead, pace = start, start, 1.0
    signs = values.sign()
    for k in range(1, _STEPS + 1):
        slope = pairs.hessian(ahead) - pairs.linear
        moved = ahead - step * slope
        new = moved.sign() * (moved.abs() - step * size).clamp(min=0)
        if float(((new - ahead).abs() / step).max()) <= tolerance / 2:
            return new
        if float(((ahead - new) / step * (new - values)).sum()) > 0:
            pace = 1.0
        following = (1 + math.sqrt(1 + 4 * pace**2)) / 2
        ahead = new + (pace - 1) / following * (new - values)
        values, pace = new, following
        if k % _CHECK == 0:
            if torch.equal(values.sign(), signs):
                exact = _finish(pairs, values, size, tolerance)
                if exact is not None:
                    return exact
            signs = values.sign()
    raise ValueError(
        f"no minimum was found in {_STEPS:,} steps: columns depend on each other; leave one out, or give a multiplier "
        "> 1."
    )


def _finish(pairs: Pairs, values: Tensor, size: Tensor, tolerance: float) -> Tensor | None:
    """The minimum with the edges and signs of these values, if it has them and meets the conditions."""
    kept = (values != 0) | (size == 0)
    inner = Pairs(pairs.problem, *(part[kept] for part in pairs[1:]))
    found = _conjugate(inner, values[kept], inner.linear - size[kept] * values[kept].sign(), tolerance / 10)
    if found is None or not torch.equal(found.sign() * (size[kept] > 0), values[kept].sign() * (size[kept] > 0)):
        return None
    exact = torch.zeros_like(values)
    exact[kept] = found
    slope = pairs.hessian(exact) - pairs.linear
    return exact if bool(((slope.abs() <= size + tolerance) | kept).all()) else None


def _conjugate(pairs: Pairs, start: Tensor, right: Tensor, tolerance: float) -> Tensor | None:
    """Solve Hessian * values = right by conjugate gradients scaled by the diagonal; None where that is singular."""
    values = start.clone()
    residual = right - pairs.hessian(values)
    scaled = residual / pairs.curvature
    direction, square = scaled, float((residual * scaled).sum())
    for _ in range(20 * len(values) + 200):
        if float(residual.abs().max()) <= tolerance:
            return values
        applied = pairs.hessian(direction)
        bend = float((direction * applied).sum())
        if not bend > 1e-13 * float((direction.square() * pairs.curvature).sum()):
            return None
        values += square / bend * direction
        residual -= square / bend * applied
        scaled = residual / pairs.curvature
        before, square = square, float((residual * scaled).sum())
        direction = scaled + square / before * direction
    return None
