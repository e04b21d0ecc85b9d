"""A proxy between a connector and its server, to break connections as a network does."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress
from typing import Self


class Proxy:
    """Stands before a server, at the address that it gives to clients.

    It runs in a thread of its own: tests count the tasks of theirs.

    Attributes:
        port: Where clients come to.
        server_port: Where it sends them.
    """

    def __init__(self, port: int, server_port: int = 0) -> None:
        self.port, self.server_port = port, server_port
        self._writers: set[asyncio.StreamWriter] = set()
        self._may_answer = asyncio.Event()
        self._may_answer.set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        listening = asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self._listener = asyncio.run_coroutine_threadsafe(listening, self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _close(self) -> None:
        self._listener.close()
        self._may_answer.set()
        self._cut()
        await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}))

    def hold(self) -> None:
        """Keep back what the server says."""
        self._loop.call_soon_threadsafe(self._may_answer.clear)

    def release(self) -> None:
        """Let through what the server says."""
        self._loop.call_soon_threadsafe(self._may_answer.set)

    def cut(self) -> None:
        """Break every connection."""
        self._loop.call_soon_threadsafe(self._cut)

    def _cut(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            theirs, to_them = await asyncio.open_connection("127.0.0.1", self.server_port)
        except OSError:
            writer.transport.abort()
            return
        both = {writer, to_them}
        self._writers |= both
        always = asyncio.Event()
        always.set()
        await asyncio.gather(
            _pump(reader, to_them, always), _pump(theirs, writer, self._may_answer)
        )
        self._writers -= both


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_pass: asyncio.Event
) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            await may_pass.wait()
            writer.write(data)
            await writer.drain()
    writer.transport.abort()
