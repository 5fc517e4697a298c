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
from scorefield.data.image_codec import ImageCodec as ImageCodec
from scorefield.data.pictures import grid as grid
from scorefield.data.reading import load as load
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
]
