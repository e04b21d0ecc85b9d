"""Frames of AMQP 0-9-1 that travel once for each message, written by hand and read past callbacks.

aiormq does everything that happens once: connecting, opening channels, declaring, consuming. For
the frames of every message it spends 75 to 90 µs on a publish (a task, two futures, generic
encoding) and 50 on a delivery; here it is about 5 and 30. What this stands on is public:
`AbstractConnection.write_queue`, `ChannelFrame`, and `AbstractChannel.frames`, into which a
connection puts each frame of its channel.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from struct import Struct
from typing import Any, Generic, TypeAlias, TypeVar

from aiormq.abc import AbstractChannel, FrameType
from pamqp import commands, frame
from pamqp.body import ContentBody
from pamqp.header import ContentHeader

from gateway_lab.brokers.carried import read_time, write_time
from gateway_lab.brokers.contract import Outgoing
from gateway_lab.messages.headers import Headers
from gateway_lab.protocols.protocol import KEY_HEADER, TIMESTAMP_HEADER
from gateway_lab.protocols.rabbitmq import check_channel, check_header

NAMES_KEPT = 10_000
"""Encoded names of channels and headers that are kept; names from templates have no end."""

_FRAME = Struct(">BHI")  # type, channel, length of the payload
_HEADER = Struct(">BHIHHQH")  # a frame; class, weight, size of the body, flags of properties
_LENGTH = Struct(">I")
_SETTLEMENT = Struct(">BHIHHQBB")  # a frame; class, method, delivery tag, bits; end of the frame
_END = b"\xce"
_METHOD_TYPE, _HEADER_TYPE, _BODY_TYPE = 1, 2, 3
_FRAME_OVERHEAD = _FRAME.size + len(_END)
_BASIC, _ACK, _NACK = 60, 80, 120
_MULTIPLE, _REQUEUE = 1, 2
_HEADERS_MODE_AND_ID = 0x2000 | 0x1000 | 0x0080  # the properties of every message we send
_PERSISTENT = b"\x02"

_RECIPIENTS = frozenset({"cc", "bcc"})
_DELIVERY_COUNT = "x-delivery-count"


class UnsendableError(ValueError):
    """A message that can never be sent; the text is the reason of its failure."""


class PublishEncoder:
    """Encodes publishes of one channel to one exchange.

    Args:
        channel_number: Of the open channel.
        exchange: Empty is the default exchange.
        frame_max: The longest frame that was agreed on with the server, in bytes; 0: no bound.
    """

    def __init__(self, channel_number: int, exchange: str, frame_max: int) -> None:
        self._channel_number = channel_number
        self._exchange = exchange
        self._frame_max = frame_max or 0xFFFF_FFFF
        self._methods: dict[str, bytes] = {}
        self._names: dict[str, bytes] = {}

    def encode(self, outgoing: Outgoing, message_id: bytes) -> bytes:
        """Return all frames of one persistent, mandatory publish.

        Raises:
            UnsendableError: The routing key or the headers do not fit.
        """
        body = outgoing.body or b""
        method = self._methods.get(outgoing.channel) or self._method(outgoing.channel)
        table = self._table(outgoing)
        payload_size = 14 + 4 + len(table) + 2 + len(message_id)
        if payload_size + _FRAME_OVERHEAD > self._frame_max:
            raise UnsendableError(
                f"its headers take {payload_size} bytes, a frame at most {self._frame_max}"
            )
        return b"".join([
            method,
            _HEADER.pack(
                _HEADER_TYPE, self._channel_number, payload_size,
                _BASIC, 0, len(body), _HEADERS_MODE_AND_ID,
            ),
            _LENGTH.pack(len(table)), table, _PERSISTENT,
            bytes((len(message_id),)), message_id, _END,
            *self._body(body),
        ])  # fmt: skip

    def _method(self, routing_key: str) -> bytes:
        """Encode and keep the method frame: the same for all messages of a channel."""
        if reason := check_channel(routing_key):
            raise UnsendableError(f"its channel is refused: {reason}")
        method = commands.Basic.Publish(
            exchange=self._exchange, routing_key=routing_key, mandatory=True
        )
        return _keep(self._methods, routing_key, frame.marshal(method, self._channel_number))

    def _table(self, outgoing: Outgoing) -> bytes:
        """Encode the headers; the last value of a name counts, as on any table."""
        values = dict(outgoing.headers)
        if outgoing.key is not None:
            values[KEY_HEADER] = outgoing.key
        if outgoing.timestamp is not None:
            values[TIMESTAMP_HEADER] = write_time(outgoing.timestamp).encode()
        parts: list[bytes] = []
        for name, value in values.items():
            parts += (self._names.get(name) or self._name(name), _LENGTH.pack(len(value)), value)
        return b"".join(parts)

    def _name(self, name: str) -> bytes:
        """Encode a header's name and the type of its value, long string: any bytes."""
        if name.lower() in _RECIPIENTS:
            raise UnsendableError(f"RabbitMQ would send it to whom its header {name} names")
        if reason := check_header(name):
            raise UnsendableError(f"the name of a header is refused: {reason}")
        encoded = name.encode()
        return _keep(self._names, name, bytes((len(encoded),)) + encoded + b"S")

    def _body(self, body: bytes) -> Iterable[bytes]:
        """Split a body into frames; an empty one has none."""
        most = self._frame_max - _FRAME_OVERHEAD
        for start in range(0, len(body), most):
            part = body[start : start + most]
            yield _FRAME.pack(_BODY_TYPE, self._channel_number, len(part))
            yield part
            yield _END


def _keep(cache: dict[str, bytes], name: str, encoded: bytes) -> bytes:
    if len(cache) >= NAMES_KEPT:
        cache.clear()
    cache[name] = encoded
    return encoded


def encode_acks(channel_number: int, multiple: int | None, tags: Sequence[int]) -> bytes:
    """Acknowledge all up to `multiple`, if given, and each of `tags`."""
    parts = [_settlement(channel_number, _ACK, tag, 0) for tag in tags]
    if multiple is not None:
        parts.append(_settlement(channel_number, _ACK, multiple, _MULTIPLE))
    return b"".join(parts)


def encode_requeues(channel_number: int, tags: Sequence[int]) -> bytes:
    """Give each of `tags` back to its queue."""
    return b"".join([_settlement(channel_number, _NACK, tag, _REQUEUE) for tag in tags])


def _settlement(channel_number: int, method: int, tag: int, bits: int) -> bytes:
    size = _SETTLEMENT.size - _FRAME_OVERHEAD
    return _SETTLEMENT.pack(
        _METHOD_TYPE, channel_number, size, _BASIC, method, tag, bits, _END[0]
    )  # fmt: skip


# --- frames that arrive ---

Take: TypeAlias = Callable[[FrameType], bool]
"""Is given each frame of a channel; True: it is dealt with, and aiormq shall not see it."""


class _DivertedFrames(asyncio.Queue[tuple[int, FrameType]]):
    """Stands in the place of a channel's frames and lets `take` have them first."""

    def __init__(
        self,
        frames: asyncio.Queue[tuple[int, FrameType]],
        take: Take,
        has_room: asyncio.Event | None,
    ) -> None:
        super().__init__()
        self._rest, self._take, self._has_room = frames, take, has_room

    async def put(self, item: tuple[int, FrameType]) -> None:
        if not self._take(item[1]):
            await self._rest.put(item)
        elif self._has_room is not None and not self._has_room.is_set():
            await self._has_room.wait()

    async def get(self) -> tuple[int, FrameType]:
        return await self._rest.get()

    def task_done(self) -> None:
        self._rest.task_done()


def divert(channel: AbstractChannel, take: Take, has_room: asyncio.Event | None = None) -> None:
    """Let `take` have each frame that arrives on a channel; the rest goes the usual way.

    While there is no room, the connection is not read on: the server is held back by TCP.
    """
    channel.frames = _DivertedFrames(channel.frames, take, has_room)


_Method = TypeVar("_Method", bound=commands.Basic.Deliver | commands.Basic.Return)

Content: TypeAlias = tuple[_Method, ContentHeader, bytes]
"""A delivered or returned message: the method, the properties, the body."""


class ContentCollector(Generic[_Method]):
    """Puts a method, its properties and the frames of its body together."""

    def __init__(self, kind: type[_Method], complete: Callable[[Content[_Method]], None]) -> None:
        self._kind = kind
        self._complete = complete
        self._method: _Method | None = None
        self._header = ContentHeader()
        self._parts: list[bytes] = []
        self._missing = 0

    def take(self, arrived: FrameType) -> bool:
        """Take a frame, if it belongs to such a message."""
        if isinstance(arrived, self._kind):
            self._method = arrived
        elif self._method is None:
            return False
        elif isinstance(arrived, ContentHeader):
            self._header, self._missing = arrived, arrived.body_size
            self._finish(self._method)
        elif isinstance(arrived, ContentBody):
            self._parts.append(arrived.value)
            self._missing -= len(arrived.value)
            self._finish(self._method)
        else:
            return False
        return True

    def _finish(self, method: _Method) -> None:
        if self._missing > 0:
            return
        parts, self._parts, self._method = self._parts, [], None
        self._complete((method, self._header, parts[0] if len(parts) == 1 else b"".join(parts)))


# --- what a message holds ---


def read_content(header: ContentHeader) -> tuple[bytes | None, datetime | None, Headers]:
    """Return key, timestamp and headers of a message; those of the gateway's edge are taken out."""
    properties = header.properties
    table: dict[str, Any] = properties.headers or {}
    key = table.pop(KEY_HEADER, None)
    moment = table.pop(TIMESTAMP_HEADER, None)
    table.pop(_DELIVERY_COUNT, None)
    return (
        None if key is None else _as_bytes(key),
        properties.timestamp if moment is None else read_time(_as_bytes(moment).decode("latin-1")),
        tuple(
            [
                (name, value.encode() if type(value) is str else _as_bytes(value))
                for name, value in table.items()
            ]
        ),
    )


def read_attempts(method: commands.Basic.Deliver, header: ContentHeader) -> int:
    """Return how often a message was delivered before; a classic queue only knows whether."""
    count = (header.properties.headers or {}).get(_DELIVERY_COUNT)
    return count if isinstance(count, int) else int(bool(method.redelivered))


def _as_bytes(value: object) -> bytes:
    """Write a value of a table as text: others send numbers, times and tables in headers."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, datetime):
        return value.isoformat().encode()
    if value is None:
        return b""
    return json.dumps(value, default=lambda each: _as_bytes(each).decode(errors="replace")).encode()
