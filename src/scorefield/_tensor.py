"""Broadcasting, and checks that speak at the public entry."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensor


def rows_of(value: Any, rows: Tensor) -> Any:
    """Some rows of what has one entry per sample; what all samples share as it is."""
    return value[rows] if isinstance(value, Tensor) and value.ndim else value


def is_traced(value: object) -> bool:
    """Whether a tensor's numbers cannot be read: inside a function transform, while compiling or exporting."""
    return isinstance(value, Tensor) and (
        torch.compiler.is_compiling()
        or torch._C._functorch.is_functorch_wrapped_tensor(value)
        or isinstance(value, FakeTensor)
    )


def expand(value: float | Tensor, x: Tensor) -> Tensor:
    """A 0-d or `(n,)` value as a tensor that broadcasts against x `(n, *shape)`, with x's dtype and device.

    Raises:
        ValueError: when value has another shape.
    """
    v = value if isinstance(value, Tensor) else torch.as_tensor(value, dtype=x.dtype)
    if v.ndim == 0:
        return v.to(device=x.device, dtype=x.dtype)
    if v.ndim == 1 and x.ndim and v.shape[0] == x.shape[0]:
        return v.to(device=x.device, dtype=x.dtype).reshape(-1, *[1] * (x.ndim - 1))
    raise ValueError(
        f"a per-sample value must be 0-d or of shape ({x.shape[0] if x.ndim else 'n'},) for x of shape "
        f"{tuple(x.shape)}, got {tuple(v.shape)}."
    )


def sum_rest(x: Tensor) -> Tensor:
    """The sum over all but the batch dimension: `(n, *shape) -> (n,)`."""
    return x.reshape(len(x), -1).sum(1)


def check_real(name: str, x: Tensor, dim: int | None = None) -> None:
    """Raise unless x is a finite floating-point tensor (with `dim` dimensions, when given)."""
    if not x.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {x.dtype}; convert with .float() or .double().")
    if dim is not None and x.ndim != dim:
        raise ValueError(f"{name} must have {dim} dimension(s), got shape {tuple(x.shape)}.")
    finite = torch.isfinite(x)
    if not bool(finite.all()):
        place = tuple((~finite).nonzero()[0].tolist())
        where = f" (first at {list(place)})" if place else ""
        raise ValueError(f"{name} must be finite, got NaN or infinite values{where}.")


def check_batch(name: str, x: Tensor) -> None:
    """Raise unless x is a floating-point tensor `(n, *shape)` with at least two dimensions."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} must be a tensor of shape (n, *shape), got {type(x).__name__}; use torch.as_tensor.")
    if not x.is_floating_point():
        raise TypeError(f"{name} must be a floating-point tensor, got {x.dtype}; convert with .float() or .double().")
    if x.ndim < 2:
        raise ValueError(
            f"{name} must have shape (n, *shape) with the batch first, got {tuple(x.shape)}; add a dimension."
        )
