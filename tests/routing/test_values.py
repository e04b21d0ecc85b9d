from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from gateway_lab.events.decode import InvalidBody
from gateway_lab.routing.values import arrange, compile_read
from gateway_lab.rules.tree import INTEGER, TEXT, Field, Header, Meta, Span
from tests.routing.shop import RECEIVED, message, plan

HERE = Span(0, 0)
ORDER = plan().sources["orders"].event_types["Order"]
KIND, COUNT, GONE = (
    Field(("kind",), TEXT, HERE),
    Field(("count",), INTEGER, HERE),
    Field(("gone",), TEXT, HERE),
)
KEY, SOURCE = Meta("key", TEXT, HERE), Meta("source", TEXT, HERE)
USER = Header("x-user", HERE)


def test_decoded_fields_come_first_and_each_input_once():
    assert arrange((KEY, KIND, GONE, KIND, COUNT), ORDER) == (KIND, COUNT, KEY, GONE)


def test_all_values_come_in_the_order_of_the_inputs():
    read = compile_read((KIND, COUNT, KEY, GONE, SOURCE, USER), ORDER, "orders")
    sent = message({"kind": "k", "count": 2}, key=b"id", headers=(("X-User", b"ada"),))
    assert read(sent) == ("k", 2, "id", None, "orders", "ada")


def test_without_an_event_type_the_body_is_not_looked_at():
    assert compile_read((KEY,), None, "raw")(message(body=b"\xff")) == (None,)


def test_an_invalid_body_is_refused_even_if_no_field_is_read():
    with pytest.raises(InvalidBody):
        compile_read((), ORDER, "orders")(message(body=b"{}"))


def test_times_are_microseconds():
    zone = timezone(timedelta(hours=2))
    inputs = (Meta("timestamp", INTEGER, HERE), Meta("received", INTEGER, HERE))
    read = compile_read(inputs, None, "raw")
    given = datetime(1970, 1, 1, 2, 0, 0, 1, tzinfo=zone)
    assert read(message(timestamp=given)) == (1, int(RECEIVED.timestamp()) * 10**6)
    assert read(message(timestamp=datetime(1, 1, 1, tzinfo=UTC)))[0] == -62135596800000000
    assert read(message())[0] is None


def test_a_key_that_is_not_text_is_null():
    assert compile_read((KEY,), None, "raw")(message(key=b"\xff")) == (None,)
