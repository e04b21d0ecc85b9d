"""`gateway-lab brokers`: real servers on this machine, to try a config with."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from rich.console import Console
from typer import Argument, Option

import gateway_lab as gl
from gateway_lab.brokers.variables import address_variable
from gateway_lab.testing.sandbox import Sandbox, Started
from gateway_lab.testing.servers import SERVERS

EXAMPLES = """
`eval "$(gateway-lab brokers up routes.yaml)"`  starts what the config needs, and sets the addresses

`gateway-lab brokers up`  all four, named by their protocols

`gateway-lab brokers status`

`gateway-lab brokers down`  ends what `up` started, and removes its data
"""

NOTHING = "nothing was started"


class Action(StrEnum):
    """What to do."""

    UP = "up"
    DOWN = "down"
    STATUS = "status"


def brokers(
    action: Annotated[Action, Argument(help="What to do:", metavar="ACTION")],
    config: Annotated[
        Path | None, Argument(help="Whose brokers; left out: one a protocol.", metavar="CONFIG")
    ] = None,
    *,
    folder: Annotated[
        Path | None, Option(help="Where their data is; left out: in the user's cache.")
    ] = None,
) -> None:
    """Start, end or list brokers on loopback, from what this machine has.

    Standard output has a line to export for each alias; where a broker is not installed, memory
    stands in for it inside the gateway's own process. One that has ended since starts anew, empty
    and at another address: export again.
    """
    sandbox = Sandbox(folder)
    match action:
        case Action.UP:
            aliases = _aliases(config)
            kinds = [each for each in aliases.values() if each in SERVERS]
            _print_exports(aliases, sandbox.up(kinds, _tell))
        case Action.DOWN:
            if not sandbox.servers():
                _tell(NOTHING)
            sandbox.down(_tell)
        case Action.STATUS:
            _print_status(sandbox.servers())


def _aliases(config: Path | None) -> dict[str, str]:
    """Return the aliases that get an address, and their protocols."""
    return (
        {each: each for each in SERVERS} if config is None else dict(gl.read_config(config).brokers)
    )


def _print_exports(aliases: dict[str, str], servers: list[Started]) -> None:
    urls = {each.protocol: each.url for each in servers}
    for alias, protocol in aliases.items():
        if protocol not in urls:
            _tell(f"{alias}: memory stands in for it, seen by one process only")
        print(f"export {address_variable(alias)}={urls.get(protocol, f'memory://{alias}')}")


def _print_status(servers: list[Started]) -> None:
    for each in servers:
        state = f"runs, process {each.pid}" if each.is_running else "has ended"
        print(f"{each.protocol}: {state}, {each.started_from}, {each.url}")
    if not servers:
        print(NOTHING)


def _tell(line: str) -> None:
    Console(stderr=True, highlight=False, soft_wrap=True).print(line, markup=False)
