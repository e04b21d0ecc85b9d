"""Arguments and options that several verbs share, so that each means the same everywhere."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

from typer import Argument, BadParameter, Option

from gateway_lab.cli.report import Format

if TYPE_CHECKING:
    from gateway_lab.gateway.gateway import Gateway

ConfigFile: TypeAlias = Annotated[Path, Argument(help="A config, YAML or JSON.", metavar="CONFIG")]
ConfigFiles: TypeAlias = Annotated[
    list[Path], Argument(help="Configs, YAML or JSON.", metavar="CONFIG…")
]
CaptureFile: TypeAlias = Annotated[
    Path, Argument(help="A capture: a file, a folder or a quoted glob.", metavar="CAPTURE")
]
Form: TypeAlias = Annotated[
    Format, Option("--format", help="For people, for programs or for a pull request.")
]
Limit: TypeAlias = Annotated[int, Option(min=0, help="Rows shown of each table.")]
Bindings: TypeAlias = Annotated[
    list[str] | None,
    Option(
        "--source",
        metavar="NAME=PROTOCOL:CHANNEL",
        help="Where in the capture a source's messages are, if not at its own address; repeatable.",
    ),
]
App: TypeAlias = Annotated[
    str,
    Option(
        metavar="MODULE:GATEWAY",
        help="Run the handlers and middlewares of a module on the messages.",
    ),
]


def bindings(given: list[str] | None) -> dict[str, str]:
    """Return `--source` options as source to captured channel."""
    pairs = [each.partition("=") for each in given or ()]
    for name, _, channel in pairs:
        if not name or ":" not in channel:
            msg = f"{name!r} is not written like business=kafka:business-events"
            raise BadParameter(msg, param_hint="--source")
    return {name: channel for name, _, channel in pairs}


def handlers_of(app: str) -> Gateway | None:
    """Import the gateway whose handlers are to run; None: there is none.

    Raises:
        ConfigError: It cannot be imported, or is no gateway.
    """
    if not app:
        return None
    from gateway_lab.gateway.app.gateway import find_gateway  # noqa: PLC0415 - not without --app

    return find_gateway(app)
