"""What the names in a rule mean: fields of events, parts of the message, settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from gateway_lab.errors import RuleError, did_you_mean
from gateway_lab.events.event_type import EventType, Kind, Path, Schema
from gateway_lab.rules.advice import FUNCTIONS
from gateway_lab.rules.syntax import Apply, Name, Syntax
from gateway_lab.rules.tree import TEXT, TIMESTAMP, Field, Header, Literal, Meta, Node, Span

Error: TypeAlias = Callable[[Span, str, str, str], RuleError]
"""Makes the error of a place, a code, a problem and a hint."""

MESSAGE = MappingProxyType(
    {
        "key": TEXT,
        "timestamp": TIMESTAMP,
        "received": TIMESTAMP,
        "source": TEXT,
        "channel": TEXT,
    }
)
"""The parts of a message besides its headers, and their types."""


class Names:
    """Looks names up in a scope."""

    def __init__(
        self,
        events: Mapping[str, EventType],
        settings: Mapping[str, Literal],
        *,
        message: bool,
        error: Error,
    ) -> None:
        self.events, self.settings, self.message, self.error = events, settings, message, error

    def find(self, name: Name) -> Node:
        """Return the leaf that a name means; a setting is its constant."""
        first, *rest = name.parts
        match first:
            case "settings":
                return self.setting(rest, name.span)
            case "message":
                return self.meta(rest, name.span)
            case "event" if rest:
                return self.field(tuple(rest), name)
        return self.field(name.parts, name)

    def header(self, syntax: Syntax) -> Header | None:
        """Return the header that `message.headers['x']` means, None for anything else."""
        match syntax:
            case Apply(function="[]", args=(Name(parts=("message", "headers")), index)):
                if not isinstance(index, Literal) or not isinstance(index.value, str):
                    raise self.error(
                        index.span,
                        "not-constant",
                        "the name of a header is a constant text",
                        "write message.headers['x-request-id']",
                    )
                self.check_message(syntax.span)
                return Header(index.value.lower(), syntax.span)
        return None

    def setting(self, rest: list[str], span: Span) -> Literal:
        """Return the constant of `settings.x`."""
        name = ".".join(rest)
        found = self.settings.get(name)
        if found is None:
            hint = did_you_mean(name, self.settings) or "there are no settings"
            raise self.error(span, "unknown-name", f"there is no setting {name!r}", hint)
        return Literal(found.value, found.type, span)

    def meta(self, rest: list[str], span: Span) -> Meta:
        """Return the part of a message that `message.x` means."""
        self.check_message(span)
        name = ".".join(rest)
        if name.startswith("headers"):
            raise self.error(
                span, "unknown-name", "a header is named in brackets", "write message.headers['x']"
            )
        if name not in MESSAGE:
            hint = did_you_mean(name, [*MESSAGE, "headers"])
            if any(event.find(("message",)) for event in self.events.values()):
                hint = "the field of the event is written event.message"
            raise self.error(span, "unknown-name", f"a message has no {name!r}", hint)
        return Meta(name, MESSAGE[name], span)

    def check_message(self, span: Span) -> None:
        """Refuse `message` where a scope does not have it."""
        if not self.message:
            raise self.error(span, "unknown-name", "`message` cannot be used here", "")

    def field(self, path: Path, name: Name) -> Field:
        """Return the field of a path, whose type is the same in all events that have it."""
        found = {
            event.name: schema.value_type
            for event in self.events.values()
            if (schema := event.find(path)) is not None
        }
        if not found:
            raise self.unknown(path, name)
        if len(set(found.values())) > 1:
            shown = ", ".join(f"{kind} in {event}" for event, kind in found.items())
            raise self.error(
                name.span,
                "ambiguous-name",
                f"{'.'.join(path)!r} is {shown}",
                "say on the route which events it is for: `events: […]`",
            )
        return Field(path, next(iter(found.values())), name.span)

    # --- errors ---

    def unknown(self, path: Path, name: Name) -> RuleError:
        """Make the error of a name that means nothing."""
        written = ".".join(path)
        if not self.events:
            return self.error(
                name.span,
                "unknown-name",
                f"there is no field {written!r}: the source has no event type",
                "declare `event:` on the source; without it only message.* is known",
            )
        for length in range(len(path) - 1, 0, -1):
            for event in self.events.values():
                if (schema := event.find(path[:length])) and (
                    error := self.inside(path[:length], schema, event, name)
                ):
                    return error
        if name.quoted:
            hint = f"strings take single quotes: '{written}'"
        elif self.message and path[0] in {*MESSAGE, "headers"}:
            hint = "what is not in the body is written message.key, message.headers['x']"
        elif path[-1].lower() in FUNCTIONS:
            hint = FUNCTIONS[path[-1].lower()]
        else:
            settings = (f"settings.{each}" for each in self.settings)
            hint = did_you_mean(written, [*self.known(), *settings])
        several = len(self.events) > 1
        who = f"none of {', '.join(self.events)}" if several else next(iter(self.events))
        problem = f"{who} has {'a' if several else 'no'} field {written!r}"
        return self.error(name.span, "unknown-name", problem, hint)

    def inside(self, path: Path, schema: Schema, event: EventType, name: Name) -> RuleError | None:
        """Make the error of a name that goes on behind a field where nothing is declared."""
        parent, kind = ".".join(path), schema.value_type.kind
        if kind is Kind.OBJECT and schema.properties is not None:
            return None
        code, problem, hint = "unknown-name", f"{parent!r} is {kind}, it has no fields", ""
        if kind is Kind.TEXT:
            hint = f"functions stand in front, as in length({parent})"
        if kind is Kind.OBJECT:
            code, problem = "opaque-object", f"{event.name} does not say what is inside {parent!r}"
            hint = f"declare properties of {parent} in the event type"
        elif kind is Kind.LIST:
            problem = f"{parent!r} is a list"
            hint = f"take one element: {parent}[1]; fields of objects in lists cannot be reached"
        return self.error(name.span, code, problem, hint)

    def known(self) -> Iterator[str]:
        """Yield the names of all declared fields."""
        for event in self.events.values():
            for path, _ in event.paths():
                yield ".".join(path)
