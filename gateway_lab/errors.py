"""Every error that gateway_lab raises on purpose: what went wrong, where, and what to do.

GatewayLabError
├── RuleError           a rule or template cannot be read or typed      (ValueError)
├── EventTypeError      a schema or model is outside the supported list (ValueError)
├── ConfigError         a config document cannot be read or is refused  (ValueError)
├── CaptureError        a capture cannot be read or written             (ValueError)
├── ReplayError         a replay or diff cannot be made as asked        (ValueError)
├── ExpectationError    a promised count, guard or test did not hold    (AssertionError)
└── MissingExtraError   an optional package is not installed            (ImportError)
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Final

_LONGEST: Final = 240


class GatewayLabError(Exception):
    """Base of all errors raised on purpose.

    Attributes:
        problem: What went wrong, one sentence without a full stop.
        where: The place (file, line, rule, field), empty if there is none.
        hint: What to do about it, empty if nothing useful can be said.
    """

    def __init__(self, problem: str, *, where: str = "", hint: str = "") -> None:
        self.problem, self.where, self.hint = problem, where, hint
        super().__init__(self._text())

    def _text(self) -> str:
        text = f"{self.where}: {self.problem}" if self.where else self.problem
        return f"{text}\nhint: {self.hint}" if self.hint else text


class RuleError(GatewayLabError, ValueError):
    """A rule or template cannot be read or typed.

    Attributes:
        code: The finding code that `check` reports for it, see `findings.py`.
        text: The rule as written.
        start: 0-based offset of the first character that is wrong.
        end: 0-based offset behind the last one.
    """

    def __init__(
        self, problem: str, *, code: str, text: str, start: int, end: int, hint: str = ""
    ) -> None:
        self.code, self.text, self.start, self.end = code, text, start, max(end, start + 1)
        if len(problem) > _LONGEST:  # a rule may hold a name of 4,000 characters
            problem = f"{problem[:_LONGEST]}…"
        super().__init__(problem, hint=hint)

    def _text(self) -> str:
        """Show the line of the rule that holds the place, with carets under it."""
        begin = self.text.rfind("\n", 0, self.start) + 1
        line = self.text[begin:].split("\n", 1)[0]
        cut = max(0, self.start - begin - 60)
        carets = "^" * min(self.end - self.start, max(1, len(line) - (self.start - begin)), 60)
        shown = f"  {line[cut : cut + 120]}\n  {' ' * (self.start - begin - cut)}{carets}"
        return f"{self.problem}\n{shown}" + (f"\nhint: {self.hint}" if self.hint else "")


class EventTypeError(GatewayLabError, ValueError):
    """A schema or pydantic model uses something that an event type cannot carry."""


class ConfigError(GatewayLabError, ValueError):
    """A config document cannot be read, or is refused; `where` is file:line:column.

    Attributes:
        problems: Every problem, in the order of the document; the error itself if it is alone.
    """

    def __init__(
        self, problem: str, *, where: str = "", hint: str = "", problems: Sequence[ConfigError] = ()
    ) -> None:
        self.problems = tuple(problems) or (self,)
        super().__init__(problem, where=where, hint=hint)

    @classmethod
    def of(cls, problems: Sequence[ConfigError]) -> ConfigError:
        """Make one error of one or more: its text shows all of them."""
        if len(problems) == 1:
            return problems[0]
        text = "\n".join([f"{len(problems)} problems", *map(str, problems)])
        return cls(text, problems=problems)


class CaptureError(GatewayLabError, ValueError):
    """A capture cannot be read or written."""


class ReplayError(GatewayLabError, ValueError):
    """A replay, diff or explanation cannot be made as asked."""


class ExpectationError(GatewayLabError, AssertionError):
    """A guard, an expectation or a test of a config did not hold."""


class MissingExtraError(GatewayLabError, ImportError):
    """An optional package is not installed; the hint names the extra."""

    def __init__(self, package: str, *, extra: str) -> None:
        super().__init__(
            f"{package} is not installed",
            hint=f"pip install 'gateway-lab[{extra}]'",
        )


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Give a hint that names the nearest known name, or lists what there is."""
    names = sorted(set(known))
    lowered = {each.lower(): each for each in names}
    near = difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)
    if near:
        return f"did you mean {lowered[near[0]]!r}?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
    return f"there is: {shown}"
