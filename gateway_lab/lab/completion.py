"""What can be written in a rule: fields, the values that captured messages have there, functions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from gateway_lab.captures.capture import Capture
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.events.event_type import EventType, Kind, Path, Schema
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.run import replay
from gateway_lab.rules.functions import FUNCTIONS
from gateway_lab.rules.tree import Field, Span

LOOKED_AT: Final = 20_000
"""Messages whose values are offered."""

MOST_VALUES: Final = 20
"""Values offered of one field; of a field with many more, none is."""

MESSAGE: Final = ("key", "timestamp", "received", "source", "channel")
_OFFERED: Final = frozenset({Kind.TEXT, Kind.BOOLEAN, Kind.INTEGER})


def hints(config: GatewayConfig, capture: Capture) -> dict[str, Any]:
    """Return what a rule can be completed with.

    Returns:
        `fields`: `{path, kind, values}` each, with values written as a rule writes them, the most
        frequent first, none of them private; `functions`, `settings` and `message`: names.
    """
    plan = compile_plan(config).plan
    types: dict[str, EventType] = {}
    if plan is not None:
        for source in plan.sources.values():
            types |= {each.name: each for each in source.event_types.values()}
    seen = _seen(config, capture, types) if plan is not None else {}
    found: dict[str, dict[str, Any]] = {}
    for each in types.values():
        for path, schema in _fields(each.schema, ()):
            name = ".".join(path)
            values = _declared(schema) or seen.get(name, [])
            told = {"path": name, "kind": str(schema.value_type), "values": values}
            found.setdefault(name, told)
    return {
        "fields": list(found.values()),
        "functions": sorted(name for name in FUNCTIONS if name.isidentifier()),
        "settings": [f"settings.{name}" for name in config.settings],
        "message": [f"message.{name}" for name in MESSAGE],
    }


def _fields(schema: Schema, path: Path) -> Iterator[tuple[Path, Schema]]:
    for name, child in (schema.properties or {}).items():
        yield (*path, name), child
        yield from _fields(child, (*path, name))


def _declared(schema: Schema) -> list[str]:
    return [literal(each) for each in schema.enum or ()]


def _seen(
    config: GatewayConfig, capture: Capture, types: Mapping[str, EventType]
) -> dict[str, list[str]]:
    """Look at the first messages for the values of fields that have few of them."""
    found: dict[str, list[str]] = {}
    for view in replay(config, capture.head(LOOKED_AT)).run.views():
        for stream in view.streams:
            event_type = types.get(stream.event_name or "")
            for path, schema in _fields(event_type.schema, ()) if event_type else ():
                if schema.value_type.kind in _OFFERED and not schema.private:
                    field = Field(path, schema.value_type, Span(0, 0))
                    found.setdefault(".".join(path), _values(stream, field))
    return found


def _values(stream: Stream, field: Field) -> list[str]:
    counts = stream.column(field).rows.drop_nulls().value_counts(sort=True, name="messages")
    if counts.height > MOST_VALUES * 5:
        return []
    return [literal(value) for value in counts.to_series(0).head(MOST_VALUES)]


def literal(value: str | float) -> str:
    """Write a value as a rule does."""
    if isinstance(value, str):
        return "'" + value.replace("'", "''") + "'"
    return msgspec.json.encode(value).decode()
