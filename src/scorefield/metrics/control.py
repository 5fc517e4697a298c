"""Expectations with less variance: what Stein's identity says is 0 on average is taken away from the integrand.

For a score s of p and any smooth P, `E[laplacian P + s . grad P] = 0`. Such functions of x, fitted to f on the sample,
leave a constant, the expectation, and a residual (Assaraf and Caffarel 1999; Mira, Solgi and Imparato 2013 with
polynomials; Oates, Girolami and Chopin 2017 with a Stein kernel).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from scorefield._ranges import real, whole
from scorefield.core import StaticScore
from scorefield.metrics.samples import Sample, random_order
from scorefield.metrics.stein_kernel import SteinPoints, scale_of, stein_kernel, stein_points
from scorefield.numerics.kernels import RadialKernel

_DEGREE, _RIDGE, _FOLDS = whole(0, 2), real(0, 1e6), 5
_RIDGES = (1e-8, 1e-6, 1e-4, 1e-2, 1.0, 100.0)


class Expectation(NamedTuple):
    """`E[f]` from a sample.

    Args:
        value: `(k,)`.
        standard_error: `(k,)`, of independent draws; with a kernel a guess, measured up to 1.6 times too small.
        plain: the sample's mean, `(k,)`.
        plain_error: its standard error, `(k,)`.
    """

    value: Tensor
    standard_error: Tensor
    plain: Tensor
    plain_error: Tensor


def expectation(
    score: StaticScore,
    x: Sample,
    values: Sample,
    *,
    degree: int | None = None,
    kernel: RadialKernel | None = None,
    ridge: float | None = None,
    seed: int = 0,
) -> Expectation:
    """`E[f]` under the score's law from a sample and f there, with control variates by Stein's identity.

    The mean of `f - sum_j theta_j (laplacian P_j + s . grad P_j)`, less a function of the Stein kernel's space, P
    running over the monomials up to the degree; each fifth of the rows is corrected by what the others are fitted by
    (generalised least squares), so that the mean is unbiased. For a Gaussian law and a polynomial f of that degree it
    is exact, from any points that determine the polynomial.

    Args:
        score: `(n, *shape) -> (n, *shape)`, of the law.
        x: `(n, *shape)`: draws, or states of a chain (whose errors are too small then).
        values: f at x, `(n,)` or `(n, k)`.
        degree: 1 (the score's coordinates) or 2 (`(d + 1)(d + 2) / 2 - 1` functions); None: 2, or none with a kernel.
        kernel: of control functionals, whose error falls faster than `n^(-1/2)`; in time `n^3`; for laws of one mode:
            of modes with no points between them their weights are lost, and the error is too small. None: polynomials.
        ridge: added to the Stein kernel's matrix, in units of its mean diagonal; None: of 1e-8 to 100 what leaves the
            least in rows that were not fitted.
        seed: of the parts.

    Raises:
        ValueError: for fewer rows than functions, or values that do not fit x.

    Example:
        >>> x = torch.tensor([[-1.0], [0.3], [2.0], [1.1], [0.4], [-0.2], [0.6]], dtype=torch.float64)
        >>> found = expectation(lambda x: -x, x, (x**2)[:, 0])
        >>> round(float(found.value), 12), round(float(found.plain), 2)
        (1.0, 0.98)
    """
    if degree is not None and kernel is not None:
        raise ValueError("give a degree of polynomials or a kernel, not both.")
    degree = (2 if kernel is None else 0) if degree is None else degree
    _DEGREE("degree", degree)
    if ridge is not None:
        _RIDGE("ridge", ridge)
    points = stein_points(score, x)
    f, n = _values(values, points.x), len(points)
    design = _design(points, degree)
    least = design.shape[1] + 1
    if n - -(-n // _FOLDS) < least:
        raise ValueError(f"{least - 1} functions and a constant need more rows than {n}; give more, or a lower degree.")
    scale = scale_of(kernel, points.x, seed) if kernel is not None else 1.0
    parts = random_order(n, seed, "control variates", points.x).tensor_split(_FOLDS)
    ridges = [0.0] if kernel is None else _RIDGES if ridge is None else [ridge]
    rests = torch.stack([_rest(points, design, f, parts, kernel, scale, one) for one in ridges])
    best = rests.var(1).argmin(0)  # of each function
    rest = rests.gather(0, best.expand(1, n, -1))[0]
    root = math.sqrt(n)
    return Expectation(rest.mean(0), rest.std(0) / root, f.mean(0), f.std(0) / root)


def _rest(
    points: SteinPoints, design: Tensor, f: Tensor, parts: Sequence[Tensor], kernel: RadialKernel | None, scale: float,
    ridge: float,
) -> Tensor:  # fmt: skip
    """f less what the rows of the other parts say of its variation."""
    rest = torch.empty_like(f)
    for held in parts:
        kept = torch.ones(len(f), dtype=torch.bool, device=f.device)
        kept[held] = False
        fit = _Fit.of(points[kept], design[kept], f[kept], kernel, scale, ridge)
        rest[held] = f[held] - fit.varying(points[held], design[held])
    return rest


class _Fit(NamedTuple):
    theta: Tensor
    weights: Tensor | None
    points: SteinPoints
    kernel: RadialKernel | None
    scale: float

    @staticmethod
    def of(
        points: SteinPoints, design: Tensor, f: Tensor, kernel: RadialKernel | None, scale: float, ridge: float
    ) -> _Fit:
        """By generalised least squares."""
        if kernel is None:
            return _Fit(_least_squares(design, f), None, points, None, scale)
        gram = stein_kernel(points, points, kernel, scale)
        gram.diagonal().add_(ridge * float(gram.diagonal().mean()))
        root, failed = torch.linalg.cholesky_ex(gram)
        if int(failed):
            raise ValueError("the Stein kernel's matrix is singular (equal rows?); give a greater ridge.")
        a, b = (torch.linalg.solve_triangular(root, v, upper=False) for v in (design, f))
        theta = _least_squares(a, b)
        rest = torch.linalg.solve_triangular(root.T, b - a @ theta, upper=True)
        return _Fit(theta, rest, points, kernel, scale)

    def varying(self, points: SteinPoints, design: Tensor) -> Tensor:
        """What is taken away from f at other points, whose expectation is 0."""
        found = design[:, 1:] @ self.theta[1:]
        if self.kernel is not None and self.weights is not None:
            found = found + stein_kernel(points, self.points, self.kernel, self.scale) @ self.weights
        return found


def _least_squares(a: Tensor, b: Tensor) -> Tensor:
    """Columns are scaled; directions that the rows do not determine are left out."""
    size = a.square().sum(0).sqrt().clamp(min=torch.finfo(a.dtype).tiny)
    return torch.linalg.lstsq(a / size, b, driver="gelsd").solution / size[:, None]


def _design(points: SteinPoints, degree: int) -> Tensor:
    """1, and the Stein operator of each monomial, about the sample's mean: `(n, 1 + functions)`."""
    x, s = points.x - points.x.mean(0), points.w
    columns = [torch.ones_like(x[:, :1])]
    if degree >= 1:
        columns.append(s)
    if degree >= 2:
        i, j = torch.triu_indices(x.shape[1], x.shape[1], device=x.device)
        columns.append(x[:, i] * s[:, j] + x[:, j] * s[:, i] + 2.0 * (i == j))
    return torch.cat(columns, 1)


def _values(values: Sample, x: Tensor) -> Tensor:
    """`(n, k)`."""
    f = torch.as_tensor(values) if isinstance(values, np.ndarray) else values
    if not isinstance(f, Tensor) or f.ndim not in (1, 2) or len(f) != len(x):
        raise ValueError(f"values must be f at the {len(x)} rows of x, (n,) or (n, k), got {getattr(f, 'shape', f)}.")
    f = f.detach().to(x).reshape(len(x), -1)
    if not bool(torch.isfinite(f).all()):
        raise ValueError(f"values are not finite, first in row {int((~torch.isfinite(f)).any(1).nonzero()[0])}.")
    return f
