"""Named steps of a draft: each is one call of an edit method, so that a draft can be told as code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.write import to_text

OPENED: Final = "opened"
REPLACED: Final = "config replaced"

_KINDS: Final = ("route", "router", "target", "source", "setting")
_VERBS: Final = ("add", "edit", "remove", "rename", "move")
EDITS: Final = tuple(
    name for verb in _VERBS for kind in _KINDS if hasattr(GatewayConfig, name := f"{verb}_{kind}")
)
"""The methods of a config that make a step."""

_DONE: Final = {"add": "added", "remove": "removed", "move": "moved", "rename": "renamed to"}


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an edit method."""

    method: str
    arguments: tuple[Any, ...]
    changes: Mapping[str, Any]

    def __str__(self) -> str:
        """Return it as Python."""
        given = [*map(repr, self.arguments), *(f"{k}={v!r}" for k, v in self.changes.items())]
        return f".{self.method}({', '.join(given)})"

    @property
    def name(self) -> str:
        """What it does, in few words: `route by_priority/critical: when`."""
        verb, _, kind = self.method.partition("_")
        names = 2 if kind == "route" else 1
        what = f"{kind} {'/'.join(map(str, self.arguments[:names]))}"
        if verb == "edit":
            return f"{what}: {', '.join(self.changes)}"
        return f"{what} {_DONE[verb]} {' '.join(map(str, self.arguments[names:]))}".rstrip()


@dataclass(frozen=True, slots=True)
class Step:
    """A config, and how it came to be.

    Attributes:
        name: For people.
        call: What made it of the config before; None: it was given as it is.
    """

    name: str
    config: GatewayConfig
    call: Call | None = None


def step_of(
    config: GatewayConfig, method: str, arguments: Sequence[Any], changes: Mapping[str, Any]
) -> Step:
    """Make a step of a call.

    Raises:
        ConfigError: The config cannot be changed so.
    """
    call = Call(method, tuple(arguments), dict(changes))
    return Step(call.name, getattr(config, method)(*arguments, **changes), call)


def replacement(config: GatewayConfig) -> Step:
    """Make a step of a whole config."""
    return Step(REPLACED, config)


def shortened(steps: Sequence[Step], limit: int) -> list[Step]:
    """Forget the oldest steps beyond a limit; the first that is left is a config as it is."""
    if len(steps) <= limit:
        return list(steps)
    first, *rest = steps[-limit:]
    return [Step(first.name, first.config), *rest]


def code_of(steps: Sequence[Step], path: Path | None) -> str:
    """Return Python that makes the last config.

    Args:
        steps: From the opening on.
        path: The file that was opened; None: its text is part of the code.
    """
    first = max(at for at, step in enumerate(steps) if step.call is None)
    calls = [f"    {step.call}" for step in steps[first + 1 :]]
    is_file = path is not None and steps[first].name == OPENED
    start = f"gl.read_config({str(path)!r})" if is_file else _as_text(steps[first].config)
    if not calls:
        return f"config = {start}\n"
    return "\n".join(["config = (", f"    {start}", *calls, ")", ""])


def _as_text(config: GatewayConfig) -> str:
    text = to_text(config).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'gl.parse_config("""\\\n{text}""")'
