"""Makes docs/cli.md from the command line itself."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from enum import EnumType
from typing import Any

from typer.main import get_command

from gateway_lab.cli.main import app

HEAD = """\
# The command line

<!-- Made by `make docs` from gateway_lab/cli/; change that instead. -->

`gateway-lab VERB …`. Reports go to standard output, as `--format table`, `json` or `markdown`;
progress and errors go to standard error. Exit codes: 0 good; 1 findings, or a failed test, guard or
expectation; 2 cannot be read or done.
"""


def cli_page() -> str:
    """Return the page: a section a verb, with its arguments, options and examples."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    return "\n".join([HEAD, *(_section(name, each) for name, each in commands.items())])


def _section(name: str, command: Any) -> str:
    lines = [f"## {name}", "", inspect.cleandoc(command.help), ""]
    rows = [row for row in map(_row, command.params) if row]
    if rows:
        lines += ["| | |", "| --- | --- |", *rows, ""]
    lines += ["```shell", *_examples(command.epilog), "```", ""]
    return "\n".join(lines)


def _row(parameter: Any) -> str:
    if "--help" in parameter.opts:
        return ""
    names = [each for each in (*parameter.opts, *parameter.secondary_opts) if each[0] == "-"]
    shown = ", ".join(names) or parameter.metavar or parameter.name.upper()
    kind: Any = parameter.type_descriptor.annotation
    choices: list[str] = [*kind] if isinstance(kind, EnumType) else []
    values = f" `{'`, `'.join(choices)}`." if choices else ""
    default = f" Default: {_default(parameter.default)}." if _has_default(parameter) else ""
    return f"| `{shown}` | {parameter.help}{values}{default} |"


def _has_default(parameter: Any) -> bool:
    return not any(parameter.default is nothing for nothing in (None, False))


def _default(value: Any) -> str:
    return f"`{getattr(value, 'value', value)}`"


def _examples(epilog: str) -> Iterator[str]:
    """Yield the examples of a verb as lines of a shell, what they show as comments behind."""
    for block in inspect.cleandoc(epilog).split("\n\n"):
        command, _, said = block.removeprefix("`").partition("`")
        yield f"{command}  # {' '.join(said.split())}" if said.strip() else command
