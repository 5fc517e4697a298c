"""Linear operators of images and arrays, each a small value with its adjoint: what `y = A x0 + noise` measures."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor


@runtime_checkable
class Operator(Protocol):
    """A linear map of points `(n, *shape)` to measurements `(n, *measured)`; `T` is its adjoint, called likewise."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of a point."""
        ...

    @property
    def measured(self) -> tuple[int, ...]:
        """The shape of a measurement."""
        ...

    @property
    def T(self) -> Any:
        """The adjoint: `<A x, y> = <x, A.T y>`."""
        ...

    def __call__(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class Adjoint:
    """The adjoint of an operator, by the backward pass of its forward one: exact for any linear map.

    Args:
        of: the operator.
    """

    of: Operator

    @property
    def T(self) -> Operator:
        """The operator itself."""
        return self.of

    def __call__(self, y: Tensor) -> Tensor:
        """Measurements `(n, *measured)` to points `(n, *shape)`."""
        _check("A.T", y, self.of.measured)
        zero = y.new_zeros(len(y), *self.of.shape)
        _, pull, *_ = torch.func.vjp(self.of, zero)
        (x,) = pull(y)
        return x if isinstance(x, Tensor) else zero


class _Linear:
    """What operators share: the adjoint, and the shape of a measurement, from the forward map."""

    shape: tuple[int, ...]

    @property
    def T(self) -> Adjoint:
        """The adjoint: `<A x, y> = <x, A.T y>`."""
        return Adjoint(self)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Mask(_Linear):
    """The observed entries of a point, one after the other: inpainting.

    Args:
        observed: boolean, of a point's shape.

    Example:
        >>> Mask(torch.tensor([[True, False], [False, True]]))(torch.arange(4.0).reshape(1, 2, 2))
        tensor([[0., 3.]])
    """

    observed: Tensor

    def __post_init__(self) -> None:
        if self.observed.dtype != torch.bool or not bool(self.observed.any()):
            raise ValueError(
                f"Mask needs a boolean tensor of a point's shape with an entry that is observed, got "
                f"{self.observed.dtype} of shape {tuple(self.observed.shape)}."
            )

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of a point."""
        return tuple(self.observed.shape)

    @property
    def measured(self) -> tuple[int, ...]:
        """`(m,)`."""
        return (len(self.coordinates),)

    @cached_property
    def coordinates(self) -> Tensor:
        """Which of the flattened point's coordinates are observed, `(m,)`."""
        return self.observed.reshape(-1).nonzero().reshape(-1)

    def __call__(self, x: Tensor) -> Tensor:
        """The observed entries `(n, m)`."""
        _check("Mask", x, self.shape)
        return x.flatten(1)[:, self.coordinates.to(x.device)]


@dataclass(frozen=True, eq=False)
class Crop(_Linear):
    """A window of an image; the rest is to be drawn: outpainting.

    Args:
        shape: of a point, `(..., h, w)`.
        top: first row.
        left: first column.
        height: of the window.
        width: likewise.
    """

    shape: tuple[int, ...]
    top: int
    left: int
    height: int
    width: int

    def __post_init__(self) -> None:
        h, w = _image("Crop", self.shape)
        fits = 0 <= self.top < self.top + self.height <= h and 0 <= self.left < self.left + self.width <= w
        if not fits:
            raise ValueError(
                f"Crop: a window of {self.height} x {self.width} at row {self.top}, column {self.left} (from 0) does "
                f"not lie in an image of {h} x {w}."
            )

    @property
    def measured(self) -> tuple[int, ...]:
        """`(..., height, width)`."""
        return (*self.shape[:-2], self.height, self.width)

    @cached_property
    def coordinates(self) -> Tensor:
        """Which of the flattened point's coordinates the window has, `(m,)`."""
        every = torch.arange(math.prod(self.shape)).reshape(1, *self.shape)
        return self(every).reshape(-1)

    def __call__(self, x: Tensor) -> Tensor:
        """The window `(n, ..., height, width)`."""
        _check("Crop", x, self.shape)
        return x[..., self.top : self.top + self.height, self.left : self.left + self.width]


@dataclass(frozen=True, eq=False)
class Blur(_Linear):
    """A Gaussian blur, the image mirrored at its edges.

    Args:
        shape: of a point, `(..., h, w)`.
        sigma: in pixels, > 0.

    Example:
        >>> Blur((4, 4), 1.0)(torch.ones(1, 4, 4)).sum().round(decimals=4)
        tensor(16.)
    """

    shape: tuple[int, ...]
    sigma: float

    def __post_init__(self) -> None:
        _image("Blur", self.shape)
        if not 0 < self.sigma < math.inf:
            raise ValueError(f"Blur needs sigma > 0, in pixels, got {self.sigma}.")

    @property
    def measured(self) -> tuple[int, ...]:
        """As the point."""
        return self.shape

    @cached_property
    def factors(self) -> tuple[Tensor, Tensor]:
        """The blur of columns `(h, h)` and of rows `(w, w)`: the operator is their product."""
        one, two = (_blur_matrix(n, self.sigma) for n in self.shape[-2:])
        return one, two

    def __call__(self, x: Tensor) -> Tensor:
        """The blurred images `(n, ..., h, w)`."""
        _check("Blur", x, self.shape)
        down, across = (factor.to(x) for factor in self.factors)
        return down @ x @ across.T


@dataclass(frozen=True, eq=False)
class Downsample(_Linear):
    """Means over blocks of pixels: an image of a lower resolution.

    Args:
        shape: of a point, `(..., h, w)`, h and w multiples of the factor.
        factor: pixels of a block's side.
    """

    shape: tuple[int, ...]
    factor: int

    def __post_init__(self) -> None:
        h, w = _image("Downsample", self.shape)
        if self.factor < 1 or h % self.factor or w % self.factor:
            raise ValueError(
                f"Downsample: blocks of {self.factor} x {self.factor} pixels do not divide an image of {h} x {w}; "
                "choose a factor that divides both."
            )

    @property
    def measured(self) -> tuple[int, ...]:
        """`(..., h / factor, w / factor)`."""
        return (*self.shape[:-2], *(n // self.factor for n in self.shape[-2:]))

    def __call__(self, x: Tensor) -> Tensor:
        """The small images."""
        _check("Downsample", x, self.shape)
        *lead, h, w = self.measured
        return x.reshape(len(x), *lead, h, self.factor, w, self.factor).mean((-3, -1))


@dataclass(frozen=True, eq=False)
class Radon(_Linear):
    """Parallel projections of an image: sums along lines under several angles, interpolated between pixels.

    Args:
        shape: of a point, `(..., h, w)`.
        angles: how many, equally spaced over half a turn, the first one sums over rows.

    Example:
        >>> Radon((4, 4), 2)(torch.ones(1, 4, 4)).sum(-1).round(decimals=4)
        tensor([[16., 16.]])
    """

    shape: tuple[int, ...]
    angles: int

    def __post_init__(self) -> None:
        _image("Radon", self.shape)
        if self.angles < 1:
            raise ValueError(f"Radon needs at least 1 angle, got {self.angles}.")

    @property
    def side(self) -> int:
        """Pixels of the detector: as many as the image's diagonal, so that nothing is lost."""
        h, w = self.shape[-2:]
        return math.ceil(math.hypot(h, w)) + (math.ceil(math.hypot(h, w)) - w) % 2

    @property
    def measured(self) -> tuple[int, ...]:
        """`(..., angles, detector)`."""
        return (*self.shape[:-2], self.angles, self.side)

    @cached_property
    def grid(self) -> Tensor:
        """Where each angle's lines look into the image, `(angles * side, side, 2)`, in grid_sample's units."""
        h, w = self.shape[-2:]
        places = torch.arange(self.side, dtype=torch.float64) - (self.side - 1) / 2
        turn = torch.arange(self.angles, dtype=torch.float64)[:, None, None] * (math.pi / self.angles)
        along, at = places[None, :, None], places[None, None, :]
        column, row = at * turn.cos() - along * turn.sin(), at * turn.sin() + along * turn.cos()
        return torch.stack([2 * column / w, 2 * row / h], -1).flatten(0, 1)

    def __call__(self, x: Tensor) -> Tensor:
        """The projections `(n, ..., angles, detector)`."""
        _check("Radon", x, self.shape)
        flat = x.reshape(-1, 1, *self.shape[-2:])
        grid = self.grid.to(x).expand(len(flat), -1, -1, -1)
        lines = torch.nn.functional.grid_sample(flat, grid, mode="bilinear", padding_mode="zeros", align_corners=False)
        return lines.reshape(-1, self.angles, self.side, self.side).sum(2).reshape(len(x), *self.measured)


@dataclass(frozen=True, eq=False)
class Matrix(_Linear):
    """Any linear map, as a matrix of the flattened point.

    Args:
        matrix: `(m, d)`, finite.
        shape: of a point; None: `(d,)`.
    """

    matrix: Tensor
    of: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or self.matrix.is_complex() or not bool(torch.isfinite(self.matrix).all()):
            raise ValueError(f"Matrix needs a finite real matrix (m, d), got shape {tuple(self.matrix.shape)}.")
        if self.of is not None and math.prod(self.of) != self.matrix.shape[1]:
            raise ValueError(
                f"a matrix of {self.matrix.shape[1]} columns does not act on points of shape {self.of}, which have "
                f"{math.prod(self.of)} numbers."
            )

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """Of a point."""
        return (self.matrix.shape[1],) if self.of is None else self.of

    @property
    def measured(self) -> tuple[int, ...]:
        """`(m,)`."""
        return (self.matrix.shape[0],)

    def __call__(self, x: Tensor) -> Tensor:
        """`(n, m)`."""
        _check("Matrix", x, self.shape)
        return x.flatten(1) @ self.matrix.to(x).T


@dataclass(frozen=True, eq=False)
class Physics(_Linear):
    """An object of another library with the methods `A` and `A_adjoint`, as deepinv's linear physics are.

    It computes in the dtype of its own numbers, and its answers are brought back to that of the points.

    Args:
        physics: called with tensors `(n, *shape)`; a module or any object.
        shape: of a point.
    """

    physics: Any
    shape: tuple[int, ...]

    @cached_property
    def measured(self) -> tuple[int, ...]:
        """Found by measuring a point of zeros."""
        return tuple(self(torch.zeros(1, *self.shape)).shape[1:])

    @property
    def T(self) -> Any:
        """The adjoint."""
        return lambda y: self._answer(self.physics.A_adjoint, y)

    def __call__(self, x: Tensor) -> Tensor:
        """`physics.A(x)`."""
        _check("physics.A", x, self.shape)
        return self._answer(self.physics.A, x)

    def _answer(self, method: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """In the dtype of the module's first number that is no whole one, where it has one."""
        parts: list[Iterable[Tensor]] = [getattr(self.physics, name, tuple)() for name in ("parameters", "buffers")]
        own = next((part for part in itertools.chain(*parts) if part.is_floating_point()), x)
        return method(x.to(own.dtype)).to(x.dtype)


MOST_NUMBERS = 1 << 25
"""Numbers of a matrix that an operator is written out as: images of up to about 76 x 76 pixels and as many measured."""


def resolved(A: Any, y: Tensor, shape: Sequence[int] | None = None) -> tuple[Tensor, Tensor]:
    """An operator as coordinates or a matrix, and its measurements, one after the other.

    Args:
        A: a tensor or an array, which is returned as it is; an operator; or an object with `A` and `A_adjoint`.
        y: `(*measured)`, or `(b, *measured)`; flattened measurements too.
        shape: of a point, for what does not know it.

    Returns:
        A as a tensor on y's device, y as `(m,)` or `(b, m)`.

    Raises:
        ValueError: where the shape of a point is not known, y does not fit, or the matrix would be too large.
    """
    A = as_operator(A, shape)
    if isinstance(A, Tensor):
        return A.to(y.device), y
    flat = flat_measurements(A, y)
    coordinates = getattr(A, "coordinates", None)
    if coordinates is not None:
        return coordinates.to(y.device), flat
    if is_large(A):
        raise ValueError(
            f"this operator's matrix of {math.prod(A.measured)} x {math.prod(A.shape)} is too large to write out; take "
            "posterior_samples(jacobian=False, particles=1), which needs none."
        )
    return dense(A).to(y.device), flat


def is_large(A: Operator) -> bool:
    """Whether an operator is neither coordinates nor a matrix that is written out."""
    return getattr(A, "coordinates", None) is None and math.prod(A.measured) * math.prod(A.shape) > MOST_NUMBERS


def as_operator(A: Any, shape: Sequence[int] | None = None) -> Any:
    """A as a tensor, or as an operator that knows its shapes."""
    if not isinstance(A, Tensor) and isinstance(A, Operator):
        return A
    if hasattr(A, "A") and hasattr(A, "A_adjoint"):
        if shape is None:
            raise ValueError(
                "an object with A and A_adjoint does not tell the shape of a point; give shape=..., or "
                "operators.Physics(physics, shape)."
            )
        return Physics(A, tuple(shape))
    return torch.as_tensor(A)


def flat_measurements(A: Operator, y: Tensor) -> Tensor:
    """Measurements as `(m,)` or, of several points, `(b, m)`."""
    measured, m = tuple(A.measured), math.prod(A.measured)
    if y.shape in (measured, (m,)):
        return y.reshape(m)
    if y.ndim > 1 and y.shape[1:] in (measured, (m,)):
        return y.reshape(len(y), m)
    raise ValueError(
        f"y must have the shape that the operator measures, {measured}, or (n, *{measured}), got {tuple(y.shape)}."
    )


def dense(A: Operator, batch: int = 1024) -> Tensor:
    """An operator's matrix `(m, d)` in float64, by what it makes of the unit vectors.

    Example:
        >>> dense(Downsample((2, 2), 2))
        tensor([[0.2500, 0.2500, 0.2500, 0.2500]], dtype=torch.float64)
    """
    d, m = math.prod(A.shape), math.prod(A.measured)
    columns = torch.empty(d, m, dtype=torch.float64)
    for start in range(0, d, batch):
        units = torch.eye(min(batch, d - start), d, dtype=torch.float64)
        units = units.roll(start, 1).reshape(-1, *A.shape)
        columns[start : start + batch] = A(units).double().reshape(-1, m)
    return columns.T.contiguous()


def _check(name: str, x: Tensor, shape: Sequence[int]) -> None:
    if tuple(x.shape[1:]) != tuple(shape):
        sizes = ", ".join(map(str, shape))
        raise ValueError(f"{name} takes tensors of shape (n, {sizes}), got {tuple(x.shape)}.")


def _image(name: str, shape: Sequence[int]) -> tuple[int, int]:
    """Height and width."""
    if len(shape) < 2:
        raise ValueError(f"{name} acts on images, points of shape (..., height, width), got {tuple(shape)}.")
    return shape[-2], shape[-1]


def _blur_matrix(n: int, sigma: float) -> Tensor:
    """A Gaussian blur of n pixels in a row as a matrix: `blurred = matrix @ row`."""
    from scipy.ndimage import gaussian_filter1d

    return torch.from_numpy(gaussian_filter1d(torch.eye(n, dtype=torch.float64).numpy(), sigma, axis=0, mode="reflect"))
