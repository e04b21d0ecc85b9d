"""A finding: one result of checking, with its code, place and hint."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl


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


class Findings(tuple[Finding, ...]):
    """The findings of a check, in the order of the document; a tuple that people can read."""

    __slots__ = ()

    @property
    def errors(self) -> Findings:
        """Only those that refuse an export."""
        return Findings(each for each in self if each.severity is Severity.ERROR)

    @property
    def frame(self) -> pl.DataFrame:
        """One row a finding: `severity, code, where, text, hint`, all text."""
        import polars as pl  # noqa: PLC0415 - a gateway in production needs no frames

        rows = [(*_cells(each),) for each in self]
        return pl.DataFrame(rows, dict.fromkeys(_COLUMNS, pl.String), orient="row")

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "no findings"

    def _repr_html_(self) -> str:
        if not self:
            return "<p>no findings</p>"
        head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
        rows = (
            "<tr>"
            + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in _cells(each))
            + "</tr>"
            for each in self
        )
        return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


_COLUMNS = ("severity", "code", "where", "text", "hint")


def _cells(finding: Finding) -> tuple[str, ...]:
    return (str(finding.severity), finding.code, finding.where, finding.text, finding.hint)
