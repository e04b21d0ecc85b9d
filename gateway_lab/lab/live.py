"""A running gateway in a notebook: brokers inside this process, and its books as frames.

    brokers = gl.live.embedded(config)
    brokers["stream"].create(["orders"])
    async with gl.Gateway(config, environ=brokers.environ, create_channels=True) as gateway:
        brokers["stream"].publish("orders", capture.messages())
        await gl.live.settled(gateway, capture.count)

The same gateway runs on real brokers: then the addresses are in the environment of the process.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from itertools import count
from typing import Final

import polars as pl

from gateway_lab.brokers.memory.server import MemoryServer, server_at
from gateway_lab.brokers.variables import address_variable
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.errors import GatewayLabError
from gateway_lab.gateway.counters import RouterStats, SourceStats, State, Stats, WayStats
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.books import Outcome

_NUMBERS: Final = count()
_TYPES: Final = {"int": pl.Int64, "float": pl.Float64}
_TICK_S: Final = 0.02
_WAY: Final = ["source", "router", "route", "target"]


class Embedded(dict[str, MemoryServer]):
    """Alias to the broker in this process that stands in for it.

    Attributes:
        environ: Their addresses, to be given to a gateway or a redrive.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        super().__init__({alias: server_at(url) for alias, url in urls.items()})
        self.environ = {address_variable(alias): url for alias, url in urls.items()}


def embedded(config: GatewayConfig) -> Embedded:
    """Start a broker in memory for each alias of a config, empty; it ends with this process.

    It keeps to the names and sizes of the protocol that it stands in for, and has three methods:
    `create(channels)`, `publish(channel, messages)` and `fetch(channel)`.
    """
    number = next(_NUMBERS)
    return Embedded({alias: f"memory://{config.name}-{number}-{alias}" for alias in config.brokers})


async def settled(gateway: Gateway, messages: int, *, limit_s: float = 60.0) -> None:
    """Wait until a gateway has settled so many messages since its start.

    Raises:
        GatewayLabError: A source cannot go on; the text says why.
        TimeoutError: It did not within the limit.
    """
    async with asyncio.timeout(limit_s):
        while _settled(gateway) < messages:  # noqa: ASYNC110 - books ring no bell
            await asyncio.sleep(_TICK_S)


def _settled(gateway: Gateway) -> int:
    sources = gateway.stats().sources
    for each in sources:
        if each.state is State.RED:
            raise GatewayLabError(f"the source {each.source} is red: {each.reason}")
    return sum(each.settled for each in sources)


def sources(stats: Stats) -> pl.DataFrame:
    """Tell how each source is: settled + given_back + in_flight = read."""
    return _frame(SourceStats, stats.sources)


def routers(stats: Stats) -> pl.DataFrame:
    """Count what became of messages in each router: matched + unmatched + invalid = messages."""
    return _frame(RouterStats, stats.routers)


def ways(stats: Stats) -> pl.DataFrame:
    """Count what became of deliveries on each way, from a source to a target.

    delivered + dropped + dead_lettered + given_back + pending = deliveries.
    """
    return _frame(WayStats, stats.ways)


def flow(stats: Stats) -> pl.DataFrame:
    """Count the deliveries that have ended: `source, router, route, target, outcome, deliveries`.

    These are columns of `Replay.flow()`, so both can be compared, and drawn by `gl.figures.flow`.
    """
    outcomes = [str(each) for each in Outcome]
    counted = (
        ways(stats)
        .drop("deliveries")
        .unpivot(outcomes, index=_WAY, variable_name="outcome", value_name="deliveries")
    )
    return counted.filter(pl.col("deliveries") > 0).sort(*_WAY, "outcome", nulls_last=True)


def _frame(
    kind: type[SourceStats | RouterStats | WayStats],
    rows: Sequence[SourceStats | RouterStats | WayStats],
) -> pl.DataFrame:
    schema = {each.name: _TYPES.get(str(each.type), pl.String) for each in fields(kind)}
    return pl.DataFrame([asdict(each) for each in rows], schema=schema)
