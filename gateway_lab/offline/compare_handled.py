"""What handlers ended and sent by themselves, for the comparison of two configs."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from gateway_lab.messages.books import Outcome
from gateway_lab.offline.handled import END_OF, HandledPart
from gateway_lab.routing.conclude import Consequence

_CONTENT = ("broker", "channel", "key", "headers", "body")


def own_of(part: HandledPart) -> Iterator[tuple[pl.Series, tuple[Consequence, ...]]]:
    """Yield rows of a part and what follows for all of them; no row twice."""
    for fate, (target, outcome) in END_OF.items():
        rows = part.ends.filter(pl.col("fate").cast(pl.String) == fate)["row"]
        yield rows, (Consequence(None, target, outcome, None),)
    sends = pl.struct("route", "target").alias("sends")
    of_rows = part.sends.group_by("row", maintain_order=True).agg(sends)
    for (routes,), alike in of_rows.group_by("sends", maintain_order=True):
        follows = [
            Consequence(each["route"], each["target"], Outcome.DELIVERED, None) for each in routes
        ]
        yield alike["row"], tuple(follows)


def sent(
    parts: tuple[HandledPart, ...], source: str, way: tuple[str | None, str | None], rows: pl.Series
) -> pl.DataFrame:
    """Return what the handler of a source sent one way, in the order of the rows: all of them did.

    Args:
        parts: What is known of handlers.
        source: Whose messages they are.
        way: Route and target of what was sent.
        rows: Of the part.
    """
    (sends,) = (part.sends for part in parts if part.source == source)
    there = sends.filter(
        pl.col("route") == way[0], pl.col("target") == way[1], pl.col("row").is_in(rows.implode())
    )
    return there.sort("row").select(_CONTENT)
