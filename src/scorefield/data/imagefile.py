"""One image file as pixels."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from scorefield import _files, _memory
from scorefield.data.dataset import Array, DataError
from scorefield.data.image_reading import ImageReading

if TYPE_CHECKING:
    from PIL.Image import Image

AS_FOUND = ImageReading()
"""Nothing told."""
_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "PPM", "TIFF", "WEBP")  # no others: some run programs, as PostScript does
_KEPT = ("L", "RGB", "RGBA", "I;16")  # modes that pixels are kept in; I;16 is 16-bit grey
_OWN = {"1": "L", "P": "RGB", "PA": "RGBA", "LA": "RGBA", "La": "RGBA", "RGBa": "RGBA", "RGBX": "RGB"}
_TOLD = {"grey": "L", "rgb": "RGB", "rgba": "RGBA"}
_COLOURS = ("CMYK", "YCbCr", "HSV")  # whose conversion to RGB is known
_ORIENTATION = 0x0112  # an EXIF tag: 1 is upright, 2 to 8 are the other ways to hold a camera
_ON_ITS_SIDE = (5, 6, 7, 8)
_LARGE = 1 << 24  # pixels; of such images one is decoded at a time
_one_large = threading.Lock()


class Picture(NamedTuple):
    """An image file, read.

    Args:
        pixels: `(h, w)` or `(h, w, c)`, uint8, or uint16 for 16-bit grey.
        mode: L, RGB, RGBA or I;16, as PIL calls them.
        changes: what was done to it, beyond what its format asks for.
    """

    pixels: Array
    mode: str
    changes: tuple[str, ...] = ()

    @property
    def size(self) -> str:
        """Width x height."""
        return f"{self.pixels.shape[1]}x{self.pixels.shape[0]}"


def read_image(path: Path, how: ImageReading = AS_FOUND) -> Array:
    """The pixels of an image file, `(h, w)` or `(h, w, c)`.

    Raises:
        DataError: as `read_picture`.
    """
    with careful():
        return read_picture(path, how).pixels


@contextmanager
def careful() -> Iterator[None]:
    """Around the reading of images, in one thread: a file that tells of far too many pixels is an error."""
    from PIL import Image

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of metadata, which are no pixels
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def read_picture(path: Path, how: ImageReading = AS_FOUND, content: bytes | None = None) -> Picture:
    """An image file as pixels, upright as its EXIF orientation says; inside of `careful`.

    Palettes become RGB, or RGBA where they have a transparent colour, grey with alpha RGBA, single bits grey.

    Args:
        path: of the file; its content counts, not its suffix.
        how: what is told.
        content: of the file, where that is not to be read there; the path is then a name.

    Raises:
        DataError: naming the file: for what is no image, is cut short or too large; for several frames, for colours
            that would lose something and for another shape, where nothing is told of them.
    """
    from PIL import Image, UnidentifiedImageError

    with _files.reading(path, "an image", DataError):
        try:
            opened = Image.open(path if content is None else io.BytesIO(content), formats=_FORMATS)
        except UnidentifiedImageError as fault:
            if (path.stat().st_size if content is None else len(content)) == 0:
                raise ValueError("it is empty (0 bytes)") from None
            raise fault
        with opened as image:
            _check_frames(path, image, how)
            if image.width * image.height <= _LARGE:
                return _read(path, image, how)
            with _one_large:
                too_much = _memory.lacking(12 * image.width * image.height)
                if too_much:
                    raise DataError(f"{path} has {image.width}x{image.height} pixels, and to read it {too_much}.")
                return _read(path, image, how)


def _check_frames(path: Path, image: Image, how: ImageReading) -> None:
    """Of photographs with a preview (MPO) every viewer shows the first picture."""
    frames = getattr(image, "n_frames", 1)
    if frames > 1 and image.format != "MPO" and not how.first_frame:
        raise DataError(
            f"{path} has {frames} frames: --first-frame takes the first, or save each as a file of its own."
        )


def _read(path: Path, image: Image, how: ImageReading) -> Picture:
    from PIL import ImageOps

    raw, orientation = _raw_mode(image), image.getexif().get(_ORIENTATION, 1)
    changes = ["turned upright"] if orientation in range(2, 9) else []
    full = image.size
    if how.size is not None and image.format in ("JPEG", "MPO"):
        _decode_smaller(image, how.size[::-1] if orientation in _ON_ITS_SIDE else how.size)
    image.load()  # turns a TIFF itself
    if changes:
        ImageOps.exif_transpose(image, in_place=True)
        full = full[::-1] if orientation in _ON_ITS_SIDE and image.format != "TIFF" else full
    wanted, own = _TOLD.get(how.mode or ""), _own_mode(image, raw)
    if how.mode is None:
        _check_kept(path, image.mode, own, raw)
    mode = wanted or own
    if mode != own:
        changes.append(f"converted from {image.mode}")
    image, laid = _converted(path, image, own, mode, how)
    if how.size is not None and image.size != how.size:
        image, cut = _resized(path, image, full, how.size, how.crop)
        changes += cut
    return Picture(_pixels(image, mode), mode, (*changes, *laid))


# ------------------------------------------------------------------------------------------------------------- modes


def _raw_mode(image: Image) -> str:
    """How the file stores a pixel, before it is decoded."""
    tiles = getattr(image, "tile", None)  # WebP has none
    args = tiles[0].args if tiles else ""
    first = args[0] if isinstance(args, tuple) and args else args
    return first if isinstance(first, str) else ""


def _own_mode(image: Image, raw: str) -> str:
    """The mode that an image is read in where none is told."""
    if image.mode.startswith("I;16") or (image.mode == "I" and raw.startswith("I;16")):
        return "I;16"
    if image.has_transparency_data:
        return "RGBA"
    return _OWN.get(image.mode, image.mode)


def _check_kept(path: Path, mode: str, own: str, raw: str) -> None:
    if own in _KEPT and own != "I;16" and ";16" in raw:
        raise DataError(
            f"{path} has 16 bits per colour: --image-mode rgb (or grey, rgba) keeps the upper 8, or save the images as "
            "an array in .npz."
        )
    if own in _COLOURS:
        raise DataError(f"{path} has the mode {mode}: --image-mode rgb (or grey, rgba) converts it.")


def _converted(path: Path, image: Image, own: str, mode: str, how: ImageReading) -> tuple[Image, list[str]]:
    """The image in another mode, and what shows through it."""
    if image.mode == mode == own and mode in ("L", "RGB", "RGBA"):
        return image, []
    from PIL.Image import alpha_composite, fromarray, new

    if own == "I;16":
        if image.has_transparency_data:
            raise DataError(f"{path} has 16-bit grey with transparency, which is not read; save it with 8 bits.")
        if mode == own:
            return image, []
        levels = np.asarray(image).astype(np.float64)
        return fromarray(np.rint(levels / 257).astype(np.uint8)).convert(mode), []
    if own not in _KEPT and own not in _COLOURS:
        raise DataError(
            f"{path} has the mode {image.mode}, which is not read (grey of 8 or 16 bits, palettes, RGB, RGBA and CMYK "
            "are); save the images as an array in .npz."
        )
    if image.mode == "La":
        image = image.convert("LA")
    image = image if image.mode == own or own in _COLOURS else image.convert(own)
    if own != "RGBA" or mode == "RGBA":
        return (image.convert("RGB") if own in _COLOURS else image).convert(mode), []
    if image.getchannel("A").getextrema() == (255, 255):
        return image.convert("RGB").convert(mode), []
    if how.background is None:
        raise DataError(
            f"{path} has transparent pixels: --image-mode rgba keeps them, or say by --background white (or black) "
            "what shows through."
        )
    ground = new("RGBA", image.size, how.background)
    return alpha_composite(ground, image).convert("RGB").convert(mode), [f"laid over {how.background}"]


# -------------------------------------------------------------------------------------------------------------- sizes


def _decode_smaller(image: Image, size: tuple[int, int]) -> None:
    """Let a JPEG be decoded at a half, a quarter or an eighth, at least twice the size to come: much faster."""
    scale = min(have / want for have, want in zip(image.size, size, strict=True))
    image.draft(None, (int(2 * image.width / scale), int(2 * image.height / scale)))


def _resized(
    path: Path, image: Image, full: tuple[int, int], size: tuple[int, int], crop: bool
) -> tuple[Image, list[str]]:
    """The image, which had a full size, in another size; if told, its middle, cut to the shape; and what was done."""
    (w, h), (width, height) = full, size
    changes = []
    if not crop and not _same_shape(full, size):
        like = f"{width}x{max(1, round(width * h / w))}"
        raise DataError(
            f"{path} is {w}x{h} pixels, and {width}x{height} has another shape: --crop cuts its middle out, or give a "
            f"size of its shape, such as --image-size {like}."
        )
    w, h = image.size
    scale = min(w / width, h / height)
    if crop and (w, h) != (round(width * scale), round(height * scale)):
        cut = [min(side, max(1, round(to * scale))) for side, to in ((w, width), (h, height))]
        left, top = (w - cut[0]) // 2, (h - cut[1]) // 2
        image = image.crop((left, top, left + cut[0], top + cut[1]))
        changes.append("cropped")
    if image.width < width or image.height < height:
        changes.append("enlarged")
    return _scaled(image, size), changes


def _same_shape(size: tuple[int, int], other: tuple[int, int]) -> bool:
    """Whether an image keeps its shape, to a pixel, when it gets the other size."""
    (w, h), (width, height) = size, other
    return abs(width * h / w - height) <= 1 if w * height >= h * width else abs(height * w / h - width) <= 1


def _scaled(image: Image, size: tuple[int, int]) -> Image:
    """By Lanczos's kernel, as wide as the output's pixels where it is smaller; alpha weighs the colours."""
    from PIL.Image import Resampling, fromarray

    if image.size == size:
        return image
    if not image.mode.startswith("I"):
        return image.resize(size, Resampling.LANCZOS)
    levels = fromarray(np.asarray(image).astype(np.float32)).resize(size, Resampling.LANCZOS)
    return fromarray(np.clip(np.rint(np.asarray(levels)), 0, 65535).astype(np.uint16))


def _pixels(image: Image, mode: str) -> Array:
    pixels = np.asarray(image)
    return pixels.astype(np.uint16) if mode == "I;16" else pixels
