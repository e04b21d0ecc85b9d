"""Channels of an AsyncAPI document: addresses with parameters, and each protocol's bindings."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final

from gateway_lab.brokers.names import group_name
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import AddressPlan, DeadLetterPlan, SourcePlan, TargetPlan
from gateway_lab.events.event_type import EventType
from gateway_lab.gateway.reach import letter_channel, readings_of
from gateway_lab.protocols import kafka, nats, rabbitmq, redis
from gateway_lab.protocols.registry import PROTOCOLS
from gateway_lab.rules.template import Template
from gateway_lab.rules.tree import Call, Field, Node, column_name, references

SERVER_PROTOCOLS: Final = MappingProxyType(
    {"kafka": "kafka", "rabbitmq": "amqp", "nats": "nats", "redis": "redis", "memory": "memory"}
)
"""AsyncAPI's words."""

_NO_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """A channel as AsyncAPI has it.

    Attributes:
        broker: The alias.
        address: With `{parameter}`; None: there are several, or none that could be written so.
        name: For keys: letters, digits, `_`, `.` and `-`.
        parameters: What stands in the braces.
        bindings: Of the channel, under the protocol's name.
        operation_bindings: Of reading or writing it.
    """

    broker: str
    address: str | None
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=dict)
    bindings: dict[str, Any] = field(default_factory=dict)
    operation_bindings: dict[str, Any] = field(default_factory=dict)


# --- what is read ---


def source_channels(config: GatewayConfig, source: SourcePlan) -> Iterator[Channel]:
    """Give what a source reads, channel by channel."""
    for reading in readings_of(config, source):
        for address in reading.addresses:
            channel = address.channel or ""
            is_literal = bool(channel) and not {"{", "}"} & set(channel)
            at, doing = _reading(config, source.name, address, reading.options)
            yield Channel(
                broker=address.broker,
                address=channel if is_literal else None,
                name=_slug(channel or address.pattern or ""),
                description=f"All that match {address.pattern}" if address.pattern else "",
                bindings=at,
                operation_bindings=doing,
            )


def _reading(
    config: GatewayConfig, source: str, address: AddressPlan, options: object
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the bindings of a channel that is read, and those of reading it."""
    group = group_name(config.name, source)
    match options:
        case kafka.SourceOptions():
            named = {"type": "string", "enum": [options.group or group]}
            topic = {"topic": address.channel} if address.channel else {}
            return _kafka(topic), _kafka({"groupId": named})
        case rabbitmq.SourceOptions():
            queue = {"name": options.queue or address.channel, "durable": True}
            return _amqp({"is": "queue", "queue": queue}), _amqp({"ack": True})
        case nats.SourceOptions(delivery="at_least_once"):
            stream = {"x-stream": options.stream} if options.stream else {}
            return {}, {"nats": {**stream, "bindingVersion": "0.1.0"}}
        case redis.SourceOptions(delivery="at_least_once"):
            return {}, {"redis": {"x-group": options.group or group, "x-transport": "stream"}}
        case redis.SourceOptions():
            return {}, {"redis": {"x-transport": options.transport}}
    return {}, {}


# --- what is written ---


def target_channel(
    config: GatewayConfig, target: TargetPlan, event_types: Sequence[EventType]
) -> Channel:
    """Return what a target writes to; values that messages choose are parameters."""
    address, parameters = _address(target.channel, event_types, is_passed=target.body is None)
    given = config.targets[target.name].options
    options = PROTOCOLS[target.protocol].target_options.model_validate(dict(given))
    at, doing = _writing(address, bool(parameters), options)
    return Channel(
        broker=target.broker,
        address=address,
        name=_slug(target.channel.text),
        parameters=parameters,
        bindings=at,
        operation_bindings=doing,
    )


def _writing(
    address: str | None,
    is_template: bool,  # noqa: FBT001
    options: object,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the bindings of a channel that is written, and those of writing it."""
    match options:
        case kafka.TargetOptions():
            return ({} if is_template else _kafka({"topic": address})), {}
        case rabbitmq.TargetOptions():
            exchange = {"name": options.exchange} if options.exchange else {"type": "default"}
            doing = _amqp({"deliveryMode": 2, "mandatory": True})
            return _amqp({"is": "routingKey", "exchange": exchange}), doing
        case redis.TargetOptions():
            is_stream = options.delivery == "at_least_once"
            transport = "stream" if is_stream else options.transport
            return {}, {"redis": {"x-transport": transport}}
    return {}, {}


def letter_channel_of(letters: DeadLetterPlan, source: str) -> Channel:
    """Return where the dead letters of a source go."""
    literal = letter_channel(letters, source)
    address, parameters = (
        (literal, {}) if literal else _address(letters.channel, (), is_passed=True)
    )
    options = PROTOCOLS[letters.protocol].target_options()
    at, doing = _writing(address, bool(parameters), options)
    return Channel(
        broker=letters.broker,
        address=address,
        name=_slug(literal or letters.channel.text),
        parameters=parameters,
        bindings=at,
        operation_bindings=doing,
    )


# --- addresses ---


def _address(
    template: Template, event_types: Sequence[EventType], *, is_passed: bool
) -> tuple[str | None, dict[str, Any]]:
    """Return an address, and a parameter for each expression in it.

    Args:
        template: Of a channel.
        event_types: Of the messages that values come from.
        is_passed: Whether what is sent is the message that values come from.
    """
    fixed = "".join(part for part in template.parts if isinstance(part, str))
    if {"{", "}"} & set(fixed):
        return None, {}  # there is no way to write a brace that is none of a parameter
    names: dict[Node, str] = {}
    for node in template.nodes:
        if node not in names:
            names[node] = _parameter_name(node, set(names.values()))
    address = "".join(
        part if isinstance(part, str) else f"{{{names[part]}}}" for part in template.parts
    )
    parameters = {
        name: _parameter(node, event_types, is_passed=is_passed) for node, name in names.items()
    }
    return address, parameters


def _parameter_name(node: Node, taken: set[str]) -> str:
    words = [column_name(each).removeprefix("event.") for each in references(node)]
    if isinstance(node, Call):
        words.insert(0, node.function)
    name = re.sub(r"[^A-Za-z0-9_]+", "_", "_".join(words)).strip("_") or "value"
    unique, number = name, 1
    while unique in taken:
        number += 1
        unique = f"{name}_{number}"
    return unique


def _parameter(node: Node, event_types: Sequence[EventType], *, is_passed: bool) -> dict[str, Any]:
    read = ", ".join(column_name(each).removeprefix("event.") for each in references(node))
    if not isinstance(node, Field):
        return {"description": f"Made of {read} of each message."}
    values = {value for each in event_types for value in _values(each, node)}
    path = "".join(f"/{_pointer(name)}" for name in node.path)
    return {
        "description": f"The field {read} of each message.",
        **({"enum": sorted(values)} if values else {}),
        **({"location": f"$message.payload#{path}"} if is_passed else {}),
    }


def _values(event_type: EventType, node: Field) -> tuple[str, ...]:
    """Return the only texts that a field can have; none where it can have others."""
    schema = event_type.find(node.path)
    allowed = (schema and schema.enum) or ()
    texts = tuple(each for each in allowed if isinstance(each, str))
    return texts if len(texts) == len(allowed) else ()


def _pointer(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")


def _slug(text: str) -> str:
    """Make a key of an address: references name it."""
    return _NO_NAME.sub("-", text.replace("{", "").replace("}", "")).strip("-") or "channel"


def _kafka(binding: Mapping[str, Any]) -> dict[str, Any]:
    return {"kafka": {**binding, "bindingVersion": "0.5.0"}}


def _amqp(binding: Mapping[str, Any]) -> dict[str, Any]:
    return {"amqp": {**binding, "bindingVersion": "0.3.0"}}
