"""From bodies to columns: the compiled decoder over some thousand bodies at a time.

Short steps keep bodies and decoded values in the processor's cache: their memory is used again
for the next step.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from gateway_lab.events.decode import Decoder, compile_decoder
from gateway_lab.events.event_type import EventType, Path
from gateway_lab.offline.parts import INVALID, Part
from gateway_lab.rules.to_polars import dtype

STEP_ROWS = 4096


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
        columns, invalid = _decode(frame["body"], decoder, self._dtypes())
        reasons = {"row": list(invalid), "reason": list(invalid.values())}
        sizes = frame["body"].bin.size().fill_null(0)
        return Decoded(columns, pl.DataFrame(reasons, schema=INVALID_SCHEMA), sizes)

    def _dtypes(self) -> list[pl.DataType]:
        schemas = [self.event_type.find(path) for path in self.paths]
        return [dtype(schema.value_type) for schema in schemas if schema is not None]


INVALID_SCHEMA = {"row": pl.UInt32, "reason": pl.String}


def fingerprint(event_type: EventType) -> str:
    """Name what an event type accepts."""
    if event_type.document:
        return json.dumps(event_type.document, sort_keys=True)
    return repr(event_type.schema)


_MAX_DECODERS = 32
_decoders: dict[tuple[str, tuple[Path, ...]], Decoder] = {}


def _decoder(event_type: EventType, paths: tuple[Path, ...]) -> Decoder:
    """Compile a decoder once in a process: it learns which texts come often."""
    key = (fingerprint(event_type), paths)
    if key not in _decoders:
        if len(_decoders) >= _MAX_DECODERS:
            _decoders.clear()
        _decoders[key] = compile_decoder(event_type, paths)
    return _decoders[key]


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
