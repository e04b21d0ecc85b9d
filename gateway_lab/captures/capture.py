"""A capture: recorded messages, looked at lazily.

Everything that narrows a capture down gives another capture; nothing is read before it is
asked for, and what is larger than memory streams.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cached_property
from html import escape
from pathlib import Path

import polars as pl

from gateway_lab.captures.binding import Sources
from gateway_lab.captures.damage import damage_told
from gateway_lab.captures.digest import digest_of
from gateway_lab.captures.format import INVALID, CaptureMetadata
from gateway_lab.captures.mask import mask_frame, masked_names
from gateway_lab.captures.profile import Profile, judged_frames, profile_frame
from gateway_lab.captures.rows import message_of
from gateway_lab.captures.sampling import sample_rank
from gateway_lab.captures.write import write_batches
from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan
from gateway_lab.errors import CaptureError
from gateway_lab.findings import Severity
from gateway_lab.messages.message import Message


@dataclass(frozen=True, eq=False)
class Capture:
    """Recorded messages.

    Attributes:
        frame: One row a message, the columns of `format.COLUMNS` in that order; a masked
            capture has `invalid` behind them. Rows are in the order they were recorded.
        metadata: What the capture says about itself.
        paths: The Parquet files that hold exactly these rows, in order; empty for a capture
            that is in memory, a part of another, or NDJSON.
    """

    frame: pl.LazyFrame
    metadata: CaptureMetadata
    paths: tuple[Path, ...] = ()

    @cached_property
    def count(self) -> int:
        """The count of messages."""
        if self.metadata.messages is not None:
            return self.metadata.messages
        return int(self.frame.select(pl.len()).collect().item())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the content; `(digest, seq)` names a message wherever the file is."""
        return self.metadata.digest or self._computed_digest()

    @property
    def is_masked(self) -> bool:
        """Whether validity was judged before masking and stands in column `invalid`."""
        return INVALID in self.frame.collect_schema()

    def verify(self) -> None:
        """Read everything and compare it with the recorded digest.

        Raises:
            CaptureError: The content is not what was recorded.
        """
        if self.metadata.digest not in {None, self._computed_digest()}:
            msg = "the content of this capture is not what its metadata says"
            raise CaptureError(
                msg,
                where=", ".join(map(str, self.paths)),
                hint="another tool changed it; record it again, or write it with Capture.write",
            )

    def message(self, seq: int) -> Message:
        """Fetch one message by its number.

        Raises:
            CaptureError: There is none with this number, or the file is damaged.
        """
        found = self.frame.filter(pl.col("seq") == pl.lit(seq, pl.Int128))
        with damage_told(self.paths):
            rows = found.collect().to_dicts()
        if not rows:
            msg = f"no message has seq {seq}"
            raise CaptureError(msg, hint=self._numbers_hint())
        return message_of(rows[0])

    def messages(self) -> Iterator[Message]:
        """Read all messages in order, such as for publishing them again.

        Raises:
            CaptureError: The file is damaged.
        """
        for rows in self.batches():
            yield from map(message_of, rows.iter_rows(named=True))

    def places(self) -> list[str]:
        """List where the messages came from, `protocol:channel` each, as `sources=` takes it.

        Raises:
            CaptureError: The file is damaged.
        """
        columns = self.frame.select(pl.col("kind", "channel").fill_null("")).unique()
        with damage_told(self.paths):
            found = columns.sort("kind", "channel").collect()
        return [f"{kind}:{channel}" for kind, channel in found.iter_rows()]

    def between(self, start: datetime | str, end: datetime | str) -> Capture:
        """Keep what was received from `start` on and before `end`.

        Args:
            start: A datetime or ISO 8601 text; without an offset it means UTC.
            end: Likewise.
        """
        first, behind = as_utc(start), as_utc(end)
        return self._narrowed(
            self.frame.filter(pl.col("received").is_between(first, behind, closed="left"))
        )

    def head(self, n: int = 10) -> Capture:
        """Keep the first n messages."""
        return self._narrowed(self.frame.head(_amount(n)))

    def sample(self, n: int, *, seed: int) -> Capture:
        """Keep n messages chosen by a hash of `seq` and `seed`, in their order.

        The choice does not depend on files, row groups or machines. All messages are kept
        where there are no more than n.
        """
        ranks = self.frame.select(rank=sample_rank(seed)).bottom_k(_amount(n), by="rank")
        bound = ranks.select(pl.col("rank").max()).collect().item()
        if bound is None:
            return self.head(0)
        return self._narrowed(self.frame.filter(sample_rank(seed) <= pl.lit(bound, pl.UInt64)))

    def profile(
        self, config: GatewayConfig | None = None, *, sources: Sources | None = None
    ) -> Profile:
        """Describe the traffic: channels, keys, headers, times, bodies.

        Args:
            config: Given, valid and invalid messages of its sources are counted too.
            sources: Source name to `broker:channel`, for messages from other places.

        Raises:
            CaptureError: The config has errors, or the file is damaged.
            ReplayError: `sources` names what the config does not have.
        """
        with damage_told(self.paths):
            profile = profile_frame(self.frame)
        if config is None:
            return profile
        counted, invalid = judged_frames(
            self.frame, plan_of(config), sources=sources or {}, is_handled=self._is_handled
        )
        return replace(profile, sources=counted, invalid=invalid)

    def mask(self, config: GatewayConfig, *, sources: Sources | None = None) -> Capture:
        """Mask what a config marks as private; write the result to keep it.

        Equal values have equal masks in this process, or wherever GATEWAY_MASK_KEY is the same.

        Args:
            config: Says what is private: `x-private` of event types, `private` of sources.
            sources: Source name to `broker:channel`, for messages from other places.

        Raises:
            CaptureError: The config has errors.
            ReplayError: `sources` names what the config does not have.
        """
        plan = plan_of(config)
        frame = mask_frame(self.frame, plan, sources=sources or {}, is_handled=self._is_handled)
        masked = tuple(dict.fromkeys((*self.metadata.masked, *masked_names(plan))))
        return Capture(frame, replace(self.metadata, masked=masked, digest=None))

    def write(self, path: str | Path) -> None:
        """Write the capture to a file, which appears whole or not at all.

        `.parquet` keeps everything; `.ndjson` and `.ndjson.gz` are for other tools, see
        `ndjson.py`.

        Raises:
            CaptureError: The ending is another, the folder is missing, the disk is full.
        """
        write_batches(
            self.batches(), Path(path), metadata=self.metadata, with_verdicts=self.is_masked
        )

    def batches(self) -> Iterator[pl.DataFrame]:
        """Read all rows in order, some ten thousand at a time.

        Raises:
            CaptureError: The file is damaged.
        """
        with damage_told(self.paths):
            yield from self.frame.collect_batches(maintain_order=True)

    @property
    def _is_handled(self) -> bool:
        return self.metadata.stage == "handled"

    def _computed_digest(self) -> str:
        return digest_of(self.batches(), with_verdicts=self.is_masked)

    def _narrowed(self, frame: pl.LazyFrame) -> Capture:
        return Capture(frame, replace(self.metadata, messages=None, digest=None))

    @cached_property
    def span(self) -> tuple[datetime | None, datetime | None]:
        """When the first and the last message were received; None where there is none."""
        received = pl.col("received")
        row = self.frame.select(first=received.min(), last=received.max()).collect()
        return row["first"][0], row["last"][0]

    def _numbers_hint(self) -> str:
        seq = pl.col("seq")
        row = self.frame.select(first=seq.min(), last=seq.max()).collect().row(0)
        return "the capture is empty" if row[0] is None else f"numbers go from {row[0]} to {row[1]}"

    def __repr__(self) -> str:
        first, last = self.span
        if first is None or last is None:
            return "Capture(0 messages)"
        masked = ", masked" if self.metadata.masked else ""
        return f"Capture({self.count:,} messages, {first:%F %T} to {last:%F %T} UTC{masked})"

    def _repr_html_(self) -> str:
        place = ["broker", "kind", "channel"]
        counts = self.frame.group_by(place).len("messages").sort(place).collect()
        head = "".join(f"<th>{name}</th>" for name in counts.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(str(value))}</td>" for value in row) + "</tr>"
            for row in counts.rows()
        )
        return f"<div>{escape(repr(self))}<table><tr>{head}</tr>{body}</table></div>"


def plan_of(config: GatewayConfig) -> Plan:
    """Compile a config.

    Raises:
        CaptureError: It has errors.
    """
    compiled = compile_plan(config)
    if compiled.plan is None:
        errors = [each for each in compiled.findings if each.severity is Severity.ERROR]
        raise CaptureError(
            f"the config has errors: {errors[0]}", where=config.name, hint="run gateway-lab check"
        )
    return compiled.plan


def as_utc(moment: datetime | str) -> datetime:
    """Read a moment; without an offset it means UTC.

    Raises:
        CaptureError: It is a text that is not ISO 8601.
    """
    if isinstance(moment, str):
        try:
            moment = datetime.fromisoformat(moment)
        except ValueError:
            msg = f"{moment!r} is not a time"
            raise CaptureError(msg, hint="write it like 2026-03-02T08:30:00Z") from None
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def _amount(n: int) -> int:
    if n < 0:
        msg = f"{n} messages cannot be kept"
        raise CaptureError(msg, hint="ask for 0 or more")
    return n


def require_capture(value: object) -> None:
    """Refuse what is no capture, such as the path of one.

    Raises:
        CaptureError: It is something else.
    """
    if not isinstance(value, Capture):
        raise CaptureError(
            f"this is a {type(value).__name__}, and no capture",
            hint="scan it first: capture = gl.scan_capture('monday.parquet')",
        )
