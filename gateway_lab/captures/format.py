"""The format of a capture: its columns, and what it says about itself.

A capture is one or more Parquet files. What it says about itself is one JSON text in the
Parquet key-value metadata, under `METADATA_KEY`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

import msgspec
import polars as pl

from gateway_lab.errors import CaptureError

FORMAT_VERSION = 1
METADATA_KEY = "gateway_lab.capture"
TIME = pl.Datetime("us", "UTC")

COLUMNS: Mapping[str, pl.DataType] = {
    "seq": pl.UInt64(),
    "received": TIME,
    "timestamp": TIME,
    "broker": pl.String(),
    "kind": pl.String(),
    "channel": pl.String(),
    "partition": pl.String(),
    "position": pl.String(),
    "key": pl.Binary(),
    "headers": pl.List(pl.Struct({"name": pl.String(), "value": pl.Binary()})),
    "body": pl.Binary(),
}
"""The columns of every capture, in this order.

`seq` is unique, `received` (the recorder's clock) is never null, `kind` is the broker's
protocol, null `headers` are the same as none, a null `body` is a tombstone.
"""

INVALID = "invalid"
"""Column that masked captures have besides: the reason why the body was invalid before it was
masked, null where it was valid. What is masked can no longer be judged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureMetadata:
    """What a capture says about itself.

    Attributes:
        format_version: The version of this format; a newer one is refused.
        recorded_at: When the recording began, UTC; None where nobody knows.
        recorded_by: What made it, such as `generate business` or `ndjson hooks.ndjson`.
        stage: `raw` as read from the broker, `handled` as handlers returned it.
        masked: What was masked, such as `business: event.tenant_id`; empty: nothing.
        messages: Count of the rows when it was written; None when not known.
        digest: SHA-256 of the content, see `digest.py`; None when not known.
        profile: The profile of generated traffic, None for other.
        seed: The seed of generated traffic, None for other.
    """

    format_version: int = FORMAT_VERSION
    recorded_at: datetime | None = None
    recorded_by: str = ""
    stage: Literal["raw", "handled"] = "raw"
    masked: tuple[str, ...] = ()
    messages: int | None = None
    digest: str | None = None
    profile: str | None = None
    seed: int | None = None


class _Versioned(msgspec.Struct):
    format_version: int


def encode_metadata(metadata: CaptureMetadata) -> dict[str, str]:
    """Write metadata as Parquet key-value metadata."""
    return {METADATA_KEY: msgspec.json.encode(metadata).decode()}


def decode_metadata(text: str | bytes, *, where: str) -> CaptureMetadata:
    """Read metadata; the version is looked at first, since a newer one may have other fields.

    Raises:
        CaptureError: It is of a newer version or is not what this module writes.
    """
    try:
        version = msgspec.json.decode(text, type=_Versioned).format_version
        if version > FORMAT_VERSION:
            raise _too_new(version, where)
        return msgspec.json.decode(text, type=CaptureMetadata)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"the metadata of this capture cannot be read: {error}"
        raise CaptureError(
            msg,
            where=where,
            hint="write the file again with Capture.write",
        ) from None


def _too_new(version: int, where: str) -> CaptureError:
    return CaptureError(
        f"this capture is of format {version}; this gateway_lab reads up to {FORMAT_VERSION}",
        where=where,
        hint="install a newer gateway_lab",
    )


def check_columns(schema: Mapping[str, pl.DataType], *, where: str) -> None:
    """Refuse a file whose columns are not those of a capture; others beside them are ignored.

    Raises:
        CaptureError: Columns are missing or have another type; all of them are named.
    """
    missing = [name for name in COLUMNS if name not in schema]
    if missing:
        msg = f"not a capture: it has no column {_listed(missing)}"
        raise CaptureError(
            msg,
            where=where,
            hint=f"it has: {_listed(schema)}; a capture has: {_listed(COLUMNS)}",
        )
    mistyped = [name for name, wanted in COLUMNS.items() if schema[name] != wanted]
    if mistyped:
        problems = "; ".join(f"{name} is {schema[name]}, not {COLUMNS[name]}" for name in mistyped)
        msg = f"columns of another type than a capture's: {problems}"
        raise CaptureError(
            msg,
            where=where,
            hint="cast them before the file is written, or import NDJSON instead",
        )
    if schema.get(INVALID, pl.String) != pl.String:
        msg = f"column {INVALID} is {schema[INVALID]}, not String"
        raise CaptureError(msg, where=where)


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(map(str, names)) or "no columns"
