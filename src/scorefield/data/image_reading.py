"""What a user tells of how image files are to be read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, TypeAlias, get_args

from scorefield._files import shown
from scorefield._ranges import whole
from scorefield.data.dataset import DataError

Mode: TypeAlias = Literal["grey", "rgb", "rgba"]
Background: TypeAlias = Literal["white", "black"]
SIDE = whole(1, 16384)
"""Pixels of a side."""


@dataclass(frozen=True)
class ImageReading:
    """How image files become pixels. What is not told stays as the files have it; what then does not fit is an error.

    Args:
        mode: "grey", "rgb" or "rgba", of 8 bits each, that every image is converted to: palettes, CMYK, other depths.
        size: (width, height) that every image is resized to (Lanczos, with alpha as weight).
        crop: cut the middle out where an image has another shape than `size`, instead of refusing it.
        background: "white" or "black", what shows through where `mode` has no alpha and an image is not opaque.
        first_frame: take the first of several frames or pages, instead of refusing the file.

    Raises:
        DataError: for a value that is none, or one without what it belongs to.

    Example:
        >>> ImageReading(mode="rgb", size=(64, 48)).given
        ['--image-size', '--image-mode']
    """

    mode: Mode | None = None
    size: tuple[int, int] | None = None
    crop: bool = False
    background: Background | None = None
    first_frame: bool = False

    def __post_init__(self) -> None:
        for name, kind in (("mode", Mode), ("background", Background)):
            value = getattr(self, name)
            if value is not None and value not in get_args(kind):
                raise DataError(f"an image's {name} is {' or '.join(get_args(kind))}, got {shown(value)}.")
        size = self.size
        if size is not None and not (isinstance(size, tuple) and len(size) == 2 and all(side in SIDE for side in size)):
            raise DataError(f"an image's size is (width, height), each {SIDE.words}, got {shown(size)}.")
        if not (isinstance(self.crop, bool) and isinstance(self.first_frame, bool)):
            raise DataError(f"crop and first_frame are true or false, got {shown((self.crop, self.first_frame))}.")
        if self.crop and size is None:
            raise DataError("--crop cuts images to the shape of --image-size; give that too.")
        if self.background is not None and self.mode not in ("grey", "rgb"):
            raise DataError("--background is for --image-mode grey or rgb, which have no alpha; give one of them.")

    @property
    def given(self) -> list[str]:
        """What is told, as options of the command line."""
        return [name for field, name in _OPTIONS.items() if getattr(self, field)]

    def to_json(self) -> dict[str, Any]:
        """What is told, for `ImageReading.from_json`."""
        told = {one.name: getattr(self, one.name) for one in fields(self) if getattr(self, one.name)}
        return {name: list(value) if isinstance(value, tuple) else value for name, value in told.items()}

    @staticmethod
    def from_json(stored: Mapping[str, Any]) -> ImageReading:
        """The reading that `to_json` described.

        Raises:
            DataError: for what describes none.
        """
        try:
            told: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in stored.items()}
            return ImageReading(**told)
        except (AttributeError, TypeError, DataError) as error:
            raise DataError(f"the reading of images cannot be understood: {shown(str(error), 200)}.") from None


_OPTIONS = {
    "size": "--image-size",
    "mode": "--image-mode",
    "crop": "--crop",
    "background": "--background",
    "first_frame": "--first-frame",
}


def size_from_text(text: str) -> tuple[int, int]:
    """Width and height of a text such as 64x48, or 64 for both.

    Example:
        >>> size_from_text("64x48"), size_from_text("32")
        ((64, 48), (32, 32))
    """
    found = re.fullmatch(r"([0-9]{1,9})(?:x([0-9]{1,9}))?", text)
    size = None if found is None else (int(found[1]), int(found[2] or found[1]))
    if size is None or not all(side in SIDE for side in size):
        raise DataError(
            f"--image-size is a width and height such as 64x48, or 64, each {SIDE.words}, got {shown(text)}."
        )
    return size
