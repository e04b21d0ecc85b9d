"""Live equals offline behind handlers: whatever a handler does, a replay of the tap says the same."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import msgspec
from faststream import BaseMiddleware, Header
from faststream.exceptions import AckMessage, NackMessage, RejectMessage
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.gateway.counters import Stats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.message import Message
from gateway_lab.offline.summary import Replay
from gateway_lab.rules.fill import EPOCH
from tests.gateway.test_equal import MemoryClient
from tests.live.clients import Client
from tests.live.equal import Stage, balances, numbered

CONFIG = parse_config(
    """
gateway_lab: 1
name: handled
brokers: {near: memory, far: memory}
events:
  Ask: {type: object, required: [n], properties: {n: {type: integer}, more: {type: string}}}
  Wish: {type: object, required: [wish], properties: {wish: {type: integer}}}
  User: {type: object, required: [id], properties: {id: {type: integer}, name: {type: string}}}
sources:
  asks:
    broker: near
    channel: asks
    event: {by: "message.headers['kind']", types: {ask: Ask, wish: Wish}, otherwise: invalid}
    handler: {returns: User}
  drops: {broker: near, channel: drops, event: Ask, handler: {returns: User}, on_invalid: drop}
  plain: {broker: near, channel: plain, event: Ask}
targets:
  small: {broker: far, channel: small, key: "{name}", headers: {id: "{id}"}}
  big: {broker: far, channel: "big.{name}"}
  told: {broker: near, channel: told, body: {told: "{id}"}}
  kept: {broker: far, channel: kept}
routers:
  by_size:
    source: [asks, drops]
    match: first
    routes: [{name: big, when: id > 5, to: [big]}, {name: lost, when: id = 5, to: [dead_letter]}]
    unmatched: [small]
  told:
    source: [asks, drops]
    match: all
    routes: [{name: never, when: id < -9, to: [told]}]
    unmatched: drop
  kept: {source: plain, match: all, routes: [{name: all, to: [kept]}], unmatched: drop}
retry: {attempts: 3, initial: 1ms, max: 1ms}
dead_letter: {broker: far, channel: "dead.{message.source}"}
"""
)
RUNS = count()


class User(BaseModel):
    id: int
    name: str = "ann"


class Stamp(BaseMiddleware):
    """Stamps, ends and refuses by what it sees."""

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        if b"ended" in msg.body:
            return None
        return await call_next(msg)

    async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
        cmd.headers["x-stamp"] = f"to {cmd.destination}"
        if b'"id":7' in cmd.body:
            raise ValueError("seven has no stamp")
        return await call_next(cmd)


TRIES = st.lists(
    st.sampled_from(
        ["model", "dict", "bytes", "none", "ack", "nack", "reject", "raise", "wrong", "set"]
    ).flatmap(lambda end: st.tuples(st.just(end), st.integers(0, 2))),
    min_size=1,
    max_size=3,
)
"""How each try of a message ends, and how often it sends before; the last is that of all further."""

NUMBERS = st.sampled_from([0, 1, 4, 5, 6, 7])
EVENTS = st.one_of(
    st.builds(lambda n: ("ask", {"n": n}), NUMBERS),
    st.builds(lambda n: ("wish", {"wish": n}), NUMBERS),
    st.builds(lambda n: ("ask", {"n": n, "more": "ended"}), NUMBERS),
    st.sampled_from([("ask", {"n": "x"}), ("wish", {}), ("other", {"n": 1}), ("ask", None)]),
)
"""What a header says of an event, and the event."""

MESSAGES = st.lists(
    st.tuples(
        st.sampled_from(["asks", "asks", "drops", "plain"]),
        EVENTS,
        st.sampled_from([None, b"a", b"b"]),
        TRIES,
    ),
    min_size=10,
    max_size=30,
)


def gateway_of(
    ends: Mapping[str, Sequence[tuple[str, int]]], *, is_stamped: bool, is_sync: bool
) -> Any:
    """Return what makes gateways whose handlers end each try as they are told."""

    def make(config: GatewayConfig, **options: Any) -> Gateway:
        gateway = Gateway(config, middlewares=[Stamp] if is_stamped else [], **options)
        tries: Counter[str] = Counter()

        def ended(number: str, event: Mapping[str, int]) -> Any:
            """End a try: return, or raise."""
            end, _ = ends[number][min(tries[number], len(ends[number])) - 1]
            id_ = event.get("n", event.get("wish", 0))
            raised = {
                "ack": AckMessage(),
                "nack": NackMessage(delay=0.001),
                "reject": RejectMessage(),
                "raise": ValueError(f"{number} has no luck"),
            }
            if end in raised:
                raise raised[end]
            returned: dict[str, object] = {
                "model": User(id=id_),
                "dict": {"id": id_},
                "bytes": msgspec.json.encode({"id": id_, "name": "bob"}),
                "none": None,
                "wrong": {"id": "one"},
                "set": {1, 2},
            }
            return returned[end]

        async def handle(event: dict[str, int], number: Annotated[str, Header("number")]) -> Any:
            tries[number] += 1
            for each in range(ends[number][min(tries[number], len(ends[number])) - 1][1]):
                await gateway.send("told", {"id": each})
            return ended(number, event)

        def handle_plainly(event: dict[str, int], number: Annotated[str, Header("number")]) -> Any:
            tries[number] += 1
            return ended(number, event)

        gateway.handler("asks")(handle)
        gateway.handler("drops")(handle_plainly if is_sync else handle)
        return gateway

    return make


async def ran(messages: Sequence[Message], make: Callable[..., Gateway]) -> Replay:
    """Run a gateway, and hold what arrived, and its books, to the replay of what it read."""
    run = next(RUNS)
    urls = {alias: f"memory://handled-{run}-{alias}" for alias in CONFIG.brokers}
    clients: dict[str, Client] = {alias: MemoryClient(url) for alias, url in urls.items()}
    with TemporaryDirectory() as folder:
        stage = Stage(CONFIG, urls, clients, Path(folder), make)
        await clients["near"].create(["asks", "drops", "plain", "told"])
        letters = (f"dead.{name}" for name in CONFIG.sources)
        await clients["far"].create(["small", "kept", *letters])
        await stage.prepare(messages)
        await stage.run(len(messages))
        told = await stage.compare()
        assert stage.stats is not None
        assert balances(stage.stats)
        assert results(stage.stats) == Counter(
            {
                (name, result): number
                for name, *numbers in told.routers().select("router", *RESULTS).rows()
                for result, number in zip(RESULTS, numbers, strict=True)
            }
        )
        assert flow(stage.stats) == {
            tuple(way): number for *way, number in told.flow().drop("bytes").rows()
        }
        return told


RESULTS = ("matched", "unmatched", "invalid")


def results(stats: Stats) -> Counter[tuple[str, str]]:
    """Return the books of the routers over all of their sources."""
    found: Counter[tuple[str, str]] = Counter()
    for each in stats.routers:
        found.update({(each.router, result): getattr(each, result) for result in RESULTS})
    return found


def flow(stats: Stats) -> dict[tuple[str | None, ...], int]:
    """Return the books of all ways, as a replay has them."""
    return {
        (each.source, each.router, each.route, each.target, outcome): number
        for each in stats.ways
        for outcome in ("delivered", "dropped", "dead_lettered")
        if (number := getattr(each, outcome))
    }


@settings(max_examples=15, deadline=None)
@given(sent=MESSAGES, is_stamped=st.booleans(), is_sync=st.booleans())
def test_what_arrives_behind_handlers_is_what_the_replay_says(
    sent: Sequence[tuple[str, tuple[str, Any], bytes | None, Any]],
    *,
    is_stamped: bool,
    is_sync: bool,
) -> None:
    messages = numbered(
        [
            Message(
                body=None if event is None else msgspec.json.encode(event),
                key=key,
                headers=(("kind", kind.encode()),),
                received=EPOCH,
                broker="near",
                protocol="memory",
                channel=channel,
            )
            for channel, (kind, event), key, _ in sent
        ]
    )
    ends = {str(number): each[-1] for number, each in enumerate(sent)}
    asyncio.run(ran(messages, gateway_of(ends, is_stamped=is_stamped, is_sync=is_sync)))
