"""Event types from pydantic models and back; what cannot be carried over is named, never lost."""

from __future__ import annotations

import keyword
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Annotated, Any, Final, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, create_model
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError

from gateway_lab.errors import EventTypeError
from gateway_lab.events.event_type import EventType, Schema
from gateway_lab.events.regex import RegexError, translate
from gateway_lab.events.schema import read_event_type

_DROPPED: Final = ("title", "default", "$defs")
_UNCARRIED: Final = [
    "multipleOf",
    "uniqueItems",
    "prefixItems",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "contains",
    "contentMediaType",
    "contentEncoding",
    "contentSchema",
]
_FUNCTIONS: Final = {
    "function-before": "before",
    "function-after": "after",
    "function-wrap": "wrap",
    "function-plain": "plain",
}
_TRANSFORMS: Final = ("strip_whitespace", "to_lower", "to_upper")


def event_type(model: type[BaseModel]) -> EventType:
    """Make an event type of a pydantic model.

    The names are the aliases, as in the JSON that the model reads. What the model checks and a
    JSON Schema of the subset cannot say (validators, `UUID`, `multiple_of`, unions) is named in
    `uncarried`; it still runs where the model itself is used, at a handler. The other way round an
    event type is stricter: `"1"` is no integer, and a date-time has an offset.

    Raises:
        EventTypeError: The model cannot be written as a JSON Schema, or has field names that an
            event type cannot have.
    """
    try:
        document = model.model_json_schema(mode="validation", by_alias=True)
    except (PydanticInvalidForJsonSchema, PydanticUserError) as error:
        hint = "give the field a type that JSON has"
        raise EventTypeError(str(error.message), where=model.__name__, hint=hint) from None
    writer = _Writer(document.get("$defs", {}))
    carried = writer.write(document, (model.__name__,), ())
    found = read_event_type(model.__name__, carried)
    code = _validators(model.__pydantic_core_schema__, model.__name__)
    uncarried = dict.fromkeys([*code, *writer.uncarried])
    return replace(found, uncarried=tuple(uncarried))


class _Writer:
    """Rewrites pydantic's JSON Schema into the subset, with each `$ref` written out."""

    def __init__(self, definitions: Mapping[str, Any]) -> None:
        self._definitions = definitions
        self.uncarried: list[str] = []

    def write(self, raw: Any, path: tuple[str, ...], open_refs: tuple[str, ...]) -> dict[str, Any]:
        """Write one node; `path` is the way to it, for the sentences."""
        if not isinstance(raw, Mapping):
            return {}
        if "$ref" in raw:
            return self._follow(raw, path, open_refs)
        if choices := raw.get("anyOf") or raw.get("oneOf"):
            return self._choose(raw, choices, path, open_refs)
        node = {word: raw[word] for word in raw if word not in _DROPPED}
        self._drop(node, path)
        for word in ("items", "additionalProperties"):
            if isinstance(node.get(word), Mapping):
                node[word] = self.write(node[word], (*path, "[]"), open_refs)
        if "properties" in node:
            node["properties"] = {
                name: self.write(child, (*path, name), open_refs)
                for name, child in node["properties"].items()
            }
        return node

    def _tell(self, path: tuple[str, ...], what: str) -> None:
        self.uncarried.append(f"{'.'.join(path).replace('.[]', '[]')}: {what}")

    def _drop(self, node: dict[str, Any], path: tuple[str, ...]) -> None:
        """Take out the keywords that the subset lacks, and tell."""
        for word in [word for word in _UNCARRIED if word in node]:
            value = node.pop(word)
            self._tell(path, f"{word} {value}" if isinstance(value, int | float | str) else word)
        if len({type(value) for value in node.get("enum", ()) if value is not None}) > 1:
            self._tell(path, f"enum of mixed types {node.pop('enum')}")
        if node.get("format", "date-time") != "date-time":
            self._tell(path, f"format {node.pop('format')}")
        if "pattern" in node:
            try:
                translate(node["pattern"])
            except RegexError as error:
                self._tell(path, f"pattern {node.pop('pattern')} ({error.problem})")

    def _follow(
        self, raw: Mapping[str, Any], path: tuple[str, ...], open_refs: tuple[str, ...]
    ) -> dict[str, Any]:
        name = raw["$ref"].removeprefix("#/$defs/")
        beside = {word: raw[word] for word in raw if word not in {"$ref", *_DROPPED}}
        if name in open_refs:
            self._tell(path, f"{name} contains itself; from here on it is any object")
            return {"type": "object"} | beside
        return self.write(self._definitions[name], path, (*open_refs, name)) | beside

    def _choose(
        self,
        raw: Mapping[str, Any],
        choices: list[Any],
        path: tuple[str, ...],
        open_refs: tuple[str, ...],
    ) -> dict[str, Any]:
        """Write `X | None` as a nullable X, and other unions as anything."""
        beside = {
            word: raw[word]
            for word in raw
            if word not in {"anyOf", "oneOf", "discriminator", *_DROPPED}
        }
        rest = [choice for choice in choices if choice != {"type": "null"}]
        if len(rest) > 1:
            self._tell(path, "one of several types; here it may be anything")
            return beside
        node = self.write(rest[0], path, open_refs) | beside
        if isinstance(node.get("type"), str) and len(choices) > 1:
            node["type"] = [node["type"], "null"]
            if "enum" in node or "const" in node:
                node["enum"] = [*node.get("enum", [node.pop("const", None)]), None]
        return node


def _validators(core: Any, where: str) -> Iterator[str]:
    """Yield the Python code that pydantic runs, from the schema that pydantic itself runs."""
    if isinstance(core, list | tuple):
        for each in core:
            yield from _validators(each, where)
    if not isinstance(core, Mapping):
        return
    kind, where = core.get("type"), _name(core, where)
    if kind in _FUNCTIONS:
        function = core["function"]["function"]
        name = getattr(function, "__name__", type(function).__name__)
        yield f"{where}: {_FUNCTIONS[kind]} validator {name}"
    for word in _TRANSFORMS:
        if kind == "str" and core.get(word):
            yield f"{where}: {word}"
    yield from _nested_validators(core, where)


def _name(core: Mapping[str, Any], where: str) -> str:
    """Name the model that begins here, also below the validators around it."""
    inner = core
    while inner.get("type") in _FUNCTIONS and "schema" in inner:
        inner = inner["schema"]
    return str(inner["cls"].__name__) if inner.get("type") == "model" else where


def _nested_validators(core: Mapping[str, Any], where: str) -> Iterator[str]:
    for word, each in core.items():
        if word == "fields" and isinstance(each, Mapping):
            for field, child in each.items():
                yield from _validators(child, f"{where}.{child.get('validation_alias', field)}")
        elif word not in {"metadata", "serialization", "default", "function", "config", "cls"}:
            yield from _validators(each, where)


def to_model(event_type: EventType) -> type[BaseModel]:
    """Make a pydantic model of an event type, for handlers.

    A field whose name Python or pydantic does not allow gets a `_` behind it and an alias. Fields
    that are not required default to None. Undeclared fields are kept unless they are refused.
    """
    return _model(event_type.name, event_type.schema)


def _model(name: str, schema: Schema) -> type[BaseModel]:
    fields: dict[str, Any] = {}
    for field, child in (schema.properties or {}).items():
        attribute = _attribute(field)
        alias = field if attribute != field else None
        default: Any = ... if field in schema.required else None
        extra: Any = {"x-private": True} if child.private else None
        hint = _annotation(f"{name}{field.title()}", child)
        fields[attribute] = (hint, Field(default, alias=alias, json_schema_extra=extra))
    extras: Literal["forbid", "allow"] = "forbid" if schema.additional is False else "allow"
    config = ConfigDict(extra=extras, validate_by_name=True, validate_by_alias=True)
    return create_model(name, __config__=config, **fields)


def _attribute(field: str) -> str:
    """Return an attribute's name for a field: itself wherever it can be."""
    name = "".join(char if char.isidentifier() or char.isdigit() else "_" for char in field)
    if name == field and field.isidentifier() and _is_free(field):
        return field
    name = name.strip("_") or "field"
    return f"field_{name}" if name[0].isdigit() else f"{name}_"


def _is_free(name: str) -> bool:
    return not (
        keyword.iskeyword(name) or name.startswith(("_", "model_")) or hasattr(BaseModel, name)
    )


def _annotation(name: str, schema: Schema) -> Any:
    if schema.type is None:
        return Any
    if schema.enum is not None and schema.type != "number":
        hint: Any = Literal[schema.enum]
    else:
        hint = _ANNOTATIONS[schema.type](name, schema)
    return hint | None if schema.nullable else hint


def _object_annotation(name: str, schema: Schema) -> Any:
    if schema.properties is not None:
        return _model(name, schema)
    extra = schema.additional
    value = _annotation(f"{name}Value", extra) if isinstance(extra, Schema) else Any
    return dict.__class_getitem__((str, value))


def _list_annotation(name: str, schema: Schema) -> Any:
    items = Any if schema.items is None else _annotation(f"{name}Item", schema.items)
    bounds = Field(min_length=schema.min_items, max_length=schema.max_items)
    return Annotated[list.__class_getitem__(items), bounds]


def _text_annotation(_name: str, schema: Schema) -> Any:
    if schema.date_time:
        return AwareDatetime
    bounds = Field(
        pattern=schema.pattern, min_length=schema.min_length, max_length=schema.max_length
    )
    return Annotated[str, bounds]


def _boolean_annotation(_name: str, _schema: Schema) -> Any:
    return Annotated[bool, Field(strict=True)]


def _number_annotation(_name: str, schema: Schema) -> Any:
    bounds = Field(
        ge=schema.minimum,
        le=schema.maximum,
        gt=schema.exclusive_minimum,
        lt=schema.exclusive_maximum,
        strict=True,
    )
    finite = Field(allow_inf_nan=False)
    return Annotated[int, bounds] if schema.type == "integer" else Annotated[float, bounds, finite]


_ANNOTATIONS: Final[Mapping[str, Callable[[str, Schema], Any]]] = {
    "string": _text_annotation,
    "boolean": _boolean_annotation,
    "integer": _number_annotation,
    "number": _number_annotation,
    "array": _list_annotation,
    "object": _object_annotation,
}
