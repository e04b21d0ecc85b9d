from __future__ import annotations

import polars as pl

from gateway_lab.captures.judge import Judge
from tests.captures.made import a_frame
from tests.captures.shop import judge, messages, plan


def verdicts(frame: pl.DataFrame) -> list[tuple[str, str | None, list[int], dict[int, str]]]:
    return [
        (
            each.source.name,
            each.event_type.name if each.event_type else None,
            each.rows,
            each.invalid,
        )
        for each in judge().judge(frame)
    ]


def test_bodies_are_judged_under_the_type_of_their_source() -> None:
    frame = messages("orders", b'{"id":1}', b'{"id":"1"}', None).frame.collect()
    reasons = {1: "id: expected integer, got string", 2: "no body"}
    assert verdicts(frame) == [("orders", "Order", [0, 1, 2], reasons)]


def test_the_header_chooses_the_type_and_none_is_invalid() -> None:
    types = [[{"name": "Type", "value": name}] for name in (b"visit", b"order", b"other", b"\xff")]
    bodies = [b'{"page":"/"}', b'{"id":1}', b"{}", b"{}"]
    frame = messages("mixed", *bodies, headers=types).frame.collect()
    reason = "no event type: the value of message.headers['type'] chooses none"
    assert verdicts(frame) == [
        ("mixed", "Visit", [0], {}),
        ("mixed", "Order", [1], {}),
        ("mixed", None, [2, 3], {2: reason, 3: reason}),
    ]


def test_what_nobody_reads_is_not_judged() -> None:
    assert verdicts(a_frame()) == []


def test_a_masked_batch_keeps_its_verdicts() -> None:
    frame = messages("orders", b"{}", b'{"id":1}').frame.collect()
    frame = frame.with_columns(invalid=pl.Series([None, "as it was"], dtype=pl.String))
    assert verdicts(frame) == [("orders", "Order", [0, 1], {1: "as it was"})]


def test_messages_from_elsewhere_are_bound_as_told() -> None:
    told = Judge(plan(), {"visits": "kafka:other"}, is_handled=False)
    judged = list(told.judge(a_frame(3)))
    assert [(each.source.name, each.rows) for each in judged] == [("visits", [0])]
