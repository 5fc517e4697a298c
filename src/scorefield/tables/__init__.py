"""Tables of columns of every kind, with holes: codec, fit, trained, evaluate.

The twin of `records`, for rows of numbers, categories and times of which any part may be missing, given or queried.
What may enter: what only tables need (schema, network, objective, mixture, imputation, prediction, density).
"""

from scorefield.tables.codec import RowCodec as RowCodec
from scorefield.tables.codec import fit_row_codec as fit_row_codec
from scorefield.tables.detection import detect as detect
from scorefield.tables.fit import fit_frame as fit_frame
from scorefield.tables.schema import Column as Column
from scorefield.tables.schema import Schema as Schema
from scorefield.tables.schema_toml import overridden as overridden
from scorefield.tables.schema_toml import overrides_from_toml as overrides_from_toml
from scorefield.tables.schema_toml import to_toml as to_toml
from scorefield.tables.series import as_frame as as_frame
from scorefield.tables.trained import TrainedTable as TrainedTable

__all__ = [
    "Column",
    "RowCodec",
    "Schema",
    "TrainedTable",
    "as_frame",
    "detect",
    "fit_frame",
    "fit_row_codec",
    "overridden",
    "overrides_from_toml",
    "to_toml",
]
