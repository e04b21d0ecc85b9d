"""Settings of servers that are killed: what they acknowledged survives the end of their process.

A process that is killed leaves what it has written to the system's page cache, which only a power
cut would lose. So it is enough that a broker writes before it answers, and each does:

- Kafka appends to its log before it answers; an fsync is left to the system.
- RabbitMQ confirms a persistent message of a quorum queue once its log has it, with an fsync.
- JetStream writes a message of a stream with one replica before it answers; its fsync comes every
  two minutes.
- Redis writes its append-only file before it answers. With `appendfsync everysec` it may put that
  off for two seconds while an fsync is under way, so here it is `no`: written before each answer.

What no test here can show is what a power cut would do; that is each broker's own promise.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

SETTINGS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "kafka": {"group.min.session.timeout.ms": "1000", "group.initial.rebalance.delay.ms": "0"},
        "rabbitmq": {},
        "nats": {},
        "redis": {"appendfsync": "no"},
    }
)
"""Protocol to the lines that differ from those of `gateway_lab.testing.servers`."""
