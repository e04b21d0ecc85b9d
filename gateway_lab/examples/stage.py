"""Where an example runs: real brokers, those of the environment or some that end with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import gateway_lab as gl
from gateway_lab.brokers.variables import address_variable
from gateway_lab.testing.servers import SERVERS


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What an example is given.

    Attributes:
        environ: Where the addresses of brokers and databases are.
        folder: For its files; it goes when the example has ended.
    """

    environ: Mapping[str, str] = field(repr=False)
    folder: Path


@contextmanager
def staged(
    config: gl.GatewayConfig,
    environ: Mapping[str, str] = os.environ,
    tell: Callable[[str], None] = lambda _: None,
) -> Iterator[Stage]:
    """Start a server of each protocol that the environment has no address for; it ends with us.

    Args:
        config: Says which brokers there are to be.
        environ: Addresses that are there are used, and their servers stay as they are.
        tell: Gets a line for each server that is started.

    Raises:
        ServerError: This machine does not have it, or it does not start; the text says what to do.
    """
    wanted = {
        alias: protocol
        for alias, protocol in config.brokers.items()
        if not environ.get(address_variable(alias))
    }
    with ExitStack() as open_:
        folder = Path(open_.enter_context(TemporaryDirectory(prefix="gateway_lab_")))
        urls: dict[str, str] = {}
        for protocol in dict.fromkeys(wanted.values()):
            tell(f"starting {protocol} …")
            server = SERVERS[protocol](folder / protocol)
            urls[protocol] = open_.enter_context(server).url
        addresses = {address_variable(alias): urls[wanted[alias]] for alias in wanted}
        yield Stage(environ={**environ, **addresses}, folder=folder)
