"""A stage: two servers, channels of its own on them, a config, and gateways that come and go."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from gateway_lab.testing.server_process import Server, dies_with_parent
from tests.live.blocking import Blocking, wait_until
from tests.live.books import Books
from tests.live.client_messages import LIMIT_S
from tests.live.ledger import Bounds, Ledger, Verdict
from tests.live.script import LETTERS, OUT, SECOND, WAYS, Record, Script

ROOT: Final = Path(__file__).parents[2]
GROUPS: Final[Mapping[str, str]] = {"kafka": "group", "redis": "group", "nats": "durable"}
"""The option of a source that names its group."""

CONFIG: Final = """\
gateway_lab: 1
name: chaos
brokers: {{from: {source}, to: {target}}}
events:
  Record:
    type: object
    required: [id, kind]
    properties: {{id: {{type: string}}, kind: {{type: string}}}}
sources:
  records: {{broker: from, channel: {name}.in, event: Record{options}}}
targets:
  out: {{broker: to, channel: {name}.out}}
  second: {{broker: to, channel: {name}.second}}
routers:
  kinds:
    source: records
    match: first
    routes:
      - {{name: parked, when: kind = 'parked', to: [dead_letter]}}
      - {{name: both, when: kind = 'both', to: [out, second]}}
    unmatched: [out]
retry: {{initial: 50ms, max: 500ms}}
dead_letter: {{broker: to, channel: {name}.letters}}
"""

LEASE: Final = "2s"
"""How long a gateway that was killed holds what it had, at most."""

TRIES: Final = 5
"""How many gateways may finish nothing, one after the other."""

_NUMBERS = count()


class Child:
    """A process that tells what becomes of it, a JSON object a line."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [*dies_with_parent(), *command],
                cwd=ROOT,
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self._lines: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as lines:
            for line in lines:
                self._lines.put(json.loads(line))
        self._lines.put({"event": "gone"})

    def wait_for(self, event: str, *, limit_s: float = LIMIT_S) -> dict[str, Any]:
        """Wait until it says something.

        Raises:
            AssertionError: It ended without saying so.
        """
        before: list[object] = []
        while True:
            told = self._lines.get(timeout=limit_s)
            if told["event"] == event:
                return told
            before.append(told)
            log = self._log.read_text()[-2_000:]
            assert told["event"] != "gone", f"never {event}, but {before}\n{log}"

    def check(self) -> None:
        """See that it has not ended by itself.

        Raises:
            AssertionError: It has.
        """
        code = self._process.poll()
        assert code is None, f"ended with {code}: {self._log.read_text()[-2_000:]}"

    def signal(self, which: signal.Signals) -> None:
        """Send it a signal; one that has ended gets none."""
        with suppress(ProcessLookupError):
            self._process.send_signal(which)

    def finish(self) -> None:
        """See it end; it is killed if it does not by itself."""
        try:
            self._process.wait(LIMIT_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._reader.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()


class Stage:
    """Channels of one test between two servers, and the ledger of what goes through them."""

    def __init__(
        self,
        folder: Path,
        source: Server,
        target: Server,
        script: Script,
        *,
        ways: Mapping[str, Mapping[str, str]] = WAYS,
        makes: Sequence[str] = (OUT, SECOND, LETTERS),
    ) -> None:
        self.source, self.target, self.script = source, target, script
        self.name = f"chaos-{os.getpid()}-{next(_NUMBERS)}"
        self.folder = folder / self.name
        self.folder.mkdir(parents=True)
        self.ledger = Ledger(script, ways)
        self._makes = makes
        self._from, self._to = Blocking(source), Blocking(target)
        self._from.create([self.channel("in")])
        self._to.create([self.channel(each) for each in makes])
        self.config = self.folder / "config.yaml"
        self.config.write_text(self._config())
        self.environ = {
            "GATEWAY_BROKER_FROM_URL": source.url,
            "GATEWAY_BROKER_TO_URL": target.url,
            "GATEWAY_LEASE": LEASE,
        }

    def channel(self, place: str) -> str:
        """Return the channel of a place."""
        return f"{self.name}.{place}"

    def _config(self) -> str:
        option = GROUPS.get(self.source.protocol)
        options = f", options: {{{option}: {self.name}}}" if option else ""
        protocols = {"source": self.source.protocol, "target": self.target.protocol}
        return CONFIG.format(name=self.name, options=options, **protocols)

    def publish(self, start: int = 0, end: int | None = None) -> None:
        """Publish messages of the script, and note those that the broker confirmed."""
        records = self.script.records(start, end)
        self.ledger.acknowledge(self._from.publish(self.channel("in"), records))

    def gateway(self, *options: str) -> Child:
        """Start a gateway in a process of its own."""
        return self.run("tests.live.child", str(self.config), *options)

    def run(self, module: str, *words: str) -> Child:
        """Start a program that knows the addresses of both servers."""
        command = [sys.executable, "-m", module, *words]
        return Child(command, self.environ, self.folder / "log")

    def lag(self) -> int:
        """Return how much of the source is not finished."""
        return self._from.lag(self.channel("in"), self.name)

    def finish(self, *options: str) -> list[Books]:
        """Run a gateway until the source is read to its end, stop it cleanly, return its books.

        A queue of RabbitMQ looks empty as soon as everything is handed out, and what was not read
        by then comes back when the gateway stops: then there is another one, as long as that helps.
        """
        books: list[Books] = []
        least, in_vain = sys.maxsize, 0
        while left := self._left():
            in_vain = 0 if left < least else in_vain + 1
            assert in_vain < TRIES, f"{left} are left in {self.name}"
            least = min(least, left)
            with self.gateway(*options) as child:
                child.wait_for("started")
                books.append(self.stop(child))
        return books

    def _left(self) -> int:
        """Count what is not finished once the broker knows that all who read are gone."""
        channel = self.channel("in")
        wait_until(lambda: not self._from.is_held(channel), f"nobody reads {channel}")
        return self.lag()

    def stop(self, child: Child) -> Books:
        """Let a gateway read the source to its end, stop it cleanly, and return its books."""
        wait_until(lambda: self._is_read(child), f"{self.name} is read to its end")
        child.signal(signal.SIGTERM)
        ended = child.wait_for("ended")
        child.finish()
        assert not ended["reasons"], ended["reasons"]
        return Books(**ended["books"])

    def _is_read(self, child: Child) -> bool:
        child.check()
        return self.lag() == 0

    def judge(
        self,
        bounds: Bounds,
        books: Sequence[Books] = (),
        *,
        drain: Callable[[str], Iterable[Record]] | None = None,
    ) -> Verdict:
        """Read everything that lies in the places, in another way if one is given, and judge."""
        for place in self._makes:
            self.ledger.arrive(place, (drain or self._to.drain)(self.channel(place)))
        return self.ledger.judge(bounds, lag={self.source.protocol: self.lag()}, books=books)
