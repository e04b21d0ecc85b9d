from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import polars as pl
import pytest

from gateway_lab.errors import ReplayError
from gateway_lab.lab import figures
from gateway_lab.lab.palette import COLOURS

START = datetime(2026, 3, 2)


def row(batch: int, host: str, messages: int, avg: float | None, **others: Any) -> dict[str, Any]:
    low, high = (None, None) if avg is None else (avg - 1, avg + 1)
    return {
        "batch": batch,
        "closed": START + timedelta(seconds=40 * batch),
        "windows": "simulated",
        "messages": messages,
        "host": host,
        "avg": avg,
        "min": low,
        "max": high,
        **others,
    }


FRAME = pl.DataFrame(
    [row(0, "a", 3, 10.0), row(0, "b", 1, 2.0), row(1, "a", 2, 4.0), row(2, "a", 1, 7.0)]
)


def test_groups_of_a_batch_are_one_point_their_mean_weighted_and_their_bounds() -> None:
    figure = figures.batches(FRAME, y="avg", band=("min", "max"))
    low, high, line = figure.data
    assert line.y == (8.0, 4.0, 7.0)
    assert low.y == (1.0, 3.0, 6.0)
    assert high.y == (11.0, 5.0, 8.0)
    assert high.fill == "tonexty"
    assert repr(figure).startswith("avg between min and max, batch by batch · simulated windows\n")


def test_batches_of_a_step_are_put_together() -> None:
    figure = figures.batches(FRAME, y="avg", every="1m")
    assert figure.data[0].y == ((30 + 2 + 8) / 6, 7.0)
    assert "in steps of 1m" in repr(figure)
    with pytest.raises(ReplayError, match="often"):
        figures.batches(FRAME, y="avg", every="often")


def test_a_group_without_a_value_weighs_nothing() -> None:
    frame = pl.DataFrame([row(0, "a", 3, 10.0), row(0, "b", 9, None)], infer_schema_length=None)
    assert figures.batches(frame, y="avg").data[0].y == (10.0,)


def test_a_group_is_a_line_and_the_largest_are_drawn_where_nobody_names_them() -> None:
    frame = pl.DataFrame([row(0, f"host-{n}", n, float(n)) for n in range(1, 10)])
    figure = figures.batches(frame, y="avg", by="host")
    assert [line.name for line in figure.data] == [f"host-{n}" for n in range(4, 10)]
    assert "by host, 6 of 9" in repr(figure)
    [line] = figures.batches(frame, y="avg", by="host", only=["host-1"]).data
    assert line.name == "host-1"
    with pytest.raises(ReplayError, match="did you mean 'host-1'"):
        figures.batches(frame, y="avg", by="host", only=["hots-1"])


def test_a_group_keeps_its_colour_when_a_figure_does_not_show_the_others() -> None:
    both = figures.batches(FRAME, y="avg", by="host")
    alone = figures.batches(FRAME, y="avg", by="host", only=["b"])
    assert both.data[1].line.color == alone.data[0].line.color


def test_of_more_groups_than_colours_those_that_are_shown_differ() -> None:
    number = 3 * len(COLOURS)
    frame = pl.DataFrame([row(0, f"host-{n:02}", n, float(n)) for n in range(number)])
    drawn = figures.batches(frame, y="avg", by="host").data
    assert len({line.line.color for line in drawn}) == len(drawn) == 6


def test_sizes_of_batches_are_counted() -> None:
    figure = figures.batch_sizes(FRAME)
    assert figure.frame.rows() == [(1, 1, 1), (2, 2, 1), (4, 4, 1)]
    assert repr(figure).startswith("3 batches, 2.333 messages each on average")
    [bars] = figure.data
    assert bars.customdata == ("1", "2", "4")


def test_many_sizes_are_counted_in_steps_and_none_at_all_can_be_drawn() -> None:
    frame = pl.DataFrame([row(n, "a", n * 10, 1.0) for n in range(1, 51)])
    figure = figures.batch_sizes(frame)
    assert figure.frame["batches"].sum() == 50
    assert figure.frame.height <= 40
    assert figures.batch_sizes(FRAME.clear()).frame.is_empty()
    assert figures.batches(FRAME.clear(), y="avg", by="host").frame.is_empty()


@pytest.mark.parametrize("draw", [figures.batch_sizes, lambda given: figures.batches(given, y="a")])
def test_what_is_no_frame_of_batches_is_told_so(draw: Any) -> None:
    with pytest.raises(ReplayError, match="no frame"):
        draw("load")
    with pytest.raises(ReplayError, match="no column"):
        draw(pl.DataFrame({"b": [1]}))
