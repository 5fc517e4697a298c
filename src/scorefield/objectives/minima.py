"""The minimum of any objective in a few parameters, with sandwich standard errors."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

_STEPS, _HALVINGS = 100, 40
_TOLERANCE = 1e-10  # of the decrease that Newton's step promises, in units of the loss, or of 1


@dataclass(frozen=True, eq=False)
class Minimum:
    """Parameters that minimise a mean of losses.

    Args:
        theta: `(k,)`, float64.
        covariance: of theta, `(k, k)`: `H^-1 Omega H^-1 / n`, H the Hessian of the mean loss and Omega the covariance
            of the samples' gradients.
        loss: at theta, the mean.
    """

    theta: Tensor
    covariance: Tensor
    loss: float

    @property
    def standard_error(self) -> Tensor:
        """Of theta, `(k,)`."""
        return self.covariance.diagonal().sqrt()

    def __repr__(self) -> str:
        pairs = zip(self.theta.tolist(), self.standard_error.tolist(), strict=True)
        return f"Minimum(theta = {', '.join(f'{t:.4g} +- {e:.2g}' for t, e in pairs)})"


def minimum(loss: Callable[[Tensor], Tensor], start: Tensor) -> Minimum:
    """Minimise the mean of `loss(theta)`, one loss per sample, by Newton's method with halved steps.

    For objectives that are convex in theta, such as those of `contrastive` for an energy that is linear in it. Samples
    are independent of each other; what is drawn for a loss is drawn once, outside of it.

    Args:
        loss: `(k,) -> (n,)`, twice differentiable by `torch.func`.
        start: `(k,)`.

    Raises:
        ValueError: where the Hessian is singular, a loss is not finite at the start, or there is no minimum: data and
            noise are apart (separation), so that theta would grow without end.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 6.0], dtype=torch.float64)
        >>> minimum(lambda theta: (x - theta).square() / 2, torch.zeros(1))
        Minimum(theta = 3 +- 1.2)
    """
    theta = start.detach().double()
    value = _checked(loss, theta)
    for _ in range(_STEPS):
        gradient, H = _derivatives(loss, theta)
        step = torch.cholesky_solve(gradient[:, None], _factor(H))[:, 0]
        promised = float(gradient @ step) / 2
        near = bool((step.abs() <= 1e-4 * (1 + theta.abs())).all())  # where there is no minimum, steps stay long
        if near and promised <= _TOLERANCE * max(1.0, abs(float(value.mean()))):
            return _summary(loss, theta - step)
        theta, value = _shorter(loss, theta, step, float(value.mean()))
    shown = [float(f"{t:.4g}") for t in theta.tolist()]
    raise ValueError(
        f"no minimum was found within {_STEPS} steps: theta = {shown} still moves; "
        "where the data and what they are compared with lie apart, bring them together or leave statistics out."
    )


def _derivatives(loss: Callable[[Tensor], Tensor], theta: Tensor) -> tuple[Tensor, Tensor]:
    mean = lambda t: loss(t).mean()  # noqa: E731
    return torch.func.grad(mean)(theta), torch.func.hessian(mean)(theta)


def _shorter(loss: Callable[[Tensor], Tensor], theta: Tensor, step: Tensor, before: float) -> tuple[Tensor, Tensor]:
    """A step that lowers the mean loss."""
    for k in range(_HALVINGS):
        tried = theta - step / 2**k
        value = loss(tried)
        if bool(torch.isfinite(value).all()) and float(value.mean()) < before:
            return tried, value
    raise ValueError("the loss does not fall along Newton's step: it is not convex in theta, or hardly differentiable.")


def _summary(loss: Callable[[Tensor], Tensor], theta: Tensor) -> Minimum:
    value = _checked(loss, theta)
    _, H = _derivatives(loss, theta)
    each = torch.func.jacfwd(loss)(theta)
    each = each - each.mean(0)
    inverse = torch.cholesky_inverse(_factor(H))
    omega = each.T @ each / len(each)
    return Minimum(theta, inverse @ omega @ inverse / len(each), float(value.mean()))


def _factor(H: Tensor) -> Tensor:
    scale = H.diagonal().clamp(min=torch.finfo(H.dtype).tiny).sqrt()
    factor, failed = torch.linalg.cholesky_ex(H / scale[:, None] / scale)
    if bool(failed) or not float(factor.diagonal().min()) > 1e-7:
        raise ValueError(
            f"the Hessian of the loss in the {len(H)} parameters is singular: some of them do the same, or the minimum "
            "lies at infinity, because the data and what they are compared with lie apart."
        )
    return scale[:, None] * factor


def _checked(loss: Callable[[Tensor], Tensor], theta: Tensor) -> Tensor:
    value = loss(theta)
    if value.ndim != 1 or not len(value):
        raise ValueError(f"loss must answer with one number per sample, (n,), got {tuple(value.shape)}.")
    if not bool(torch.isfinite(value).all()):
        row = int((~torch.isfinite(value)).nonzero()[0, 0])
        raise ValueError(f"the loss is {float(value[row]):g} at row {row}; start from other parameters.")
    if math.isnan(float(theta.sum())):
        raise ValueError("theta is NaN.")
    return value
