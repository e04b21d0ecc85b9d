from __future__ import annotations

import subprocess
import sys

import pytest

from gateway_lab.errors import ConfigError, ReplayError
from gateway_lab.messages.mask import mask_text, show_private
from gateway_lab.routing.explanation import Explanation, explain
from tests.routing.shop import ROUTERS, config, message

PRIVATE = """
routers:
  people:
    source: orders
    match: first
    routes:
      - {name: ada, when: "name = 'ada' and message.headers['x-user'] = 'u'", to: [person]}
    unmatched: drop
"""


def shop(event: dict[str, object], routers: str = ROUTERS) -> Explanation:
    return explain(config(routers), {"kind": "k", "tenant": "t", **event}, source="orders")


def rows(explanation: Explanation, router: str) -> list[tuple[str, str, str, bool]]:
    return [
        (row.route, row.clause, row.result, row.decided)
        for row in explanation.clause_rows
        if row.router == router
    ]


def test_routes_behind_the_first_match_are_not_reached():
    explanation = shop({"amount": 3, "kind": "waste"})
    assert rows(explanation, "first") == [
        ("big", "amount > 100", "FALSE", True),
        ("waste", "kind = 'waste'", "TRUE", True),
        ("parked", "kind = 'parked'", "not reached", False),
    ]


def test_a_recipient_list_reaches_all_routes():
    assert [result for _, _, result, _ in rows(shop({"kind": "ab"}), "every")] == ["TRUE", "TRUE"]


def test_null_is_told_apart_from_false():
    explanation = shop({})
    assert explanation.clause_rows[0].result == "NULL"
    assert explanation.clause_rows[0].values == "amount = NULL"
    assert explanation.decisions[0].undecided == ("big",)


def test_what_would_have_to_change_is_told():
    explanation = shop({"amount": 3.5, "kind": "b"})
    text = str(explanation)
    assert "to match big: `amount > 100` would have to be TRUE (amount = 3.5)" in text
    assert explanation.changes.columns == ["router", "route", "clause", "values", "wanted"]
    assert explanation.changes["route"].to_list() == ["big", "waste", "parked", "a"]


def test_deliveries_are_told_with_their_reasons():
    text = str(shop({"amount": 101, "tenant": "a.b"}))
    assert (
        "→ kafka dead-lettered on dead.orders.other (stream): unsafe-channel-value: "
        "{settings.prefix}{tenant}: a value with a dot"
    ) in text


def test_an_invalid_message_is_told_without_clauses():
    explanation = explain(config(), b"{", source="orders")
    assert explanation.clauses.height == 0
    assert explanation.clauses.columns == [
        "router",
        "route",
        "clause",
        "values",
        "result",
        "decided",
    ]
    assert explanation.targets["target"].to_list() == ["dead_letter"]
    assert "invalid: not JSON" in str(explanation)
    assert "invalid: not JSON" in explanation._repr_html_()


def test_a_route_without_a_condition_and_one_of_another_type_are_told():
    routers = """
routers:
  mixed:
    source: mixed
    match: all
    routes:
      - {name: refunds, events: [Refund], when: reason = 'late', to: [redis]}
      - {name: any, to: [redis]}
    unmatched: drop
"""
    sent = message({"kind": "k"}, headers=(("x-type", b"order"),), broker="edge", channel="mixed.a")
    assert rows(explain(config(routers), sent), "mixed") == [
        ("refunds", "reason = 'late'", "other event type", False),
        ("any", "always", "TRUE", True),
    ]


# --- which source ---


@pytest.mark.parametrize(
    ("place", "source"),
    [
        ({"broker": "stream", "channel": "orders"}, "orders"),
        ({"broker": "other", "protocol": "kafka", "channel": "orders"}, "orders"),
        ({"broker": "edge", "channel": "mixed.eu"}, "mixed"),
        ({"broker": "cache", "channel": "raw"}, "raw"),
    ],
)
def test_a_message_is_explained_for_the_source_that_reads_it(place, source):
    assert explain(config(), message({}, **place)).source == source


def test_a_source_must_be_said_where_none_or_several_can_be_meant():
    with pytest.raises(ReplayError, match="several sources"):
        explain(config(), {"kind": "k"})
    with pytest.raises(ReplayError, match="no source"):
        explain(config(), message({}, broker="stream", channel="elsewhere"))
    with pytest.raises(ReplayError, match="did you mean 'orders'"):
        explain(config(), {"kind": "k"}, source="order")


@pytest.mark.parametrize("event", [{"a": {1}}, {"a": float}, {"a": float("nan")}, {"a": "\ud800"}])
def test_an_event_that_is_not_json_is_refused(event):
    with pytest.raises(ReplayError, match="JSON"):
        explain(config(), event, source="orders")


def test_a_config_with_errors_explains_nothing():
    with pytest.raises(ConfigError, match="amont"):
        shop({}, ROUTERS.replace("amount > 100", "amont > 100"))


# --- private and hostile values ---


def person() -> Explanation:
    sent = message(
        {"kind": "k", "name": "ada"},
        headers=(("X-User", b"u"),),
        broker="stream",
        channel="orders",
    )
    return explain(config(PRIVATE), sent)


def test_private_values_are_masked_in_clauses_and_channels():
    explanation = person()
    everything = f"{explanation}{explanation._repr_html_()}{explanation.targets}"
    assert explanation.clause_rows[0].values == f"name = {mask_text('ada')}"
    assert explanation.clause_rows[1].values == f"message.headers['x-user'] = {mask_text('u')}"
    assert explanation.target_rows[0].channel == f"person.{mask_text('ada')}"
    assert "person.ada" not in everything


def test_private_values_are_shown_on_demand():
    show_private()
    try:
        explanation = person()
    finally:
        show_private(show=False)
    assert explanation.clause_rows[0].values == 'name = "ada"'
    assert explanation.target_rows[0].channel == "person.ada"


def test_html_from_a_message_is_escaped():
    shown = shop({"kind": "<script>alert(1)</script>"})._repr_html_()
    assert "<script>" not in shown
    assert "&lt;script&gt;" in shown


@pytest.mark.parametrize("kind", ["\x1b[2J", "\u202eabc", "a\nb", "x" * 5000])
def test_a_value_cannot_disturb_the_terminal(kind):
    text = str(shop({"kind": kind}))
    assert all(line.isprintable() for line in text.split("\n"))
    assert max(map(len, text.split("\n"))) < 300


def test_explaining_loads_polars_only_for_frames():
    code = (
        "import sys; from tests.routing.shop import config;"
        "from gateway_lab.routing.explanation import explain;"
        "str(explain(config(), b'{}', source='orders')); sys.exit('polars' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
