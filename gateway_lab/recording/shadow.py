"""The shadow: another config decides the same messages beside the one that runs, and sends nothing.

It works in a thread of its own on copies of what the sources deliver. Where it cannot keep up,
messages are dropped and counted; whatever goes wrong in it, the live way goes on.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TypeAlias

from gateway_lab.brokers.contract import Batch, Source
from gateway_lab.brokers.wrapped import WrappedSource
from gateway_lab.captures.capture import plan_of
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan
from gateway_lab.errors import CaptureError, ConfigError
from gateway_lab.messages.message import Message
from gateway_lab.recording.recorder import Recorder
from gateway_lab.recording.recording import recording
from gateway_lab.routing.route import SourceRouter, compile_source

QUEUE_MESSAGES: Final = 10_000
QUEUE_BYTES: Final = 64 * 1024 * 1024
"""What may wait for the shadow; past one of these, what comes is dropped."""

_TURN: Final = 16
"""After so many messages the thread lets others run, however long they would wait otherwise."""

Effect: TypeAlias = frozenset[tuple[object, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShadowStats:
    """What a shadow saw: compared = agreed + disagreed.

    Attributes:
        dropped: Messages that it had no time for.
        failed: Messages at which it failed, or whose disagreement could not be written.
        problem: What went wrong last; empty if nothing did.
    """

    compared: int = 0
    agreed: int = 0
    disagreed: int = 0
    dropped: int = 0
    failed: int = 0
    problem: str = ""


class Shadow:
    """Compares a new config with the one that a gateway runs.

    with Shadow(live, new, out="disagreements/") as shadow:
        async with Gateway(live, wrap=shadow.wrap) as gateway:
            await gateway.wait()
    gl.diff(live, new, gl.scan_capture("disagreements/"))

    Of sources with handlers it sees what these returned: `gateway.handlers.watch(shadow.see)`, and
    what it records is what they returned, too, so a diff of it runs none.
    """

    def __init__(
        self, live: GatewayConfig, new: GatewayConfig, *, out: str | Path | None = None
    ) -> None:
        """Compile both; nothing runs yet.

        Args:
            live: What the gateway runs.
            new: What is compared with it.
            out: Where messages that they decide differently are recorded: a folder, or a file to
                be; None writes none.

        Raises:
            CaptureError: One of the configs has errors.
            ConfigError: They read different sources or event types.
        """
        self._live, new_plan = plan_of(live), plan_of(new)
        for where in _differences(live, new):
            raise ConfigError(
                "a shadow reads the same sources and event types as the config that runs",
                where=where,
                hint="compare such configs over a capture: `gateway-lab diff`",
            )
        self._out, self._names = out, f"{live.name} {self._live.digest[:12]} {new_plan.digest[:12]}"
        self._comparison = _Comparison(self._live, new_plan)
        self._inbox = _Inbox()
        self._open = ExitStack()
        self._thread = threading.Thread(target=self._run, name="shadow", daemon=True)

    def __enter__(self) -> Self:
        """Begin.

        Raises:
            CaptureError: Nothing can be recorded there.
        """
        if self._out is not None:
            path = Path(self._out).expanduser()
            begun = recording(
                self._live,
                path,
                by=f"shadow {self._names}",
                is_handled=any(each.handled for each in self._live.sources.values()),
            )
            self._comparison.recorder = self._open.enter_context(begun)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Compare what is still queued, and finish the capture.

        Raises:
            CaptureError: Something could not be written; what was stays readable.
        """
        self._inbox.close()
        self._thread.join()
        self._open.__exit__(kind, error, trace)

    def wrap(self, name: str, source: Source) -> Source:
        """Return a source whose messages the shadow sees; to be given to a gateway.

        Those of a source with a handler are shown by `see`, once they are handled.
        """
        if self._live.sources[name].handled:
            return source
        return ShadowedSource(name, source, self._inbox)

    def see(self, name: str, message: Message) -> None:
        """Take a message as its handler left it; to be given to a gateway's `handlers.watch`.

        What a handler ended or failed at is not shown: another config would not have seen it.
        """
        if self._live.sources[name].handled:
            self._inbox.offer(name, (message,))

    def stats(self) -> ShadowStats:
        """Return the counts as they are now."""
        return replace(self._comparison.stats, dropped=self._inbox.dropped)

    def _run(self) -> None:
        for name, messages in self._inbox:
            self._comparison.compare(name, messages)


class ShadowedSource(WrappedSource):
    """A source around a source: shows what it reads."""

    def __init__(self, name: str, source: Source, inbox: _Inbox) -> None:
        super().__init__(source)
        self._name, self._inbox = name, inbox

    async def read(self, limit: int) -> Batch:
        """Wait for messages, and show them; see the contract."""
        batch = await super().read(limit)
        self._inbox.offer(self._name, batch.messages)
        return batch


class _Inbox:
    """A queue of batches, bounded; what finds it full is dropped."""

    def __init__(self) -> None:
        self.dropped = 0
        self._batches: deque[tuple[str, Sequence[Message], int]] = deque()
        self._messages = self._bytes = 0
        self._changed = threading.Condition()
        self._is_closed = False

    def offer(self, name: str, messages: Sequence[Message]) -> None:
        """Take a batch, or drop it."""
        size = sum([len(each.body or b"") for each in messages])
        with self._changed:
            if self._is_closed:
                return
            if self._messages >= QUEUE_MESSAGES or self._bytes >= QUEUE_BYTES:
                self.dropped += len(messages)
                return
            self._batches.append((name, messages, size))
            self._messages += len(messages)
            self._bytes += size
            self._changed.notify()

    def close(self) -> None:
        """Let the one that takes out come to its end."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def __iter__(self) -> Iterator[tuple[str, Sequence[Message]]]:
        """Yield batches as they come, until closed and empty."""
        while True:
            with self._changed:
                while not (self._batches or self._is_closed):
                    self._changed.wait()
                if not self._batches:
                    return
                name, messages, size = self._batches.popleft()
            yield name, messages
            with self._changed:
                self._messages -= len(messages)
                self._bytes -= size


@dataclass(slots=True)
class _Comparison:
    """Two configs, and what came of comparing them."""

    live: Plan
    new: Plan
    recorder: Recorder | None = None
    stats: ShadowStats = ShadowStats()
    _routers: dict[str, tuple[SourceRouter, SourceRouter]] = field(init=False)

    def __post_init__(self) -> None:
        self._routers = {
            name: (compile_source(self.live, name), compile_source(self.new, name))
            for name in self.live.sources
        }

    def compare(self, name: str, messages: Sequence[Message]) -> None:
        """Compare what both decide about each message; it never raises."""
        live, new = self._routers[name]
        differing: list[Message] = []
        failed, problem = 0, ""
        for number, message in enumerate(messages):
            try:
                if _effect(live, message) != _effect(new, message):
                    differing.append(message)
            except Exception as error:  # noqa: BLE001 - the live way must not notice
                failed, problem = failed + 1, f"a defect of gateway_lab: {type(error).__name__}"
            if number % _TURN == 0:
                time.sleep(0)
        self._count(len(messages) - failed, len(differing), failed, problem)
        if differing and self.recorder:
            self._record(self.recorder, differing)

    def _count(self, compared: int, disagreed: int, failed: int, problem: str) -> None:
        old = self.stats
        self.stats = ShadowStats(
            compared=old.compared + compared,
            agreed=old.agreed + compared - disagreed,
            disagreed=old.disagreed + disagreed,
            failed=old.failed + failed,
            problem=problem or old.problem,
        )

    def _record(self, recorder: Recorder, messages: Sequence[Message]) -> None:
        """Write disagreements, and wait until it is done: the queue stays bounded."""
        try:
            recorder.put(messages).result()
        except CaptureError as error:
            self._count(0, 0, len(messages), error.problem)


def _effect(router: SourceRouter, message: Message) -> Effect:
    """Return all that a config would do with a message."""
    return frozenset(
        (
            *(each.router, each.route, each.target, each.broker, each.channel, each.outcome),
            *(each.key, each.headers, each.body),
        )
        for each in router.route(message).deliveries
    )


# --- what must be the same ---

_FREE: Final[Mapping[str, object]] = {
    "retry": None,
    "dead_letter": None,
    "description": None,
    "owner": None,
}
"""What of a source may differ: it matters after the decision, or to people."""


def _differences(live: GatewayConfig, new: GatewayConfig) -> Iterator[str]:
    """Name what both read differently."""
    for name in sorted({*live.sources, *new.sources}):
        old, other = live.sources.get(name), new.sources.get(name)
        if old is None or other is None:
            yield f"sources.{name} is {'new' if old is None else 'gone'}"
        elif old.model_copy(update=_FREE) != other.model_copy(update=_FREE):
            yield f"sources.{name} differs"
        else:
            aliases = {each.broker for each in old.addresses}
            yield from (
                f"brokers.{alias} differs"
                for alias in sorted(aliases)
                if live.brokers[alias] != new.brokers[alias]
            )
    for name in sorted({*live.events, *new.events}):
        if live.events.get(name) != new.events.get(name):
            yield f"events.{name} differs"
