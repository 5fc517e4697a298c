"""A model given measurements: the Kalman update of its estimate at every level. Model -> Model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scorefield._tensor import check_batch, expand
from scorefield.conditioning.inverse.covariance import estimate_and_vjp
from scorefield.conditioning.inverse.measurement import Measurement
from scorefield.conditioning.inverse.operators import Operator, resolved
from scorefield.core import Estimate, Level, Model
from scorefield.likelihood.reference import Moment, Reference

_FORWARDED = ("sigma_min", "sigma_max", "sigma_data", "classes")


@dataclass(frozen=True, eq=False)
class Posterior:
    """The model of x0 given `y = A x0 + noise`; see `posterior`.

    Args:
        model: of x0.
        A: as `posterior`, operators as the coordinates or the matrix that they are; so are y, noise_covariance,
            jacobian, prior (its covariance) and shape.
        mean: of x0 given y under the Gaussian with the model's mean and covariance; None where these are unknown, or
            for one y per sample.
        covariance: likewise, `(d, d)`.
    """

    model: Model
    A: Any
    y: Tensor
    noise_covariance: float | Tensor = 0.0
    jacobian: bool = True
    prior: Moment | None = None
    shape: tuple[int, ...] | None = field(repr=False, default=None)
    mean: Tensor | None = field(init=False, repr=False, default=None)
    covariance: Tensor | None = field(init=False, repr=False, default=None)

    def __post_init__(self) -> None:
        mean = getattr(self.model, "mean", None)
        shape = tuple(mean.shape) if self.shape is None and isinstance(mean, Tensor) else self.shape
        A, y = resolved(self.A, torch.as_tensor(self.y), shape)
        object.__setattr__(self, "A", A)
        object.__setattr__(self, "y", y)
        d = A.numel() if A.dtype == torch.bool else A.shape[1] if A.ndim == 2 else None
        d = mean.numel() if isinstance(mean, Tensor) else d
        if d is not None:
            measurement = self._measurement(d)
            if mean is not None and hasattr(self.model, "covariance") and len(measurement.y) == 1:
                reference = Reference.of(self.model, torch.zeros(1, d, device=A.device))
                for name, value in zip(("mean", "covariance"), _updated(reference, measurement), strict=True):
                    same = name == "mean" and isinstance(mean, Tensor)
                    object.__setattr__(self, name, value.reshape(mean.shape) if same else value)

    def __call__(self, x: Tensor, level: Level, condition: Tensor | None = None) -> Estimate:
        """The estimate given y at x `(n, *shape)`, for a level 0-d or `(n,)`.

        Raises:
            ValueError: for another n than y has, or at alpha = 0 without a prior covariance.
        """
        check_batch("x", x)
        flat = x.reshape(len(x), -1)
        measurement = self._measurement(flat.shape[1])
        if len(measurement.y) not in (1, len(x)):
            raise ValueError(f"y has {len(measurement.y)} rows and x {len(x)}; give one y for all or one per sample.")
        alpha, sigma = (expand(v, flat.double()) for v in level)
        pure = alpha == 0
        if not self.jacobian or bool(pure.all()):
            answer, change, slope = self._by_prior(measurement, x, level, condition, self.prior)
        else:
            answer, change, slope = self._by_jacobian(measurement, x, level, condition, alpha.where(~pure, 1.0))
            if bool(pure.any()):
                far = self._by_prior(measurement, x, level, condition, self.prior)[1:]
                change, slope = (torch.where(pure, *both) for both in zip(far, (change, slope), strict=True))
        x0 = answer.x0.reshape(flat.shape).double() + change
        eps = answer.eps.reshape(flat.shape).double() - sigma * slope
        return Estimate(x0.to(x).reshape(x.shape), eps.to(x).reshape(x.shape))

    def _by_jacobian(
        self, measurement: Measurement, x: Tensor, level: Level, condition: Tensor | None, alpha: Tensor
    ) -> tuple[Estimate, Tensor, Tensor]:
        """The estimate, by how much x0 moves, and by how much `-eps / sigma` does; both `(n, d)`; alpha > 0."""
        answer, rows = estimate_and_vjp(self.model, x, level, condition, measurement.matrix())
        rows = rows.double()
        scale = expand(level.sigma, answer.x0.reshape(len(x), -1).double()) ** 2 / alpha
        law = measurement.law_of((scale[..., None] if scale.ndim else scale) * _clamped(measurement(rows)))
        weights = law.solve(measurement.residual(answer.x0.reshape(len(x), -1).double()), False) * measurement.observed
        slope = (weights[:, None] @ rows).squeeze(1)
        return answer, scale * slope, slope

    def _by_prior(
        self, measurement: Measurement, x: Tensor, level: Level, condition: Tensor | None, covariance: Moment | None
    ) -> tuple[Estimate, Tensor, Tensor]:
        """The same, were x0 normal with the data's covariance; at alpha = 0 they are exact for any data."""
        answer = self.model(x, level, condition)
        mean = answer.x0.reshape(len(x), -1).double()
        alpha, sigma = (expand(v, mean) for v in level)
        prior = Reference.of(self.model, x, covariance=covariance)
        scaled = prior.variances / (alpha**2 * prior.variances + sigma**2).clamp(min=1e-300)
        columns = measurement.columns(prior.basis)
        law = measurement.law(torch.atleast_2d(sigma**2 * scaled), columns)
        weights = law.solve(measurement.residual(mean), columns is None) * measurement.observed
        back = weights.new_zeros(len(x), measurement.d)
        back = back.index_copy(1, measurement.A, weights) if columns is None else weights @ columns
        moved = prior.from_basis(scaled * back)
        return answer, sigma**2 * moved, alpha * moved

    def _measurement(self, d: int) -> Measurement:
        return Measurement.of(self.A, self.y, self.noise_covariance, d)

    def __getattr__(self, name: str) -> Any:
        model = self.__dict__.get("model")
        if name in _FORWARDED and hasattr(model, name):
            return getattr(model, name)
        raise AttributeError(f"this model has no {name!r}", name=name)


def posterior(
    model: Model,
    A: Tensor | Operator | Any,
    y: Tensor,
    noise_covariance: float | Tensor = 0.0,
    *,
    jacobian: bool = True,
    covariance: Moment | None = None,
    shape: Sequence[int] | None = None,
) -> Posterior:
    """The model of x0 given `y = A x0 + noise`, by a Kalman update at every level.

    `x0' = x0 + S A^T (A S A^T + noise_covariance)^-1 (y - A x0)` with `S = Cov[x0 | x] = (sigma^2 / alpha) d x0 / d x`
    (Tweedie's second moment, as in Boys and others 2024), symmetrised and without negative variances, and eps from
    `alpha x0 + sigma eps = x`. Exact for normal data at every level, also for exact observations. For other data it is
    a good guess, not the posterior: `posterior_samples` corrects it.

    Args:
        model: any: exact, trained, guided.
        A: an operator of `inverse.operators` (`Mask`, `Blur`, `Radon`, ...), an object with `A` and `A_adjoint` as
            deepinv's linear physics are, a matrix `(m, d)`, an int64 list `(m,)` of coordinates of the flattened
            point, or a boolean mask of the point.
        y: `(m,)`, or `(n, m)`: one per sample; of operators also in the shape that they measure; NaN: not observed.
        noise_covariance: of the noise: a variance, `(m,)` variances or `(m, m)`; 0: exact observations.
        jacobian: False: no derivative of the model is taken, and S is what normal data of the given covariance have
            (as Song and others 2023, with a variance): cheap, for images.
        covariance: of the data: a number, one per coordinate or `(d, d)`; default: the model's, or sigma_data^2. With
            Jacobians it is used at alpha = 0 alone.
        shape: of a point, where A is an object that does not tell it and the model has no mean.

    Raises:
        ValueError: for shapes that do not fit or a noise that is no covariance.

    Example:
        >>> from scorefield.analytic import Gaussian
        >>> law = Gaussian(torch.zeros(2), torch.tensor([[1.0, 0.5], [0.5, 1.0]]))
        >>> given = posterior(law, torch.tensor([0]), torch.tensor([2.0]))  # the first coordinate is 2
        >>> given(torch.zeros(1, 2), Level(1.0, 80.0)).x0.round(decimals=3).tolist()
        [[2.0, 1.0]]
    """
    return Posterior(model, A, y, noise_covariance, jacobian, covariance, None if shape is None else tuple(shape))


def _updated(prior: Reference, measurement: Measurement) -> tuple[Tensor, Tensor]:
    """Mean `(d,)` and covariance `(d, d)` of the reference given y."""
    basis = torch.eye(len(prior.mean), dtype=torch.float64, device=prior.mean.device)
    basis = basis if prior.basis is None else prior.basis
    covariance = (basis * prior.variances) @ basis.T
    across = measurement(covariance).T  # A C
    law = measurement.law_of(measurement(across)[None])
    gain = law.solve((across * measurement.observed.T).T, diagonal=False)  # (d, m): C A^T S^-1
    mean = prior.mean + gain @ measurement.residual(prior.mean[None])[0]
    rest = covariance - gain @ across
    return mean, (rest + rest.T) / 2


def _clamped(product: Tensor) -> Tensor:
    """A square matrix `(n, m, m)` made symmetric and, outside of function transforms, without negative variances."""
    product = (product + product.mT) / 2
    if torch._C._functorch.maybe_current_level() is not None or not product.numel():
        return product
    scale = product.diagonal(dim1=1, dim2=2).abs().amax(1).clamp(min=math.ulp(0.0))
    one = torch.eye(product.shape[1], dtype=product.dtype, device=product.device)
    wrong = torch.linalg.cholesky_ex(product + 1e-10 * scale[:, None, None] * one).info > 0
    if not bool(wrong.any()):
        return product
    variances, basis = torch.linalg.eigh(product[wrong])
    return product.index_put((wrong,), (basis * variances.clamp(min=0)[:, None]) @ basis.mT)
