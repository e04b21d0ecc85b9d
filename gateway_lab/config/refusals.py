"""Says in plain words what pydantic refuses, and what to write instead."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import UnionType
from typing import Annotated, Any, TypeGuard, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError

from gateway_lab.config.model import NAME_PATTERN
from gateway_lab.config.places import DocumentPath
from gateway_lab.errors import did_you_mean

MAX_REFUSALS = 50
"""What is told at once; a document with more is another file."""

BRACES = "quote it, if it is a text with braces"

_WANTED = {
    "string_type": "a text",
    "int_type": "an integer",
    "float_type": "a number",
    "bool_type": "true or false",
    "tuple_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "model_type": "a mapping",
    "model_attributes_type": "a mapping",
}

_FORMS = {
    "string_type": "write one text",
    "bool_type": "write true or false",
    "tuple_type": "write a list: [first, second]",
    "dict_type": "write a mapping: {name: value}",
    "mapping_type": "write a mapping: {name: value}",
    "model_type": "write a mapping: {name: value}",
    "model_attributes_type": "write a mapping: {name: value}",
}

_PATTERN_HINTS = {
    NAME_PATTERN: "use a lower-case letter, then up to 62 lower-case letters, digits or _",
    r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$": "use up to 63 letters, digits, dots, hyphens or _",
    r"^[A-Za-z][A-Za-z0-9_]{0,62}$": "use a letter, then up to 62 letters, digits or _",
    r"^(0|[1-9][0-9]*)(ms|s|m|h)$": "write a whole number and ms, s, m or h, such as 200ms",
}


@dataclass(frozen=True, slots=True)
class Refusal:
    """One refused value or key.

    Attributes:
        path: The value, or the mapping that lacks a key.
        is_key: Whether the key is wrong, rather than its value.
    """

    path: DocumentPath
    text: str
    hint: str = ""
    is_key: bool = False


@dataclass(frozen=True, slots=True)
class _Raw:
    """One error of pydantic, its location taken apart: the way in the document, and unions met."""

    path: DocumentPath
    is_key: bool
    branches: tuple[tuple[DocumentPath, str], ...]
    error: Mapping[str, Any]


def refusals(error: ValidationError, document: Any, model: type[BaseModel]) -> list[Refusal]:
    """Translate the first errors of a validation, at most one for each place, in their order."""
    raws = [_take_apart(each, document) for each in error.errors(include_url=False)]
    kept = _without_other_branches(raws)
    return [_merged(group, model) for group in islice(_by_place(kept), MAX_REFUSALS)]


def _take_apart(error: Any, document: Any) -> _Raw:
    path: DocumentPath = ()
    branches: list[tuple[DocumentPath, str]] = []
    value, is_key = document, False
    for part in error["loc"]:
        if part == "[key]":
            is_key = True
        elif _holds(value, part):
            value, path = value[part], (*path, part)
        elif error["type"] == "missing" and part == error["loc"][-1]:
            break
        else:
            branches.append((path, str(part)))
    return _Raw(path, is_key or error["type"] == "extra_forbidden", tuple(branches), error)


def _holds(value: Any, part: str | int) -> bool:
    if isinstance(value, dict):
        return part in value
    return isinstance(value, list) and isinstance(part, int) and part < len(value)


def _without_other_branches(raws: list[_Raw]) -> list[_Raw]:
    """Keep, of a union, the branches whose kind of value was written, if there are any."""
    misfits = {
        branch
        for raw in raws
        for branch in raw.branches
        if _is_misfit(raw) and branch[0] == raw.path
    }
    branches = {branch for raw in raws for branch in raw.branches}
    fitting = {path for path, tag in branches - misfits}
    return [
        raw
        for raw in raws
        if not any(branch in misfits and branch[0] in fitting for branch in raw.branches)
    ]


def _is_misfit(raw: _Raw) -> bool:
    is_text = isinstance(raw.error["input"], str)
    if raw.error["type"] == "literal_error":
        return not is_text
    if raw.error["type"] == "tuple_type" and is_text:
        return False  # one name, its brackets forgotten
    return raw.error["type"] in _WANTED


def _by_place(raws: Iterable[_Raw]) -> Iterator[list[_Raw]]:
    groups: dict[tuple[Any, ...], list[_Raw]] = {}
    for raw in raws:
        missing = raw.error["loc"][-1] if raw.error["type"] == "missing" else None
        groups.setdefault((raw.path, raw.is_key, missing), []).append(raw)
    yield from groups.values()


def _merged(group: list[_Raw], model: type[BaseModel]) -> Refusal:
    raw = group[0]
    if raw.error["type"] == "missing":
        return _missing(raw, model)
    if raw.error["type"] == "extra_forbidden":
        choices = {name for part in _parts(model, raw.path[:-1]) for name in _keys(part)}
        hint = did_you_mean(str(raw.path[-1]), choices)
        return Refusal(raw.path, f"unknown key {raw.path[-1]!r}", hint, is_key=True)
    if raw.error["type"] == "value_error":
        return Refusal(raw.path, str(raw.error["ctx"]["error"]))
    if pattern := next((each for each in group if "pattern" in each.error.get("ctx", {})), None):
        return _mismatch(pattern)
    wanted = " or ".join(dict.fromkeys(_wanted(each.error) for each in group))
    text = f"{_shown(raw.error['input'])} where {wanted} belongs"
    return Refusal(raw.path, text, _hint(group), raw.is_key)


def _missing(raw: _Raw, model: type[BaseModel]) -> Refusal:
    name = str(raw.error["loc"][-1])
    described = (_keys(part).get(name, "") for part in _parts(model, raw.path))
    hint = next(filter(None, described), "")
    return Refusal(raw.path, f"{name!r} is missing", hint)


def _mismatch(raw: _Raw) -> Refusal:
    pattern = raw.error["ctx"]["pattern"]
    hint = _PATTERN_HINTS.get(pattern, f"it must match {pattern}")
    word = "name" if raw.is_key else "value"
    return Refusal(
        raw.path, f"{word} {_shown(raw.error['input'])} is not allowed", hint, raw.is_key
    )


def _wanted(error: Mapping[str, Any]) -> str:
    if error["type"] == "literal_error":
        return str(error["ctx"]["expected"])
    message = str(error["msg"])
    return _WANTED.get(error["type"]) or message.removeprefix("Input should be ")


def _shown(value: Any) -> str:
    match value:
        case None:
            return "nothing"
        case bool():
            return "true" if value else "false"
        case str():
            return repr(value if len(value) <= 40 else value[:39] + "…")
        case dict():
            return "a mapping"
        case list():
            return "a list"
        case _:
            return str(value)[:40]


def _hint(group: list[_Raw]) -> str:
    value, wanted = group[0].error["input"], {each.error["type"] for each in group}
    if isinstance(value, str):
        return _hint_for_text(value, wanted, group)
    if "string_type" in wanted and isinstance(value, bool | int | float):
        return "quote it"
    if "string_type" in wanted and isinstance(value, dict):
        return "write the value alone" if "bool_type" in wanted else BRACES
    return next((hint for kind, hint in _FORMS.items() if kind in wanted), "")


def _hint_for_text(value: str, wanted: set[str], group: list[_Raw]) -> str:
    choices = next((each.error["ctx"]["expected"] for each in group if _is_choice(each)), "")
    names = choices.replace(" or ", ", ").replace("'", "").split(", ")
    if "tuple_type" in wanted:
        near = difflib.get_close_matches(value, names, n=1)
        others = f", or {' or '.join(names)}" if choices else ""
        return f"did you mean {near[0]!r}?" if near else f"write [{value}]{others}"
    if "bool_type" in wanted and value.lower() in {"yes", "on", "y"}:
        return "write true"
    if "bool_type" in wanted and value.lower() in {"no", "off", "n"}:
        return "write false"
    if wanted & {"int_type", "float_type"} and value.lstrip("-").isdigit():
        return "write it without quotes"
    return did_you_mean(value, names)


def _is_choice(raw: _Raw) -> bool:
    return bool(raw.error["type"] == "literal_error")


# --- the model along a path: which keys may stand there ---


def _parts(model: type[BaseModel], path: DocumentPath) -> list[type[BaseModel]]:
    """Return the parts of the model that may stand at a path."""
    annotations: list[Any] = [model]
    for step in path:
        annotations = [inner for each in annotations for inner in _inside(each, step)]
    return [each for each in annotations if _is_part(each)]


def _is_part(annotation: Any) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _inside(annotation: Any, step: str | int) -> Iterator[Any]:
    if _is_part(annotation):
        for name, field in annotation.model_fields.items():
            if step == (field.alias or name):
                yield from _alternatives(field.annotation)
    elif get_origin(annotation) is tuple and isinstance(step, int):
        yield from _alternatives(get_args(annotation)[0])
    elif len(get_args(annotation)) == 2 and isinstance(step, str):
        yield from _alternatives(get_args(annotation)[1])


def _alternatives(annotation: Any) -> Iterator[Any]:
    if get_origin(annotation) is Annotated:
        yield from _alternatives(get_args(annotation)[0])
    elif get_origin(annotation) in (Union, UnionType):
        for each in get_args(annotation):
            yield from _alternatives(each)
    else:
        yield annotation


def _keys(part: type[BaseModel]) -> dict[str, str]:
    return {
        field.alias or name: field.description or "" for name, field in part.model_fields.items()
    }
