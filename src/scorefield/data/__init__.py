"""Data: load a file, hold some records out, and map records to tensors and back.

>>> dataset = load("ring")
>>> train, held = split(len(dataset))
>>> codec = fit_codec(dataset.take(train))
>>> codec.encode(dataset.records[held]).shape
torch.Size([1000, 2])
"""

from scorefield.data import toys as toys
from scorefield.data.builtin import BUILTIN as BUILTIN
from scorefield.data.codecs import Codec as Codec
from scorefield.data.codecs import codec_from_json as codec_from_json
from scorefield.data.codecs import fit_codec as fit_codec
from scorefield.data.dataset import DataError as DataError
from scorefield.data.dataset import Dataset as Dataset
from scorefield.data.detection import detect as detect
from scorefield.data.frames import builtin_frame as builtin_frame
from scorefield.data.frames import read_frame as read_frame
from scorefield.data.frames import write_frame as write_frame
from scorefield.data.image_codec import ImageCodec as ImageCodec
from scorefield.data.pictures import grid as grid
from scorefield.data.reading import load as load
from scorefield.data.row_codec import RowCodec as RowCodec
from scorefield.data.row_codec import fit_row_codec as fit_row_codec
from scorefield.data.schema import Column as Column
from scorefield.data.schema import Schema as Schema
from scorefield.data.schema_toml import overridden as overridden
from scorefield.data.schema_toml import overrides_from_toml as overrides_from_toml
from scorefield.data.schema_toml import to_toml as to_toml
from scorefield.data.series import as_frame as as_frame
from scorefield.data.splitting import split as split
from scorefield.data.table_codec import TableCodec as TableCodec
from scorefield.data.toys import TOYS as TOYS
from scorefield.data.writing import check_suffix as check_suffix
from scorefield.data.writing import write as write

__all__ = [
    "BUILTIN",
    "Codec",
    "DataError",
    "Dataset",
    "ImageCodec",
    "TOYS",
    "TableCodec",
    "check_suffix",
    "codec_from_json",
    "fit_codec",
    "grid",
    "load",
    "split",
    "toys",
    "write",
    "builtin_frame",
    "read_frame",
    "write_frame",
    "RowCodec",
    "fit_row_codec",
    "Column",
    "Schema",
    "detect",
    "overridden",
    "overrides_from_toml",
    "to_toml",
    "as_frame",
]
