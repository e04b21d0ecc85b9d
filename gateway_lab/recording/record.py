"""Recording without a gateway: looks through the channels of a config, and changes nothing.

Kafka is read without a group, Redis by XREAD, NATS by consumers that vanish. Where whoever reads
a message takes it from others (queues of RabbitMQ, work queues of NATS), it is refused: `run
--record` records such messages on their way.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway_lab.brokers.contract import Browser
from gateway_lab.brokers.registry import connect
from gateway_lab.captures.capture import Capture, plan_of
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan
from gateway_lab.errors import CaptureError, did_you_mean
from gateway_lab.gateway.reach import Reading, readings_of
from gateway_lab.messages.message import Message
from gateway_lab.recording.recorder import Recorder
from gateway_lab.recording.recording import recording

READ_LIMIT: Final = 1_000
"""Messages read at once at most; as many as that may be in memory for each browser."""


@dataclass(slots=True, kw_only=True)
class _Until:
    """When a recording ends; the first that comes true counts, and without any nothing does.

    Attributes:
        limit: After so many messages in all.
        seconds: After so long.
        caught_up: Once all is recorded that was there when it began.
    """

    limit: int | None = None
    seconds: float | None = None
    caught_up: bool = False


async def record(  # noqa: PLR0913 - keywords, each of which may be left out
    config: GatewayConfig,
    path: str | Path,
    *,
    sources: Sequence[str] = (),
    limit: int | None = None,
    seconds: float | None = None,
    until_caught_up: bool = False,
    from_start: bool = True,
    environ: Mapping[str, str] = os.environ,
    progress: Callable[[int], None] = lambda _: None,
) -> Capture:
    """Record what the sources of a config would read, without taking it from anybody.

    It goes on until one of the bounds is reached or the task is cancelled; either way the capture
    is whole. What the config marks as private is masked, unless `show_private` was called.

    Args:
        config: Says what is read, and what is private.
        path: A new folder, or a new file that ends in `.parquet` or `.ndjson`.
        sources: Names of sources; all of the config if left out.
        limit: The most messages.
        seconds: The longest time.
        until_caught_up: Whether to end once all is recorded that was there at the beginning.
        from_start: Whether to begin at the first message there is, else at the next to come.
        environ: Where the addresses of the brokers are, GATEWAY_BROKER_<ALIAS>_URL.
        progress: Told how many messages are recorded, every now and then.

    Raises:
        CaptureError: The path is taken, the config has errors or no such source, the disk is full.
        BrokerError: A broker cannot be used, or has messages that nobody can look at.
        MissingExtraError: The client library of a broker is not installed.
    """
    plan, where = plan_of(config), _new(path)
    readings = _readings(config, plan, sources)
    until = _Until(limit=limit, seconds=seconds, caught_up=until_caught_up)
    async with AsyncExitStack() as brokers:
        browsers = await _open(readings, config, environ, brokers, from_start=from_start)
        files = ExitStack()
        recorder = files.enter_context(
            recording(plan, where, by=f"record {config.name} {plan.digest[:12]}")
        )
        try:
            await _Copying(recorder, until, progress).run(browsers)
        finally:
            await asyncio.shield(asyncio.to_thread(files.close))
    return scan_capture(where)


@dataclass(slots=True)
class _Copying:
    """Copies from browsers to a recorder."""

    recorder: Recorder
    until: _Until
    progress: Callable[[int], None]
    taken: int = field(default=0, init=False)

    async def run(self, browsers: Sequence[Browser]) -> None:
        """Copy until the end.

        Raises:
            BrokerError: A broker refuses to go on.
            CaptureError: The disk is full.
        """
        copies = [asyncio.create_task(self._copy(each)) for each in browsers]
        limit = asyncio.timeout(self.until.seconds)
        try:
            async with limit:
                await self._first_end(copies)
        except TimeoutError:
            if not limit.expired():
                raise
        finally:
            for each in copies:
                each.cancel()
            await asyncio.gather(*copies, return_exceptions=True)

    async def _first_end(self, copies: Sequence[asyncio.Task[None]]) -> None:
        """Wait until all have ended, or one of them has taken the last message."""
        going = set(copies)
        while going and not self._is_full:
            ended, going = await asyncio.wait(going, return_when=asyncio.FIRST_COMPLETED)
            for each in ended:
                await each

    async def _copy(self, browser: Browser) -> None:
        while not (self._is_full or (self.until.caught_up and browser.has_caught_up)):
            messages = self._within(await browser.read(READ_LIMIT))
            if messages:
                await asyncio.wrap_future(self.recorder.put(messages))
                self.progress(self.recorder.recorded)

    @property
    def _is_full(self) -> bool:
        return self.until.limit is not None and self.taken >= self.until.limit

    def _within(self, messages: list[Message]) -> list[Message]:
        """Cut off what is past the limit."""
        if self.until.limit is not None:
            messages = messages[: max(0, self.until.limit - self.taken)]
        self.taken += len(messages)
        return messages


def _new(path: str | Path) -> Path:
    """Refuse a recording that is there: it would hold the messages from the start twice."""
    where = Path(path).expanduser()
    if where.exists() and not (where.is_dir() and not any(where.iterdir())):
        raise CaptureError(
            "this is there already", where=str(where), hint="choose another name to record to"
        )
    return where


def _readings(config: GatewayConfig, plan: Plan, names: Sequence[str]) -> list[Reading]:
    """Return what is to be read, each address once, whichever sources read it."""
    for name in names:
        if name not in plan.sources:
            raise CaptureError(
                f"the config has no source {name!r}", hint=did_you_mean(name, plan.sources)
            )
    seen: set[object] = set()
    found: list[Reading] = []
    for name in names or plan.sources:
        for reading in readings_of(config, plan.sources[name]):
            new = tuple(each for each in reading.addresses if each not in seen)
            seen.update(new)
            if new:
                found.append(Reading(reading.broker, new, reading.options))
    return found


async def _open(
    readings: Sequence[Reading],
    config: GatewayConfig,
    environ: Mapping[str, str],
    open_: AsyncExitStack,
    *,
    from_start: bool,
) -> list[Browser]:
    """Connect to each broker once, and open all browsers."""
    aliases = dict.fromkeys(each.broker for each in readings)
    brokers = {
        alias: connect(alias, config.brokers[alias], environ, gateway=config.name)
        for alias in aliases
    }
    for broker in brokers.values():
        open_.push_async_callback(broker.close)
    for broker in brokers.values():
        await broker.open()
    browsers: list[Browser] = []
    for each in readings:
        browser = await brokers[each.broker].browser(
            each.addresses, each.options, from_start=from_start
        )
        open_.push_async_callback(browser.close)
        browsers.append(browser)
    return browsers
