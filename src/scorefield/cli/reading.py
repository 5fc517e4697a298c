"""What commands may be told of the files that they read, and what they say of how these were read."""

from __future__ import annotations

import sys
from dataclasses import KW_ONLY, dataclass, fields
from typing import TYPE_CHECKING, Annotated, Literal, TypeAlias, TypeVar

from cyclopts import Parameter

if TYPE_CHECKING:
    from scorefield.data import Dataset, Dialect, ImageReading, TableFile

Columns: TypeAlias = Annotated[tuple[str, ...], Parameter(consume_multiple=False)]
"""Names of columns, an option for each."""
Said = TypeVar("Said", "TableFile", "Dataset")
_SEPARATORS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}


@Parameter(name="*")
@dataclass(frozen=True)
class Reading:
    """How a table's file is written, where it does not show by itself; the texts under the fields are its help."""

    _: KW_ONLY

    separator: str | None = None
    """Between the cells of a line: a character, or tab; found by itself unless given."""

    decimal: Literal["point", "comma"] | None = None
    """The decimal sign, where a file has only numbers such as 1,234."""

    dates: Literal["day-first", "month-first"] | None = None
    """The order in dates, where a file has only such as 01/02/2024."""

    encoding: str | None = None
    """Of the text, such as utf-8, cp1252 or utf-16; found by itself unless given."""

    sheet: str | None = None
    """Of an .xlsx file, by its name; the first that is not empty unless given."""

    @property
    def given(self) -> list[str]:
        """The options that are given."""
        return [f"--{one.name}" for one in fields(self) if getattr(self, one.name) is not None]

    @property
    def dialect(self) -> Dialect:
        """What is told of the file."""
        from scorefield.data import Dialect

        separator = None if self.separator is None else _SEPARATORS.get(self.separator, self.separator)
        return Dialect(separator, self.decimal, self.dates, self.encoding, self.sheet)


AS_FOUND = Reading()
"""Nothing told."""


@Parameter(name="*")
@dataclass(frozen=True)
class Images:
    """How image files become pixels, where they are not taken as they are; the texts under the fields are its help."""

    _: KW_ONLY

    image_size: str | None = None
    """Width and height that images are resized to, such as 64x48, or 64 for both."""

    image_mode: Literal["grey", "rgb", "rgba"] | None = None
    """What images are converted to, with 8 bits each: from CMYK, palettes, 16 bits, or several of them."""

    crop: bool = False
    """Cut the middle out of images that have another shape than --image-size."""

    background: Literal["white", "black"] | None = None
    """What shows through transparent pixels where --image-mode has no alpha."""

    first_frame: bool = False
    """Take the first of several frames or pages."""

    @property
    def reading(self) -> ImageReading | None:
        """What is told of them; None: nothing."""
        from scorefield.data import ImageReading
        from scorefield.data.image_reading import size_from_text

        size = None if self.image_size is None else size_from_text(self.image_size)
        told = ImageReading(self.image_mode, size, self.crop, self.background, self.first_frame)
        return told if told.given else None


AS_THEY_ARE = Images()
"""Nothing told."""


def say(read: Said) -> Said:
    """One line on standard error of how files were read, where that is not as every program would."""
    if read.said:
        print("scorefield: " + " ".join(read.said.split()), file=sys.stderr)
    return read
