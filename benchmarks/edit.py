"""One route edited: new counts over a million messages that were replayed before."""

from __future__ import annotations

import statistics

from benchmarks.table import ROUNDS, Figure, business_capture, seconds, show
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.load import read_config
from gateway_lab.offline.diff import diff
from gateway_lab.offline.run import replay

MESSAGES = 1_000_000
LIMIT_MS = 100


def measure() -> list[Figure]:
    """Measure edits of a condition, and a diff of the same edits."""
    capture = scan_capture(business_capture(MESSAGES))
    config = read_config("data/business.yaml")
    replay(config, capture)
    edits = [
        config.edit_route(
            "by_priority", "critical", when=f"priority = 'critical' or payload.amount > {amount}"
        )
        for amount in range(100, 100 * (ROUNDS + 1), 100)
    ]
    replays = [seconds(lambda edit=edit: replay(edit, capture)) for edit in edits]  # type: ignore[misc]
    diffs = [seconds(lambda edit=edit: diff(config, edit, capture)) for edit in edits]  # type: ignore[misc]
    return [
        figure("one route edited, new counts over 1,000,000 messages", replays),
        figure("the same edit as a diff", diffs, limit_ms=None),
    ]


def figure(what: str, taken: list[float], limit_ms: int | None = LIMIT_MS) -> Figure:
    """Give the median in milliseconds."""
    value_ms = statistics.median(taken) * 1000
    return Figure(
        what=what,
        value=f"{value_ms:.0f} ms",
        against="-",
        ratio=f"{value_ms:.0f} ms",
        demanded="-" if limit_ms is None else f"<= {limit_ms} ms",
        is_met=limit_ms is None or value_ms <= limit_ms,
    )


if __name__ == "__main__":
    show(measure())
