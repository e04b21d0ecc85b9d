"""What a notebook sees of a running gateway is what its books say, and what a replay says."""

from __future__ import annotations

from pathlib import Path

import pytest
from polars.testing import assert_frame_equal

import gateway_lab as gl
from gateway_lab.gateway.counters import Stats

DATA = Path(__file__).parents[2] / "data"
MESSAGES = 500


async def _run(capture: gl.Capture) -> Stats:
    config = gl.read_config(DATA / "business.yaml")
    brokers = gl.live.embedded(config)
    brokers["stream"].create(["business-events"])
    brokers["stream"].publish("business-events", capture.messages())
    async with gl.Gateway(config, environ=brokers.environ, create_channels=True) as gateway:
        await gl.live.settled(gateway, MESSAGES)
    return gateway.stats()


@pytest.mark.anyio
async def test_the_flow_of_a_gateway_is_that_of_a_replay() -> None:
    capture = gl.scan_capture(DATA / "business.parquet").head(MESSAGES)
    stats = await _run(capture)
    told = gl.replay(gl.read_config(DATA / "business.yaml"), capture)
    assert_frame_equal(gl.live.flow(stats), told.flow().drop("bytes"), check_row_order=False)
    assert gl.figures.flow(gl.live.flow(stats)).frame.height > 0
    routers = gl.live.routers(stats).select("router", "messages", "matched", "invalid")
    assert_frame_equal(routers, told.routers().select(routers.columns), check_row_order=False)


@pytest.mark.anyio
async def test_each_book_is_a_frame_that_balances() -> None:
    stats = await _run(gl.scan_capture(DATA / "business.parquet").head(MESSAGES))
    (source,) = gl.live.sources(stats).rows(named=True)
    assert (source["source"], source["state"], source["read"]) == ("business", "stopped", MESSAGES)
    assert source["settled"] + source["given_back"] + source["in_flight"] == source["read"]
    ends = ("delivered", "dropped", "dead_lettered", "given_back", "pending")
    for way in gl.live.ways(stats).rows(named=True):
        assert sum(way[end] for end in ends) == way["deliveries"], way


@pytest.mark.anyio
async def test_waiting_for_what_does_not_come_ends() -> None:
    config = gl.read_config(DATA / "business.yaml")
    brokers = gl.live.embedded(config)
    async with gl.Gateway(config, environ=brokers.environ, create_channels=True) as gateway:
        with pytest.raises(TimeoutError):
            await gl.live.settled(gateway, 1, limit_s=0.05)


@pytest.mark.anyio
async def test_waiting_for_a_source_that_cannot_go_on_says_why() -> None:
    config = gl.read_config(DATA / "business.yaml")
    brokers = gl.live.embedded(config)
    async with gl.Gateway(config, environ=brokers.environ) as gateway:
        with pytest.raises(gl.GatewayLabError, match=r"business is red: .*there is no channel"):
            await gl.live.settled(gateway, 1)


def test_the_frames_of_nothing_have_their_columns() -> None:
    stats = Stats(sources=(), routers=(), ways=())
    frames = [gl.live.sources(stats), gl.live.routers(stats), gl.live.ways(stats)]
    assert [frame.height for frame in frames] == [0, 0, 0]
    assert gl.live.flow(stats).columns == [
        "source",
        "router",
        "route",
        "target",
        "outcome",
        "deliveries",
    ]


def test_two_sets_of_embedded_brokers_share_nothing() -> None:
    config = gl.read_config(DATA / "business.yaml")
    one, other = gl.live.embedded(config), gl.live.embedded(config)
    one["stream"].create(["business-events"])
    assert other["stream"].channels == frozenset()
    assert one.environ.keys() == other.environ.keys()
