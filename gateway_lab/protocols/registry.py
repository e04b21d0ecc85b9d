"""The protocols that there are, by the name that a config gives them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from gateway_lab.protocols.kafka import KAFKA
from gateway_lab.protocols.memory import MEMORY
from gateway_lab.protocols.nats import NATS
from gateway_lab.protocols.protocol import Protocol
from gateway_lab.protocols.rabbitmq import RABBITMQ
from gateway_lab.protocols.redis import REDIS

PROTOCOLS: Mapping[str, Protocol] = MappingProxyType(
    {protocol.name: protocol for protocol in (KAFKA, RABBITMQ, NATS, REDIS, MEMORY)}
)
