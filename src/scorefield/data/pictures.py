"""Many images as one picture."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING, Any

import numpy as np

from scorefield.data.dataset import Array, DataError

if TYPE_CHECKING:
    from PIL import Image

BACKGROUND = (96, 120, 160)  # slate: neither the black nor the white of grey images
_TILE = 48  # pixels that a small image is enlarged to, at least
_MOST_PIXELS = 80_000_000  # image viewers refuse more


def grid(
    images: Array,
    columns: int | None = None,
    scale: int | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Image.Image:
    """Images side by side, enlarged, with a gap of another colour between them, as an RGB picture.

    Args:
        images: `(n, h, w)` or `(n, h, w, c)` with c = 1 (grey), 3 (RGB) or 4 (RGBA, laid over the gap's colour).
        columns: images in a row; default: about as many as rows.
        scale: whole factor of enlargement; default: what makes a tile 48 pixels wide or high (8x8: 6, 28x28: 2).
        low: the value drawn black; default 0 for integers, the least value for floats.
        high: the value drawn white; default the highest grey level for integers, the greatest value for floats.

    Raises:
        DataError: for no images, another number of dimensions or channels, values that are not finite, low >= high, or
            a picture of more than 80 million pixels.

    Example:
        >>> grid(np.zeros((10, 8, 8), np.uint8), columns=5).size
        (264, 108)
    """
    from PIL import Image

    images = _checked(images)
    n, h, w = images.shape[:3]
    height, width, columns, scale, gap = picture_size(n, h, w, columns, scale)
    pixels = _as_rgb(images, low, high)
    canvas = np.full((height, width, 3), BACKGROUND, dtype=np.uint8)
    for i in range(n):
        top, left = (i // columns) * (h * scale + gap) + gap, (i % columns) * (w * scale + gap) + gap
        canvas[top : top + h * scale, left : left + w * scale] = pixels[i].repeat(scale, 0).repeat(scale, 1)
    return Image.fromarray(canvas)


def grid_png(
    images: Array,
    columns: int | None = None,
    scale: int | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
    optimize: bool = False,
) -> bytes:
    """The picture that `grid` makes, as a PNG file; arguments as there.

    Args:
        images: as `grid`; so are the four that follow.
        columns: images in a row.
        scale: of the enlargement.
        low: the value drawn black.
        high: the value drawn white.
        optimize: a smaller file, which takes longer.
    """
    out = io.BytesIO()
    grid(images, columns, scale, low=low, high=high).save(out, format="PNG", optimize=optimize)
    return out.getvalue()


def picture_size(
    n: int, h: int, w: int, columns: int | None = None, scale: int | None = None
) -> tuple[int, int, int, int, int]:
    """Height, width, columns, scale and gap of the picture that `grid` makes of n images; arguments as there.

    Raises:
        DataError: for columns or scale < 1, or more than 80 million pixels.
    """
    if columns is None:
        columns = min(n, max(1, round(math.sqrt(n * h / w))))
    if scale is None:
        scale = max(1, math.ceil(_TILE / max(h, w)))
    if columns < 1 or scale < 1:
        raise DataError(f"grid needs columns >= 1 and scale >= 1, got {columns} and {scale}.")
    gap = max(2, max(h, w) * scale // 12)
    rows = -(-n // columns)
    height, width = rows * (h * scale + gap) + gap, columns * (w * scale + gap) + gap
    if height * width > _MOST_PIXELS:
        raise DataError(f"a picture of {n} images would be {width}x{height} pixels; draw fewer, or save them as .npz.")
    return height, width, columns, scale, gap


def _checked(images: Array) -> Array:
    """The images as `(n, h, w, c)`."""
    images = np.asarray(images)
    if images.ndim not in (3, 4) or 0 in images.shape or images.dtype.kind not in "uif":
        raise DataError(
            f"a picture is drawn from images (n, h, w) or (n, h, w, c), got shape {images.shape} of {images.dtype}; "
            "tables are written as .csv, .parquet, .npy or .npz."
        )
    return images[..., None] if images.ndim == 3 else images


def _as_rgb(images: Array, low: float | None, high: float | None) -> Array:
    """`(n, h, w, 3)` uint8 of images `(n, h, w, c)`."""
    channels = images.shape[3]
    if channels not in (1, 3, 4):
        raise DataError(f"a picture is drawn from images of 1, 3 or 4 channels, got {channels}; choose some of them.")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        raise DataError("a picture is drawn from finite values, got NaN or infinite ones.")
    low = _least(images) if low is None else low
    high = _greatest(images) if high is None else high
    if not low < high:
        if low > high:
            raise DataError(f"a picture needs low < high, got {low} and {high}.")
        high = low + 1  # a single value is drawn black
    bright = np.clip((images.astype(np.float32) - low) / (high - low), 0, 1)
    if channels == 4:
        alpha = bright[..., 3:]
        bright = bright[..., :3] * alpha + (1 - alpha) * np.array(BACKGROUND, dtype=np.float32) / 255
    return np.broadcast_to(np.rint(bright * 255), (*images.shape[:3], 3)).astype(np.uint8)


def _least(images: Array) -> float:
    return float(images.min()) if images.dtype.kind == "f" else 0.0


def _greatest(images: Array) -> float:
    levels = grey_levels(images)
    return float(images.max()) if levels is None else float(levels - 1)


def grey_levels(images: Array) -> int | None:
    """How many grey levels integer images have: their highest value + 1, or all of the type's from half of it on.

    None for floats.

    Example:
        >>> grey_levels(np.array([[[0, 16]]], np.uint8)), grey_levels(np.array([[[0, 254]]], np.uint8))
        (17, 256)
    """
    return None if images.dtype.kind == "f" else levels_up_to(int(images.max()), images.dtype)


def levels_up_to(high: int, dtype: np.dtype[Any]) -> int:
    """How many grey levels integer images have whose highest value is known."""
    most = int(np.iinfo(dtype).max)
    return most + 1 if high > most // 2 else max(high, 1) + 1
