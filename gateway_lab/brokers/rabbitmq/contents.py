"""What arrives for every message, taken off the connection before aiormq sees it, and read by hand.

aiormq and pamqp spend 50 µs on a delivery: a queue, a task and three generic decodings. Here it is
about 6. What this stands on is public: a transport factory gives aiormq its stream, and frames of
AMQP 0-9-1 say themselves where they end and to which channel they belong.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from struct import Struct
from typing import NamedTuple, TypeAlias

from pamqp import decode

from gateway_lab.brokers.carried import read_time
from gateway_lab.messages.headers import Headers
from gateway_lab.protocols.protocol import KEY_HEADER, TIMESTAMP_HEADER

_FRAME = Struct(">BHI")  # type, channel, length of the payload; one byte ends the frame
_METHOD = Struct(">HH")  # class, method
_CONFIRM = Struct(">QB")  # delivery tag, bits
_SIZE = Struct(">Q")
_LENGTH = Struct(">I")
_FLAGS = Struct(">H")

_METHOD_FRAME, _HEADER_FRAME, _BODY_FRAME = 1, 2, 3
_BASIC, _RETURN, _DELIVER, _ACK, _NACK = 60, 50, 60, 80, 120
_MULTIPLE = 1
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
_HEARTBEAT_EVERY_S = 1.0

_CONTENT_TYPE, _ENCODING, _HEADERS, _MODE, _PRIORITY = 0x8000, 0x4000, 0x2000, 0x1000, 0x0800
_CORRELATION, _REPLY_TO, _EXPIRATION, _MESSAGE_ID, _TIME = 0x0400, 0x0200, 0x0100, 0x0080, 0x0040
_BEFORE_ID = (_CORRELATION, _REPLY_TO, _EXPIRATION)
_LATEST_SECOND = 253_402_300_799  # of the year 9999
_TEXT, _TIME_VALUE = ord("S"), ord("T")
_DELIVERY_COUNT = "x-delivery-count"

Content: TypeAlias = tuple[bytes, bytes, bytes]
"""A message as it arrived: arguments of the method, header, body."""


class Taker:
    """Takes the messages, and the answers to publishes, of one channel.

    Args:
        content: Called with each message that is delivered or returned.
        confirm: Called with delivery tag, whether all before it are meant, whether it was stored.
    """

    def __init__(
        self,
        content: Callable[[Content], None],
        confirm: Callable[[int, bool, bool], None] | None = None,
    ) -> None:
        self._content, self._confirm = content, confirm
        self._method: bytes | None = None
        self._header = b""
        self._parts: list[bytes] = []
        self._missing = 0

    def take(self, kind: int, data: bytes, start: int, end: int) -> bool:
        """Take the frame with this payload; False leaves it to aiormq."""
        if kind == _METHOD_FRAME:
            return self._take_method(data, start, end)
        if self._method is None:
            return False
        if kind == _HEADER_FRAME:
            self._header = data[start:end]
            (self._missing,) = _SIZE.unpack_from(data, start + 4)
        else:
            self._parts.append(data[start:end])
            self._missing -= end - start
        if not self._missing:
            parts, self._parts = self._parts, []
            method, self._method = self._method, None
            self._content((method, self._header, parts[0] if len(parts) == 1 else b"".join(parts)))
        return True

    def _take_method(self, data: bytes, start: int, end: int) -> bool:
        family, method = _METHOD.unpack_from(data, start)
        if family != _BASIC:
            return False
        if method in {_DELIVER, _RETURN}:
            self._method = data[start + 4 : end]
            return True
        if method in {_ACK, _NACK} and self._confirm is not None:
            tag, bits = _CONFIRM.unpack_from(data, start + 4)
            self._confirm(tag, bool(bits & _MULTIPLE), method == _ACK)
            return True
        return False


class Arriving(asyncio.StreamReaderProtocol):
    """The receiving end of a connection: frames go to who takes them, the others to aiormq.

    Attributes:
        takers: Number of a channel to who takes its messages.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        super().__init__(reader)
        self.takers: dict[int, Taker] = {}
        self._rest = b""
        self._socket: asyncio.Transport | None = None
        self._clock = asyncio.get_running_loop().time
        self._last_passed = self._clock()
        self._beating: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note where bytes come from."""
        super().connection_made(transport)
        self._socket = transport if isinstance(transport, asyncio.Transport) else None

    def data_received(self, data: bytes) -> None:
        """Go through all whole frames; keep the beginning of one that is not whole."""
        if self._rest:
            data = self._rest + data
        at = passing = 0
        while len(data) - at > _FRAME.size:
            kind, channel, size = _FRAME.unpack_from(data, at)
            start = at + _FRAME.size
            end = start + size
            if end >= len(data):
                break
            taker = self.takers.get(channel)
            if taker is not None and taker.take(kind, data, start, end):
                self._pass(data[passing:at])
                passing = end + 1
            at = end + 1
        self._pass(data[passing:at])
        self._rest = data[at:]
        if self._clock() - self._last_passed > _HEARTBEAT_EVERY_S:
            self._pass(_HEARTBEAT)  # a busy server sends none, and aiormq would think it dead

    def eof_received(self) -> bool | None:
        """Pass on what is not a frame: a server that speaks another protocol says so and goes."""
        self._pass(self._rest)
        return super().eof_received()

    def _pass(self, data: bytes) -> None:
        if data:
            self._last_passed = self._clock()
            super().data_received(data)

    def pause(self) -> None:
        """Read no more for now: the server is held back by TCP."""
        if self._socket is not None and not self._socket.is_closing():
            self._socket.pause_reading()
            if self._beating is None:
                self._beat()

    def _beat(self) -> None:
        """Keep aiormq from taking a server for dead that nobody listens to."""
        self._pass(_HEARTBEAT)
        self._beating = asyncio.get_running_loop().call_later(_HEARTBEAT_EVERY_S, self._beat)

    def resume(self) -> None:
        """Read on."""
        self._rest_from_beating()
        if self._socket is not None and not self._socket.is_closing():
            self._socket.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take in that nothing comes any more."""
        self._rest_from_beating()
        super().connection_lost(exc)

    def _rest_from_beating(self) -> None:
        if self._beating is not None:
            self._beating.cancel()
            self._beating = None


class Delivery(NamedTuple):
    """The method of a message that was delivered."""

    consumer_tag: str
    tag: int
    is_redelivered: bool


def read_delivery(method: bytes) -> Delivery:
    """Read the arguments of a delivery."""
    end = 1 + method[0]
    tag, bits = _CONFIRM.unpack_from(method, end)
    return Delivery(method[1:end].decode(), tag, bool(bits & 1))


class Properties(NamedTuple):
    """What the header of a message says."""

    key: bytes | None
    timestamp: datetime | None
    headers: Headers
    delivery_count: int | None
    message_id: str


def read_properties(header: bytes) -> Properties:
    """Read a header; what the gateway put there at its edge is not among the headers."""
    (flags,) = _FLAGS.unpack_from(header, 12)
    at, table = 14, b""
    for flag in (_CONTENT_TYPE, _ENCODING):
        if flags & flag:
            at += 1 + header[at]
    if flags & _HEADERS:
        (size,) = _LENGTH.unpack_from(header, at)
        at += 4 + size
        table = header[at - size : at]
    at += bool(flags & _MODE) + bool(flags & _PRIORITY)
    for flag in _BEFORE_ID:
        if flags & flag:
            at += 1 + header[at]
    message_id = ""
    if flags & _MESSAGE_ID:
        message_id = header[at + 1 : at + 1 + header[at]].decode(errors="replace")
        at += 1 + header[at]
    second = _SIZE.unpack_from(header, at)[0] if flags & _TIME else None
    return _read_table(table, second, message_id)


def _read_table(table: bytes, second: int | None, message_id: str) -> Properties:
    """Read the headers: almost every value is text, which in AMQP is any bytes."""
    headers: list[tuple[str, bytes]] = []
    key = moment = count = None
    at, end = 0, len(table)
    while at < end:
        start = at + 1
        at = start + table[at]
        name = table[start:at].decode(errors="replace")
        if table[at] == _TEXT:
            start = at + 5
            at = start + _LENGTH.unpack_from(table, at + 1)[0]
            value = table[start:at]
        else:
            at, found, value = _other_value(table, at)
            count = found if name == _DELIVERY_COUNT and isinstance(found, int) else count
        if name == KEY_HEADER:
            key = value
        elif name == TIMESTAMP_HEADER:
            moment = value
        elif name != _DELIVERY_COUNT:
            headers.append((name, value))
    timestamp = _from_second(second) if moment is None else read_time(moment.decode("latin-1"))
    return Properties(key, timestamp, tuple(headers), count, message_id)


def _other_value(table: bytes, at: int) -> tuple[int, object, bytes]:
    """Return the end of a field that is not text, its value, and that as text.

    Rather its bytes than none: in lists and tables may be what is not UTF-8, or has no bottom, and
    a time may be none that there is.
    """
    try:
        used, value = decode.embedded_value(table[at:])
        return at + used, value, _as_text(value)
    except (ValueError, OverflowError, OSError, RecursionError):
        start, size = at + 1, _SIZE.size
        if table[at] != _TIME_VALUE:
            start, (size,) = start + _LENGTH.size, _LENGTH.unpack_from(table, start)
        return start + size, None, table[start : start + size]


def _from_second(second: int | None) -> datetime | None:
    if second is None or second > _LATEST_SECOND:
        return None
    return datetime.fromtimestamp(second, UTC)


def _as_text(value: object) -> bytes:
    """Write a value as text: others send numbers, times and tables in headers."""
    if isinstance(value, bytes | bytearray):
        return bytes(value)
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, datetime):
        return value.isoformat().encode()
    if value is None:
        return b""
    if isinstance(value, Decimal):
        return str(value).encode()
    return json.dumps(value, default=lambda each: _as_text(each).decode(errors="replace")).encode()
