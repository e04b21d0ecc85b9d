"""Collects findings, each with the place that the document's text gives it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gateway_lab.config.codes import CODES
from gateway_lab.config.places import DocumentPath, Origin
from gateway_lab.errors import RuleError
from gateway_lab.findings import Finding, Severity


class Report:
    """The findings so far; the same finding at the same place counts once."""

    def __init__(self, origin: Origin | None) -> None:
        self._origin = origin
        self._findings: dict[tuple[object, ...], Finding] = {}
        self._is_lenient = False

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All findings, in the order in which they were made."""
        return tuple(self._findings.values())

    @property
    def has_errors(self) -> bool:
        """Whether any finding refuses an export."""
        return any(each.severity is Severity.ERROR for each in self._findings.values())

    @contextmanager
    def lenient(self, *, if_: bool) -> Iterator[None]:
        """Report errors as warnings: for parts that are switched off."""
        before, self._is_lenient = self._is_lenient, self._is_lenient or if_
        yield
        self._is_lenient = before

    def add(  # noqa: PLR0913 the parts of a finding
        self,
        code: str,
        path: DocumentPath,
        text: str,
        hint: str = "",
        *,
        severity: Severity | None = None,
        offset: int | None = None,
        is_key: bool = False,
        witness: Any = None,
    ) -> None:
        """Add a finding.

        Args:
            code: A code of the catalogue.
            path: The place in the document.
            text: What is wrong.
            hint: What to do.
            severity: Left out: the catalogue's.
            offset: The place inside a rule or template.
            is_key: Whether the key is meant rather than its value.
            witness: An event or message that shows it.
        """
        line, column = self._line_column(path, offset, is_key=is_key)
        self._findings.setdefault(
            (code, path, offset, text),
            Finding(
                code=code,
                severity=self._severity(severity or CODES[code].severity),
                path=path,
                text=text,
                hint=hint,
                file=self._origin.file if self._origin else None,
                line=line,
                column=column,
                offset=offset,
                witness=witness,
            ),
        )

    def add_rule_error(self, path: DocumentPath, error: RuleError) -> None:
        """Add what is wrong in a rule or template."""
        self.add(error.code, path, error.problem, error.hint, offset=error.start)

    def _severity(self, severity: Severity) -> Severity:
        if self._is_lenient and severity is Severity.ERROR:
            return Severity.WARNING
        return severity

    def _line_column(
        self, path: DocumentPath, offset: int | None, *, is_key: bool
    ) -> tuple[int | None, int | None]:
        if self._origin is None:
            return None, None
        return self._origin.of_key(path) if is_key else self._origin.of_value(path, offset)
