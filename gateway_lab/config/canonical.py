"""The canonical form of a config and its digest, which names a version everywhere.

RFC 8785 JSON of what decides messages: defaults filled in, mappings sorted, without descriptions,
owners, tests and expectations. Integers beyond 2**53, which RFC 8785 cannot tell apart, keep all
their digits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import rfc8785

from gateway_lab.config.model import Part
from gateway_lab.errors import ConfigError
from gateway_lab.events.schema import ANNOTATIONS

_LEFT_OUT = {"description", "owner", "tests", "expectations"}
_SUBSCHEMAS = ("properties", "$defs")
_EXACT = 2**53 - 1


def canonical_json(config: Part) -> bytes:
    """Return the canonical form, itself a document that can be read."""
    document = _plain(config)
    document["events"] = {
        name: _without_annotations(schema) for name, schema in document["events"].items()
    }
    return canonical_value(document)


def digest(config: Part) -> str:
    """Return the SHA-256 of the canonical form in hex."""
    return hashlib.sha256(canonical_json(config)).hexdigest()


def canonical_value(value: Any) -> bytes:
    """Write any JSON value in canonical form."""
    match value:
        case Mapping():
            keys = sorted(value, key=lambda key: key.encode("utf-16-be", "surrogatepass"))
            items = (_scalar(key) + b":" + canonical_value(value[key]) for key in keys)
            return b"{" + b",".join(items) + b"}"
        case list() | tuple():
            return b"[" + b",".join(map(canonical_value, value)) + b"]"
        case int() if not -_EXACT <= value <= _EXACT:
            return str(value).encode()
        case _:
            return _scalar(value)


def _scalar(value: Any) -> bytes:
    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError:
        shown = ascii(value) if len(ascii(value)) <= 60 else ascii(value)[:59] + "…"
        raise ConfigError(
            f"{shown} cannot be written as JSON",
            hint="a text holds whole characters, not half of a surrogate pair; numbers are finite",
        ) from None


def _plain(value: Any) -> Any:
    match value:
        case Part():
            return {
                field.alias or name: _plain(getattr(value, name))
                for name, field in type(value).model_fields.items()
                if name not in _LEFT_OUT
            }
        case Mapping():
            return {key: _plain(inner) for key, inner in value.items()}
        case list() | tuple():
            return [_plain(inner) for inner in value]
        case _:
            return value


def _without_annotations(schema: Any) -> Any:
    """Drop what a JSON Schema says to people; a property called `title` stays."""
    if isinstance(schema, list):
        return [_without_annotations(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _SUBSCHEMAS and isinstance(value, dict):
            kept[key] = {name: _without_annotations(each) for name, each in value.items()}
        elif key in {"enum", "const"}:
            kept[key] = value
        elif key not in ANNOTATIONS:
            kept[key] = _without_annotations(value)
    return kept
