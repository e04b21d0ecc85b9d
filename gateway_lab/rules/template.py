"""Templates: literal text with `{expression}`; alone, an expression keeps its type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from gateway_lab.events.event_type import ValueType
from gateway_lab.rules.tree import TEXT, Node


@dataclass(frozen=True, slots=True)
class Template:
    """A template as written and its parts: fixed text and typed trees, in order.

    Settings are folded into the fixed text, and neighbouring fixed texts are joined.
    """

    parts: tuple[str | Node, ...]
    text: str = field(compare=False)

    @property
    def type(self) -> ValueType:
        """The expression's type where it stands alone, else text."""
        if len(self.parts) == 1 and not isinstance(self.parts[0], str):
            return self.parts[0].type
        return TEXT


BodyTemplate: TypeAlias = (
    "Template | Mapping[str, BodyTemplate] | tuple[BodyTemplate, ...] | bool | int | float | None"
)
"""A JSON value whose texts are templates."""
