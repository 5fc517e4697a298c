"""Arrays and images: codec, fit, trained, evaluate.

The twin of `tables`, for records `(n, *shape)` of numbers that all have a value. What may enter: what only records
need; what both kinds of data need belongs to a room below.
"""

from scorefield.records.array_codec import ArrayCodec as ArrayCodec
from scorefield.records.codec import Codec as Codec
from scorefield.records.codec import codec_from_json as codec_from_json
from scorefield.records.codec import fit_codec as fit_codec
from scorefield.records.grid_codec import GridCodec as GridCodec
from scorefield.records.image_codec import ImageCodec as ImageCodec
from scorefield.records.latent_codec import LatentCodec as LatentCodec
from scorefield.records.trained import TrainedModel as TrainedModel

__all__ = [
    "ArrayCodec",
    "Codec",
    "GridCodec",
    "ImageCodec",
    "LatentCodec",
    "TrainedModel",
    "codec_from_json",
    "fit_codec",
]
