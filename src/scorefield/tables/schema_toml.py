"""A schema as a text that people read and change."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scorefield import _files
from scorefield._files import reason, shortened
from scorefield.data.dataset import DataError, named
from scorefield.tables.detection import detect
from scorefield.tables.edge import Edge, Edges
from scorefield.tables.schema import Column, Schema, bound_text, describe
from scorefield.tables.transforms import Asinh, transform_name
from scorefield.tables.wall import Wall

if TYPE_CHECKING:
    import pandas as pd

_HEAD = """# What the columns of the table are. Change what is wrong; settings that are left out are detected again.
# kind: continuous, integer, ordinal, categorical, boolean, datetime.
# transform: identity, log, logit, asinh; where the density ends at low or high, wall or edge; at both, walls or edges.
# low and high bound the values, atoms are values with a point mass, resolution is the distance of repeated values.
"""


def to_toml(schema: Schema) -> str:
    """The schema in TOML: one table `[column."name"]` for each column.

    Example:
        >>> import pandas as pd
        >>> print(to_toml(detect(pd.DataFrame({"size": [1.5, 2.25, 9.0]}))))
        # What the columns ...
        [column."size"]
        kind = "continuous"
        transform = "identity"
        resolution = 0.0
        atoms = []
    """
    return "\n".join([_HEAD, *(_table(column) for column in schema.columns)])


def overridden(schema: Schema, text: str, frame: pd.DataFrame) -> Schema:
    """The schema with the columns that a TOML text speaks of detected anew, what the text says taken as given.

    Args:
        schema: of the frame.
        text: TOML as `to_toml` writes it; only the columns and settings to change need to be there.
        frame: the training rows.

    Raises:
        DataError: for what is no TOML, unknown columns and settings, values that do not fit the data.

    Example:
        >>> import pandas as pd
        >>> frame = pd.DataFrame({"size": [1.5, 2.25, 9.0]})
        >>> overridden(detect(frame), '[column.size]\\nlow = 0.0', frame)["size"].transform
        Log(bound=0.0, above=True)
    """
    given = overrides_from_toml(text)
    again = detect(frame, given)
    if again.names != schema.names:
        raise DataError(f"the schema is for {len(schema)} columns and the table has others.")
    columns = tuple(
        new if str(new.name) in given or new.kind == "copy" else old
        for old, new in zip(schema.columns, again.columns, strict=True)
    )
    return Schema(columns, schema.names_dtype, schema.names_title)


def schema_from_file(schema: Schema, path: Path, frame: pd.DataFrame) -> Schema:
    """The schema with what a TOML file says in its place, see `overridden`.

    Raises:
        DataError: with the file's name, for a file that cannot be read, and as `overridden`.
    """
    with _files.reading(path, "a schema", DataError, fix="; `scorefield schema` writes one"):
        text = path.read_text(encoding="utf-8")
    with named(path):
        return overridden(schema, text, frame)


def overrides_from_toml(text: str) -> dict[str, dict[str, Any]]:
    """What a TOML text says of each column, for `detect`.

    Raises:
        DataError: for what is no TOML, or has other tables than `[column."name"]`.
    """
    try:
        fields = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"the schema is no TOML: {reason(error)}.") from None
    columns = fields.pop("column", {})
    if fields or not isinstance(columns, dict) or not all(isinstance(value, dict) for value in columns.values()):
        got = shortened(", ".join(fields)) or "others"
        raise DataError(f'a schema has one table [column."name"] for each column, got {got}.')
    return columns


def _table(column: Column) -> str:
    lines = [f"[column.{_text(str(column.name))}]", f"kind = {_text(column.kind)}"]
    if column.kind == "copy":
        lines.append(f"of = {_text(str(column.of))}")
    elif column.kind == "constant":
        lines[-1] += f"  # {describe(column)}".replace("\n", " ")
    elif column.coded:
        lines.append(f"values = [{', '.join(map(_value, column.values))}]")
    else:
        lines += _fine(column)
    return "\n".join(lines) + "\n"


def _fine(column: Column) -> list[str]:
    lines = [f"transform = {_text(transform_name(column.transform))}"]
    if isinstance(column.transform, Asinh):
        lines += [f"centre = {_value(column.transform.centre)}", f"scale = {_value(column.transform.scale)}"]
    if isinstance(column.transform, Edge | Edges):
        lines.append(f"scale = {_value(column.transform.scale)}")
    if isinstance(column.transform, Wall):
        lines += [f"scale = {_value(column.transform.scale)}", f"shape = {_value(column.transform.shape)}"]
    for side in ("low", "high"):
        bound = getattr(column, side)
        if bound is not None:
            lines.append(f"{side} = {_bound(column, bound)}")
    lines.append(f"resolution = {_value(column.resolution)}")
    if column.holds == "numbers":
        lines.append(f"atoms = [{', '.join(map(_value, column.atoms))}]")
    return lines


def _bound(column: Column, bound: float) -> str:
    """A number; a time (UTC) where TOML's microseconds hold it, else seconds since the column's origin."""
    text = bound_text(column, bound).rstrip("0") if column.holds == "times" else ""
    fraction = text.partition(".")[2]
    if not text or len(fraction) > 6:
        return _value(bound)
    return text if fraction else bound_text(column, bound).partition(".")[0]


def _value(value: str | int | float | bool) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "nan" if math.isnan(value) else "inf" if value > 0 else "-inf"
    return repr(value)


_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def _text(text: str) -> str:
    """A basic string of TOML 1.0."""
    return '"' + "".join(_ESCAPES.get(c, c if c >= " " and c != "\x7f" else f"\\u{ord(c):04x}") for c in text) + '"'
