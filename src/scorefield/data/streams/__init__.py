"""Data larger than memory: records in blocks that are read as they are needed, and the order to read them in.

What may enter: a source of blocks, and what follows from row numbers alone; nothing learned.
"""

from scorefield.data.streams.huggingface import saved_stream as saved_stream
from scorefield.data.streams.npy import npy_stream as npy_stream
from scorefield.data.streams.opening import open_stream as open_stream
from scorefield.data.streams.parquet import parquet_stream as parquet_stream
from scorefield.data.streams.pictures import pictures_stream as pictures_stream
from scorefield.data.streams.pictures import tar_stream as tar_stream
from scorefield.data.streams.python import indexed_stream as indexed_stream
from scorefield.data.streams.python import spooled as spooled
from scorefield.data.streams.stream import Stream as Stream
from scorefield.data.streams.tableparts import TableParts as TableParts
from scorefield.data.streams.tableparts import table_parts as table_parts

__all__ = [
    "Stream",
    "TableParts",
    "indexed_stream",
    "npy_stream",
    "open_stream",
    "parquet_stream",
    "pictures_stream",
    "saved_stream",
    "spooled",
    "table_parts",
    "tar_stream",
]
