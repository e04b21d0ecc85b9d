"""A worker as its parent sees it: a process, and a line to it and back."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from typing import Self

from gateway_lab.gateway.workers.talk import (
    LONGEST_LINE,
    Answer,
    Order,
    is_whole,
    read_answer,
    write,
)


class WorkerProcess:
    """A process that `worker.py` runs in; made by `start`."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        line: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        self._process = process
        self._reader, self._writer = line

    @classmethod
    async def start(cls, command: Sequence[str], environ: Mapping[str, str]) -> Self:
        """Start a process, by a command that is given the number of an open socket.

        It is in a session of its own: Ctrl+C is its parent's to hear.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command,
                str(theirs.fileno()),
                stdin=asyncio.subprocess.DEVNULL,
                env=environ,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        return cls(process, await asyncio.open_connection(sock=ours, limit=LONGEST_LINE))

    @property
    def pid(self) -> int:
        """The process's number."""
        return self._process.pid

    def tell(self, order: Order) -> None:
        """Give an order; one that is gone hears nothing."""
        if not self._writer.is_closing():
            self._writer.write(write(order))

    async def answers(self) -> AsyncIterator[Answer]:
        """Give what the process says, until it has ended."""
        with suppress(ConnectionError):
            while is_whole(line := await self._reader.readline()):
                yield read_answer(line)

    async def end(self) -> int:
        """Wait for its end, and return how it ended: a signal is less than 0."""
        code = await self._process.wait()
        self._writer.close()
        with suppress(ConnectionError):
            await self._writer.wait_closed()
        return code

    def kill(self) -> None:
        """End it at once; what it held comes again."""
        with suppress(ProcessLookupError):
            self._process.kill()
