"""A window of a replay is the replay of that window."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.read import scan_capture
from gateway_lab.config.load import read_config
from gateway_lab.offline.run import replay
from gateway_lab.offline.summary import Replay

DATA = Path(__file__).parents[2] / "data"
NAMES = ("business", "users", "conversion", "metrics", "observable")


def both(name: str, share: tuple[float, float]) -> tuple[Replay, Replay]:
    config, capture = read_config(DATA / f"{name}.yaml"), scan_capture(DATA / f"{name}.parquet")
    first, last = capture.span
    assert first is not None
    assert last is not None
    start, end = (first + (last - first) * each for each in share)
    return replay(config, capture).between(start, end), replay(config, capture.between(start, end))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("share", [(0.25, 0.5), (0.0, 2.0)])
def test_a_window_counts_what_its_messages_alone_count(
    name: str, share: tuple[float, float]
) -> None:
    ours, alone = both(name, share)
    assert ours.books() == alone.books()
    assert ours.routes().equals(alone.routes())
    assert ours.flow().equals(alone.flow())
    assert ours.channels().equals(alone.channels())
    assert ours.invalid().equals(alone.invalid())
    assert ours.over_time("10m").equals(alone.over_time("10m"))


@pytest.mark.parametrize("name", NAMES)
def test_a_window_lists_the_messages_that_are_in_it(name: str) -> None:
    ours, alone = both(name, (0.6, 0.7))
    rendered = [each.deliveries(rendered=True).collect() for each in (ours, alone)]
    assert rendered[0].height
    assert rendered[0].equals(rendered[1])
    assert ours.unmatched().collect().equals(alone.unmatched().collect())
    assert ours.sample(n=7, seed=3).equals(alone.sample(n=7, seed=3))
    assert ours.mismatches().is_empty()


def test_a_window_in_which_nothing_was_received_is_empty() -> None:
    ours, _ = both("business", (2.0, 3.0))
    assert ours.books().messages == 0
    assert ours.flow().is_empty()
    assert ours.routes()["messages"].to_list() == [0] * ours.routes().height


def test_a_message_at_the_end_of_a_window_is_in_the_next_one() -> None:
    capture = scan_capture(DATA / "business.parquet")
    whole = replay(read_config(DATA / "business.yaml"), capture)
    moment = capture.frame.select(pl.col("received").sort().gather(1000)).collect().item()
    step = timedelta(days=400)
    before, after = whole.between(moment - step, moment), whole.between(moment, moment + step)
    assert before.books().messages == 1000
    assert before.books().messages + after.books().messages == capture.count
