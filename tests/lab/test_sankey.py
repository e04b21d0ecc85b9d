from __future__ import annotations

from typing import Any

import polars as pl

from gateway_lab.lab.palette import NODE, faint
from gateway_lab.lab.sankey import Layer, sankey

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
    assert trace["link"]["color"] == [faint(NODE), faint("#000000"), faint("#ffffff")]


def test_a_path_without_a_route_says_so() -> None:
    assert drawn(("a", None, "low", 1))["node"]["label"] == ["a", "no route", "low"]


def test_nothing_can_be_drawn_too() -> None:
    assert drawn()["node"]["label"] == []
