"""The names of spans and of what they say, in the words of OpenTelemetry's conventions.

A channel that messages choose is told as its template: what a template is filled with may be
private, and there may be millions of it. Each attribute costs 3 µs of CPU until it is sent, so what
follows from the config is left out: a target has one broker.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from opentelemetry.trace import Span, StatusCode

from gateway_lab.config.plan import (
    AddressPlan,
    BatchPlan,
    DeadLetterPlan,
    Plan,
    SourcePlan,
    TargetPlan,
)
from gateway_lab.messages.message import Message
from gateway_lab.routing.routed import DEAD_LETTER, Routed

Attributes: TypeAlias = Mapping[str, "str | int | tuple[str, ...]"]

SYSTEM: Final = "messaging.system"
OPERATION: Final = "messaging.operation.name"
OPERATION_TYPE: Final = "messaging.operation.type"
DESTINATION: Final = "messaging.destination.name"
TEMPLATE: Final = "messaging.destination.template"
PARTITION: Final = "messaging.destination.partition.id"
OFFSET: Final = "messaging.kafka.offset"
MESSAGE_ID: Final = "messaging.message.id"
BATCH_SIZE: Final = "messaging.batch.message_count"
ERROR: Final = "error.type"
FUNCTION: Final = "code.function.name"

SOURCE: Final = "gateway_lab.source"
BROKER: Final = "gateway_lab.broker"
ROUTE: Final = "gateway_lab.route"
ROUTES: Final = "gateway_lab.routes"
TARGET: Final = "gateway_lab.target"
BATCH: Final = "gateway_lab.batch"
EVENT_TYPE: Final = "gateway_lab.event_type"
TRY: Final = "gateway_lab.try"
TRIES: Final = "gateway_lab.tries"
TRY_FAILED: Final = "gateway_lab.try_failed"
CLASS: Final = "gateway_lab.dead_letter.class"

PROCESS: Final = "process"
SEND: Final = "send"


def source_span(address: AddressPlan, source: str) -> tuple[str, Attributes]:
    """Return name and attributes of the spans of messages that were read from a place."""
    where = (DESTINATION, address.channel) if address.channel else (TEMPLATE, address.pattern or "")
    return f"{PROCESS} {where[1]}", {
        SYSTEM: address.protocol,
        OPERATION: PROCESS,
        OPERATION_TYPE: PROCESS,
        where[0]: where[1],
        SOURCE: source,
    }


def message_attributes(message: Message, id_: str) -> Attributes:
    """Return what a span says of one message: its name here, and where it stands."""
    told: dict[str, str | int] = {MESSAGE_ID: id_}
    if message.partition is not None:
        told[PARTITION] = message.partition
    if message.protocol == "kafka" and message.position is not None:
        told[OFFSET] = int(message.position)
    return told


def decision_attributes(routed: Routed, source: SourcePlan) -> Attributes:
    """Return what was decided, in names of the config."""
    routes = [f"{each.router}/{name}" for each in routed.decisions for name in each.routes]
    told: dict[str, str | tuple[str, ...]] = {ROUTES: tuple(routes)}
    if source.by and routed.event_type is not None:
        told[EVENT_TYPE] = routed.event_type
    return told


def target_span(
    router: str | None, route: str | None, target: TargetPlan
) -> tuple[str, Attributes]:
    """Return name and attributes of the spans of deliveries on one way."""
    return _sending(target, "/".join(filter(None, (router, route))), target.name)


def letter_span(plan: DeadLetterPlan) -> tuple[str, Attributes]:
    """Return name and attributes of the spans of dead letters."""
    return _sending(plan, "", DEAD_LETTER)


def _sending(plan: TargetPlan | DeadLetterPlan, route: str, target: str) -> tuple[str, Attributes]:
    is_chosen = bool(plan.channel.nodes)
    channel = plan.channel.text if is_chosen else "".join(map(str, plan.channel.parts))
    told = {
        SYSTEM: plan.protocol,
        OPERATION: SEND,
        OPERATION_TYPE: SEND,
        TEMPLATE if is_chosen else DESTINATION: channel,
        TARGET: target,
    }
    return f"{SEND} {channel}", told | ({ROUTE: route} if route else {})


def batch_span(batch: BatchPlan, address: AddressPlan, size: int) -> tuple[str, Attributes]:
    """Return name and attributes of the span of a batch."""
    return f"{PROCESS} {batch.name}", {
        SYSTEM: address.protocol,
        OPERATION: PROCESS,
        OPERATION_TYPE: PROCESS,
        BATCH_SIZE: size,
        SOURCE: batch.source,
        BATCH: batch.name,
    }


def targets_of(plan: Plan, source: str) -> Mapping[str, TargetPlan]:
    """Return the targets of a source."""
    return {name: target for (of, name), target in plan.targets.items() if of == source}


def fail(span: Span, kind: str) -> None:
    """Say of what kind an error was; its text may hold parts of messages."""
    span.set_attribute(ERROR, kind)
    span.set_status(StatusCode.ERROR)
