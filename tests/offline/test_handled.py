from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import polars as pl
import pytest
from faststream import BaseMiddleware, Depends
from faststream.exceptions import AckMessage, NackMessage, RejectMessage
from pydantic import BaseModel

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.write import write_part
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config
from gateway_lab.errors import ConfigError, ReplayError
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.gateway.handlers import rehearsal
from gateway_lab.gateway.handlers.pool import HandlerPool
from gateway_lab.offline import parts, rehearse
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from tests.offline.conftest import MakeCapture, message

CONFIG = """
gateway_lab: 1
name: users
brokers: {stream: kafka, work: rabbitmq}
events:
  Wish: {type: object, required: [n], properties: {n: {type: integer}, kind: {type: string}}}
  User: {type: object, required: [id], properties: {id: {type: integer}, big: {type: boolean}}}
sources:
  wishes: {broker: stream, channel: wishes, event: Wish, handler: {returns: User}}
  plain: {broker: stream, channel: plain, event: Wish}
targets:
  big: {broker: work, channel: "big.{id}", key: "{id}"}
  all: {broker: stream, channel: all}
  audit: {broker: stream, channel: audit, body: {id: "{id}"}}
  kept: {broker: stream, channel: kept}
routers:
  by_size:
    source: wishes
    match: first
    routes: [{name: big, when: big, to: [big]}]
    unmatched: [all]
  audit: {source: wishes, match: all, routes: [{name: never, when: "id < 0", to: [audit]}], unmatched: drop}
  as_it_is: {source: plain, match: all, routes: [{name: all, to: [kept]}], unmatched: drop}
retry: {attempts: 3, initial: 1h, max: 1h}
dead_letter: {broker: work, channel: "dead.{message.source}"}
"""


class Wish(BaseModel):
    n: int
    kind: str = ""


@pytest.fixture
def config() -> GatewayConfig:
    return parse_config(CONFIG)


def wish(n: int, kind: str = "", **columns: Any) -> dict[str, Any]:
    return message({"n": n, "kind": kind}, channel="wishes", **columns)


def user(wish: Wish) -> dict[str, Any]:
    return {"id": wish.n, "big": wish.n > 10}


def rows(result: Replay, *names: str) -> list[tuple[Any, ...]]:
    return result.deliveries(rendered=True).collect().select(names).rows()


def books_of(result: Replay) -> tuple[int, int, int, int, int]:
    (book,) = result.books().handled
    return book.routed, book.ended, book.dead_lettered, book.invalid, book.tries


def test_what_a_handler_returns_goes_to_the_routers(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)

    @gateway.handler("wishes")
    async def create(wish: Wish) -> dict[str, Any]:
        return user(wish)

    result = replay(config, capture_of(wish(1), wish(20)), handlers=gateway)
    found = result.deliveries(rendered=True).filter(outcome="delivered").collect()
    assert found.select("seq", "route", "target", "channel", "key", "body").rows() == [
        (0, None, "all", "all", None, b'{"id":1,"big":false}'),
        (1, "big", "big", "big.20", b"20", b'{"id":20,"big":true}'),
    ]
    assert books_of(result) == (2, 0, 0, 0, 2)
    assert result.books().not_replayed == {}
    assert "wishes, handled: 2 routed + 0 ended + 0 dead_lettered + 0 invalid = 2" in repr(result)


def test_without_its_function_a_source_is_not_replayed_and_a_hint_says_what_to_pass(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    for handlers in (None, Gateway(config), Gateway(config).handlers):
        result = replay(config, capture_of(wish(1)), handlers=handlers)
        assert result.books().not_replayed == {"wishes": 1}
        assert "handlers=gateway" in repr(result)


def by_kind(tries: list[int]) -> Callable[[Wish], Awaitable[Any]]:
    """Return a handler that ends as the kind of its event says."""
    ends: dict[str, BaseException] = {
        "ack": AckMessage(),
        "nack": NackMessage(delay=3600),
        "reject": RejectMessage(),
        "fails": ValueError("no luck"),
    }
    returned = {"none": None, "wrong": {"id": "one"}, "set": {1, 2}}

    async def create(event: Wish) -> Any:
        tries.append(event.n)
        if event.kind in ends:
            raise ends[event.kind]
        if event.kind == "later" and tries.count(event.n) < 3:
            raise ValueError("not yet")
        return returned.get(event.kind, user(event))

    return create


def test_every_end_of_a_message_is_in_the_books(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    tries: list[int] = []
    gateway = Gateway(config)
    gateway.handler("wishes")(by_kind(tries))
    kinds = ["none", "ack", "nack", "reject", "wrong", "fails", "later", "ok"]
    messages = [wish(n, kind) for n, kind in enumerate(kinds)]
    bad = message({"n": "x"}, channel="wishes")
    result = replay(config, capture_of(*messages, bad), handlers=gateway)  # and waits for no hour
    assert books_of(result) == (2, 2, 4, 1, 1 + 1 + 3 + 1 + 1 + 3 + 3 + 1)
    assert rows(result, "seq", "router", "target", "outcome", "reason")[:6] == [
        (0, None, "drop", "dropped", "handler"),
        (1, None, "drop", "dropped", "handler"),
        (2, None, "dead_letter", "dead_lettered", "create: it asked for another try"),
        (3, None, "dead_letter", "dead_lettered", "create: it rejected the message"),
        (
            *(4, None, "dead_letter", "dead_lettered"),
            "create: it returned no User: id: expected integer, got string",
        ),
        (5, None, "dead_letter", "dead_lettered", "create: ValueError: no luck"),
    ]
    assert rows(result, "seq", "target", "channel", "body")[-1] == (
        *(8, "dead_letter", "dead.wishes"),
        bad["body"],
    )
    books = {each.router: each for each in result.books().routers}
    assert (books["by_size"].messages, books["by_size"].invalid) == (3, 1)
    told = result.handled()
    assert told.filter(fate="dead_lettered")["tries"].sum() == 8
    assert (
        sum(each.deliveries for each in result.books().targets)
        == result.deliveries().collect().height
    )


# --- what handlers send, and middlewares ---


async def _user(wish: Wish) -> dict[str, Any]:
    return user(wish)


def test_what_a_handler_sends_is_delivered_and_a_failed_try_sends_nothing(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)
    tries: list[int] = []

    @gateway.handler("wishes")
    async def create(wish: Wish) -> dict[str, Any] | None:
        await gateway.send("audit", {"id": wish.n})
        await gateway.send("audit", {"id": wish.n + 1})
        tries.append(wish.n)
        if tries == [1]:
            raise ValueError("once")
        return user(wish) if wish.n == 1 else None

    result = replay(config, capture_of(wish(1), wish(2)), handlers=gateway)
    assert rows(result, "seq", "router", "route", "target", "channel", "outcome", "body") == [
        (0, "by_size", None, "all", "all", "delivered", b'{"id":1,"big":false}'),
        (0, "audit", None, "drop", None, "dropped", wish(1)["body"]),
        (0, None, "send", "audit", "audit", "delivered", b'{"id":1}'),
        (0, None, "send-2", "audit", "audit", "delivered", b'{"id":2}'),
        (1, None, "send", "audit", "audit", "delivered", b'{"id":2}'),
        (1, None, "send-2", "audit", "audit", "delivered", b'{"id":3}'),
    ]
    assert books_of(result) == (1, 1, 0, 0, 3)
    channels = result.channels().filter(target="audit")
    assert channels.select("channel", "messages").rows() == [("audit", 4)]
    timed = result.over_time("1h")
    assert timed["deliveries"].sum() == 6
    assert result.flow().filter(pl.col("router").is_null())["deliveries"].sum() == 4
    sent = result.sample(route="send", seed=1)
    assert sorted(sent["body"]) == ['{"n": 1, "kind": ""}', '{"n": 2, "kind": ""}']


class Stamp(BaseMiddleware):
    """Ends what it is told to, and stamps all that is delivered."""

    async def consume_scope(self, call_next: Any, msg: Any) -> Any:
        if b"end" in msg.body:
            return None
        return await call_next(msg)

    async def publish_scope(self, call_next: Any, cmd: Any) -> Any:
        cmd.headers["x-stamp"] = cmd.destination
        if b"fail" in cmd.body:
            raise ValueError("no stamp")
        return await call_next(cmd)


def test_middlewares_run_with_a_handler_and_without(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config, middlewares=[Stamp])
    gateway.handler("wishes")(_user)
    plain = [
        message({"n": n, "kind": kind}, channel="plain")
        for n, kind in enumerate(("a", "end", "fail"))
    ]
    invalid = message({"n": "x"}, channel="plain")
    result = replay(config, capture_of(wish(1), *plain, invalid), handlers=gateway)
    assert rows(result, "seq", "target", "headers", "reason") == [
        (0, "all", [{"name": "x-stamp", "value": b"all"}], None),
        (0, "drop", [], "unmatched"),
        (1, "kept", [{"name": "x-stamp", "value": b"kept"}], None),
        (2, "drop", [], "handler"),
        (3, "dead_letter", [], "plain: ValueError: no stamp"),
        (4, "dead_letter", [], "n: expected integer, got string"),
    ]
    fates = {(row[0], row[1]): row[3] for row in result.handled().rows()}
    assert fates == {
        ("wishes", "returned"): 1,
        ("plain", "passed"): 1,
        ("plain", "ended"): 1,
        ("plain", "dead_lettered"): 1,
        ("plain", "invalid"): 1,
    }


# --- how they run ---


def test_messages_are_handled_once_in_the_order_of_the_capture(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway, seen = Gateway(config), []

    @gateway.handler("wishes")
    def create(wish: Wish) -> dict[str, Any]:
        seen.append((wish.n, threading.current_thread().name.rpartition("-")[0]))
        return user(wish)

    result = replay(config, capture_of(*(wish(n) for n in range(600))), handlers=gateway)
    result.deliveries(rendered=True).collect()
    result.sample(3)
    assert seen == [(n, "gateway-lab-handler") for n in range(600)]


async def _in_a_loop(config: GatewayConfig, capture: Capture, gateway: Gateway) -> Replay:
    return replay(config, capture, handlers=gateway)


@pytest.mark.anyio
async def test_a_notebook_whose_loop_runs_already_can_replay_with_handlers(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)
    gateway.handler("wishes")(_user)
    assert books_of(await _in_a_loop(config, capture_of(wish(1)), gateway)) == (1, 0, 0, 0, 1)


class Store:
    name = "real"


def store() -> Store:
    raise AssertionError("the real store must not be asked for")


def test_dependencies_are_those_that_a_test_puts_in_their_place(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)

    @gateway.handler("wishes")
    async def create(wish: Wish, kept: Annotated[Store, Depends(store)]) -> dict[str, Any]:
        return {"id": wish.n, "big": kept.name == "real"}

    gateway.dependencies.override(store, Store)
    result = replay(config, capture_of(wish(1)), handlers=gateway)
    assert result.routes().filter(route="big")["messages"].item() == 1


def test_an_async_handler_that_hangs_is_a_dead_letter(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)

    @gateway.handler("wishes", timeout=0.05)
    async def create(wish: Wish) -> dict[str, Any]:
        if wish.n == 1:
            await asyncio.Event().wait()
        return user(wish)

    result = replay(config, capture_of(wish(1), wish(2)), handlers=gateway)
    assert books_of(result) == (1, 0, 1, 0, 4)
    (reason,) = result.handled().drop_nulls("reason")["reason"]
    assert reason == "create: it hangs: no end within 0.05 s"


def hanging(gateway: Gateway, end: threading.Event) -> None:
    """Register a plain function that hangs at the message 1."""

    @gateway.handler("wishes", timeout=0.05)
    def create(wish: Wish) -> dict[str, Any]:
        if wish.n == 1:
            end.wait(60)
        return user(wish)


def test_a_plain_handler_that_hangs_is_a_dead_letter_too(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway, end = Gateway(config), threading.Event()
    hanging(gateway, end)
    result = replay(config, capture_of(wish(0), wish(1), wish(2)), handlers=gateway)
    end.set()
    assert books_of(result) == (2, 0, 1, 0, 5)


def test_where_no_thread_is_left_the_source_stops_as_live(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway, end = Gateway(config), threading.Event()
    gateway.handlers._pool = HandlerPool(2)
    hanging(gateway, end)
    plain = message({"n": 1}, channel="plain")
    result = replay(config, capture_of(wish(0), wish(1), wish(2), plain), handlers=gateway)
    end.set()
    books = result.books()
    assert (books.sources, books.not_replayed) == ({"wishes": 1, "plain": 1}, {"wishes": 2})
    (finding,) = [each for each in result.findings if each.code == "handler-hangs"]
    assert "all 2 threads for plain functions hang, in create (2); the source" in finding.text


def test_an_async_handler_that_blocks_its_thread_ends_the_replay_and_not_the_patience(
    config: GatewayConfig, capture_of: MakeCapture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "GRACE_S", 0.05)
    gateway, end = Gateway(config), threading.Event()

    @gateway.handler("wishes", timeout=0.05)
    async def create(wish: Wish) -> dict[str, Any]:
        end.wait(60)
        return user(wish)

    with pytest.raises(ReplayError, match=r"within 0\.05 s, and it cannot be cancelled"):
        replay(config, capture_of(wish(0)), handlers=gateway)
    end.set()


def test_what_cannot_be_handled_is_refused_in_words(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)
    gateway.handler("wishes")(_user)
    private = parse_config(
        CONFIG.replace("n: {type: integer}", "n: {type: integer, x-private: true}")
    )
    masked = capture_of(wish(1)).mask(private)
    with pytest.raises(ReplayError, match="masked"):
        replay(config, masked, handlers=gateway)
    with pytest.raises(ReplayError, match="what handlers returned"):
        replay(config, capture_of(wish(1), stage="handled"), handlers=gateway)
    with pytest.raises(ReplayError, match="handlers=gateway"):
        replay(config, capture_of(wish(1)), handlers=config)  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool, pytest.raises(ReplayError, match="this process alone"):
        replay(config, capture_of(wish(1)), handlers=gateway, executor=pool)
    wrong = parse_config(
        CONFIG.replace(", handler: {returns: User}", "").replace("event: Wish}\n", "event: User}\n")
    )
    with pytest.raises(ConfigError, match="declares no handler"):
        replay(wrong, capture_of(wish(1)), handlers=gateway)


# --- what is asked afterwards ---


def test_a_sample_shows_what_the_routers_saw(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)

    @gateway.handler("wishes")
    async def create(wish: Wish) -> dict[str, Any]:
        if wish.n == 2:
            raise ValueError("secret")
        return user(wish)

    result = replay(config, capture_of(wish(1), wish(2)), handlers=gateway)
    shown = result.sample(5, outcome="delivered")
    assert shown["body"].to_list() == ['{"id":1,"big":false}']
    assert result.sample(5, target="dead_letter")["body"].to_list() == ['{"n": 2, "kind": ""}']


def test_the_texts_of_exceptions_are_shown_of_public_sources_alone(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    private = parse_config(
        CONFIG.replace("kind: {type: string}", "kind: {type: string, x-private: true}")
    )
    for each, shown in ((config, "ann"), (private, "…")):
        gateway = Gateway(each)

        @gateway.handler("wishes")
        async def create(event: Wish) -> None:
            raise ValueError(event.kind)

        result = replay(each, capture_of(wish(1, "ann"), wish(2, "ann")), handlers=gateway)
        reason = f"create: ValueError: {shown}"
        assert result.handled()["reason"].to_list() == [reason]
        assert result.sample(5)["reason"].to_list() == [reason] * 2


def test_a_window_of_time_narrows_down_what_was_handled(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway, seen = Gateway(config), []

    @gateway.handler("wishes")
    async def create(wish: Wish) -> dict[str, Any] | None:
        seen.append(wish.n)
        await gateway.send("audit", user(wish))
        return user(wish) if wish.n % 2 else None

    capture = capture_of(*(wish(n) for n in range(6)))
    result = replay(config, capture, handlers=gateway)
    inner = result.between("2026-03-02T08:00:01", "2026-03-02T08:00:04")
    assert books_of(inner) == (2, 1, 0, 0, 3)
    assert inner.flow().filter(route="send")["deliveries"].item() == 3
    assert seen == list(range(6))


def test_two_sources_of_one_channel_have_a_handler_each(capture_of: MakeCapture) -> None:
    config = parse_config(
        CONFIG.replace(
            "  plain:",
            "  again: {broker: stream, channel: wishes, event: Wish, handler: {returns: User}}\n  plain:",
        ).replace("as_it_is: {source: plain", "as_it_is: {source: again")
    )
    gateway, seen = Gateway(config), []

    @gateway.handler("wishes")
    async def create(event: Wish) -> dict[str, Any]:
        seen.append(("create", event.n))
        return user(event)

    @gateway.handler("again")
    async def copy(event: Wish) -> dict[str, Any]:
        seen.append(("copy", event.n))
        return {"id": -event.n}

    result = replay(config, capture_of(wish(1), wish(2)), handlers=gateway)
    assert seen == [("create", 1), ("copy", 1), ("create", 2), ("copy", 2)]
    assert result.books().sources == {"wishes": 2, "again": 2, "plain": 0}
    shown = result.sample(9, outcome="delivered").sort("seq", "source")
    assert shown.select("source", "target", "body").rows() == [
        ("again", "kept", '{"id":-1}'),
        ("wishes", "all", '{"id":1,"big":false}'),
        ("again", "kept", '{"id":-2}'),
        ("wishes", "all", '{"id":2,"big":false}'),
    ]


# --- large captures ---


def test_files_and_chunks_of_a_capture_are_handled_as_one(
    config: GatewayConfig,
    capture_of: MakeCapture,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    gateway = Gateway(config, middlewares=[Stamp])

    @gateway.handler("wishes")
    async def create(event: Wish) -> dict[str, Any] | None:
        if event.n % 3 == 0:
            await gateway.send("audit", user(event))
        if event.n % 5 == 4:
            raise ValueError("no luck")
        return user(event) if event.n % 4 else None

    messages = [
        message({"n": n}, channel="plain") if n % 7 == 6 else wish(n, "end" if n % 11 == 0 else "")
        for n in range(60)
    ]
    whole = capture_of(*messages)
    expected = replay(config, whole, handlers=gateway)
    for number, (start, end) in enumerate(((0, 25), (25, 60))):
        rows = whole.frame.slice(start, end - start).collect()
        write_part(rows, tmp_path / f"{number}.parquet", metadata=whole.metadata)
    monkeypatch.setattr(parts, "CHUNK_ROWS", 7)
    monkeypatch.setattr(rehearse, "STEP_ROWS", 3)
    found = replay(config, scan_capture(tmp_path), handlers=gateway)
    assert str(found.books()) == str(expected.books())
    one, other = (each.deliveries(rendered=True).collect() for each in (expected, found))
    assert one.equals(other)
    assert found.over_time("10s").equals(expected.over_time("10s"))
    assert found.channels().sort(pl.all()).equals(expected.channels().sort(pl.all()))


def test_what_was_kept_of_handlers_goes_with_the_replay(
    config: GatewayConfig, capture_of: MakeCapture
) -> None:
    gateway = Gateway(config)
    gateway.handler("wishes")(_user)
    result = replay(config, capture_of(wish(1)), handlers=gateway)
    assert result.run.handled is not None
    folder, frame = result.run.handled.folder.path, result.deliveries()
    assert list(folder.iterdir())
    del result
    gc.collect()
    assert frame.collect().height == 2  # a lazy frame keeps what it is made of
    del frame
    gc.collect()
    assert not folder.exists()
