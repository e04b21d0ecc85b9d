from __future__ import annotations

from typing import Any

import polars as pl

from gateway_lab.lab.layout import MOST_NODES
from gateway_lab.lab.palette import NODE, faint
from gateway_lab.lab.sankey import LINKS, Layer, height, sankey

LAYERS = (
    Layer(column="router"),
    Layer(column="route", within=("router",), absent="no route"),
    Layer(column="target", coloured=True),
)
COLOURS = {"low": "#000000", "high": "#ffffff"}


def drawn(*rows: tuple[str, str | None, str, int]) -> dict[str, Any]:
    frame = pl.DataFrame(rows, schema=["router", "route", "target", "n"], orient="row")
    return sankey(frame, LAYERS, value="n", unit="messages", colours=COLOURS)


def test_routes_of_two_routers_that_bear_one_name_are_two_nodes() -> None:
    trace = drawn(("a", "vip", "low", 1), ("b", "vip", "low", 2))
    assert trace["node"]["label"] == ["a", "vip", "low", "b", "vip"]
    assert list(zip(trace["link"]["source"], trace["link"]["target"], strict=True)) == [
        (0, 1),
        (1, 2),
        (3, 4),
        (4, 2),
    ]


def test_paths_that_share_a_link_are_added_up() -> None:
    trace = drawn(("a", "vip", "low", 1), ("a", "vip", "high", 2))
    assert trace["link"]["value"] == [3, 1, 2]


def test_a_shared_link_takes_no_target_s_colour() -> None:
    trace = drawn(("a", "vip", "low", 1), ("a", "vip", "high", 2))
    shown = [faint(colour, alpha=LINKS) for colour in (NODE, "#000000", "#ffffff")]
    assert trace["link"]["color"] == shown


def test_a_path_without_a_route_says_so() -> None:
    assert drawn(("a", None, "low", 1))["node"]["label"] == ["a", "no route", "low"]


def test_of_very_many_nodes_the_smallest_are_one_and_nothing_is_lost() -> None:
    rows = [("a", f"r{n:03}", f"t{n:03}", n + 1) for n in range(100)]
    trace = drawn(*rows)
    labels = trace["node"]["label"]
    assert len(labels) == 1 + 2 * MOST_NODES
    assert labels.count("77 others") == 2
    assert {"t099", "t077"} <= set(labels)
    assert "t076" not in labels
    start = labels.index("a")
    leaving = zip(trace["link"]["source"], trace["link"]["value"], strict=True)
    assert sum(count for source, count in leaving if source == start) == 5050


def test_a_flow_is_high_enough_for_the_nodes_of_its_fullest_layer() -> None:
    def room(number: int) -> int | None:
        rows = [("a", f"r{n}", "low", 1) for n in range(number)]
        frame = pl.DataFrame(rows, schema=["router", "route", "target", "n"], orient="row")
        return height(frame, LAYERS).get("height")

    assert room(3) is None
    assert (room(20), room(24), room(400)) == (580, 676, 676)


def test_a_label_is_cut_and_the_hover_text_is_whole() -> None:
    trace = drawn(("a", "r" * 50, "low", 1))
    assert len(trace["node"]["label"][1]) == 20
    assert trace["node"]["customdata"][1] == "r" * 50


def test_nothing_can_be_drawn_too() -> None:
    assert drawn()["node"]["label"] == []
