"""Tables of columns of every kind, with holes: codec, fit, trained, evaluate.

The twin of `records`, for rows of numbers, categories and times of which any part may be missing, given or queried.
What may enter: what only tables need (schema, network, objective, mixture, imputation, prediction, density).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from scorefield._lazy import on_first_use

if TYPE_CHECKING:  # the table below, for type checkers and editors; a test holds them together
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

_PLACES = {  # public name: the module of this package that defines it
    "Column": "schema",
    "RowCodec": "codec",
    "Schema": "schema",
    "TrainedTable": "trained",
    "as_frame": "series",
    "detect": "detection",
    "fit_frame": "fit",
    "fit_row_codec": "codec",
    "overridden": "schema_toml",
    "overrides_from_toml": "schema_toml",
    "to_toml": "schema_toml",
}
__all__ = [*_PLACES]

__getattr__, __dir__ = on_first_use(__name__, _PLACES)
