"""What `gateway-lab run` writes for programs: one JSON object a line."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic
from typing import Final

from gateway_lab.gateway.counters import SourceStats, State, Stats
from gateway_lab.gateway.log_lines import line_of, logging_to

TOLD_S: Final = 10.0
"""How often the books are logged."""

_ALIVE: Final = {State.WAITING, State.RUNNING}
_LOG: Final = logging.getLogger("gateway_lab.run")


@contextmanager
def json_logs(
    digest: Callable[[], str], notes: Callable[[], Sequence[str]]
) -> Iterator[Callable[[Stats], None]]:
    """Log to standard error what changes, and now and then the books.

    Args:
        digest: Returns that of the config that decides now.
        notes: Returns what else is to be told with the books.
    """

    def tell(record: logging.LogRecord) -> None:
        line = line_of(record) | {"config": digest()} | getattr(record, "books", {})
        print(json.dumps(line), file=sys.stderr, flush=True)

    told = [(monotonic(), Stats(sources=(), routers=(), ways=()))]

    def show(stats: Stats) -> None:
        is_over = not {each.state for each in stats.sources} & _ALIVE
        if stats != told[0][1] and (is_over or monotonic() - told[0][0] >= TOLD_S):
            told[0] = (monotonic(), stats)
            for each in stats.sources:
                _LOG.info("books of %s", each.source, extra={"books": books_of(each, stats)})
            for note in notes():
                _LOG.info("%s", note)

    with logging_to(tell):
        yield show


def books_of(source: SourceStats, stats: Stats) -> dict[str, object]:
    """Return the numbers of one source, as a log has them."""
    ways = [each for each in stats.ways if each.source == source.source]
    return {
        "source": source.source,
        "state": source.state,
        "read": source.read,
        "redelivered": source.redelivered,
        "settled": source.settled,
        "given_back": source.given_back,
        "in_flight": source.in_flight,
        "retried": source.retried,
        "lost": source.lost,
        "delivered": sum(each.delivered for each in ways),
        "dropped": sum(each.dropped for each in ways),
        "dead_lettered": sum(each.dead_lettered for each in ways),
        "pending": sum(each.pending for each in ways),
    }
