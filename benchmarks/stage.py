"""The stage of the live benchmarks: real brokers, business messages, and one job for a process.

Addresses are taken from GATEWAY_BROKER_<PROTOCOL>_URL where they are set; other servers are started
and stopped here. Channels have a prefix of their own, and are left to servers of others.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from benchmarks.table import business_capture
from gateway_lab.brokers.contract import Outgoing, Place
from gateway_lab.brokers.kafka.settings import read_settings, writing
from gateway_lab.brokers.registry import connect
from gateway_lab.brokers.variables import address_variable
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.rows import message_of
from gateway_lab.config.canonical import canonical_json
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config, read_config
from gateway_lab.messages.message import Message
from gateway_lab.routing.route import compile_source
from gateway_lab.testing.servers import SERVERS

CONFIG = "data/business.yaml"
SOURCE, ROUTER, PARTITIONS = "business", "by_priority", 4
FILL = 1_000


class Job(msgspec.Struct):
    """What a process is to do.

    Attributes:
        who: `gateway`, `bare` or `faststream`.
        source: The protocol that is read, `target` the one that is written.
        urls: Alias (`source`, `target`) to address.
        config: What the gateway runs, as JSON.
        channel: What is read; `channels` what the messages in turn are written to: the others
            write as many messages to each as the gateway does, and need not decide.
        count: When it is done; 0: never.
        a_second: How many messages a feeder publishes; 0: as many as are settled.
    """

    who: str
    source: str
    target: str
    urls: dict[str, str]
    config: str
    channel: str
    channels: list[str]
    count: int
    a_second: int = 0

    @property
    def environ(self) -> dict[str, str]:
        """The addresses, as a gateway looks them up."""
        return {address_variable(alias): url for alias, url in self.urls.items()}


class Done(msgspec.Struct):
    """What it took, from the first message on."""

    seconds: float
    cpu_s: float

    def __str__(self) -> str:
        return msgspec.json.encode(self).decode()


@contextmanager
def addresses(*protocols: str) -> Iterator[dict[str, str]]:
    """Yield the address of a server of each protocol."""
    with tempfile.TemporaryDirectory() as folder:
        started = []
        urls = {}
        try:
            for each in dict.fromkeys(protocols):
                urls[each] = os.environ.get(address_variable(each), "")
                if not urls[each]:
                    server = SERVERS[each](Path(folder) / each)
                    started.append(server)
                    server.start()
                    urls[each] = server.url
            yield urls
        finally:
            for server in started:
                server.stop()


def business_messages(count: int) -> list[Message]:
    """Return messages of the business capture."""
    capture = scan_capture(business_capture(count))
    return [message_of(row) for rows in capture.batches() for row in rows.iter_rows(named=True)]


class Stage:
    """A pair of brokers with every channel, and the source's filled.

    Attributes:
        job: What the gateway is to do.
    """

    def __init__(
        self,
        source: str,
        target: str,
        urls: dict[str, str],
        messages: Sequence[Message],
        *,
        is_filled: bool = True,
    ) -> None:
        self._messages = messages
        prefix = f"bench-{uuid.uuid4().hex[:8]}"
        channel = f"{prefix}.source"
        config = _re_homed(prefix, channel, source, target)
        self.job = Job(
            who="gateway",
            source=source,
            target=target,
            urls={"source": urls[source], "target": urls[target]},
            config=canonical_json(config).decode(),
            channel=channel,
            channels=_channels(config, messages),
            count=len(messages),
        )
        self._create()
        if is_filled and source == "kafka":  # every reader begins anew, as a group of its own
            self._fill_kafka()

    def _create(self) -> None:
        job = self.job
        if job.source == "kafka":
            admin = AdminClient(read_settings("source", job.urls["source"]))
            [made] = admin.create_topics([NewTopic(job.channel, PARTITIONS, 1)]).values()
            made.result()
        else:
            asyncio.run(self._create_on("source", [job.channel]))
        asyncio.run(self._create_on("target", sorted(set(job.channels))))

    async def _create_on(self, alias: str, channels: list[str]) -> None:
        broker = connect(alias, getattr(self.job, alias), self.job.environ)
        await broker.open()
        await broker.create([Place(each) for each in channels])
        await broker.close()

    def _fill_kafka(self) -> None:
        address = read_settings("source", self.job.urls["source"])
        producer = Producer({**writing(address, print), "queue.buffering.max.messages": 0})
        for each in self._messages:
            producer.produce(self.job.channel, each.body, each.key, headers=list(each.headers))
        assert not producer.flush()

    async def _fill(self) -> None:
        broker = connect("source", self.job.source, self.job.environ)
        await broker.open()
        for start in range(0, len(self._messages), FILL):
            batch = [
                Outgoing(self.job.channel, m.key, m.headers, m.body or b"", m.timestamp, f"{n}")
                for n, m in enumerate(self._messages[start : start + FILL], start)
            ]
            assert not any(await broker.sink().send(batch))
        await broker.close()

    def run(self, who: str, count: int = 0) -> Done:
        """Have a process of its own do the job, and say what it took."""
        job = begun_anew(self.job)
        job.who, job.count = who, count or job.count
        if job.source != "kafka":
            asyncio.run(self._fill())
        with start(job) as process:
            out, _ = process.communicate()
        assert process.returncode == 0, who
        return msgspec.json.decode(out.splitlines()[-1], type=Done)


def begun_anew(job: Job) -> Job:
    """Return the job under another name, which names the group: it reads everything."""
    document = json.loads(job.config)
    document["name"] = f"bench-{uuid.uuid4().hex[:8]}"
    return msgspec.structs.replace(job, config=json.dumps(document))


def start(job: Job) -> subprocess.Popen[str]:
    """Start a process that does a job; it prints what it took."""
    with tempfile.NamedTemporaryFile("wb", prefix="job-", suffix=".json", delete=False) as file:
        file.write(msgspec.json.encode(job))
    command = [sys.executable, "-m", "benchmarks.forwarder", file.name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)  # noqa: S603 - this folder


@contextmanager
def running(job: Job, who: str, a_second: int = 0) -> Iterator[subprocess.Popen[str]]:
    """Have a process do a job for ever, until left."""
    process = start(msgspec.structs.replace(job, who=who, count=0, a_second=a_second))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _re_homed(prefix: str, channel: str, source: str, target: str) -> GatewayConfig:
    """Return the first router of the business config, with one broker to write to."""
    document = json.loads(canonical_json(read_config(CONFIG)))
    document["brokers"] = {"source": source, "target": target}
    document["sources"][SOURCE].update(broker="source", channel=channel)
    routers = {ROUTER: document["routers"][ROUTER]}
    named = {name for route in routers[ROUTER]["routes"] for name in route["to"]}
    named |= set(routers[ROUTER]["unmatched"])
    document["routers"] = routers
    document["targets"] = {
        name: {**each, "broker": "target", "channel": f"{prefix}.{each['channel']}"}
        for name, each in document["targets"].items()
        if name in named
    }
    document["dead_letter"] = {"broker": "target", "channel": f"{prefix}.dead-letter"}
    return parse_config(json.dumps(document))


def _channels(config: GatewayConfig, messages: Sequence[Message]) -> list[str]:
    plan = compile_plan(config).plan
    assert plan is not None
    route = compile_source(plan, SOURCE).route
    deliveries = [each for message in messages for each in route(message).deliveries]
    return [each.channel or "" for each in deliveries]
