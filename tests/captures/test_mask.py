from __future__ import annotations

import json
from typing import Any

import pytest

from gateway_lab.captures.mask import masked_names, masked_type
from gateway_lab.errors import CaptureError, ReplayError
from gateway_lab.events.decode import compile_decoder
from gateway_lab.messages.mask import mask_text
from tests.captures.shop import config, messages, plan


def masked(*bodies: bytes | None, channel: str = "orders", **columns: Any) -> list[dict[str, Any]]:
    return messages(channel, *bodies, **columns).mask(config()).frame.collect().to_dicts()


def test_private_fields_are_masked_and_others_stay_to_the_digit() -> None:
    body = b'{"id": 1, "email":"a@b.c","extra": {"n": 1.50},"customer":{"name":"Ada","city": "X"}}'
    (row,) = masked(body)
    email, name = mask_text("a@b.c"), mask_text("Ada")
    assert row["body"].decode() == (
        f'{{"id":1,"email":"{email}","extra":{{"n": 1.50}},'
        f'"customer":{{"name":"{name}","city":"X"}}}}'
    )
    assert row["invalid"] is None


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"email": "a"}, {"email": "a"}),
        ({"total": 1}, {"total": 1.0}),
        ({"total": 0.0}, {"total": -0.0}),
        ({"at": "2026-03-02T08:00:00Z"}, {"at": "2026-03-02T09:00:00.000+01:00"}),
    ],
)
def test_what_rules_call_equal_has_one_mask(first: Any, second: Any) -> None:
    rows = masked(*(json.dumps({"id": 1} | each).encode() for each in (first, second)))
    assert rows[0]["body"] == rows[1]["body"]


def test_what_differs_has_different_masks() -> None:
    first, second = masked(b'{"id":1,"email":"a"}', b'{"id":1,"email":"b"}')
    assert first["body"] != second["body"]


def test_null_stays_null() -> None:
    (row,) = masked(b'{"id":1,"email":null}')
    assert row["body"] == b'{"id":1,"email":null}'


def test_elements_of_lists_and_whole_objects_are_masked() -> None:
    (row,) = masked(b'{"id":1,"notes":["secret","secret"],"address":{"street":"secret"}}')
    event = json.loads(row["body"])
    assert event["notes"] == [mask_text("secret")] * 2
    assert event["address"] == mask_text(b'{"street":"secret"}')


@pytest.mark.parametrize(
    "body",
    [
        b"not json: secret",
        b'{"id":"secret"}',
        b'{"id":1,"id":2,"email":["secret"]}',
        b'"secret"',
        b"\xffsecret",
        b"",
    ],
)
def test_a_body_that_is_not_valid_is_masked_whole_and_its_verdict_kept(body: bytes) -> None:
    (row,) = masked(body)
    assert row["body"] == f'"{mask_text(body)}"'.encode()
    assert row["invalid"]
    assert "secret" not in row["invalid"] or b"id" in body


def test_where_nothing_is_private_bodies_stay() -> None:
    rows = masked(
        b'{"page": "/"}', b"not json", channel="visits", broker=["work"] * 2, kind=["rabbitmq"] * 2
    )
    assert [row["body"] for row in rows] == [b'{"page": "/"}', b"not json"]
    assert [row["invalid"] is None for row in rows] == [True, False]


def test_a_body_without_a_type_is_masked_where_some_type_is_private() -> None:
    (row,) = masked(b'{"email":"secret"}', channel="mixed")
    assert b"secret" not in row["body"]


def test_keys_and_headers_that_the_source_lists_are_masked() -> None:
    headers = [{"name": "x-USER", "value": b"ada"}, {"name": "x-other", "value": b"ada"}]
    (row,) = masked(b'{"id":1}', key=[b"\xff"], headers=[headers])
    assert row["key"] == b"\xff" + mask_text(b"\xff").encode()  # as before, it is no text
    assert [item["value"] for item in row["headers"]] == [mask_text("ada").encode(), b"ada"]


def test_what_no_source_reads_stays() -> None:
    (row,) = masked(b'{"email":"a"}', channel="elsewhere", key=[b"k"])
    assert (row["body"], row["key"]) == (b'{"email":"a"}', b"k")


def test_masking_twice_changes_nothing() -> None:
    bodies = [b'{"id":1,"email":"a","total":2,"notes":["x"],"address":{}}', b"secret"]
    once = messages("orders", *bodies, key=[b"\xff", b"l"]).mask(config())
    assert once.mask(config()).frame.collect().equals(once.frame.collect())


def test_a_private_value_that_looks_masked_is_masked_all_the_same() -> None:
    (row,) = masked(b'{"id":1,"email":"masked: my secret"}')
    assert b"secret" not in row["body"]


def test_the_metadata_say_what_was_masked() -> None:
    capture = messages("orders", b'{"id":1}').mask(config())
    assert "orders: event.customer.name" in capture.metadata.masked
    assert "orders: key" in capture.metadata.masked
    assert "orders: header x-user" in capture.metadata.masked
    assert masked_names(plan()) == capture.metadata.masked


def test_masked_bodies_are_valid_under_the_masked_type() -> None:
    body = (
        b'{"id":1,"email":"a","total":2.5,"at":"2026-03-02T08:00:00Z","notes":["x",""],'
        b'"customer":{"name":"Ada"},"address":{"street":"s"}}'
    )
    event_type = masked_type(plan().sources["orders"].event_types["Order"])
    (row,) = masked(body)
    decoder = compile_decoder(event_type, [("id",), ("total",), ("customer", "name")])
    assert decoder.decode(row["body"]) == (1, mask_text(2.5), mask_text("Ada"))


def test_a_config_with_errors_masks_nothing() -> None:
    wrong = config().with_parts(routers={})
    broken = wrong.with_parts(
        sources={"x": wrong.sources["orders"].model_copy(update={"event": "No"})}
    )
    with pytest.raises(CaptureError, match="the config has errors"):
        messages("orders", b"{}").mask(broken)


def test_a_mistake_in_sources_is_told_at_once() -> None:
    with pytest.raises(ReplayError, match="did you mean 'orders'"):
        messages("orders", b"{}").mask(config(), sources={"order": "kafka:orders"})
