"""Data larger than memory: records in blocks that are read as they are needed, and the order to read them in.

What may enter: a source of blocks, and what follows from row numbers alone; nothing learned.
"""

from scorefield.data.streams.npy import npy_stream as npy_stream
from scorefield.data.streams.opening import open_stream as open_stream
from scorefield.data.streams.stream import Stream as Stream

__all__ = ["Stream", "npy_stream", "open_stream"]
