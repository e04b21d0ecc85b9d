"""Real servers for examples: where each alias of their configs is; nothing stays on them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager

import pytest

import gateway_lab as gl
from gateway_lab.brokers.variables import address_variable
from gateway_lab.examples.stage import Stage, staged
from gateway_lab.testing.servers import Server
from tests.live.clients import Fresh


@asynccontextmanager
async def on(
    config: gl.GatewayConfig,
    looks: Mapping[str, Sequence[str]],
    *servers: Server,
    **environ: str,
) -> AsyncIterator[Stage]:
    """Stage an example on servers that run already, and delete its channels before and after.

    Channels have the names that users would give them, and other tests give them, too.
    """
    urls = {each.protocol: each.url for each in servers}
    addresses = {
        address_variable(alias): urls[protocol] for alias, protocol in config.brokers.items()
    }
    await delete(config, looks, urls)
    try:
        with staged(config, {**addresses, **environ}, tell=pytest.fail) as stage:
            yield stage
    finally:
        await delete(config, looks, urls)


async def delete(
    config: gl.GatewayConfig, looks: Mapping[str, Sequence[str]], urls: Mapping[str, str]
) -> None:
    """Delete what an example reads and writes."""
    for alias, channels in channels_of(config, looks).items():
        protocol = config.brokers[alias]
        await Fresh(protocol, urls[protocol]).delete(channels)


def channels_of(
    config: gl.GatewayConfig, looks: Mapping[str, Sequence[str]]
) -> Mapping[str, set[str]]:
    """Return what an example reads and writes, by alias."""
    found = defaultdict(set, {alias: set(channels) for alias, channels in looks.items()})
    for source in config.sources.values():
        for address in source.addresses:
            found[address.broker].add(str(address.channel))
    return found
