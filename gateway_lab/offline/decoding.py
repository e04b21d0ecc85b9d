"""From bodies to columns: the compiled decoder over some thousand bodies at a time.

Short steps keep bodies and decoded values in the processor's cache: their memory is used again
for the next step.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from gateway_lab.events.decode import Decoder, compile_decoder
from gateway_lab.events.event_type import EventType, Path
from gateway_lab.messages.mask import PREFIX
from gateway_lab.offline.parts import INVALID, Part
from gateway_lab.rules.to_polars import dtype

STEP_ROWS = 4096

SHOWN_PREFIX = "masked-"
"""How a mask is seen offline: it stands for a value that may be in the name of a channel."""


@dataclass(frozen=True, slots=True)
class Decoded:
    """Decoded bodies, one row each.

    Attributes:
        columns: A column for each path asked for; null where the body is invalid.
        invalid: Columns `row` (u32, the place among the bodies) and `reason`.
        sizes: Length of each body in bytes; 0 for a message without one.
    """

    columns: tuple[pl.Series, ...]
    invalid: pl.DataFrame
    sizes: pl.Series


@dataclass(frozen=True, slots=True, kw_only=True)
class DecodeTask:
    """What to decode; it can be pickled, so a worker process can do it.

    Attributes:
        rows: Which rows of the part, in order; None: all.
    """

    part: Part
    rows: pl.Series | None
    event_type: EventType
    paths: tuple[Path, ...]

    def run(self) -> Decoded:
        """Read the bodies and decode them."""
        return self.decode(self.read())

    def read(self) -> pl.DataFrame:
        """Read what the decoder needs: the bodies, and the verdicts of a masked capture."""
        names = ["body", INVALID] if self.part.masked else ["body"]
        frame = self.part.read(*names)
        return frame if self.rows is None else frame[self.rows]

    def decode(self, frame: pl.DataFrame) -> Decoded:
        """Decode the bodies that were read."""
        decoder = _decoder(self.event_type, self.paths)
        bodies = frame["body"]
        if self.part.masked:
            bodies = frame.select(pl.when(pl.col(INVALID).is_null()).then("body")).to_series()
        columns, invalid = _decode(bodies, decoder, self._dtypes())
        if self.part.masked:
            columns = tuple(map(self._shown, self.paths, columns))
            judged = frame.with_row_index("row").drop_nulls(INVALID)
            invalid |= dict(judged.select("row", INVALID).rows())
        reasons = {"row": sorted(invalid), "reason": [invalid[row] for row in sorted(invalid)]}
        sizes = frame["body"].bin.size().fill_null(0)
        return Decoded(columns, pl.DataFrame(reasons, schema=INVALID_SCHEMA), sizes)

    def _shown(self, path: Path, column: pl.Series) -> pl.Series:
        schema = self.event_type.find(path)
        if schema is None or not schema.private:
            return column
        return column.str.replace(PREFIX, SHOWN_PREFIX, literal=True)

    def _dtypes(self) -> list[pl.DataType]:
        schemas = [self.event_type.find(path) for path in self.paths]
        return [dtype(schema.value_type) for schema in schemas if schema is not None]


INVALID_SCHEMA = {"row": pl.UInt32, "reason": pl.String}


def fingerprint(event_type: EventType) -> str:
    """Name what an event type accepts, within this process."""
    return f"{event_type.name}: {event_type.schema!r}"


_last = threading.local()


def _decoder(event_type: EventType, paths: tuple[Path, ...]) -> Decoder:
    """Take the decoder of the piece before: it has learned the texts of this traffic."""
    wanted = (fingerprint(event_type), paths)
    known: tuple[object, Decoder] | None = getattr(_last, "known", None)
    if known is None or known[0] != wanted:
        known = _last.known = wanted, compile_decoder(event_type, paths)
    return known[1]


def _decode(
    bodies: pl.Series, decoder: Decoder, dtypes: Sequence[pl.DataType]
) -> tuple[tuple[pl.Series, ...], dict[int, str]]:
    steps: list[list[pl.Series]] = [[pl.Series(dtype=held)] for held in dtypes]
    invalid: dict[int, str] = {}
    for start in range(0, len(bodies), STEP_ROWS):
        columns, wrong = decoder.decode_many(bodies[start : start + STEP_ROWS].to_list())
        for step, values, held in zip(steps, columns, dtypes, strict=True):
            step.append(pl.Series(values, dtype=held))
        invalid.update((start + row, reason) for row, reason in wrong.items())
    return tuple(pl.concat(step) for step in steps), invalid


def joined(pieces: Sequence[tuple[int, Decoded]]) -> Decoded:
    """Put pieces together; each comes with the count of bodies before it."""
    columns = zip(*(piece.columns for _, piece in pieces), strict=True)
    invalid = [
        piece.invalid.with_columns(pl.col("row") + before)
        for before, piece in pieces
        if piece.invalid.height
    ]
    none = pl.DataFrame(schema=INVALID_SCHEMA)
    return Decoded(
        tuple(pl.concat(each) for each in columns),
        pl.concat([none, *invalid]),
        pl.concat([piece.sizes for _, piece in pieces]),
    )
