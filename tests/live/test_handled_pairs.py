"""Live equals offline behind handlers, on real servers: from Kafka, and from NATS, to two others."""

from __future__ import annotations

from collections import Counter
from itertools import count
from pathlib import Path
from typing import Annotated, Any

import pytest
from faststream import BaseMiddleware, Header
from faststream.exceptions import NackMessage, RejectMessage

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.gateway import Gateway
from tests.live.clients import Fresh
from tests.live.equal import Stage, agrees
from tests.live.test_pairs import traffic

pytestmark = [pytest.mark.broker, pytest.mark.anyio, pytest.mark.timeout(300)]

N = 600
RUNS = count()

CONFIG = """
gateway_lab: 1
name: handled-pair
brokers: {near: %(source)s, work: rabbitmq, cache: redis}
events:
  Asked:
    type: object
    required: [event_type, priority, payload, tenant_id]
    properties:
      event_type: {type: string}
      priority: {enum: [low, medium, high, critical]}
      payload: {type: object, properties: {amount: {type: number}}}
      tenant_id: {type: string, pattern: "^[a-z0-9-]{1,32}$"}
  Rated:
    type: object
    required: [tenant_id, score]
    properties: {tenant_id: {type: string}, score: {type: integer}, why: {type: string}}
sources:
  asked: {broker: near, channel: "%(name)s.in", event: Asked, handler: {returns: Rated}}
targets:
  high: {broker: work, channel: "%(name)s.high", key: "{tenant_id}", headers: {score: "{score}"}}
  low: {broker: cache, channel: "%(name)s.low", body: {tenant: "{tenant_id}", score: "{score}"}}
  audit: {broker: near, channel: "%(name)s.audit"}
routers:
  by_score:
    source: asked
    match: first
    routes:
      - {name: none, when: score = 0, to: [dead_letter]}
      - {name: high, when: score > 2, to: [high, audit]}
    unmatched: [low]
retry: {attempts: 2, initial: 1ms, max: 1ms}
dead_letter: {broker: work, channel: "%(name)s.dead"}
"""

SCORES = {"low": 0, "medium": 1, "high": 3, "critical": 4}


class Stamp(BaseMiddleware):
    """Says of each delivery where it goes."""

    async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
        cmd.headers["stamped"] = cmd.destination
        return await call_next(cmd)


def make(config: GatewayConfig, **options: Any) -> Gateway:
    """Make a gateway whose handler ends messages in every way there is, by their number."""
    gateway = Gateway(config, middlewares=[Stamp], **options)
    tries: Counter[str] = Counter()

    @gateway.handler("asked")
    async def rate(event: dict[str, Any], number: Annotated[str, Header("number")]) -> Any:
        tries[number] += 1
        match int(number) % 20:
            case 3:
                return None
            case 7:
                raise RejectMessage
            case 11 if tries[number] == 1:
                raise ValueError("once more")
            case 13:
                raise NackMessage(delay=0)
            case 17:
                return {"tenant_id": event["tenant_id"]}
            case 19:
                await gateway.send("audit", {"tenant_id": event["tenant_id"], "score": 9})
        return {"tenant_id": event["tenant_id"], "score": SCORES[event["priority"]]}

    return gateway


@pytest.mark.parametrize("source", ["kafka", "nats"])
async def test_what_arrives_behind_a_handler_is_what_the_replay_of_the_tap_says(
    request: pytest.FixtureRequest, source: str, tmp_path: Path
) -> None:
    name = f"handled-{source}-{next(RUNS)}"
    config = parse_config(CONFIG % {"source": source, "name": name})
    urls = {
        alias: request.getfixturevalue(f"{protocol}_server").url
        for alias, protocol in config.brokers.items()
    }
    clients = {alias: Fresh(protocol, urls[alias]) for alias, protocol in config.brokers.items()}
    stage = Stage(config, urls, clients, tmp_path, make)
    await stage.prepare(list(traffic(N, source, f"{name}.in")))
    await stage.run(N)
    told = await stage.compare()
    assert stage.stats is not None
    agrees(stage.stats, told)
    [book] = told.books().handled
    assert min(book.routed, book.ended, book.dead_lettered, book.invalid) > 0
    await stage.clear()
