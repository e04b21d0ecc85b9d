"""RabbitMQ: a queue to read from, a routing key to write to; the key travels as a header."""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import StringConstraints, model_validator

from gateway_lab.messages.headers import CONTROL_PREFIX
from gateway_lab.protocols.protocol import (
    KEY_HEADER,
    TIMESTAMP_HEADER,
    BrokerName,
    Carries,
    Options,
    Order,
    Promise,
    Protocol,
    check_characters,
    check_length,
    check_prefixes,
    check_tokens,
    no_pattern,
)

CARRIES = Carries(
    key=KEY_HEADER,
    timestamp=TIMESTAMP_HEADER,  # the property of AMQP has whole seconds only
    binary=True,
    repeated=False,
    tombstone=False,
    channel_bytes=255,
    header_bytes=128 * 1024,  # more than a frame closes the connection
    body_bytes=16 * 1024 * 1024,
)


IdFrom = Annotated[str, StringConstraints(pattern=r"^(message_id|headers\.[!-~]{1,255})$")]
"""Where a message's own id stands."""

ID_FROM_PROPERTY: Final = "message_id"


class SourceOptions(Options):
    """Options of a source; without any, the channel is the queue.

    Attributes:
        exchange: The exchange that the queue is bound to, the channel being the binding key.
        queue: The queue, where the channel is a binding key.
        id_from: Where publishers name each message once and for all: `message_id`, the property of
            AMQP, or `headers.NAME`. Left out, a message that comes again has another id: RabbitMQ
            itself gives it none. Two messages of one id are one to targets that drop repeats.
    """

    exchange: BrokerName | None = None
    queue: BrokerName | None = None
    id_from: IdFrom | None = None

    @model_validator(mode="after")
    def _go_together(self) -> SourceOptions:
        if (self.exchange is None) != (self.queue is None):
            msg = "exchange and queue go together: the channel is then the binding key"
            raise ValueError(msg)
        return self


class TargetOptions(Options):
    """Options of a target.

    Attributes:
        exchange: Left out: the default exchange, on which the routing key is a queue's name.
        order: `strict` costs speed: one unconfirmed message a key.
    """

    exchange: BrokerName | None = None
    order: Order = "pipelined"


_REFUSED = re.compile(r"[\s\x00-\x1f\x7f-\x9f\u2028\u2029*#]")


def check_channel(name: str) -> str | None:
    """Check a queue or routing key: 255 bytes, whole tokens, no blanks, wildcards, `amq.`."""
    return (
        check_length(name, CARRIES.channel_bytes)
        or check_characters(name, _REFUSED)
        or check_tokens(name)
        or check_prefixes(name, ("amq.",))
    )


def check_header(name: str) -> str | None:
    """Check a header's name: a short string of AMQP without control characters."""
    return check_length(name, 255) or check_characters(name, _CONTROL)


_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_ROUTING = frozenset({"cc", "bcc", "x-death", "x-delay"})


def is_control(name: str) -> bool:
    """Say whether a header belongs to the gateway or the broker.

    `CC` and `BCC` matter most: RabbitMQ sends a message to each routing key that they name, so a
    header from elsewhere would choose where messages go.
    """
    return name in _ROUTING or name.startswith((CONTROL_PREFIX, "x-first-death-", "x-last-death-"))


PROMISE = Promise(
    place="none, unless `id_from` says where its publisher names it",
    settled="acknowledged one by one or in runs, on the channel that delivered it",
    confirmed="publisher confirm, and not returned (`mandatory`, persistent)",
    repeats="stored again",
)

RABBITMQ = Protocol(
    name="rabbitmq",
    source_options=SourceOptions,
    target_options=TargetOptions,
    carries=CARRIES,
    promise=PROMISE,
    check_channel=check_channel,
    check_pattern=None,
    matches=no_pattern,
    check_header=check_header,
    is_control=is_control,
)
