"""Which sources read a channel: the one rule for captures and for `explain`."""

from __future__ import annotations

from collections.abc import Mapping

from gateway_lab.config.plan import AddressPlan, SourcePlan
from gateway_lab.protocols.registry import PROTOCOLS


def readers(
    sources: Mapping[str, SourcePlan], broker: str, protocol: str, channel: str
) -> tuple[str, ...]:
    """Name the sources that read a channel on the broker's alias, in the order of the document.

    Where no source does (the alias is another machine's), those that read it on the protocol.
    """
    reading = {
        name: [each for each in source.addresses if _reads(each, channel)]
        for name, source in sources.items()
    }
    by_alias = [n for n, found in reading.items() if any(each.broker == broker for each in found)]
    by_protocol = [
        n for n, found in reading.items() if any(each.protocol == protocol for each in found)
    ]
    return tuple(by_alias or by_protocol)


def _reads(address: AddressPlan, channel: str) -> bool:
    if address.pattern is None:
        return address.channel == channel
    return PROTOCOLS[address.protocol].matches(address.pattern, channel)
