"""Live equals offline on real servers: each protocol to each, the shipped config, an exported one.

`GATEWAY_LAB_PAIR_MESSAGES=100000` is the long tier; `GATEWAY_LAB_RESULTS` names a file that gets
a line of JSON a pair.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from itertools import count, cycle
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec
import polars as pl
import pytest

from gateway_lab.captures.read import scan_capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config, read_config
from gateway_lab.messages.message import Message
from gateway_lab.protocols.protocol import is_plain
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.testing.servers import SERVERS
from tests.live.clients import Fresh
from tests.live.equal import NUMBER, Stage, agrees, captured, numbered, until
from tests.live.process import Process

pytestmark = [pytest.mark.broker, pytest.mark.anyio, pytest.mark.timeout(900)]

DATA = Path(__file__).parents[2] / "data"
NOTEBOOKS = DATA.parent / "notebooks"
N = int(os.environ.get("GATEWAY_LAB_PAIR_MESSAGES", "2000"))
RUNS = count()

PAIR = """
gateway_lab: 1
name: pair
brokers: {near: %(source)s, far: %(target)s}
events:
  BusinessEvent:
    type: object
    required: [event_type, priority, payload, tenant_id]
    properties:
      event_type: {type: string}
      priority: {enum: [low, medium, high, critical]}
      payload:
        type: object
        properties: {id: {type: string}, amount: {type: number}, pad: {type: string}}
      tenant_id: {type: string, pattern: "^[a-z0-9-]{1,32}$"}
sources:
  business: {broker: near, channel: "%(name)s.in", event: BusinessEvent}
targets:
  critical:
    broker: far
    channel: "%(name)s.critical.{event_type}"
    key: "{tenant_id}"
    headers: {tenant: "{tenant_id}", was: "{message.headers['x-request-id']}"}
  high: {broker: far, channel: "%(name)s.high", pass_headers: [number, traceparent]}
  medium:
    broker: far
    channel: "%(name)s.medium"
    headers: {content-type: application/json}
    body: {what: "{event_type}", of: {tenant: "{tenant_id}", amount: "{payload.amount}"}}
  low: {broker: far, channel: "%(name)s.low"}
  audit: {broker: far, channel: "%(name)s.audit", pass_headers: none, headers: {number: "{message.headers['number']}"}}
routers:
  by_priority:
    source: business
    match: first
    routes:
      - {name: waste, when: "event_type = 'cart_updated' and priority = 'low'", to: [drop]}
      - {name: parked, when: "payload.amount < 40", to: [dead_letter]}
      - {name: critical, when: "priority = 'critical' or payload.amount > 5000", to: [critical]}
      - {name: high, when: "priority = 'high'", to: [high, low]}
      - {name: medium, when: "priority = 'medium'", to: [medium]}
    unmatched: [low]
  by_tenant:
    source: business
    match: all
    routes: [{name: tenant, when: "tenant_id = 'acme'", to: [audit]}, {name: all, to: [low]}]
    unmatched: drop
dead_letter: {broker: far, channel: "%(name)s.dead.{message.source}"}
"""


def traffic(n: int, protocol: str, channel: str) -> Iterator[Message]:
    """Give captured messages, every tenth made awkward, as far as a protocol carries them."""
    messages = cycle(captured(scan_capture(DATA / "business.parquet").head(max(n, 1))))
    oddities = cycle(ODDITIES)
    for number, message in zip(range(n), messages, strict=False):
        changes = next(oddities) if number % 10 == 5 else {}
        own = {"broker": "near", "protocol": protocol, "channel": channel}
        changed = msgspec.structs.replace(message, **changes, **own)
        yield publishable(changed, protocol, number)


def event(event_type: str = "order_created", **fields: Any) -> bytes:
    order = {"event_type": event_type, "priority": "critical", "tenant_id": "acme", "payload": {}}
    return msgspec.json.encode(order | fields)


ODDITIES: Sequence[dict[str, Any]] = [
    {"key": b"\x00\xff binary"},
    {"key": b""},
    {"key": None, "timestamp": None},
    {"key": "schlüssel".encode()},
    {"headers": (("h", b"1"), ("h", b"2"), ("H", b"3"))},
    {"headers": (("binary", b"\x00\xfe\xff"),)},
    {"headers": (("text", "grün ✓".encode()), ("empty", b""))},
    {"headers": (("blanks", b" at ends "),)},
    {"headers": (("a/b", b"no token of HTTP"),)},
    {"headers": (("body", b"the name of a field"),)},
    {"headers": (("CC", b"other"), ("Nats-Rollup", b"all"), ("__connect.errors.topic", b"t"))},
    {"headers": (("x-gw-id", b"forged"), ("x-gw-route", b"forged"), ("X-GW-Dlq-Reason", b"f"))},
    {"headers": tuple((f"h{number}", b"v" * 100) for number in range(50))},
    {"body": b"\xff\xfe not text"},
    {"body": b""},
    {"body": b"null"},
    {"body": None, "key": b"tombstone"},
    {"body": event(priority="urgent")},
    {"body": event("unsafe.in.a.channel")},
    {"body": event("*")},
    {"body": event("ünsafe\r\nx-evil: 1")},
    {"body": event(payload={"pad": "x" * 100_000})},
    {"body": event(priority="high") + b" \n\t"},
    {"body": b'{"event_type":"a","event_type":"b","priority":"low","payload":{},"tenant_id":"t"}'},
]


def publishable(message: Message, protocol: str, number: int) -> Message:
    """Leave away what a client of a protocol could not publish, and number it."""
    known = PROTOCOLS[protocol]
    headers = [
        (name, value)
        for name, value in message.headers
        if not known.check_header(name)
        and (name.lower().startswith("x-gw-") or not known.is_control(name.lower()))
        and (known.carries.binary or is_plain(value))
    ]
    key, body = message.key, message.body
    return msgspec.structs.replace(
        message,
        headers=(*headers, (NUMBER, b"%d" % number)),
        key=key if known.carries.binary or is_plain(key or b"") else None,
        body=body if known.carries.tombstone or protocol == "redis" else body or b"",
    )


def set_up(config: GatewayConfig, request: pytest.FixtureRequest, folder: Path) -> Stage:
    """Put a config on real servers; one starts when its protocol is first asked for."""
    urls = {
        alias: request.getfixturevalue(f"{protocol}_server").url
        for alias, protocol in config.brokers.items()
    }
    clients = {alias: Fresh(protocol, urls[alias]) for alias, protocol in config.brokers.items()}
    return Stage(config, urls, clients, folder)


@pytest.mark.parametrize("target", SERVERS)
@pytest.mark.parametrize("source", SERVERS)
async def test_what_arrives_is_what_the_replay_of_the_tap_says(
    request: pytest.FixtureRequest, source: str, target: str, tmp_path: Path
) -> None:
    name = f"pair-{source}-{target}-{next(RUNS)}"
    config = parse_config(PAIR % {"source": source, "target": target, "name": name})
    stage = set_up(config, request, tmp_path)
    await stage.prepare(list(traffic(N, source, f"{name}.in")))
    began = monotonic()
    await stage.run(N)
    seconds = monotonic() - began
    told = await stage.compare()
    assert stage.stats is not None
    agrees(stage.stats, told)
    write_result(pair=f"{source} to {target}", messages=N, seconds=round(seconds, 1))


def write_result(**result: object) -> None:
    if path := os.environ.get("GATEWAY_LAB_RESULTS"):
        with Path(path).open("a") as results:
            results.write(json.dumps(result) + "\n")


def business() -> list[Message]:
    return numbered(captured(scan_capture(DATA / "business.parquet").head(2_000)))


async def test_the_shipped_config_does_on_four_servers_what_its_replay_says(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    messages = business()
    stage = set_up(read_config(DATA / "business.yaml"), request, tmp_path)
    await stage.prepare(messages)
    await stage.run(len(messages))
    told = await stage.compare()
    assert stage.stats is not None
    agrees(stage.stats, told)
    await stage.clear()


async def test_what_a_notebook_exported_runs_unchanged(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exported = run_notebook("04_diff_and_release", monkeypatch)["folder"] / "routes.prod.yaml"
    messages = business()
    stage = set_up(read_config(exported), request, tmp_path)
    await stage.prepare(messages)
    group = f"{stage.config.name}.business"
    async with Process(exported, stage.environ, "--record", str(stage.tapped)) as process:
        await until(lambda: stage.left("stream", group, "business-events"), 0, process)
        assert await process.stop() == 0
    await stage.compare()
    [books] = [each for each in process.told() if each["message"] == "books of business"][-1:]
    assert (books["state"], books["settled"], books["pending"]) == ("stopped", len(messages), 0)
    await stage.clear()


def run_notebook(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Run the cells of a notebook and return its names."""
    cells = json.loads((NOTEBOOKS / f"{name}.ipynb").read_text())["cells"]
    names: dict[str, Any] = {}
    monkeypatch.chdir(NOTEBOOKS)
    with pl.Config():
        for cell in cells:
            tags = cell["metadata"].get("tags", ())
            if cell["cell_type"] == "code" and "raises-exception" not in tags:
                exec("".join(cell["source"]), names)  # noqa: S102 - it is ours
    return names
