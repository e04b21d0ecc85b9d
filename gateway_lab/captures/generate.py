"""Invented traffic: seeded, the same on every machine, and as untidy as the real thing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from zlib import crc32

import polars as pl

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import COLUMNS, CaptureMetadata
from gateway_lab.captures.profiles.business import BUSINESS
from gateway_lab.captures.profiles.clock import START, sent
from gateway_lab.captures.profiles.commands import COMMANDS
from gateway_lab.captures.profiles.conversion import CONVERSION
from gateway_lab.captures.profiles.draws import Draws
from gateway_lab.captures.profiles.headers import with_headers
from gateway_lab.captures.profiles.malformed import broken
from gateway_lab.captures.profiles.metrics import METRICS
from gateway_lab.captures.profiles.observable import OBSERVABLE
from gateway_lab.captures.profiles.payments import PAYMENTS
from gateway_lab.captures.profiles.profile import SESSION_ROWS, TrafficProfile, in_sessions
from gateway_lab.captures.profiles.users import USERS
from gateway_lab.captures.write import write_batches
from gateway_lab.errors import CaptureError, did_you_mean

PROFILES: Mapping[str, TrafficProfile] = {
    "business": BUSINESS,
    "users": USERS,
    "payments": PAYMENTS,
    "metrics": METRICS,
    "commands": COMMANDS,
    "conversion": CONVERSION,
    "observable": OBSERVABLE,
}
MALFORMED = 0.005
"""Share of the messages whose body is broken."""

_CHUNK_ROWS = 256 * SESSION_ROWS


def generate_traffic(profile: str, *, n: int, seed: int = 0) -> Capture:
    """Invent a capture and hold it in memory, some 500 bytes a message.

    Args:
        profile: A name of `PROFILES`, such as `business`.
        n: The count of messages; the period stays the same, more of them come denser.
        seed: Another seed gives another capture; the same one gives the same, everywhere.

    Raises:
        CaptureError: There is no such profile, or n is negative.
    """
    chunks = list(_chunks(profile, n, seed))
    frame = pl.concat(chunks) if chunks else pl.DataFrame(schema=COLUMNS)
    return Capture(frame.lazy(), _metadata(profile, n, seed))


def write_traffic(profile: str, path: str | Path, *, n: int, seed: int = 0) -> None:
    """Invent a capture straight into a file, however large; see `generate_traffic`.

    Raises:
        CaptureError: Likewise, or the file cannot be written.
    """
    write_batches(_chunks(profile, n, seed), Path(path), metadata=_metadata(profile, n, seed))


def _metadata(profile: str, n: int, seed: int) -> CaptureMetadata:
    return CaptureMetadata(
        recorded_at=START,
        recorded_by=f"generate {profile}",
        messages=n,
        profile=profile,
        seed=seed,
    )


def _chunks(name: str, n: int, seed: int) -> Iterator[pl.DataFrame]:
    if name not in PROFILES:
        raise CaptureError(f"no profile is called {name!r}", hint=did_you_mean(name, PROFILES))
    if n < 0:
        raise CaptureError(f"{n} messages cannot be made", hint="ask for 0 or more")
    profile, draws = PROFILES[name], Draws(f"{name} {seed}")
    reached: dict[tuple[str, str | None], int] = {}
    for first in range(0, n, _CHUNK_ROWS):
        numbers = pl.int_range(first, min(first + _CHUNK_ROWS, n), dtype=pl.UInt64, eager=True)
        chunk = _drawn(pl.DataFrame({"seq": numbers}), profile, draws, n)
        yield _numbered(_with_broken(chunk, profile, draws), reached).select(*COLUMNS)


def _drawn(rows: pl.DataFrame, profile: TrafficProfile, draws: Draws, n: int) -> pl.DataFrame:
    """Draw all columns of a chunk but the position."""
    received = profile.clock.received(draws, int(rows["seq"][0]), n)
    timed = in_sessions(rows.with_columns(received=received), draws).with_columns(
        timestamp=sent(draws)
    )
    sent_at = pl.coalesce("timestamp", "received")
    built = profile.build(timed.with_columns(sent=sent_at), draws)
    is_tombstone = pl.col("key").is_not_null() & draws.chance("tombstone", profile.tombstones)
    return with_headers(built, draws).with_columns(
        pl.col("key").cast(pl.Binary),
        pl.when(~is_tombstone)
        .then(pl.col("body").cast(pl.Binary))
        .when(pl.col("kind") != "kafka")
        .then(pl.lit(b"")),
    )


def _with_broken(rows: pl.DataFrame, profile: TrafficProfile, draws: Draws) -> pl.DataFrame:
    """Break the bodies of some messages."""
    chosen = rows.filter(draws.chance("is broken", MALFORMED) & (pl.col("body") != b"")).select(
        "seq", "body", way=draws.number("way of breaking")
    )
    bodies = [broken(body, profile.weakness, way) for _, body, way in chosen.iter_rows()]
    return rows.update(
        chosen.select("seq", body=pl.Series(bodies, dtype=pl.Binary)),
        on="seq",
        maintain_order="left",
    )


def _numbered(rows: pl.DataFrame, reached: dict[tuple[str, str | None], int]) -> pl.DataFrame:
    """Add the position: it counts up within a channel and partition, chunk after chunk."""
    place = ["channel", "partition"]
    counts = rows.group_by(place).len("count")
    bases = [reached.setdefault(row[:2], _first_position(row[:2])) for row in counts.iter_rows()]
    for channel, partition, count in counts.iter_rows():
        reached[channel, partition] += count
    position = pl.col("base") + pl.int_range(pl.len()).over(place)
    return rows.join(
        counts.with_columns(base=pl.Series(bases, dtype=pl.Int64)),
        on=place,
        nulls_equal=True,
        maintain_order="left",
    ).with_columns(position=position.cast(pl.String))


def _first_position(place: tuple[str, str | None]) -> int:
    """Begin somewhere: a recording never begins with a topic's first message."""
    return crc32(":".join(map(str, place)).encode()) % 100_000
