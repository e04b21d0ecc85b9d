"""Event types from pydantic models and back."""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from gateway_lab.errors import EventTypeError
from gateway_lab.events.decode import InvalidBody, compile_decoder
from gateway_lab.events.event_type import Kind, ValueType
from gateway_lab.events.pydantic_model import event_type, to_model
from gateway_lab.events.schema import read_event_type


class Priority(StrEnum):
    LOW = "low"
    HIGH = "high"


class Payload(BaseModel):
    id: str
    amount: float | None = None


class Order(BaseModel):
    model_config = ConfigDict(extra="forbid")

    priority: Priority
    payload: Payload
    lines: list[Payload] = []
    at: datetime
    copies: Annotated[int, Field(ge=1, lt=100)] = 1
    channel: Literal["web", "shop"] | None = None
    tags: dict[str, str] = {}
    anything: Any = None
    tenant: str = Field(alias="tenantId", pattern="^[a-z]+$", json_schema_extra={"x-private": True})


def test_a_model_becomes_an_event_type() -> None:
    found = event_type(Order)
    assert found.name == "Order"
    assert found.uncarried == ()
    assert found.find(("payload", "amount")).value_type == ValueType(Kind.NUMBER)  # type: ignore[union-attr]
    assert found.find(("at",)).value_type == ValueType(Kind.TIMESTAMP)  # type: ignore[union-attr]
    assert found.schema.required == {"priority", "payload", "at", "tenantId"}
    assert found.schema.additional is False
    assert found.document["properties"]["channel"] == {
        "enum": ["web", "shop", None],
        "type": ["string", "null"],
    }
    assert found.find(("tenantId",)).private  # type: ignore[union-attr]


def test_its_document_can_be_read_again() -> None:
    found = event_type(Order)
    assert read_event_type("Order", found.document) == found


def test_what_the_model_writes_is_valid() -> None:
    order = Order.model_validate(
        {
            "priority": "low",
            "payload": {"id": "a"},
            "at": "2026-11-23T10:00:00Z",
            "tenantId": "acme",
        }
    )
    body = order.model_dump_json(by_alias=True).encode()
    decoder = compile_decoder(event_type(Order), [("priority",), ("payload", "id"), ("tenantId",)])
    assert decoder.decode(body) == ("low", "a", "acme")


def loud(value: str) -> str:
    return value.upper()


class Checked(BaseModel):
    code: Annotated[str, AfterValidator(loud)] = ""
    trimmed: Annotated[str, StringConstraints(strip_whitespace=True)] = ""
    price: Annotated[float, Field(multiple_of=0.5)] = 0.0
    day: date | None = None
    id: UUID
    either: int | str = 0
    names: set[str] = set()
    pair: tuple[int, str] = (0, "")
    mixed: Literal["a", 1] = 1
    word: Annotated[str, Field(json_schema_extra={"pattern": "(?=a)b"})] = ""
    nodes: list[Node] = []

    @field_validator("price")
    @classmethod
    def check_price(cls, value: float) -> float:
        return value

    @model_validator(mode="after")
    def check_all(self) -> Checked:
        return self


class Node(BaseModel):
    children: list[Node] = []


def test_everything_that_is_not_carried_is_named() -> None:
    found = event_type(Checked)
    assert set(found.uncarried) == {
        "Checked: after validator check_all",
        "Checked.code: after validator loud",
        "Checked.price: after validator check_price",
        "Checked.trimmed: strip_whitespace",
        "Checked.price: multipleOf 0.5",
        "Checked.day: format date",
        "Checked.id: format uuid",
        "Checked.either: one of several types; here it may be anything",
        "Checked.names: uniqueItems True",
        "Checked.pair: prefixItems",
        "Checked.mixed: enum of mixed types ['a', 1]",
        "Checked.word: pattern (?=a)b (look-ahead is not supported)",
        "Checked.nodes[].children[]: Node contains itself; from here on it is any object",
    }


class Unwritable(BaseModel):
    model_config = ConfigDict(arbitrary_types_allowed=True)

    handle: BaseException


def test_a_model_that_json_cannot_hold_is_refused() -> None:
    with pytest.raises(EventTypeError, match="Unwritable") as caught:
        event_type(Unwritable)
    assert caught.value.hint


DOCUMENT: dict[str, Any] = {
    "type": "object",
    "required": ["id", "class", "at"],
    "additionalProperties": False,
    "properties": {
        "id": {"type": "integer", "minimum": 1, "exclusiveMaximum": 10},
        "class": {"type": ["string", "null"], "enum": ["a", "b", None]},
        "copy": {"type": "number", "maximum": 7.5},
        "2nd": {"type": "boolean"},
        "x y": {},
        "at": {"type": "string", "format": "date-time"},
        "text": {"type": "string", "pattern": "^[a-z]$", "x-private": True},
        "list": {"type": "array", "items": {"type": "string", "maxLength": 3}, "maxItems": 2},
        "map": {"type": "object", "additionalProperties": {"type": ["integer", "null"]}},
        "inner": {"type": ["object", "null"], "properties": {"n": {"type": "number"}}},
    },
}


def test_an_event_type_becomes_a_model_and_the_same_event_type_again() -> None:
    wanted = read_event_type("Thing", DOCUMENT)
    model = to_model(wanted)
    assert event_type(model).schema == wanted.schema
    assert {"id", "class_", "copy_", "field_2nd", "x_y_", "inner"} <= model.model_fields.keys()


@pytest.mark.parametrize(
    "extra",
    [
        "",
        ',"copy":7.5,"inner":{"n":1},"list":["a"]',
        ',"copy":8',
        ',"inner":null,"map":{"a":null}',
        ',"list":["long"]',
        ',"2nd":1',
        ',"other":1',
        ',"text":null',
        ',"x y":[{}]',
    ],
)
def test_the_model_takes_what_the_event_type_takes(extra: str) -> None:
    wanted = read_event_type("Thing", DOCUMENT)
    body = f'{{"id":3,"class":null,"at":"2026-11-23T10:00:00Z"{extra}}}'.encode()
    try:
        compile_decoder(wanted, []).decode(body)
    except InvalidBody:
        with pytest.raises(ValidationError):
            to_model(wanted).model_validate_json(body)
    else:
        to_model(wanted).model_validate_json(body)
