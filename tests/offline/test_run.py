from __future__ import annotations

from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import read_config
from gateway_lab.errors import ReplayError
from gateway_lab.offline import parts
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay
from tests.offline.conftest import MakeCapture, message, order

DATA = Path(__file__).parents[2] / "data"


def test_every_message_is_in_the_books_of_every_router(shop: GatewayConfig, five: Capture) -> None:
    rows = {row["router"]: row for row in replay(shop, five).routers().rows(named=True)}
    first = rows["by_priority"]
    assert (first["matched"], first["unmatched"], first["invalid"]) == (3, 1, 1)
    assert first["messages"] == rows["everything"]["messages"] == 5
    assert rows["by_done"]["messages"] == 0


def test_a_condition_that_was_null_is_counted(shop: GatewayConfig, five: Capture) -> None:
    # The critical order has no amount, but TRUE or NULL is TRUE; the others have one.
    assert replay(shop, five).undecided().is_empty()
    config = shop.edit_route("by_priority", "critical", when="amount > 1000")
    assert replay(config, five).undecided().rows() == [("by_priority", "critical", 1)]


def test_a_config_with_errors_is_refused_by_name(shop: GatewayConfig, five: Capture) -> None:
    config = shop.edit_route("by_priority", "high", when="prio = 'high'")
    with pytest.raises(ReplayError, match="unknown-name"):
        replay(config, five)


def test_messages_that_no_source_reads_are_counted_apart(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(message(order("high")), message(order("high"), channel="other"))
    books = replay(shop, capture).books()
    assert (books.messages, books.no_source, books.sources["orders"]) == (2, 1, 1)


def test_messages_of_another_alias_bind_by_protocol_and_channel(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(message(order("high"), broker="laptop"))
    assert replay(shop, capture).books().sources["orders"] == 1


def test_a_source_can_be_told_where_its_messages_are(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(message(order("high"), kind="nats", channel="elsewhere"))
    assert replay(shop, capture).books().no_source == 1
    assert replay(shop, capture, sources={"orders": "nats:elsewhere"}).books().no_source == 0
    with pytest.raises(ReplayError, match="did you mean 'orders'"):
        replay(shop, capture, sources={"order": "nats:elsewhere"})


def test_a_source_told_to_read_what_was_not_captured_is_noted(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    capture = capture_of(message(order("high")))
    (found,) = replay(shop, capture, sources={"orders": "kafka:order"}).findings[-1:]
    assert (found.code, found.severity, found.path) == (
        "source-not-captured",
        "note",
        ("sources", "orders"),
    )
    assert "no message from kafka:order, where orders is told to read" in found.text
    assert found.hint == "did you mean 'kafka:orders'?"
    several = ("stream:orders", "kafka:elsewhere")
    told = replay(shop, capture, sources={"orders": several, "done": "stream:orders"})
    assert "source-not-captured" not in {each.code for each in told.findings}


def test_a_source_with_a_handler_is_not_replayed(
    shop: GatewayConfig, capture_of: MakeCapture
) -> None:
    done = message(order("high"), broker="work", kind="rabbitmq", channel="done")
    assert replay(shop, capture_of(done)).books().not_replayed == {"done": 1}
    handled = replay(shop, capture_of(done, stage="handled"))
    assert handled.books().not_replayed == {}
    assert handled.books().sources["done"] == 1


def test_an_empty_capture_has_empty_books(shop: GatewayConfig, capture_of: MakeCapture) -> None:
    result = replay(shop, capture_of())
    assert result.books().messages == 0
    assert result.routers()["messages"].sum() == 0
    assert result.flow().is_empty()
    assert result.deliveries(rendered=True).collect().is_empty()
    assert result.channels().is_empty()
    assert result.over_time().is_empty()
    assert result.sample().is_empty()


# --- parts and executors ---


def frames(result: Replay) -> dict[str, object]:
    return {
        "flow": result.flow().rows(),
        "routes": result.routes().rows(),
        "channels": result.channels().rows(),
        "over_time": result.over_time("1h").rows(),
        "sample": result.sample(5, seed=3, target="high").rows(),
        "invalid": result.invalid().rows(),
    }


@pytest.fixture
def business() -> tuple[GatewayConfig, Capture]:
    return read_config(DATA / "business.yaml"), scan_capture(DATA / "business.parquet")


def test_counts_do_not_depend_on_parts(
    business: tuple[GatewayConfig, Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = frames(replay(*business))
    monkeypatch.setattr(parts, "PART_ROWS", 7_000)
    config, capture = business
    in_parts = replay(config, scan_capture(capture.paths[0]))
    assert len(in_parts.run.parts) == 4
    assert frames(in_parts) == whole


def pools() -> list[Executor]:
    spawned = get_context("spawn")
    return [ThreadPoolExecutor(2), ProcessPoolExecutor(2, mp_context=spawned)]


@pytest.mark.slow
@pytest.mark.parametrize("pool", pools(), ids=lambda pool: type(pool).__name__)
def test_any_executor_gives_the_same_counts(
    pool: Executor, business: tuple[GatewayConfig, Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART_ROWS", 10_000)
    config, capture = business
    with pool:
        assert frames(replay(config, capture, executor=pool)) == frames(replay(config, capture))


@pytest.mark.slow
@pytest.mark.timeout(120)
def test_a_dask_cluster_gives_the_same_counts(
    business: tuple[GatewayConfig, Capture], monkeypatch: pytest.MonkeyPatch
) -> None:
    distributed = pytest.importorskip("distributed")
    monkeypatch.setattr(parts, "PART_ROWS", 10_000)
    config, capture = business
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, processes=True
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        result = replay(config, capture, executor=client.get_executor())
        assert len(result.run.parts) == 3
        assert frames(result) == frames(replay(config, capture))
