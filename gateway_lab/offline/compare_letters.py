"""Where dead letters go in either of two configs, for their comparison."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import polars as pl

from gateway_lab.config.plan import SourcePlan
from gateway_lab.messages.books import Outcome
from gateway_lab.offline.parts import Part
from gateway_lab.offline.targets import letter_channels

_PLACE = ("broker", "channel")


@dataclass(frozen=True, slots=True)
class Letters:
    """A source whose dead letters go to another place in the new config."""

    old: SourcePlan
    new: SourcePlan
    part: Part

    @classmethod
    def of(cls, old: SourcePlan | None, new: SourcePlan | None, part: Part) -> Self | None:
        """Look at a source in both configs; None where nothing of it differs."""
        if old is None or new is None or old.dead_letter == new.dead_letter:
            return None
        return cls(old, new, part)

    def places(self, rows: pl.Series) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Give the old and the new `broker, channel` of the dead letters of some rows."""
        return self._place(self.old, rows), self._place(self.new, rows)

    def refused(
        self, before: pl.DataFrame, behind: pl.DataFrame, rows: pl.Series
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Fill in where dead letters go of what a target refuses in both configs."""
        letter = Outcome.DEAD_LETTERED.value
        both = (before["outcome"] == letter) & (behind["outcome"] == letter)
        return tuple(  # type: ignore[return-value]
            written.with_columns(
                pl.when(both).then(place[name]).otherwise(pl.col(name)).alias(name)
                for name in _PLACE
            )
            for written, place in zip((before, behind), self.places(rows), strict=True)
        )

    def _place(self, source: SourcePlan, rows: pl.Series) -> pl.DataFrame:
        broker = source.dead_letter.broker if source.dead_letter else None
        channels = letter_channels(source, self.part).gather(rows)
        return pl.DataFrame({"channel": channels}).select(
            broker=pl.lit(broker, pl.String), channel=pl.col("channel").cast(pl.String)
        )
