"""Files and built-in sets <-> arrays and data frames: reading, writing, splitting, toys. Nothing here is learned.

Each name is loaded on first use: what reads tables is not there where only images are read.

What may enter: a format, a built-in set, a toy with known density.

>>> dataset = load("ring")
>>> train, held = split(len(dataset))
>>> dataset.records[held].shape
(1000, 2)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorefield._lazy import on_first_use

if TYPE_CHECKING:  # the table below, for type checkers and editors; a test holds them together
    from scorefield.data import toys as toys
    from scorefield.data.builtin import BUILTIN as BUILTIN
    from scorefield.data.dataset import DataError as DataError
    from scorefield.data.dataset import Dataset as Dataset
    from scorefield.data.dataset import named as named
    from scorefield.data.dialect import Dialect as Dialect
    from scorefield.data.filling import write_filled as write_filled
    from scorefield.data.formats import check_frame_suffix as check_frame_suffix
    from scorefield.data.frames import builtin_frame as builtin_frame
    from scorefield.data.frames import read_frame as read_frame
    from scorefield.data.frames import write_frame as write_frame
    from scorefield.data.frames import write_frames as write_frames
    from scorefield.data.image_reading import ImageReading as ImageReading
    from scorefield.data.pictures import grid as grid
    from scorefield.data.pictures import grid_png as grid_png
    from scorefield.data.reading import load as load
    from scorefield.data.splitting import split as split
    from scorefield.data.tablefile import TableFile as TableFile
    from scorefield.data.tablefile import read_table as read_table
    from scorefield.data.toys import TOYS as TOYS
    from scorefield.data.writing import check_suffix as check_suffix
    from scorefield.data.writing import write as write
    from scorefield.data.writing import write_parts as write_parts

_PLACES = {  # public name: the module of this package that defines it
    "BUILTIN": "builtin",
    "DataError": "dataset",
    "Dataset": "dataset",
    "Dialect": "dialect",
    "ImageReading": "image_reading",
    "TOYS": "toys",
    "TableFile": "tablefile",
    "builtin_frame": "frames",
    "check_frame_suffix": "formats",
    "check_suffix": "writing",
    "grid": "pictures",
    "grid_png": "pictures",
    "load": "reading",
    "named": "dataset",
    "read_frame": "frames",
    "read_table": "tablefile",
    "split": "splitting",
    "toys": "toys",
    "write": "writing",
    "write_filled": "filling",
    "write_frame": "frames",
    "write_frames": "frames",
    "write_parts": "writing",
}
__all__ = [*_PLACES]

__getattr__, __dir__ = on_first_use(__name__, _PLACES, {"toys": "toys"})
