"""The tap: records what the sources of a running gateway deliver, before it is settled.

A source that is tapped settles a message only once it is on the disk. So whatever ends the
process, every message that was settled is in the capture; one that was not comes again, and may
then be there twice. Where the disk takes no more, sources stop, red, and settle nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway_lab.brokers.contract import (
    Batch,
    BrokerError,
    Failure,
    FailureClass,
    Handle,
    Source,
)
from gateway_lab.brokers.wrapped import WrappedSource
from gateway_lab.captures.capture import plan_of
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan
from gateway_lab.config.readers import readers
from gateway_lab.errors import CaptureError
from gateway_lab.messages.message import Message
from gateway_lab.recording.recorder import Recorder
from gateway_lab.recording.recording import recording


class Tap:
    """Records the sources of a gateway.

    with Tap(config, "monday/") as tap:
        async with Gateway(config, wrap=tap.wrap) as gateway:
            await gateway.wait()
    """

    def __init__(self, config: GatewayConfig, path: str | Path, *, member: int = 0) -> None:
        """Compile a config; nothing is written yet.

        Args:
            config: What the gateway runs.
            path: A folder, or a file to be that ends in `.parquet` or `.ndjson`.
            member: The number of this process among those that record to one folder.

        Raises:
            CaptureError: The config has errors.
        """
        self._plan = plan_of(config)
        self._path, self._member = Path(path).expanduser(), member
        self._by = f"run {config.name} {self._plan.digest[:12]}"
        self._open = ExitStack()
        self._recorder: Recorder | None = None

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            CaptureError: Nothing can be recorded there.
        """
        begun = recording(self._plan, self._path, by=self._by, member=self._member)
        self._recorder = self._open.enter_context(begun)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the capture, once the gateway has stopped.

        Raises:
            CaptureError: Something could not be written; what was stays readable.
        """
        self._open.__exit__(kind, error, trace)

    @property
    def recorded(self) -> int:
        """How many messages are on the disk."""
        return self._recorder.recorded if self._recorder else 0

    def wrap(self, name: str, source: Source) -> Source:
        """Return a source that is recorded; to be given to a gateway."""
        if self._recorder is None:
            raise CaptureError("this tap is not open", hint="with Tap(config, path) as tap: …")
        return TappedSource(source, self._recorder, Claim(self._plan, name))


class Claim:
    """Which messages a source records: a channel that several read is recorded once.

    All sources that read it get each of its messages when the capture is replayed.
    """

    def __init__(self, plan: Plan, source: str) -> None:
        self._running = {name: each for name, each in plan.sources.items() if each.routers}
        self._source = source
        self._first: dict[tuple[str, str], bool] = {}

    def of(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Return those that this source records."""
        places = {(each.broker, each.channel) for each in messages}
        ours = {place for place in places if self._is_ours(place, messages[0].protocol)}
        if len(ours) == len(places):
            return messages
        return [each for each in messages if (each.broker, each.channel) in ours]

    def _is_ours(self, place: tuple[str, str], protocol: str) -> bool:
        if place not in self._first:
            broker, channel = place
            reading = readers(self._running, broker, protocol, channel)
            self._first[place] = not reading or reading[0] == self._source
        return self._first[place]


class TappedSource(WrappedSource):
    """A source around a source: settles what is on the disk."""

    def __init__(self, source: Source, recorder: Recorder, claim: Claim) -> None:
        super().__init__(source)
        self._recorder, self._claim = recorder, claim
        self._written: Future[None] | None = None

    async def read(self, limit: int) -> Batch:
        """Wait for messages, and record them; see the contract."""
        if self._recorder.failure:
            raise _stopped(self._recorder.failure)
        batch = await super().read(limit)
        if mine := self._claim.of(batch.messages):
            self._written = self._recorder.put(mine)
        return batch

    async def settle(self, handles: Sequence[Handle]) -> None:
        """Settle once all that was read is on the disk.

        Raises:
            BrokerError: It cannot be written; nothing is settled.
        """
        if self._written is not None:
            try:
                await asyncio.wrap_future(self._written)
            except CaptureError as error:
                raise _stopped(error) from None
        await super().settle(handles)


def _stopped(error: CaptureError) -> BrokerError:
    failure = Failure(FailureClass.CONFIGURATION, error.problem)
    return BrokerError(failure, where=error.where, hint=error.hint)
