"""Templates: literal text with `{expression}`; alone, an expression keeps its type.

`{{` and `}}` are braces, and braces inside an SQL string are text. Inside longer text only text,
integer and boolean may stand, and one NULL makes the whole NULL.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeAlias, cast

from gateway_lab.errors import RuleError
from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.rules.tree import TEXT, Literal, Node, Reference, references
from gateway_lab.rules.types import Scope, resolve

MAX_TEXT = 4096
"""A template is not longer than a rule may be, in characters."""

MAX_DEPTH = 32
MAX_VALUES = 1000
"""Bounds of a body template: how deep it nests, and how many values it holds."""


@dataclass(frozen=True, slots=True)
class Template:
    """A template as written and its parts: fixed text and typed trees, in order.

    Settings are folded into the fixed text, and neighbouring fixed texts are joined. The places
    of the trees are offsets into the template's text.
    """

    parts: tuple[str | Node, ...]
    text: str = field(compare=False)

    @property
    def type(self) -> ValueType:
        """The expression's type where it stands alone, else text."""
        if len(self.parts) == 1 and not isinstance(self.parts[0], str):
            return self.parts[0].type
        return TEXT

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The trees among the parts."""
        return tuple(part for part in self.parts if not isinstance(part, str))


BodyTemplate: TypeAlias = (
    "Template | Mapping[str, BodyTemplate] | tuple[BodyTemplate, ...] | bool | int | float | None"
)
"""A JSON value whose texts are templates."""


class BodyTemplateError(RuleError):
    """A text of a body template is wrong; `path` leads to it from the top of the body."""

    def __init__(self, error: RuleError, path: tuple[str | int, ...]) -> None:
        self.path = path
        super().__init__(
            error.problem,
            code=error.code,
            text=error.text,
            start=error.start,
            end=error.end,
            hint=error.hint,
        )


def parse_template(text: str, scope: Scope) -> Template:
    """Read and type a template.

    Raises:
        RuleError: The template or an expression in it is wrong; offsets are into the template.
    """
    if len(text) > MAX_TEXT:
        _refuse("template-syntax", f"a template is at most {MAX_TEXT} characters", text, MAX_TEXT)
    pieces = list(_split(text))
    parts: list[str | Node] = []
    for piece in pieces:
        part = piece if isinstance(piece, str) else _part(text, piece, scope, len(pieces) == 1)
        if isinstance(part, str) and parts and isinstance(parts[-1], str):
            parts[-1] += part
        elif part != "":
            parts.append(part)
    return Template(tuple(parts), text)


def parse_body(document: Any, scope: Scope) -> BodyTemplate:
    """Read and type a body template: any JSON value, whose texts are templates.

    Raises:
        BodyTemplateError: A text is wrong, a value is not JSON, or the body is too deep or large.
    """
    count = 0

    def read(value: Any, path: tuple[str | int, ...]) -> BodyTemplate:
        nonlocal count
        count += 1
        if len(path) > MAX_DEPTH:
            _refuse_body(f"a body nests at most {MAX_DEPTH} levels deep", path)
        if count > MAX_VALUES:
            _refuse_body(f"a body holds at most {MAX_VALUES} values", path)
        if isinstance(value, Mapping):
            return {_name(key, path): read(each, (*path, key)) for key, each in value.items()}
        if isinstance(value, list | tuple):
            return tuple(read(each, (*path, index)) for index, each in enumerate(value))
        return _read_scalar(value, scope, path)

    return read(document, ())


def check_text(template: Template) -> None:
    """Refuse a template that does not give text: for keys, headers and channels.

    Raises:
        RuleError: The expression stands alone and is not text, integer or boolean.
    """
    for node in template.nodes:
        _inside(node, template.text)


def check_channel_template(template: Template) -> None:
    """Refuse a channel that a message could choose from the first character on.

    Raises:
        RuleError: It is empty, does not start with fixed text, or does not give text.
    """
    check_text(template)
    if template.parts and isinstance(template.parts[0], str):
        return
    start = template.nodes[0].span.start if template.nodes else 0
    _refuse(
        "channel-start",
        "a channel starts with fixed text" if template.parts else "a channel is not empty",
        template.text,
        start,
        hint="put a fixed name in front, such as `orders.{…}`: values of messages are untrusted",
    )


def template_references(*templates: BodyTemplate) -> tuple[Reference, ...]:
    """Collect the distinct references of some templates, in the order first met."""
    return references(*(node for template in templates for node in _body_nodes(template)))


def _body_nodes(template: BodyTemplate) -> Iterator[Node]:
    if isinstance(template, Template):
        yield from template.nodes
    elif isinstance(template, Mapping):
        for value in template.values():
            yield from _body_nodes(value)
    elif isinstance(template, tuple):
        for value in template:
            yield from _body_nodes(value)


# --- splitting: fixed text, and the places of the expressions ---

_FIXED = re.compile(r"(?:[^{}]+|\{\{|\}\})+")
_EXPRESSION = re.compile(r"""\{((?:[^{}'"]|'[^']*'|"[^"]*")*)\}""")


def _split(text: str) -> Iterator[str | tuple[int, int]]:
    """Yield fixed text, and for each expression where it begins and ends inside its braces."""
    at = 0
    while at < len(text):
        if fixed := _FIXED.match(text, at):
            yield fixed[0].replace("{{", "{").replace("}}", "}")
            at = fixed.end()
        elif expression := _EXPRESSION.match(text, at):
            if not expression[1].strip():
                hint = "name a field: {tenant_id}; a brace is written `{{` or `}}`"
                problem = "the braces are empty"
                _refuse("template-syntax", problem, text, at, expression.end(), hint=hint)
            yield expression.span(1)
            at = expression.end()
        else:
            _refuse_brace(text, at)


def _refuse_brace(text: str, at: int) -> NoReturn:
    if text[at] == "}":
        _refuse("template-syntax", "`}` without `{`", text, at, hint="a brace is written `}}`")
    _refuse(
        "template-syntax",
        "`{` is not closed, or another brace stands before its end",
        text,
        at,
        hint="an expression stands in `{…}`, a brace is written `{{`",
    )


# --- typing ---


def _resolve(text: str, place: tuple[int, int], scope: Scope) -> Node:
    """Type one expression; blanks in front make every offset one into the template."""
    start, end = place
    try:
        return resolve(" " * start + text[start:end], scope)
    except RuleError as error:
        raise RuleError(
            error.problem,
            code=error.code,
            text=text,
            start=error.start,
            end=error.end,
            hint=error.hint,
        ) from None


def _part(text: str, place: tuple[int, int], scope: Scope, alone: bool) -> str | Node:  # noqa: FBT001
    """Type one expression; a constant becomes fixed text, unless it stands alone and is not text."""
    node = _resolve(text, place, scope)
    if not alone:
        _inside(node, text)
    if not isinstance(node, Literal) or node.value is None:
        return node
    if alone and node.type != TEXT:
        return node
    return _INSIDE[node.type.kind](node.value)


def boolean_text(value: object) -> str:
    """Write a boolean as JSON does."""
    return "true" if value else "false"


_INSIDE: Mapping[Kind, Callable[[object], str]] = {
    Kind.TEXT: str,
    Kind.INTEGER: str,
    Kind.BOOLEAN: boolean_text,
}
_HINTS = {
    Kind.TIMESTAMP: "say how to write it, for example `epoch_ms(…)`",
    Kind.NUMBER: "numbers have no one spelling; make an integer of it first",
    Kind.LIST: "take one element, such as `tags[1]`",
    Kind.OBJECT: "name a field of it, and declare that field in the event type",
}


def _inside(node: Node, text: str) -> Node:
    """Refuse a value that has no one spelling inside text."""
    if node.type.kind not in _INSIDE:
        _refuse(
            "template-type",
            f"only text, integer and boolean may stand inside text, this is {node.type}",
            text,
            node.span.start,
            node.span.end,
            hint=_HINTS[node.type.kind],
        )
    return node


def _read_scalar(value: Any, scope: Scope, path: tuple[str | int, ...]) -> BodyTemplate:
    if isinstance(value, str):
        try:
            return parse_template(value, scope)
        except RuleError as error:
            raise BodyTemplateError(error, path) from None
    if not _is_json(value):
        _refuse_body(f"a body holds JSON values, not {value!r:.60}", path)
    return cast("bool | int | float | None", value)


def _is_json(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or (isinstance(value, int) and -(2**63) <= value < 2**63)


def _name(key: object, path: tuple[str | int, ...]) -> str:
    if not isinstance(key, str):
        _refuse_body(f"the names of an object are text, not {key!r:.60}", path)
    return key


def _refuse(
    code: str, problem: str, text: str, start: int, end: int = 0, *, hint: str = ""
) -> NoReturn:
    raise RuleError(problem, code=code, text=text, start=start, end=end, hint=hint)


def _refuse_body(problem: str, path: tuple[str | int, ...]) -> NoReturn:
    text = "body" + "".join(f"[{step!r}]" for step in path[:8])
    error = RuleError(problem, code="body-template", text=text, start=0, end=len(text))
    raise BodyTemplateError(error, path)
