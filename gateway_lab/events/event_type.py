"""An event type: what a valid body looks like, as a JSON Schema subset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, TypeAlias

Path: TypeAlias = tuple[str, ...]
"""The way to a field from the top of the event: ("payload", "amount")."""

Scalar: TypeAlias = str | bool | int | float


class Kind(StrEnum):
    """What a value is to a rule. Python and Polars hold it as listed.

    TEXT str/String · BOOLEAN bool/Boolean · INTEGER int/Int64 · NUMBER float/Float64 ·
    TIMESTAMP int (µs since 1970, UTC)/Int64 · LIST list/List · OBJECT bytes/Binary (the
    JSON text of it; only `is null` and passing it on are possible).
    """

    TEXT = "text"
    BOOLEAN = "boolean"
    INTEGER = "integer"
    NUMBER = "number"
    TIMESTAMP = "timestamp"
    LIST = "list"
    OBJECT = "object"


@dataclass(frozen=True, slots=True)
class ValueType:
    """The type of a value; `item` is the type of a list's elements, never a list itself."""

    kind: Kind
    item: Kind | None = None

    def __str__(self) -> str:
        return f"list of {self.item}" if self.item else str(self.kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """One node of an event type.

    Attributes:
        type: JSON's word (string, boolean, integer, number, array, object); None means any.
        nullable: Whether JSON null may stand here.
        enum: The only values allowed besides null (`const` is an enum of one); None: no bound.
        properties: Declared fields of an object; None: opaque (only `is null` works on it).
        required: Names that must be present in an object.
        additional: What fields that are not declared may be: anything, nothing, or a schema.
        private: `x-private`: the value, and all that it holds, is masked wherever people look.
    """

    type: str | None = None
    nullable: bool = False
    enum: tuple[Scalar, ...] | None = None
    pattern: str | None = None
    min_length: int | None = None
    max_length: int | None = None
    minimum: float | int | None = None
    maximum: float | int | None = None
    exclusive_minimum: float | int | None = None
    exclusive_maximum: float | int | None = None
    date_time: bool = False
    items: Schema | None = None
    min_items: int | None = None
    max_items: int | None = None
    properties: Mapping[str, Schema] | None = None
    required: frozenset[str] = frozenset()
    additional: bool | Schema = True
    private: bool = False

    @property
    def value_type(self) -> ValueType:
        """The type that rules see; what is neither scalar nor a list of scalars is an object."""
        if self.type == "array":
            item = self.items.value_type.kind if self.items is not None else Kind.OBJECT
            return ValueType(Kind.LIST, Kind.OBJECT if item is Kind.LIST else item)
        if self.type == "string" and self.date_time:
            return ValueType(Kind.TIMESTAMP)
        return ValueType(_KINDS.get(self.type or "", Kind.OBJECT))

    def as_private(self) -> Schema:
        """Return the same schema with `private` set here and on everything below."""
        properties = self.properties and {
            name: child.as_private() for name, child in self.properties.items()
        }
        items, additional = self.items, self.additional
        return replace(
            self,
            private=True,
            items=items and items.as_private(),
            properties=properties,
            additional=additional.as_private() if isinstance(additional, Schema) else additional,
        )


_KINDS = {
    "string": Kind.TEXT,
    "boolean": Kind.BOOLEAN,
    "integer": Kind.INTEGER,
    "number": Kind.NUMBER,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventType:
    """A named event type.

    Attributes:
        name: The name in the config (`BusinessEvent`).
        schema: The top of the tree; always an object.
        document: The JSON Schema as written, for the config document.
        uncarried: What a pydantic model checks and this event type does not, a sentence each.
    """

    name: str
    schema: Schema
    document: Mapping[str, Any] = field(compare=False, repr=False, default_factory=dict)
    uncarried: tuple[str, ...] = field(compare=False, default=())

    def find(self, path: Path) -> Schema | None:
        """Return the schema at a path, None where nothing is declared."""
        schema: Schema | None = self.schema
        for name in path:
            if schema is None or schema.properties is None:
                return None
            schema = schema.properties.get(name)
        return schema

    def is_always_present(self, path: Path) -> bool:
        """Say whether every valid event has a value other than null at this path."""
        schema = self.schema
        for name in path:
            if schema.properties is None or name not in schema.required or schema.nullable:
                return False
            schema = schema.properties[name]
        return not schema.nullable

    def paths(self) -> Iterator[tuple[Path, Schema]]:
        """Yield every declared field, parents before children, in the order written."""

        def walk(prefix: Path, schema: Schema) -> Iterator[tuple[Path, Schema]]:
            for name, child in (schema.properties or {}).items():
                yield (*prefix, name), child
                yield from walk((*prefix, name), child)

        yield from walk((), self.schema)
