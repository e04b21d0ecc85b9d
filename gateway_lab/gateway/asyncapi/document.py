"""An AsyncAPI 3.0 document of a config: what is received and sent, where, and in which form.

    document.py   servers, channels, operations
    messages.py   messages and schemas, from event types and templates
    channels.py   addresses with parameters, and what a protocol has of its own

It is written from the plan, so it says what runs; nothing of it is an address of a broker.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from gateway_lab.brokers.variables import address_variable
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import Named
from gateway_lab.config.plan import Plan, SourcePlan, TargetPlan
from gateway_lab.events.event_type import EventType
from gateway_lab.gateway.asyncapi.channels import (
    SERVER_PROTOCOLS,
    Channel,
    letter_channel_of,
    source_channels,
    target_channel,
)
from gateway_lab.gateway.asyncapi.messages import Messages
from gateway_lab.gateway.version import Version

VERSION: Final = "3.0.0"
"""Of AsyncAPI."""


def asyncapi(config: GatewayConfig) -> dict[str, Any]:
    """Describe what a gateway receives and sends under a config, as an AsyncAPI document.

    One operation a channel of a source, one a target, one a source's dead letters; what no
    router or batch reaches is left out. Event types are its schemas.

    Args:
        config: What would run.

    Returns:
        The document, JSON values throughout. Its version is the digest of the config.

    Raises:
        ConfigError: The config has an error.
    """
    plan = Version.of(config).plan
    writer = _Writer(config)
    for source in plan.sources.values():
        if source.routers or source.batches:
            writer.add_source(source)
    for name, sent in sorted(_sent(plan).items()):
        writer.add_target(name, sent)
    return writer.document()


def _sent(plan: Plan) -> dict[str, list[tuple[TargetPlan, list[EventType]]]]:
    """Return what each target is sent: how it is rendered, and the event types it is made of."""
    found: defaultdict[str, list[tuple[TargetPlan, list[EventType]]]] = defaultdict(list)
    for (source, name), target in plan.targets.items():
        found[name].append((target, list(plan.sources[source].routed_types.values())))
    for batch in plan.batches.values():
        # Under a name that no event type has.
        output = replace(batch.output, name=f"{batch.name}.batch")
        for name, target in batch.targets.items():
            found[name].append((target, [output]))
    return found


class _Writer:
    def __init__(self, config: GatewayConfig) -> None:
        self._config = config
        self._messages = Messages(config)
        self._channels: dict[str, dict[str, Any]] = {}
        self._keys: dict[tuple[str, str | None, str], str] = {}
        self._operations: dict[str, dict[str, Any]] = {}

    def add_source(self, source: SourcePlan) -> None:
        """Add an operation for each channel that a source reads, and one for its letters."""
        told = self._config.sources[source.name]
        names = [self._messages.event(each) for each in source.event_types.values()]
        channels = list(source_channels(self._config, source))
        for number, channel in enumerate(channels, 1):
            name = f"receive.{source.name}" + (f".{number}" if len(channels) > 1 else "")
            self._add(name, "receive", channel, names or [self._messages.anything()], told)
        if source.dead_letter:
            channel = letter_channel_of(source.dead_letter, source.name)
            names = [self._messages.letter()]
            self._add(f"send.dead_letter.{source.name}", "send", channel, names, None)

    def add_target(self, name: str, sent: list[tuple[TargetPlan, list[EventType]]]) -> None:
        """Add the operation of a target, with the messages of all that it is sent."""
        names: dict[str, None] = {}
        for target, event_types in sent:
            names |= dict.fromkeys(self._messages.sent(target, event_types))
        channel = target_channel(self._config, *sent[0])
        self._add(f"send.{name}", "send", channel, names, self._config.targets[name])

    def _add(
        self, name: str, action: str, channel: Channel, messages: Iterable[str], told: Named | None
    ) -> None:
        key = self._key(channel)
        for message in messages:
            reference = {"$ref": f"#/components/messages/{message}"}
            self._channels[key]["messages"][message] = reference
        self._operations[name] = {
            "action": action,
            "channel": {"$ref": f"#/channels/{key}"},
            **_told(told),
            "messages": [{"$ref": f"#/channels/{key}/messages/{each}"} for each in messages],
            **({"bindings": channel.operation_bindings} if channel.operation_bindings else {}),
        }

    def _key(self, channel: Channel) -> str:
        """Return the name of a channel, which sources and targets may share."""
        place = (channel.broker, channel.address, channel.name)
        if place not in self._keys:
            key = name = f"{channel.broker}.{channel.name}"
            number = 1
            while key in self._channels:
                number += 1
                key = f"{name}-{number}"
            self._keys[place] = key
            self._channels[key] = {
                "address": channel.address,
                **({"description": channel.description} if channel.description else {}),
                "servers": [{"$ref": f"#/servers/{channel.broker}"}],
                "messages": {},
                **({"parameters": channel.parameters} if channel.parameters else {}),
                **({"bindings": channel.bindings} if channel.bindings else {}),
            }
        return self._keys[place]

    def document(self) -> dict[str, Any]:
        """Return all of it."""
        config = self._config
        return {
            "asyncapi": VERSION,
            "info": {"title": config.name, "version": config.digest[:12], **_told(config)},
            "defaultContentType": "application/json",
            "servers": {alias: _server(alias, kind) for alias, kind in config.brokers.items()},
            "channels": self._channels,
            "operations": self._operations,
            "components": self._messages.components(),
        }


def _server(alias: str, protocol: str) -> dict[str, Any]:
    where = f"Set in the environment of the gateway: {address_variable(alias)}."
    return {
        "host": "{host}",
        "protocol": SERVER_PROTOCOLS[protocol],
        "variables": {"host": {"description": where}},
    }


def _told(named: Named | None) -> dict[str, Any]:
    """Return what people said of a thing."""
    if named is None:
        return {}
    description = {"description": named.description} if named.description else {}
    return description | ({"tags": [{"name": named.owner}]} if named.owner else {})
