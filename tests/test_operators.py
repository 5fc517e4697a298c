"""Operators of inverse problems: linear, with the adjoint that they claim."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from scorefield.conditioning.inverse import operators
from scorefield.conditioning.inverse.operators import Operator, dense
from tables import F64


@dataclass(frozen=True)
class Rolled:
    """What another library's physics looks like: `A` and `A_adjoint` of batches."""

    def A(self, x: Tensor) -> Tensor:
        return 2 * x.roll(1, -1)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return 2 * y.roll(-1, -1)


class Filter(torch.nn.Module):
    """Physics with numbers of its own, in float32 as deepinv's have them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("order", torch.arange(4))
        self.register_buffer("matrix", torch.randn(3, 4, generator=torch.Generator().manual_seed(5)))

    def A(self, x: Tensor) -> Tensor:
        return torch.nn.functional.linear(x[..., self.order], self.matrix)

    def A_adjoint(self, y: Tensor) -> Tensor:
        return torch.nn.functional.linear(y, self.matrix.T)


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


OPERATORS: dict[str, Operator] = {
    "mask": operators.Mask(random(2, 5, 6) > 0.3),
    "crop": operators.Crop((2, 5, 6), 1, 2, 3, 4),
    "blur": operators.Blur((2, 5, 6), 1.3),
    "blur, wider than the image": operators.Blur((4, 4), 9.0),
    "downsample": operators.Downsample((1, 6, 4), 2),
    "radon": operators.Radon((1, 5, 6), 7),
    "matrix": operators.Matrix(random(3, 8), (2, 4)),
    "matrix, flat": operators.Matrix(random(3, 8)),
    "physics": operators.Physics(Rolled(), (1, 3, 4)),
}


@pytest.mark.parametrize("name", OPERATORS)
def test_the_adjoint_is_the_adjoint(name: str) -> None:
    A = OPERATORS[name]
    x, y = random(4, *A.shape), random(4, *A.measured, seed=1)
    there, back = (A(x) * y).flatten(1).sum(1), (x * A.T(y)).flatten(1).sum(1)
    torch.testing.assert_close(there, back, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", OPERATORS)
def test_an_operator_is_linear_and_acts_on_each_point_alone(name: str) -> None:
    A = OPERATORS[name]
    x = random(3, *A.shape)
    assert A(x).shape == (3, *A.measured)
    torch.testing.assert_close(A(2 * x[:1] - x[1:2]), 2 * A(x)[:1] - A(x)[1:2], rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(x.flatten(1) @ dense(A, batch=7).T, A(x).flatten(1), rtol=1e-12, atol=1e-12)
    assert A(x.float()).dtype == torch.float32


def test_what_the_operators_do_is_what_they_say() -> None:
    x = random(1, 1, 6, 6)
    assert torch.equal(operators.Crop((1, 6, 6), 0, 1, 2, 3)(x), x[..., :2, 1:4])
    torch.testing.assert_close(operators.Downsample((1, 6, 6), 3)(x)[0, 0, 0, 1], x[0, 0, :3, 3:].mean())
    flat = torch.full((1, 6, 6), 3.0, dtype=F64)
    torch.testing.assert_close(operators.Blur((6, 6), 2.0)(flat), flat)  # the mirrored edge keeps what is constant
    radon = operators.Radon((6, 6), 2)
    rows, columns = radon(x[0])[0]
    margin = (radon.side - 6) // 2
    torch.testing.assert_close(rows[margin : margin + 6], x[0, 0].sum(0))
    torch.testing.assert_close(columns[margin : margin + 6], x[0, 0].sum(1))


def test_a_blur_spreads_a_point_as_a_normal_law() -> None:
    point = torch.zeros(1, 41, 41, dtype=F64)
    point[0, 20, 20] = 1
    spread = operators.Blur((41, 41), 2.0)(point)[0]
    places = torch.arange(41, dtype=F64) - 20
    assert abs(float((spread.sum(0) * places.square()).sum()) - 4) < 0.01  # scipy cuts the tail at 4 sigma


WRONG = {
    "no pixel": (lambda: operators.Mask(torch.zeros(2, 2, dtype=torch.bool)), "observed"),
    "window outside": (lambda: operators.Crop((4, 4), 2, 0, 3, 2), "does not lie in an image of 4 x 4"),
    "sigma 0": (lambda: operators.Blur((4, 4), 0.0), "sigma > 0"),
    "sigma NaN": (lambda: operators.Blur((4, 4), math.nan), "sigma > 0"),
    "indivisible": (lambda: operators.Downsample((4, 6), 4), "do not divide an image of 4 x 6"),
    "no angle": (lambda: operators.Radon((4, 4), 0), "at least 1 angle"),
    "no image": (lambda: operators.Blur((4,), 1.0), "height, width"),
    "other columns": (lambda: operators.Matrix(random(2, 5), (2, 2)), "5 columns"),
    "matrix with NaN": (lambda: operators.Matrix(torch.tensor([[math.nan]])), "finite"),
    "other point": (lambda: operators.Blur((4, 4), 1.0)(random(1, 4, 5)), r"\(n, 4, 4\)"),
    "other measurement": (lambda: operators.Downsample((4, 4), 2).T(random(1, 4, 4)), r"\(n, 2, 2\)"),
}


@pytest.mark.parametrize("name", WRONG)
def test_mistakes_are_said(name: str) -> None:
    call, words = WRONG[name]
    with pytest.raises(ValueError, match=words):
        call()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_a_foreign_operator_computes_in_its_own_dtype(dtype: torch.dtype) -> None:
    A = operators.Physics(Filter(), (2, 4))
    x, y = random(5, 2, 4).to(dtype), random(5, 2, 3, seed=1).to(dtype)
    assert A(x).dtype == A.T(y).dtype == dtype and A.measured == (2, 3)
    torch.testing.assert_close(A(x), A.physics.A(x.float()).to(dtype))
    there, back = (A(x).double() * y.double()).sum(), (x.double() * A.T(y).double()).sum()
    size = float((A(x).double() * y.double()).abs().sum())
    assert abs(float(there - back)) < 4 * max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps) * size
    assert dense(A).shape == (6, 8)
