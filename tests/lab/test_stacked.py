from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from gateway_lab.lab import figures
from gateway_lab.lab.palette import COLOURS, FIXED, NODE

START = datetime(2026, 3, 2)
SCHEMA = ["time", "target", "outcome", "deliveries"]


def frame_of(*rows: tuple[int, str, int]) -> pl.DataFrame:
    """Return what `Replay.over_time` returns: minutes from the start, target and count."""
    told = [(START + timedelta(minutes=at), name, "delivered", n) for at, name, n in rows]
    return pl.DataFrame(told, schema=SCHEMA, orient="row")


def test_the_last_step_of_a_frame_is_as_wide_as_the_others() -> None:
    [line] = figures.over_time(frame_of((0, "low", 4), (1, "low", 6))).data
    assert line.x == ("2026-03-02T00:00:00", "2026-03-02T00:01:00", "2026-03-02T00:02:00")
    assert line.y == (4, 6, 0)


def test_one_step_of_unknown_width_is_a_mark() -> None:
    [mark] = figures.over_time(frame_of((0, "low", 4))).data
    assert (mark.mode, mark.y) == ("markers", (4,))


def test_a_target_without_deliveries_in_a_step_has_none_there() -> None:
    drawn = figures.over_time(frame_of((0, "low", 4), (1, "high", 6))).data
    assert {line.name: line.y for line in drawn} == {"high": (0, 6, 0), "low": (4, 0, 0)}


def test_of_very_many_targets_the_smallest_are_one_and_no_delivery_is_missing() -> None:
    rows = [(at, f"t{number:02}", number + 1) for number in range(40) for at in (0, 1)]
    figure = figures.over_time(frame_of(*rows, (0, "dead_letter", 1)))
    assert len(figure.data) == len(COLOURS) + 1
    assert figure.data[-1].name == "29 others"
    assert figure.data[-1].line.color == NODE
    assert {line.name: line.line.color for line in figure.data}["dead_letter"] == FIXED[
        "dead_letter"
    ]
    assert sum(sum(line.y) for line in figure.data) == figure.frame["deliveries"].sum()
    assert figure.frame.height == 81


def test_marks_of_small_counts_are_whole_numbers() -> None:
    few = figures.over_time(frame_of((0, "low", 3), (1, "low", 1)))
    many = figures.over_time(frame_of((0, "low", 3000), (1, "low", 1)))
    assert (few.layout.yaxis.dtick, many.layout.yaxis.dtick) == (1, None)
