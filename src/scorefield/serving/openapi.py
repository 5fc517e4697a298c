"""The service's description in OpenAPI 3.1, made from the table of endpoints and of the run's columns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from scorefield import __version__
from scorefield._ranges import Range
from scorefield.serving.asks import Endpoint
from scorefield.serving.limits import Limits
from scorefield.serving.reading import JSON, NPY, PNG
from scorefield.tables.schema import Schema

Json = dict[str, Any]
_REFUSALS = {
    "400": "A body that is not what its type says.",
    "401": "The token is missing or wrong.",
    "413": "More than one request may ask for.",
    "415": "A type of body that this endpoint does not take.",
    "422": "A value that cannot be; the sentence says which, and what to do.",
    "429": "Too many requests wait; Retry-After says when to try again.",
    "500": "A fault of the service.",
    "503": "It took too long, or the service ends; Retry-After says when to try again.",
}


def document(endpoints: Mapping[str, Endpoint], limits: Limits, schema: Schema | None, name: str) -> Json:
    """The description.

    Args:
        endpoints: that the run has.
        limits: of one request.
        schema: of the table's columns; None: the run is of no table.
        name: of the run.
    """
    paths = {f"/{one.name}": {"post": _operation(one, limits)} for one in endpoints.values()}
    paths["/health"] = {"get": _page("health", "whether the service is there", JSON, open=True)}
    paths["/metrics"] = {"get": _page("metrics", "what the service has done, for Prometheus", "text/plain")}
    paths["/openapi.json"] = {"get": _page("openapi", "this description", JSON)}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"scorefield: {name}", "version": __version__, "description": _about(limits)},
        "paths": paths,
        "security": [{"token": []}],
        "components": {
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
            "schemas": {
                "Error": _object({"error": {"type": "string", "description": "one sentence"}}, ["error"]),
                "Row": _row(schema),
                "Rows": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}, "minItems": 1},
                "Records": {"type": "array", "items": {"type": "array"}, "minItems": 1},
                **{one.options.__name__: options_schema(one.options) for one in endpoints.values()},
            },
            "responses": {status: _refusal(says) for status, says in _REFUSALS.items()},
        },
    }


def options_schema(options: type[Any]) -> Json:
    """The JSON Schema of a dataclass of options."""
    hints = get_type_hints(options, include_extras=True)
    made = {}
    for one in fields(options):
        made[one.name] = _schema(hints[one.name])
        if one.default is not MISSING:
            made[one.name]["default"] = list(one.default) if isinstance(one.default, tuple) else one.default
    needed = [one.name for one in fields(options) if one.default is MISSING]
    return _object(made, needed) | {"description": options.__doc__ or ""}


def _operation(one: Endpoint, limits: Limits) -> Json:
    options: Json = {"$ref": f"#/components/schemas/{one.options.__name__}"}
    body: Json = options
    if one.takes != "nothing":
        what = {"rows": "Rows", "records": "Records"}[one.takes]
        whole = options_schema(one.options)
        whole["properties"][one.takes] = {"$ref": f"#/components/schemas/{what}"}
        body = whole | {"required": [one.takes, *whole.get("required", [])]}
    content: Json = {JSON: {"schema": body}}
    found: Json = {
        "operationId": one.name,
        "summary": one.says,
        "requestBody": {"required": one.takes != "nothing", "content": content},
        "responses": {"200": {"description": one.says, "content": _answer(one)}},
    }
    found["responses"] |= {status: {"$ref": f"#/components/responses/{status}"} for status in _REFUSALS}
    if one.takes == "records":
        content[NPY] = {"schema": {"type": "string", "contentMediaType": NPY}}
        properties = options_schema(one.options)["properties"]
        where = f"of a body in {NPY}"
        found["parameters"] = [
            {"name": name, "in": "query", "required": False, "schema": own, "description": where}
            for name, own in properties.items()
        ]
    return found


def _answer(one: Endpoint) -> Json:
    warnings = {"type": "array", "items": {"type": "string"}}
    if one.gives == "rows":
        rows = {"type": "array", "items": {"type": "object"}}
        return {JSON: {"schema": _object({"rows": rows, "warnings": warnings}, ["rows"])}}
    labels = {"type": "array", "items": {"type": "integer"}}
    whole = _object({"records": {"$ref": "#/components/schemas/Records"}, "labels": labels}, ["records"])
    file = {"type": "string"}
    return {JSON: {"schema": whole}, **{kind: {"schema": file | {"contentMediaType": kind}} for kind in (NPY, PNG)}}


def _page(name: str, says: str, media: str, open: bool = False) -> Json:
    found: Json = {
        "operationId": name,
        "summary": says,
        "responses": {"200": {"description": says, "content": {media: {"schema": {}}}}},
    }
    return found | ({"security": []} if open else {})


def _about(limits: Limits) -> str:
    return (
        f"A request has a body of at most {limits.body:,} bytes; it and its answer have at most {limits.rows:,} rows "
        f"or records, {limits.evaluations:,} network evaluations, and {limits.seconds:g} s of computing. "
        "A number that is not finite is null. The same seed gives the same answer."
    )


def _refusal(says: str) -> Json:
    return {"description": says, "content": {JSON: {"schema": {"$ref": "#/components/schemas/Error"}}}}


def _object(properties: Json, required: list[str]) -> Json:
    found: Json = {"type": "object", "properties": properties, "additionalProperties": False}
    return found | ({"required": required} if required else {})


def _row(schema: Schema | None) -> Json:
    """A row of the run's table; of any other rows their cells are numbers."""
    if schema is None:
        return {"type": "object", "additionalProperties": {"type": ["number", "null"]}}
    kinds: dict[str, Json] = {
        "numbers": {"type": ["number", "null"]},
        "text": {"type": ["string", "null"]},
        "booleans": {"type": ["boolean", "null"]},
        "times": {"type": ["string", "null"], "description": "ISO 8601"},
    }
    made = {str(column.name): dict(kinds[column.holds]) for column in schema}
    for column in schema:
        if column.holds == "text" and column.values:
            made[str(column.name)]["enum"] = [*column.values, None]
    return _object(made, [])


def _schema(kind: Any) -> Json:
    """Of a type as it stands in a dataclass of options."""
    origin = get_origin(kind)
    if origin is Annotated:
        own, *notes = get_args(kind)
        found = _schema(own)
        for note in notes:
            found |= {"description": note} if isinstance(note, str) else _bounds(note)
        return found
    if origin in (Union, UnionType):
        (own,) = [one for one in get_args(kind) if one is not NoneType]
        found = _schema(own)
        return found | {"type": [found["type"], "null"]}
    if origin is Literal:
        return {"type": "string", "enum": list(get_args(kind))}
    if origin is tuple:
        return {"type": "array", "items": _schema(get_args(kind)[0])}
    return {"type": {int: "integer", float: "number", str: "string", bool: "boolean"}[kind]}


def _bounds(rule: object) -> Json:
    if not isinstance(rule, Range):
        return {}
    low, high = (int(v) if rule.whole else v for v in (rule.low, rule.high))
    return {
        "exclusiveMinimum" if rule.open_low else "minimum": low,
        "exclusiveMaximum" if rule.open_high else "maximum": high,
    }
