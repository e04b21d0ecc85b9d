"""A finding: one result of checking, with its code, place and hint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Severity(StrEnum):
    """How bad a finding is: an error refuses the export, the others never do."""

    ERROR = "error"
    WARNING = "warning"
    NOTE = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One result of checking a config.

    Attributes:
        code: A word of `config/codes.py`, the anchor of its paragraph in the docs.
        path: The place in the document: ("routers", "by_priority", "routes", 0, "when").
        text: What is wrong, one sentence.
        hint: What to do.
        file: The file as the user named it; None for a config made in Python.
        line: 1-based; None where the document has no text.
        column: 1-based, in characters.
        offset: 0-based offset in the rule, for findings inside a rule.
        witness: An event or message (as JSON) that shows it, where proof found one.
    """

    code: str
    severity: Severity
    path: tuple[str | int, ...]
    text: str
    hint: str = ""
    file: str | None = None
    line: int | None = None
    column: int | None = None
    offset: int | None = None
    witness: Any = None

    @property
    def where(self) -> str:
        """The place as people read it: file:line:column, or the path in the document."""
        if self.line is None:
            return ".".join(map(str, self.path)) or "config"
        return f"{self.file or 'config'}:{self.line}:{self.column}"

    def __str__(self) -> str:
        text = f"{self.where}: {self.severity} [{self.code}] {self.text}"
        return f"{text}\n  hint: {self.hint}" if self.hint else text
