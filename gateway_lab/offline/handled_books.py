"""What handlers made of the messages of each source, counted."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from gateway_lab.config.codes import CODES
from gateway_lab.config.plan import Plan
from gateway_lab.findings import Finding
from gateway_lab.offline.books import HandledBook
from gateway_lab.offline.handled import Fate
from gateway_lab.offline.masked import mask_reasons
from gateway_lab.offline.tally import Tally
from gateway_lab.offline.tasks import Run

CODE = "handler-hangs"


def handled_books(tally: Tally) -> Iterator[HandledBook]:
    """Make the book of each source whose messages were handled."""
    for source in dict.fromkeys(source for source, _, _ in tally.handled):
        counts = dict.fromkeys(Fate, 0)
        tries = 0
        for (name, fate, _), (messages, ran) in tally.handled.items():
            if name == source:
                counts[Fate(fate)] += messages
                tries += ran
        yield HandledBook(
            source=source,
            messages=sum(counts.values()),
            routed=counts[Fate.RETURNED] + counts[Fate.PASSED],
            ended=counts[Fate.ENDED],
            dead_lettered=counts[Fate.DEAD_LETTERED],
            invalid=counts[Fate.INVALID],
            tries=tries,
        )


def handled_frame(tally: Tally, plan: Plan) -> pl.DataFrame:
    """List what became of messages in their handlers, and why, the most frequent first."""
    rows = [(*key, *weight) for key, weight in tally.handled.items()]
    names = ["source", "fate", "reason", "messages", "tries"]
    types = [*[pl.String] * 3, *[pl.Int64] * 2]
    frame = pl.DataFrame(rows, schema=dict(zip(names, types, strict=True)), orient="row")
    is_failure = pl.col("fate") == Fate.DEAD_LETTERED.value
    shown = mask_reasons(frame, plan, is_failure).group_by("source", "fate", "reason").sum()
    order = ["messages", "source", "fate", "reason"]
    return shown.sort(order, descending=[True, False, False, False], nulls_last=True)


def hanging(run: Run) -> Iterator[Finding]:
    """Find the sources that a handler would stop, live."""
    for source, reason in run.handled.stopped.items() if run.handled else ():
        yield Finding(
            code=CODE,
            severity=CODES[CODE].severity,
            path=("sources", source, "handler"),
            text=f"{reason}; the source would stop there, and what follows is not replayed",
            hint="give what it waits for a limit, or write it as an async function",
        )
