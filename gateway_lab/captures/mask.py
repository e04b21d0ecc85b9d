"""Masking a capture: what is private becomes a hash that keeps equality, in the file itself.

Masked are the fields that an event type marks `x-private`, and the key and headers that a source
lists under `private:`. Each message is judged before, and the verdict is kept in the column
`invalid`. A body that is not valid may hold private values anywhere, so all of it is masked,
unless nothing in its event type is private.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeAlias

import msgspec
import polars as pl
from msgspec import Raw

from gateway_lab.captures.binding import Sources
from gateway_lab.captures.format import COLUMNS, INVALID
from gateway_lab.captures.judge import Judge, Judged
from gateway_lab.captures.rows import headers_column
from gateway_lab.config.plan import Plan, SourcePlan
from gateway_lab.events.event_type import EventType, Kind, Schema
from gateway_lab.events.timestamps import parse_date_time
from gateway_lab.messages.mask import mask_text

_MaskBody: TypeAlias = Callable[[bytes], bytes]

_MASK = re.compile(rb'"masked:[0-9a-f]{10}"')
"""What `mask_text` writes, as JSON: it is not masked again, by a second source or later."""

_NO_TEXT = b"\xff"
"""In front of the mask of what is not UTF-8: rules see NULL there, and go on to."""

_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode
_decode_members = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_elements = msgspec.json.Decoder(list[Raw]).decode


def mask_frame(
    frame: pl.LazyFrame, plan: Plan, *, sources: Sources, is_handled: bool
) -> pl.LazyFrame:
    """Mask the messages of all sources of a plan; those that no source reads stay as they are.

    Returns:
        The same rows, lazily, with the column `invalid`: the reason of the first source that
        finds the body not valid.
    """
    judge = Judge(plan, sources, is_handled=is_handled)
    mask_batch(pl.DataFrame(schema=COLUMNS), judge)  # tells of mistakes in `sources` at once
    return frame.map_batches(
        lambda batch: mask_batch(batch, judge),
        schema={**COLUMNS, INVALID: pl.String()},
        streamable=True,
    )


def masked_names(plan: Plan) -> tuple[str, ...]:
    """List what `mask_frame` masks, such as `users: event.username`."""
    return tuple(
        f"{name}: {what}"
        for name, source in plan.sources.items()
        for what in dict.fromkeys(_private(source))
    )


def masked_type(event_type: EventType) -> EventType:
    """Describe the valid bodies of an event type after masking: a private value is any text."""
    return replace(event_type, schema=_masked_schema(event_type.schema))


# --- messages ---


def mask_batch(batch: pl.DataFrame, judge: Judge) -> pl.DataFrame:
    """Mask some rows at once; see `mask_frame`."""
    bodies, keys = batch["body"].to_list(), batch["key"].to_list()
    headers = batch["headers"].to_list() if _masks_headers(judge) else None
    verdicts: list[str | None] = [None] * batch.height
    for judged in judge.judge(batch):
        _mask_bodies(bodies, judged)
        if judged.source.private_key:
            _mask_keys(keys, judged.rows)
        if headers is not None:
            _mask_headers(headers, judged.rows, judged.source.private_headers)
        for row, reason in judged.invalid.items():
            verdicts[row] = verdicts[row] or reason
    return batch.with_columns(
        pl.Series("key", keys, dtype=pl.Binary),
        batch["headers"] if headers is None else headers_column(headers),
        pl.Series("body", bodies, dtype=pl.Binary),
        pl.Series(INVALID, verdicts, dtype=pl.String),
    )


def _masks_headers(judge: Judge) -> bool:
    return any(source.private_headers for source in judge.plan.sources.values())


def _mask_bodies(bodies: list[bytes | None], judged: Judged) -> None:
    """Mask bodies in place: private fields of valid ones, the whole of the others."""
    types = judged.source.event_types.values() if judged.event_type is None else [judged.event_type]
    if not any(_has_private(each.schema) for each in types):
        return
    mask = None if judged.event_type is None else _compile(judged.event_type.schema)
    for row in judged.rows:
        body = bodies[row]
        if body is None or _MASK.fullmatch(body):
            continue
        if row in judged.invalid or mask is None:
            bodies[row] = _encode(mask_text(body))
        else:
            bodies[row] = mask(body)


def _mask_keys(keys: list[bytes | None], rows: list[int]) -> None:
    """Mask keys in place."""
    for row in rows:
        key = keys[row]
        keys[row] = None if key is None else _mask_bytes(key)


def _mask_headers(
    headers: list[list[dict[str, Any]] | None], rows: list[int], private: frozenset[str]
) -> None:
    """Mask the values of some headers in place."""
    for row in rows if private else ():
        headers[row] = [
            {**item, "value": _mask_bytes(item["value"])}
            if item and (item["name"] or "").lower() in private
            else item
            for item in headers[row] or ()
        ]


def _mask_bytes(value: bytes | None) -> bytes:
    value = value or b""
    if _MASK.fullmatch(b'"' + value.removeprefix(_NO_TEXT) + b'"'):
        return value
    try:
        return mask_text(value.decode()).encode()
    except UnicodeDecodeError:
        return _NO_TEXT + mask_text(value).encode()


# --- bodies: only the way to private values is read, all other text stays as it was ---


def _compile(schema: Schema) -> _MaskBody:
    """Compile the masking of a valid value."""
    if schema.private:
        return _compile_value(_VALUES.get(schema.value_type.kind, _decode))
    if schema.type == "array" and schema.items is not None:
        return _compile_elements(_compile(schema.items))
    members = {
        name: _compile(child)
        for name, child in (schema.properties or {}).items()
        if _has_private(child)
    }
    if isinstance(schema.additional, Schema) and _has_private(schema.additional):
        return _compile_members(members, schema, _compile(schema.additional))
    return _compile_members(members, schema, _unchanged)


def _compile_value(read: Callable[[bytes], object]) -> _MaskBody:
    def value(text: bytes) -> bytes:
        if text == b"null" or _MASK.fullmatch(text):
            return text
        return _encode(mask_text(read(text)))

    return value


def _compile_elements(mask: _MaskBody) -> _MaskBody:
    def elements(text: bytes) -> bytes:
        if text == b"null":
            return text
        return _encode([Raw(mask(bytes(each))) for each in _decode_elements(text)])

    return elements


def _compile_members(
    members: Mapping[str, _MaskBody], schema: Schema, others: _MaskBody
) -> _MaskBody:
    declared = dict.fromkeys(schema.properties or {}, _unchanged) | dict(members)
    if not members and others is _unchanged:
        return _unchanged

    def object_(text: bytes) -> bytes:
        if text == b"null":
            return text
        masked = {
            name: Raw(declared.get(name, others)(bytes(value)))
            for name, value in _decode_members(text).items()
        }
        return _encode(masked)

    return object_


def _unchanged(text: bytes) -> bytes:
    return text


_VALUES: Mapping[Kind, Callable[[bytes], object]] = {
    Kind.NUMBER: lambda text: float(text) + 0.0,  # 0.0 equals -0.0, so it has the same mask
    Kind.TIMESTAMP: lambda text: parse_date_time(_decode(text)),
    Kind.OBJECT: lambda text: text,
}
"""Values as rules see them, so that equal ones have equal masks however they are written."""


# --- event types ---


def _private(source: SourcePlan) -> Iterator[str]:
    types = {**source.event_types, **source.routed_types}
    for event_type in types.values():
        for path, schema in event_type.paths():
            if schema.private:
                yield ".".join(("event", *path))
    if source.private_key:
        yield "key"
    yield from (f"header {name}" for name in sorted(source.private_headers))


def _has_private(schema: Schema) -> bool:
    children = list((schema.properties or {}).values())
    children += [each for each in (schema.items, schema.additional) if isinstance(each, Schema)]
    return schema.private or any(map(_has_private, children))


def _masked_schema(schema: Schema) -> Schema:
    if schema.private:
        return Schema(type="string", nullable=schema.nullable, private=True)
    properties = schema.properties and {
        name: _masked_schema(child) for name, child in schema.properties.items()
    }
    additional = schema.additional
    return replace(
        schema,
        properties=properties,
        items=schema.items and _masked_schema(schema.items),
        additional=_masked_schema(additional) if isinstance(additional, Schema) else additional,
    )
