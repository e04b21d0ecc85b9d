"""The ring: Kafka to RabbitMQ to NATS to Redis to Kafka, a gateway a hop, and faults on the way.

The gateways are `gateway-lab run` processes as an operator starts them. Each hop adds a header, so
that whatever reaches the end tells that it has gone all the way.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from gateway_lab.gateway.window import MAX_MESSAGES
from gateway_lab.testing.server_process import Server, dies_with_parent
from gateway_lab.testing.servers import free_port
from tests.live.blocking import Blocking, wait_until
from tests.live.ledger import Bounds, Ledger, Verdict
from tests.live.metrics import total
from tests.live.script import LETTERS, OUT, PLAIN, Record, Script
from tests.live.stage import GROUPS, LEASE, TRIES

PROTOCOLS: Final = ("kafka", "rabbitmq", "nats", "redis", "kafka")
"""What a message passes through."""

GATEWAY_LAB: Final = Path(sys.executable).with_name("gateway-lab")
CHUNK: Final = 1_000
PAUSE_S: Final = 5.0
STALLED_S: Final = 120.0
"""How long nothing may arrive before it is a failure; a fault takes some seconds to pass."""

QUIET_S: Final = 2.0
"""How long nothing may move before everything is taken to be done."""

WRITTEN_S: Final = 5.0
"""After so long, what RabbitMQ knew is in its files."""

A_SECOND: Final = 20_000
"""More than a hop moves in a second, which is how often Kafka's position is committed."""

CONFIG: Final = """\
gateway_lab: 1
name: ring-{number}
brokers: {{from: {source}, to: {target}, letters: kafka}}
events:
  Record:
    type: object
    required: [id, kind]
    properties: {{id: {{type: string}}, kind: {{type: string}}}}
sources:
  records: {{broker: from, channel: {name}.{before}, event: Record{options}}}
targets:
  next: {{broker: to, channel: {name}.{number}, headers: {{via-{number}: "{{id}}"}}}}
routers:
  all:
    source: records
    match: first
    routes: [{{name: plain, when: kind = 'plain', to: [next]}}]
    unmatched: dead_letter
retry: {{initial: 50ms, max: 1s}}
dead_letter: {{broker: letters, channel: {name}.letters}}
"""


@dataclass(frozen=True, slots=True, order=True)
class Fault:
    """Something that is done to a process once a part of the messages has arrived.

    Attributes:
        at: The part, from 0 to 1.
        what: `kill gateway`, `kill broker` or `pause broker`.
        hop: Which gateway, or the broker that it reads from: 1 to 4.
    """

    at: float
    what: str
    hop: int


def seeded_faults(seed: int, *, gateways: int, brokers: int, pauses: int) -> list[Fault]:
    """Choose when and whom, the same for the same seed; successive seeds have each broker in turn."""
    chance = random.Random(seed)  # noqa: S311 - it chooses faults
    whom = [("kill gateway", chance.randint(1, 4)) for _ in range(gateways)]
    whom += [("kill broker", (seed + number) % 4 + 1) for number in range(brokers)]
    whom += [("pause broker", (seed + number + 2) % 4 + 1) for number in range(pauses)]
    return sorted(Fault(chance.uniform(0.02, 0.9), *each) for each in whom)


class Hop:
    """One gateway of the ring.

    Attributes:
        peak_mb: The most memory that one of its processes had when it ended.
    """

    def __init__(self, number: int, folder: Path, ring: str, servers: Mapping[str, Server]) -> None:
        self.source, self.target = PROTOCOLS[number - 1], PROTOCOLS[number]
        self._folder, self._number = folder, number
        self._config = folder / f"hop-{number}.yaml"
        option = GROUPS.get(self.source)
        self._config.write_text(
            CONFIG.format(
                number=number,
                before=number - 1,
                name=ring,
                source=self.source,
                target=self.target,
                options=f", options: {{{option}: {ring}}}" if option else "",
            )
        )
        self._environ = {
            "GATEWAY_BROKER_FROM_URL": servers[self.source].url,
            "GATEWAY_BROKER_TO_URL": servers[self.target].url,
            "GATEWAY_BROKER_LETTERS_URL": servers["kafka"].url,
            "GATEWAY_LEASE": LEASE,
            "GATEWAY_MEMBER": f"hop-{number}",
        }
        self._process: subprocess.Popen[bytes] | None = None
        self._log_start = self._port = 0
        self.peak_mb = 0

    @property
    def _log(self) -> Path:
        return self._folder / f"hop-{self._number}.log"

    def start(self) -> None:
        """Start it, or start it again."""
        self._port = free_port()
        command = [str(GATEWAY_LAB), "run", str(self._config), "--port", str(self._port)]
        with self._log.open("ab") as log:
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [*dies_with_parent(), *command],
                env={**os.environ, **self._environ},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """End it at once."""
        self._note_peak()
        self._process_now().kill()
        self._process_now().wait()

    def stop(self) -> None:
        """Ask it to end; it must do so with nothing red.

        Raises:
            AssertionError: It says that something is wrong.
        """
        wait_until(self._is_running, f"hop {self._number} is running")
        self._note_peak()
        self._process_now().send_signal(signal.SIGTERM)
        code = self._process_now().wait(60)
        assert code == 0, f"hop {self._number} ended with {code}:\n{self.log_tail()}"

    def _is_running(self) -> bool:
        self.check()
        return b"is running" in self._log.read_bytes()[self._log_start :]

    def is_idle(self) -> bool:
        """Say whether it runs, and has nothing in hand."""
        return self._is_running() and total(self._port, "gateway_lab_in_flight_messages") == 0

    def check(self) -> None:
        """See that it has not ended by itself.

        Raises:
            AssertionError: It has.
        """
        code = self._process_now().poll()
        assert code is None, f"hop {self._number} ended with {code}:\n{self.log_tail()}"

    def _note_peak(self) -> None:
        status = Path(f"/proc/{self._process_now().pid}/status")
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
        self.peak_mb = max(self.peak_mb, int(found[1]) // 1024 if found else 0)

    def log_tail(self) -> str:
        """Return what it logged last."""
        return self._log.read_text()[-2_000:]

    def end(self) -> None:
        """Leave nothing behind."""
        if self._process is not None:
            self.kill()

    def _process_now(self) -> subprocess.Popen[bytes]:
        assert self._process is not None
        return self._process


@dataclass(slots=True)
class Outcome:
    """What a run of the ring was.

    Attributes:
        seconds: From the first message to the last.
        peak_mb: The most memory that a gateway had.
    """

    verdict: Verdict
    seconds: float
    peak_mb: int
    faults: list[Fault] = field(default_factory=list)


class Ring:
    """Four gateways, and the ledger of what goes round.

    Args:
        folder: For configs and logs.
        servers: One of each protocol, running.
        script: What is published.
        lead: How many messages may be under way: so all hops are busy at once.
        told: Given a line now and then.
    """

    def __init__(
        self,
        folder: Path,
        servers: Mapping[str, Server],
        script: Script,
        *,
        lead: int,
        told: Callable[[str], object] = len,
    ) -> None:
        self._servers, self._script, self._lead, self._told = servers, script, lead, told
        self._name = f"ring-{os.getpid()}-{script.seed}"
        self._ledger = Ledger(script, {PLAIN: {OUT: ""}})
        self._clients = {protocol: Blocking(server) for protocol, server in servers.items()}
        self._kafka = self._clients["kafka"]
        began = time.time()
        for number, protocol in enumerate(PROTOCOLS):
            self._clients[protocol].create([f"{self._name}.{number}"])
        self._kafka.create([f"{self._name}.letters"])
        self._election = began, time.time()
        folder.mkdir(parents=True, exist_ok=True)
        self._hops = [Hop(number, folder, self._name, servers) for number in range(1, 5)]
        self._published = 0

    def run(self, faults: Sequence[Fault]) -> Outcome:
        """Send everything round, with faults, and judge."""
        began = time.monotonic()
        try:
            for hop in self._hops:
                hop.start()
            self._go_round(list(faults))
            for number, hop in enumerate(self._hops, 1):
                self._finish(number, hop)
            seconds = time.monotonic() - began
            peak = max(hop.peak_mb for hop in self._hops)
        finally:
            for hop in self._hops:
                hop.end()
        return Outcome(self._judge(faults), seconds, peak, list(faults))

    def _go_round(self, faults: list[Fault]) -> None:
        """Publish, and do what is due, until everything has been published and done."""
        last_moved, last = time.monotonic(), -1
        while self._published < self._script.count or faults:
            arrived = self._arrived()
            if arrived != last:
                last_moved, last = time.monotonic(), arrived
            elif time.monotonic() - last_moved > STALLED_S:
                raise TimeoutError(f"nothing arrives any more: {arrived} of {self._published}")
            if faults and arrived >= faults[0].at * self._script.count:
                self._do(faults.pop(0), arrived)
            self._publish(arrived)
            for hop in self._hops:
                hop.check()
            time.sleep(0.05)

    def _publish(self, arrived: int) -> None:
        end = min(self._script.count, arrived + self._lead)
        if end >= self._published + CHUNK or end == self._script.count:
            records = self._script.records(self._published, end)
            self._ledger.acknowledge(self._kafka.publish(f"{self._name}.0", records))
            self._published = end

    def _arrived(self) -> int:
        return self._kafka.size(f"{self._name}.4")

    def _do(self, fault: Fault, arrived: int) -> None:
        """Do it to its process, and bring the process back."""
        hop = self._hops[fault.hop - 1]
        broker = self._servers[hop.source]
        whom = f"hop {fault.hop}" if "gateway" in fault.what else hop.source
        self._told(f"{fault.what} {whom} ({arrived:,} of {self._script.count:,} have arrived)")
        match fault.what:
            case "kill gateway":
                hop.kill()
                hop.start()
            case "kill broker":
                self._keep_terms(broker)
                broker.kill()
                killed = time.time()
                broker.start()
                self._election = killed, time.time()
            case _:
                broker.pause()
                time.sleep(PAUSE_S)
                broker.resume()

    def _keep_terms(self, broker: Server) -> None:
        """Let RabbitMQ keep who leads its quorum queues before it is killed.

        Its table of terms writes what is new within three seconds. Killed before (seen with
        3.10.8), the queue has no leader ever after, and no client can help.
        """
        began, ended = self._election
        files = partial(broker.folder.glob, "data/**/quorum/**/meta.dets")

        def is_kept() -> bool:
            is_late = time.time() > ended + WRITTEN_S
            return is_late and any(each.stat().st_mtime > began for each in files())

        if broker.protocol == "rabbitmq":
            wait_until(is_kept, "RabbitMQ has kept the terms of its queues")

    def _finish(self, number: int, hop: Hop) -> None:
        """Stop a hop that has read everything; what it gives back it reads when started again.

        Those before it have been stopped, so nothing more comes.
        """
        channel, client = f"{self._name}.{number - 1}", self._clients[hop.source]
        what = f"hop {number} has read everything"
        for _ in range(TRIES):
            wait_until(partial(self._is_done, number, hop), what, limit_s=STALLED_S)
            hop.stop()
            wait_until(lambda: not client.is_held(channel), f"nobody reads {channel}")
            if self._lag_of(number, hop) == 0:
                return
            hop.start()
        raise TimeoutError(f"waited for this: {what}")

    def _is_done(self, number: int, hop: Hop) -> bool:
        """Say so once nothing is left, and nothing in hand: RabbitMQ does not count that as left.

        It has to stay so for a while: messages may be on their way to a hop that has just begun.
        """
        hop.check()
        end = time.monotonic() + QUIET_S
        while self._lag_of(number, hop) == 0 and hop.is_idle():
            if time.monotonic() > end:
                return True
            time.sleep(0.05)
        return False

    def _lag_of(self, number: int, hop: Hop) -> int:
        return self._clients[hop.source].lag(f"{self._name}.{number - 1}", self._name)

    def _judge(self, faults: Sequence[Fault]) -> Verdict:
        self._ledger.arrive(OUT, map(_without_vias, self._kafka.drain(f"{self._name}.4")))
        self._ledger.arrive(LETTERS, self._kafka.drain(f"{self._name}.letters"))
        lags = {f"hop {n}": self._lag_of(n, hop) for n, hop in enumerate(self._hops, 1)}
        return self._ledger.judge(_bounds(faults), lag=lags)


def _without_vias(record: Record) -> Record:
    """Take out what each hop has added: its name, and the message's id."""
    own = tuple(each for each in record.headers if not each[0].startswith("via-"))
    said = [value for name, value in sorted(record.headers) if name.startswith("via-")]
    number = dict(own).get("ledger-number", b"")
    is_whole_way = said == [b"%010d" % int(number or b"0")] * 4
    return replace(record, headers=own if is_whole_way else record.headers)


def _bounds(faults: Sequence[Fault]) -> Bounds:
    """Allow a window and a second for each fault; nothing where there was none.

    Order is promised up to the first time that RabbitMQ, NATS or Redis hands out a message again.
    """
    again = len(faults) * (MAX_MESSAGES + A_SECOND)
    return Bounds(duplicates=again, keeps_order=not faults, one_id=False)
