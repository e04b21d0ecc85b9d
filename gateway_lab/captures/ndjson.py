"""Captures as NDJSON: one JSON object a line, for other tools to read and to write.

    {"seq":0,"received":"2026-03-02T08:00:00Z","broker":"stream","kind":"kafka",
     "channel":"business-events","key":"o-1","headers":{"x-request-id":"r-1"},"body":{"id":1}}

The names are those of the Parquet columns, and what is null is left out, save `body`. Bytes
become text where that is exact, and base64 where it is not:

- `body` holds JSON as it stood in the message, digit for digit; `body_text` text that is not
  JSON or spans lines; `body_base64` the rest; `"body":null` is a tombstone;
- `key` holds text, `key_base64` the rest;
- `headers` is an object where names are unique and values are text, else a list of
  `{"name":…,"value":…}` or `{"name":…,"value_base64":…}`.

The first line may be `{"capture":{…}}`: what the capture says about itself.

Lines of others are read as they are. Left out may be everything: `seq` is counted from 0;
`received` is `timestamp`, or else one second a line from 1970 on; a line without any body
field is itself the body. Header values that are not text are kept as their JSON text; a list
of values is a repeated header.
"""

from __future__ import annotations

import gzip
import zlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, cast

import msgspec
import polars as pl
from msgspec import UNSET, Raw, UnsetType

from gateway_lab.captures.format import COLUMNS, INVALID, CaptureMetadata, decode_metadata
from gateway_lab.captures.rows import headers_column, headers_of
from gateway_lab.errors import CaptureError

NDJSON_ENDINGS = (".ndjson", ".ndjson.gz", ".jsonl", ".jsonl.gz")
LINE_BYTES = 32 * 1024 * 1024
"""A longer line is refused: it is not NDJSON, or nobody wants to hold it in memory."""

UNPACKED_BYTES = 16 * 1024 * 1024
UNPACKED_RATIO = 200
"""A compressed file may unpack to so much, or to so many times its size if that is more."""

_BATCH_LINES = 5_000
_BATCH_BYTES = 64 * 1024 * 1024
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BODY_FIELDS = frozenset({"body", "body_text", "body_base64"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where messages came from, for lines that do not say it."""

    broker: str = ""
    protocol: str = ""
    channel: str = ""


class _Header(msgspec.Struct):
    name: str
    value: str | None = None
    value_base64: str | None = None


class _Line(msgspec.Struct):
    capture: Raw | UnsetType = UNSET
    seq: int | None = None
    received: datetime | None = None
    timestamp: datetime | None = None
    broker: str | None = None
    kind: str | None = None
    channel: str | None = None
    partition: str | int | None = None
    position: str | int | None = None
    key: str | None = None
    key_base64: str | None = None
    headers: dict[str, Any] | list[_Header] | None = None
    body: Raw | UnsetType = UNSET
    body_text: str | UnsetType = UNSET
    body_base64: str | UnsetType = UNSET
    invalid: str | None = None


_UNREADABLE = (msgspec.DecodeError, RecursionError, ValueError)

_decode_line = msgspec.json.Decoder(_Line).decode
_decode_raw = msgspec.json.Decoder(Raw).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


def write_lines(
    batches: Iterable[pl.DataFrame], path: Path, *, metadata: CaptureMetadata, compress: bool
) -> None:
    """Write rows of a capture as NDJSON; reading them back gives the same digest."""
    encode = msgspec.json.Encoder().encode
    with path.open("xb") as plain, _maybe_compressed(plain, compress=compress) as file:
        file.write(encode({"capture": replace(metadata, messages=None, digest=None)}) + b"\n")
        for batch in batches:
            file.writelines(encode(_line_of(row)) + b"\n" for row in batch.iter_rows(named=True))


def read_metadata(path: Path) -> CaptureMetadata:
    """Read what an NDJSON file says about itself in its first line, if it does.

    Raises:
        CaptureError: The line cannot be read, or says what no capture of this version says.
    """
    for number, text in _lines(path):
        try:
            line = _parsed(text)
        except _UNREADABLE as error:
            raise _bad_line(path, number, error) from None
        if line is not None and line.capture is not UNSET:
            return decode_metadata(bytes(line.capture), where=f"{path}:1")
        break
    return CaptureMetadata(recorded_by=f"ndjson {path.name}")


def read_batches(path: Path, origin: Origin) -> Iterator[pl.DataFrame]:
    """Read the messages of an NDJSON file, some thousand at a time.

    Yields:
        Frames with the columns of a capture and `invalid`.

    Raises:
        CaptureError: A line is not a JSON object, too long, or has a field of another type;
            the compressed file is damaged.
    """
    rows: list[dict[str, Any]] = []
    held = seq = 0
    for number, text in _lines(path):
        try:
            line = _parsed(text)
            if line is not None and line.capture is not UNSET and number == 1:
                continue
            rows.append(_row_of(line, text, seq, origin))
        except _UNREADABLE as error:
            raise _bad_line(path, number, error) from None
        seq += 1
        held += len(text)
        if len(rows) >= _BATCH_LINES or held >= _BATCH_BYTES:
            yield _frame_of(rows)
            rows, held = [], 0
    yield _frame_of(rows)


def _maybe_compressed(file: IO[bytes], *, compress: bool) -> IO[bytes]:
    if not compress:
        return file
    return cast("IO[bytes]", gzip.GzipFile(fileobj=file, mode="wb", mtime=0, filename=""))


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield the lines that are not empty, with their numbers from 1 on."""
    number = 0
    try:
        left = _most_bytes(path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while text := file.readline(LINE_BYTES + 1):
                number, left = number + 1, left - len(text)
                if left < 0:
                    raise _bomb(path, number)
                if len(text) > LINE_BYTES:
                    raise _bad_line(path, number, ValueError(f"longer than {LINE_BYTES:,} bytes"))
                text = text.removeprefix(b"\xef\xbb\xbf") if number == 1 else text
                if stripped := text.strip():
                    yield number, stripped
    except (OSError, EOFError, zlib.error) as error:
        msg = f"cannot be read after line {number}: {error}"
        raise CaptureError(
            msg,
            where=str(path),
            hint="the file is truncated or damaged; export it again",
        ) from None


def _most_bytes(path: Path) -> float:
    """Bound what a file may hold: one that is packed could keep us busy for days."""
    if path.suffix != ".gz":
        return float("inf")
    return max(UNPACKED_BYTES, UNPACKED_RATIO * path.stat().st_size)


def _bomb(path: Path, number: int) -> CaptureError:
    return CaptureError(
        f"it unpacks to more than {UNPACKED_RATIO} times its size, seen in line {number}",
        where=str(path),
        hint="unpack it yourself if you trust where it comes from",
    )


def _parsed(text: bytes) -> _Line | None:
    """Read a line; None where the line itself is a body."""
    try:
        line = _decode_line(text)
    except msgspec.ValidationError:
        if _is_message(text):
            raise
        return None
    has_body = not line.body is line.body_text is line.body_base64 is UNSET
    return line if has_body or line.capture is not UNSET else None


def _is_message(text: bytes) -> bool:
    return not text.startswith(b"{") or not _BODY_FIELDS.isdisjoint(_decode_fields(text))


def _row_of(line: _Line | None, text: bytes, seq: int, origin: Origin) -> dict[str, Any]:
    line = _Line(body=Raw(text)) if line is None else line
    if line.seq is not None and not 0 <= line.seq < 1 << 64:
        msg = "seq is not from 0 to 2^64 - 1"
        raise ValueError(msg)
    timestamp = _utc(line.timestamp)
    return {
        "seq": seq if line.seq is None else line.seq,
        "received": _utc(line.received) or timestamp or _EPOCH + timedelta(seconds=seq),
        "timestamp": timestamp,
        "broker": origin.broker if line.broker is None else line.broker,
        "kind": origin.protocol if line.kind is None else line.kind,
        "channel": origin.channel if line.channel is None else line.channel,
        "partition": None if line.partition is None else str(line.partition),
        "position": None if line.position is None else str(line.position),
        "key": _bytes_of(line.key, line.key_base64),
        "headers": _headers_of(line.headers),
        "body": _body_of(line),
        INVALID: line.invalid,
    }


def _utc(moment: datetime | None) -> datetime | None:
    if moment is None or moment.tzinfo is not None:
        return moment
    return moment.replace(tzinfo=UTC)


def _bytes_of(text: str | None, base64: str | None) -> bytes | None:
    if base64 is not None:
        try:
            return b64decode(base64, validate=True)
        except Base64Error as error:
            msg = f"not base64: {error}"
            raise ValueError(msg) from None
    return None if text is None else text.encode()


def _body_of(line: _Line) -> bytes | None:
    if isinstance(line.body, Raw):
        body = bytes(line.body)
        return None if body == b"null" else body
    return _bytes_of(line.body_text or "", line.body_base64 or None)


def _headers_of(headers: dict[str, Any] | list[_Header] | None) -> list[dict[str, Any]]:
    if isinstance(headers, dict):
        return [
            {"name": name, "value": _header_bytes(value)}
            for name, values in headers.items()
            for value in (values if isinstance(values, list) else [values])
        ]
    return [
        {"name": item.name, "value": _bytes_of(item.value or "", item.value_base64)}
        for item in headers or ()
    ]


def _header_bytes(value: Any) -> bytes:
    if value is None:
        return b""
    return value.encode() if isinstance(value, str) else msgspec.json.encode(value)


def _frame_of(rows: list[dict[str, Any]]) -> pl.DataFrame:
    headers = headers_column([row.pop("headers") for row in rows])
    schema = {**COLUMNS, INVALID: pl.String()}
    plain = {name: dtype for name, dtype in schema.items() if name != "headers"}
    return pl.DataFrame(rows, schema=plain).with_columns(headers).select(*schema)


def _line_of(row: Mapping[str, Any]) -> dict[str, Any]:
    line = {
        name: value
        for name, value in row.items()
        if value is not None and name not in {"key", "headers", "body"}
    }
    if row["key"] is not None:
        line.update(_named_bytes("key", row["key"]))
    if row["headers"]:
        line["headers"] = _headers_json(row["headers"])
    line.update(_body_json(row["body"]))
    return line


def _body_json(body: bytes | None) -> dict[str, Any]:
    if body is None:
        return {"body": None}
    if _can_stand_in_a_line(body):
        return {"body": Raw(body)}
    return _named_bytes("body_text", body, "body_base64")


def _can_stand_in_a_line(body: bytes) -> bool:
    """Say whether these bytes are JSON that a reader of the line gets back unchanged."""
    if b"\n" in body or b"\r" in body or body == b"null":
        return False
    try:
        body.decode()
        return bytes(_decode_raw(body)) == body
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError):
        return False


def _headers_json(headers: list[dict[str, Any]]) -> dict[str, str] | list[dict[str, str]]:
    items = [{"name": name, **_named_bytes("value", value)} for name, value in headers_of(headers)]
    is_plain = len({item["name"] for item in items}) == len(items) and all(
        "value" in item for item in items
    )
    return {item["name"]: item["value"] for item in items} if is_plain else items


def _named_bytes(name: str, value: bytes, other: str | None = None) -> dict[str, str]:
    """Give bytes as text under a name, or as base64 under the other where they are not text."""
    try:
        return {name: value.decode()}
    except UnicodeDecodeError:
        return {other or f"{name}_base64": b64encode(value).decode()}


def _bad_line(path: Path, number: int, error: Exception) -> CaptureError:
    problem = "nested too deep" if isinstance(error, RecursionError) else str(error)
    if problem == "Input data was truncated":  # which msgspec says of both
        problem = "it ends too early, or holds half of a surrogate pair"
    return CaptureError(
        f"this line cannot be read: {problem}",
        where=f"{path}:{number}",
        hint="each line is one JSON object, see docs/captures.md",
    )
