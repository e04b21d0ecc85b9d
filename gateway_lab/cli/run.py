"""`gateway-lab run`: a config, live."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from typer import BadParameter, Exit, Option

from gateway_lab.cli.options import ConfigFile
from gateway_lab.cli.run_asked import Asked

EXAMPLES = """
`gateway-lab run routes.yaml`  until Ctrl+C or SIGTERM, which finish what is in flight; a second
one does not wait

`gateway-lab run routes.yaml --create-channels`  creates what is missing, also channels whose names
messages choose

`gateway-lab run routes.yaml --watch`  takes over what is saved; `kill -HUP` does so once

`gateway-lab run routes.yaml --workers 2 --member blue --port 9100`  two processes, and
http://127.0.0.1:9100/readyz and /metrics

`gateway-lab run users.yaml --app users:gateway`  with the handlers that users.py registers

`gateway-lab run routes.yaml --record monday/`  a capture of all that comes, to replay

`gateway-lab run routes.yaml --shadow new.yaml`  what another config would do otherwise

`gateway-lab run routes.yaml 2> gateway.log`  one JSON object a line, for programs
"""


def run(
    config: ConfigFile,
    *,
    workers: Annotated[int, Option(min=1, help="Processes that share the work.")] = 1,
    create_channels: Annotated[
        bool, Option("--create-channels", help="Create channels that are missing.")
    ] = False,
    watch: Annotated[
        bool, Option("--watch", help="Take the file over whenever it changes, or say why not.")
    ] = False,
    record: Annotated[
        Path | None,
        Option(metavar="PATH", help="Write all that sources deliver to a capture: a folder."),
    ] = None,
    shadow: Annotated[
        Path | None,
        Option(metavar="CONFIG", help="Compare with what another config would decide."),
    ] = None,
    show_private: Annotated[
        bool, Option("--show-private", help="Record private values as they are, not masked.")
    ] = False,
    disagreements: Annotated[
        Path | None,
        Option(metavar="PATH", help="Write what the shadow decides otherwise to a capture."),
    ] = None,
    port: Annotated[
        int | None,
        Option(min=0, max=65535, help="Serve /livez, /readyz and /metrics on 127.0.0.1."),
    ] = None,
    member: Annotated[
        str,
        Option(
            metavar="NAME",
            envvar="GATEWAY_MEMBER",
            help="Names this gateway among those that run the same config: the same at each start, "
            "and no other's.",
        ),
    ] = "",
    app: Annotated[
        str,
        Option(metavar="MODULE:GATEWAY", help="Run the handlers, hooks and brokers of a module."),
    ] = "",
) -> None:
    """Run a config until it is told to stop: at least once, nothing lost.

    The address of each broker is in the environment, `GATEWAY_BROKER_<ALIAS>_URL`. A source starts
    when its brokers are there, and stops by itself, *red*, when it cannot go on; others go on.

    Exit codes: 0 it was stopped; 1 a source is red; 2 it cannot begin.
    """
    asked = Asked(
        path=config,
        workers=workers,
        create_channels=create_channels,
        watch=watch,
        record=record,
        show_private=show_private,
        shadow=shadow,
        disagreements=disagreements,
        port=port,
        member=_member(member),
        app=app,
    )
    _refuse_together(asked)
    from gateway_lab.cli.run_live import run_live  # noqa: PLC0415 - `--help` needs none of it

    if not run_live(asked):
        raise Exit(1)


def _member(name: str) -> str:
    """Refuse a name that Kafka would not take."""
    if name.replace("-", "").replace("_", "").isalnum() and name.isascii() and len(name) <= 40:
        return name
    if name:
        msg = f"{name!r} is not 1 to 40 letters, digits, hyphens and underscores"
        raise BadParameter(msg, param_hint="--member")
    return ""


def _refuse_together(asked: Asked) -> None:
    if asked.shadow and (asked.workers > 1 or asked.watch):
        msg = "a shadow is compared with one config in one process: no --workers, no --watch"
        raise BadParameter(msg, param_hint="--shadow")
    if asked.record and asked.record.suffix and asked.workers > 1:
        msg = "workers record to a folder, each to files of its own"
        raise BadParameter(msg, param_hint="--record")
    if asked.disagreements and not asked.shadow:
        msg = "there is no --shadow that could disagree"
        raise BadParameter(msg, param_hint="--disagreements")
