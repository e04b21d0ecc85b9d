"""The JSON Schema of a config, which editors complete and check with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gateway_lab.config.document import Document
from gateway_lab.config.model import FORMAT
from gateway_lab.protocols.registry import PROTOCOLS

_COUNT = {"type": "integer", "minimum": 0}
_SELF = {"$ref": "#/$defs/EventSchema"}
_TYPES = ["string", "boolean", "integer", "number", "array", "object", "null"]

EVENT_SCHEMA: Mapping[str, Any] = {
    "description": "A JSON Schema of the supported subset, see the page on validity.",
    "type": "object",
    "additionalProperties": False,
    "patternProperties": {"^x-": {}},
    "properties": {
        "type": {
            "description": 'One type, or one type and "null".',
            "anyOf": [
                {"enum": _TYPES},
                {"type": "array", "items": {"enum": _TYPES}, "minItems": 1, "maxItems": 2},
            ],
        },
        "enum": {"type": "array", "description": "The only values allowed."},
        "const": {"description": "The only value allowed."},
        "pattern": {"type": "string", "format": "regex"},
        "format": {"enum": ["date-time"], "description": "RFC 3339; a timestamp in rules."},
        "minLength": _COUNT,
        "maxLength": _COUNT,
        "minimum": {"type": "number"},
        "maximum": {"type": "number"},
        "exclusiveMinimum": {"type": "number"},
        "exclusiveMaximum": {"type": "number"},
        "items": _SELF,
        "minItems": _COUNT,
        "maxItems": _COUNT,
        "properties": {"type": "object", "additionalProperties": _SELF},
        "required": {"type": "array", "items": {"type": "string"}},
        "additionalProperties": {"anyOf": [{"type": "boolean"}, _SELF]},
        "anyOf": {"type": "array", "items": _SELF, "description": "A schema, or null."},
        "$ref": {"type": "string", "pattern": "^#/\\$defs/"},
        "$defs": {"type": "object", "additionalProperties": _SELF},
        "x-private": {"type": "boolean", "description": "Masked wherever people look."},
        "title": {"type": "string"},
        "description": {"type": "string"},
        "$comment": {"type": "string"},
        "default": {},
        "examples": {"type": "array"},
        "deprecated": {"type": "boolean"},
        "readOnly": {"type": "boolean"},
        "writeOnly": {"type": "boolean"},
        "$schema": {"type": "string"},
        "$id": {"type": "string"},
    },
}


def json_schema() -> dict[str, Any]:
    """Return the schema (draft 2020-12) of a whole config."""
    schema: dict[str, Any] = _tidy(Document.model_json_schema(by_alias=True))
    parts = schema["$defs"]
    parts["EventSchema"] = dict(EVENT_SCHEMA)
    (events,) = schema["properties"]["events"]["patternProperties"]
    schema["properties"]["events"]["patternProperties"] = {events: _SELF}
    schema["properties"]["gateway_lab"] = {"const": FORMAT, "description": "The format's version."}
    schema["required"] = ["gateway_lab", *schema["required"]]
    for part, side in (("Source", "source"), ("Address", "source"), ("Target", "target")):
        parts[part]["properties"]["options"] |= {"properties": _options(side)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "gateway_lab config",
        **schema,
    }


def _tidy(schema: Any) -> Any:
    """Drop the titles that repeat names, and refuse names that a table's pattern does not take."""
    if isinstance(schema, list):
        return [_tidy(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {
        key: {name: _tidy(each) for name, each in value.items()}
        if key in {"properties", "$defs"}
        else _tidy(value)
        for key, value in schema.items()
        if key != "title"
    }
    return {**tidy, "additionalProperties": False} if "patternProperties" in tidy else tidy


def _options(side: str) -> dict[str, Any]:
    """Unite the options of all protocols: which one takes which is `check`'s to say."""
    united: dict[str, dict[str, Any]] = {}
    for protocol in PROTOCOLS.values():
        model = protocol.source_options if side == "source" else protocol.target_options
        for name, option in model.model_json_schema()["properties"].items():
            known = united.setdefault(name, {"description": "", "anyOf": []})
            known["description"] = ", ".join(filter(None, [known["description"], protocol.name]))
            if (tidy := _tidy(option)) not in known["anyOf"]:
                known["anyOf"].append(tidy)
    return united
