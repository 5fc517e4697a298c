"""Operators of inverse problems as the command line writes them, and as they act on what a network sees."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scorefield._files import shown
from scorefield.conditioning.inverse import operators
from scorefield.conditioning.inverse.operators import Adjoint, Operator
from scorefield.data.arrays import read_array
from scorefield.data.dataset import Array, DataError
from scorefield.data.image_reading import ImageReading
from scorefield.data.imagefile import AS_FOUND, read_image
from scorefield.data.images import SUFFIXES
from scorefield.records.image_codec import ImageCodec

FORMS = "mask=FILE, blur=SIGMA, downsample=K, crop, crop=TOP,LEFT,HEIGHT,WIDTH, radon=ANGLES or matrix=FILE"


def operator_from_text(text: str, codec: ImageCodec) -> Operator:
    """The operator on images `(c, h, w)` of a run's size that a text describes.

    Args:
        text: one of `FORMS`; a .npz or .npy file alone is a matrix.
        codec: of the run.

    Raises:
        ValueError: for another text, or an operator that does not fit the images.

    Example:
        >>> codec = ImageCodec(8, 8, 1, mean=4.0, std=6.0)
        >>> operator_from_text("downsample=2", codec).measured
        (1, 4, 4)
    """
    shape = (codec.channels, codec.height, codec.width)
    name, sign, value = text.partition("=")
    if not sign and Path(name).suffix.lower() in (".npz", ".npy"):
        name, value = "matrix", text
    make = _MADE.get(name)
    if make is None or (not value and name != "crop"):
        raise ValueError(f"--operator is {FORMS}, got {shown(text)}.")
    return make(value, shape, codec)


def _mask(value: str, shape: tuple[int, ...], codec: ImageCodec) -> Operator:
    pixels = read_pixels(Path(value))
    seen = (pixels if pixels.ndim == 2 else pixels[..., :3].max(-1)) != 0
    if seen.shape != shape[1:]:
        raise DataError(
            f"{value} is a mask of {seen.shape[0]} x {seen.shape[1]} pixels (height x width) and the run's images have "
            f"{shape[1]} x {shape[2]}; give a mask of that size, not 0 where a pixel is observed."
        )
    return operators.Mask(torch.from_numpy(seen).expand(shape).clone())


def _crop(value: str, shape: tuple[int, ...], codec: ImageCodec) -> Operator:
    _, h, w = shape
    if not value:
        return operators.Crop(shape, h // 4, w // 4, h - 2 * (h // 4), w - 2 * (w // 4))
    sizes = [_number("crop", part, int) for part in value.split(",")]
    if len(sizes) != 4:
        raise ValueError(f"crop takes four whole numbers TOP,LEFT,HEIGHT,WIDTH, got {shown(value)}.")
    return operators.Crop(shape, *sizes)


def _matrix(value: str, shape: tuple[int, ...], codec: ImageCodec) -> Operator:
    matrix = torch.from_numpy(np.asarray(read_array(Path(value)), dtype=np.float64))
    if matrix.ndim != 2 or matrix.shape[1] != math.prod(shape):
        raise DataError(
            f"{value} holds an array of shape {tuple(matrix.shape)}; a matrix for this run's images has "
            f"{math.prod(shape)} columns, a pixel each, row by row as the image is stored."
        )
    by_pixel = matrix.reshape(len(matrix), shape[1], shape[2], shape[0]).movedim(3, 1)
    return operators.Matrix(by_pixel.reshape(len(matrix), -1), shape)


def _number(name: str, text: str, kind: type) -> Any:
    try:
        value = kind(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        what = "whole numbers" if kind is int else "a number"
        raise ValueError(f"--operator {name}=... takes {what}, got {shown(text)}.")
    return value


_MADE: dict[str, Callable[[str, tuple[int, ...], ImageCodec], Operator]] = {
    "mask": _mask,
    "blur": lambda value, shape, codec: operators.Blur(shape, _number("blur", value, float)),
    "downsample": lambda value, shape, codec: operators.Downsample(shape, _number("downsample", value, int)),
    "crop": _crop,
    "radon": lambda value, shape, codec: operators.Radon(shape, _number("radon", value, int)),
    "matrix": _matrix,
}


def read_pixels(path: Path, how: ImageReading = AS_FOUND) -> Array:
    """The numbers of an image file, read as told, or of the one array of a .npy or .npz file."""
    if not path.is_file():
        raise DataError(f"{path} is no file; give an image ({' '.join(SUFFIXES)}) or an array (.npy, .npz).")
    return read_image(path, how) if path.suffix.lower() in SUFFIXES else read_array(path)


@dataclass(frozen=True, eq=False)
class OnEncoded:
    """An operator on images, acting on what the network sees, which has an even size.

    Args:
        of: on `(c, h, w)`.
        shape: of an encoded image.
    """

    of: Operator
    shape: tuple[int, ...]
    measured: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "measured", self.of.measured)

    @property
    def T(self) -> Adjoint:
        """The adjoint."""
        return Adjoint(self)

    def __call__(self, x: Tensor) -> Tensor:
        """What is measured of the user's pixels, `(n, *measured)`."""
        _, h, w = self.of.shape
        y: Tensor = self.of(x[..., :h, :w])
        return y


def on_encoded(A: Operator, codec: ImageCodec) -> Operator:
    """The operator on encoded images, without their mean and scale; single pixels stay single pixels."""
    if A.shape == codec.shape:
        return A
    coordinates = getattr(A, "coordinates", None)
    if coordinates is None:
        return OnEncoded(A, codec.shape)
    seen = torch.zeros(math.prod(A.shape), dtype=torch.bool)
    seen[coordinates] = True
    whole = torch.zeros(codec.shape, dtype=torch.bool)
    whole[:, : codec.height, : codec.width] = seen.reshape(A.shape)
    return operators.Mask(whole)
