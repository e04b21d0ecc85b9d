"""One of several processes of a gateway: it runs what its parent sends, and tells how it is.

Its parent checked the config. It ends when it is told to, on SIGTERM, and when its parent is gone:
the line that orders come by has an end then.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, suppress
from typing import Final, TypeAlias, assert_never

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ConfigError, GatewayLabError
from gateway_lab.gateway.app.gateway import AppGateway, find_gateway
from gateway_lab.gateway.gateway import Gateway, Wrap
from gateway_lab.gateway.log_lines import line_of, logging_to, place_of
from gateway_lab.gateway.telemetry.export import Exports
from gateway_lab.gateway.tuning import tune
from gateway_lab.gateway.version import Version
from gateway_lab.gateway.workers.talk import (
    LONGEST_LINE,
    Answer,
    Begin,
    Books,
    Change,
    Logged,
    Order,
    Over,
    Prepare,
    Prepared,
    Refused,
    Stop,
    Text,
    is_whole,
    read_order,
    write,
)

TELL_S: Final = 0.5
"""How often the books are told."""

Wrapped: TypeAlias = Callable[[Begin, GatewayConfig], AbstractContextManager[Wrap]]


async def serve(number: int, wrapped: Wrapped) -> None:
    """Be a worker.

    Args:
        number: Of the socket to the parent.
        wrapped: Gives what wraps the sources, while they run.
    """
    line = socket.socket(fileno=number)
    reader, writer = await asyncio.open_connection(sock=line, limit=LONGEST_LINE)
    loop = asyncio.get_running_loop()

    def tell(answer: Answer) -> None:
        if not writer.is_closing():
            writer.write(write(answer))

    def log(record: logging.LogRecord) -> None:  # from any thread
        told = Logged(record.levelno, line_of(record))
        loop.call_soon_threadsafe(tell, told)

    begin = read_order(await reader.readline())
    if not isinstance(begin, Begin):
        raise TypeError(begin)
    try:
        config = _config(begin.text)
        with logging_to(log), wrapped(begin, config) as wrap:
            async with Exports(config.name, begin.member):
                await _Worker(_gateway(begin, config, wrap), reader, tell).run()
            await asyncio.sleep(0)  # the last lines of the log
    except GatewayLabError as error:
        tell(Refused(str(error)))
    except Exception as error:  # noqa: BLE001 - its text may hold parts of messages
        defect = {"message": f"a defect of gateway_lab: {place_of(error)}"}
        tell(Logged(logging.ERROR, defect))
    with suppress(ConnectionError):
        writer.close()
        await writer.wait_closed()


def _gateway(begin: Begin, config: GatewayConfig, wrap: Wrap) -> Gateway:
    """Make what a worker runs, with the functions of a user's module if it is told one."""
    if begin.app:
        return AppGateway(
            find_gateway(begin.app),
            config,
            number=begin.number,
            create_channels=begin.creates,
            member=begin.member,
            wrap=wrap,
        )
    return Gateway(config, create_channels=begin.creates, member=begin.member, wrap=wrap)


class _Worker:
    def __init__(
        self, gateway: Gateway, reader: asyncio.StreamReader, tell: Callable[[Answer], None]
    ) -> None:
        self._gateway, self._reader, self._tell = gateway, reader, tell
        self._version: Version | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._is_told_to_stop = False

    async def run(self) -> None:
        """Run the gateway until it has ended, and tell whether it ended by itself."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop, Stop())
        for unheard in (signal.SIGINT, signal.SIGHUP):
            signal.signal(unheard, signal.SIG_IGN)
        async with self._gateway:
            tune()
            self._begin(self._obey())
            self._begin(self._tell_books())
            await self._gateway.wait()
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tell(Books(self._gateway.stats()))
        if not self._is_told_to_stop:
            self._tell(Over())

    async def _tell_books(self) -> None:
        while True:
            self._tell(Books(self._gateway.stats()))
            await asyncio.sleep(TELL_S)

    async def _obey(self) -> None:
        with suppress(ConnectionError):
            while is_whole(line := await self._reader.readline()):
                self._hear(read_order(line))
        self._stop(Stop(now=True))  # the parent is gone

    def _hear(self, order: Order) -> None:
        match order:
            case Prepare():
                self._begin(self._prepare(order.text))
            case Change():
                self._change()
            case Stop():
                self._stop(order)
            case Begin():
                raise TypeError(order)
            case _:
                assert_never(order)

    async def _prepare(self, text: Text) -> None:
        try:
            self._version = await self._gateway.prepare(_config(text))
        except GatewayLabError as error:
            self._tell(Prepared(str(error)))
        else:
            self._tell(Prepared())

    def _change(self) -> None:
        if self._version:
            self._gateway.take_over(self._version)
            self._version = None

    def _stop(self, order: Stop) -> None:
        self._is_told_to_stop = True
        self._begin(self._gateway.stop(now=order.now))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        self._tasks.append(asyncio.ensure_future(work))


def _config(text: Text) -> GatewayConfig:
    """Read a config that was checked.

    Raises:
        ConfigError: It is not the one that was checked.
    """
    config = parse_config(text.document)
    if config.digest != text.digest:
        raise ConfigError("a worker reads another config than its parent has checked")
    return config
