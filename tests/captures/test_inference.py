from __future__ import annotations

import pytest

from gateway_lab.captures import inference
from gateway_lab.captures.inference import infer_event_type
from gateway_lab.errors import CaptureError, RuleError
from gateway_lab.events.schema import read_event_type
from tests.captures.shop import messages

BY = "message.headers['X-Type']"


def typed(*names: bytes) -> list[list[dict[str, object]]]:
    return [[{"name": "x-type", "value": name}] for name in names]


def test_one_type_is_inferred_from_all_bodies() -> None:
    document = infer_event_type(messages("c", b'{"id":1}', b'{"id":2,"a":"x"}'))
    assert document["required"] == ["id"]
    assert set(document["properties"]) == {"id", "a"}
    read_event_type("Inferred", document)


def test_a_rule_gives_a_type_for_each_of_its_values() -> None:
    capture = messages("c", b'{"a":1}', b'{"b":1}', b'{"a":2}', headers=typed(b"y", b"x", b"y"))
    documents = infer_event_type(capture, by=BY)
    assert list(documents) == ["x", "y"]
    assert list(documents["y"]["properties"]) == ["a"]


def test_messages_without_a_value_and_bodies_that_are_no_objects_are_left_out() -> None:
    headers = typed(b"x", b"x", b"\xff", b"z")
    capture = messages("c", b'{"a":1}', b"oops", b'{"b":1}', None, headers=headers)
    assert list(infer_event_type(capture, by=BY)) == ["x"]


def test_no_objects_at_all_are_told() -> None:
    with pytest.raises(CaptureError, match="no body in this capture is a JSON object"):
        infer_event_type(messages("c", b"[]", None))


def test_a_rule_over_the_body_is_refused() -> None:
    with pytest.raises(RuleError):
        infer_event_type(messages("c", b"{}"), by="event_type")


def test_a_rule_that_gives_no_text_is_refused() -> None:
    with pytest.raises(RuleError, match="not text"):
        infer_event_type(messages("c", b"{}"), by="message.timestamp")


def test_an_id_is_not_a_type(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "MOST_TYPES", 1)
    capture = messages("c", b"{}", b"{}", headers=typed(b"1", b"2"))
    with pytest.raises(CaptureError, match="more than 1 values"):
        infer_event_type(capture, by=BY)


def test_of_a_large_capture_a_sample_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference, "LOOKED_AT", 3)
    document = infer_event_type(messages("c", *(b'{"f%d":1}' % n for n in range(20))))
    assert len(document["properties"]) == 3
