from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from faststream.specification.asyncapi.v3_0_0.schema import ApplicationSchema

import gateway_lab as gl
from tests.gateway.shop import SHOP

DATA = Path(__file__).parents[2] / "data"

EVERYTHING = """
gateway_lab: 1
name: everything
owner: data-platform
settings: {prefix: {type: string, value: live}}
brokers: {stream: kafka, work: rabbitmq, edge: nats, cache: redis}
events:
  Order:
    type: object
    required: [id, size]
    properties:
      id: {type: string, x-private: true}
      size: {enum: [big, small]}
      lines: {type: array, items: {$ref: "#/$defs/Line"}}
      note: {type: [string, "null"]}
    $defs:
      Line: {type: object, properties: {n: {type: integer}}}
  Return: {type: object, required: [id], properties: {id: {type: string}}}
sources:
  orders:
    description: All orders
    from:
      - {broker: stream, channel: orders, options: {group: mine}}
      - {broker: work, channel: orders.key, options: {exchange: shop, queue: orders.queue}}
      - {broker: edge, channel: orders.new}
      - {broker: cache, channel: orders}
    event: Order
  two: {broker: stream, channel: two, event: {by: "message.headers['t']", types: {o: Order, r: Return}}}
  raw: {broker: edge, pattern: "raw.*"}
  unread: {broker: stream, channel: unread, event: Order}
targets:
  same: {broker: stream, channel: orders}
  sized: {broker: edge, channel: "{settings.prefix}.{size}"}
  named: {broker: work, channel: "by.{lower(id)}.{id}", key: "{id}", headers: {kind: order}}
  made: {broker: stream, channel: made, key: "{id}", body: {id: "{id}", at: "{message.timestamp}", sent: true, tags: [a, "{id}"]}}
  bytes: {broker: cache, channel: bytes}
  unsent: {broker: stream, channel: unsent}
  sums: {broker: cache, channel: sums}
routers:
  all:
    source: orders
    match: all
    routes: [{name: each, to: [same, sized, named, made]}]
    unmatched: drop
  both: {source: two, match: all, routes: [{name: each, to: [same]}], unmatched: drop}
  raw: {source: raw, match: all, routes: [{name: each, to: [bytes]}], unmatched: drop}
batches:
  load:
    source: two
    size: 10
    every: 1s
    group_by: {id: "{id}"}
    aggregates: {n: "count(*)"}
    to: [sums]
dead_letter: {broker: cache, channel: "dead.{message.source}"}
"""


def document_of(text: str = EVERYTHING) -> dict[str, Any]:
    return gl.asyncapi(gl.parse_config(text))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return document_of()


# --- what the specification of AsyncAPI 3.0 asks for ---

KEYS = {
    "document": {"asyncapi", "info", "defaultContentType", "servers", "channels", "operations"}
    | {"components"},
    "servers": {"host", "protocol", "variables"},
    "channels": {"address", "description", "servers", "messages", "parameters", "bindings"},
    "operations": {"action", "channel", "description", "tags", "messages", "bindings"},
    "messages": {"name", "description", "contentType", "headers", "payload", "bindings"},
    "parameters": {"description", "enum", "location"},
}
KEY = re.compile(r"[A-Za-z0-9_.-]+")
LOCATION = re.compile(r"\$message\.payload#(/[^/~]|/~[01])*.*")


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(to := part.get("$ref"), str):
            yield to
        for each in part.values():
            yield from references(each)
    elif isinstance(part, list):
        for each in part:
            yield from references(each)


def looked_up(document: dict[str, Any], reference: str) -> Any:
    found: Any = document
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def check(document: dict[str, Any]) -> None:
    """Hold a document to the structure that AsyncAPI 3.0 asks for."""
    assert document.keys() <= KEYS["document"]
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= document["info"].keys()
    for reference in references(document):
        looked_up(document, reference)
    tables = {part: document[part] for part in ("servers", "channels", "operations")}
    for part, table in {**tables, "messages": document["components"]["messages"]}.items():
        for name, each in table.items():
            assert KEY.fullmatch(name), name
            assert each.keys() <= KEYS[part], (part, name)
    for channel in document["channels"].values():
        check_channel(channel)
    for operation in document["operations"].values():
        check_operation(document, operation)


def check_channel(channel: dict[str, Any]) -> None:
    parameters = channel.get("parameters", {})
    assert set(re.findall(r"\{(.*?)\}", channel["address"] or "")) == parameters.keys()
    for parameter in parameters.values():
        assert parameter.keys() <= KEYS["parameters"]
        assert LOCATION.fullmatch(parameter.get("location", "$message.payload#/a"))


def check_operation(document: dict[str, Any], operation: dict[str, Any]) -> None:
    assert operation["action"] in {"send", "receive"}
    to = operation["channel"]["$ref"]
    messages = [each["$ref"] for each in operation["messages"]]
    assert messages, "it has one at least"
    assert all(each.startswith(f"{to}/messages/") for each in messages)
    assert len(set(messages)) == len(messages)
    assert looked_up(document, to)["servers"], "it is on a broker"


CONFIGS = {path.stem: path.read_text() for path in sorted(DATA.glob("*.yaml"))}
CONFIGS |= {"everything": EVERYTHING, "memory": SHOP}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_document_has_the_structure_that_asyncapi_asks_for(name: str) -> None:
    document = document_of(CONFIGS[name])
    check(document)
    assert json.loads(json.dumps(document)) == document


@pytest.mark.parametrize("name", CONFIGS)
def test_faststreams_own_model_of_asyncapi_reads_it(name: str) -> None:
    document = document_of(CONFIGS[name])
    for channel in document["channels"].values():
        channel.pop("bindings", None)  # FastStream's model knows those that it writes
    for operation in document["operations"].values():
        operation.pop("bindings", None)
    for server in document["servers"].values():
        server["pathname"] = ""  # and wants what may be left out
    ApplicationSchema.model_validate(document)


# --- what stands in it ---


def test_each_channel_of_a_source_and_each_target_is_one_operation(
    document: dict[str, Any],
) -> None:
    actions = {name: each["action"] for name, each in document["operations"].items()}
    assert actions == {
        **{f"receive.orders.{n}": "receive" for n in (1, 2, 3, 4)},
        "receive.two": "receive",
        "receive.raw": "receive",
        **{f"send.{n}": "send" for n in ("same", "sized", "named", "made", "bytes", "sums")},
        **{f"send.dead_letter.{n}": "send" for n in ("orders", "two", "raw")},
    }


def test_a_channel_that_is_read_and_written_is_one(document: dict[str, Any]) -> None:
    read = document["operations"]["receive.orders.1"]["channel"]
    assert document["operations"]["send.same"]["channel"] == read
    assert set(document["channels"]["stream.orders"]["messages"]) == {"Order", "Return"}


def test_event_types_are_its_schemas_with_their_definitions_beside_them(
    document: dict[str, Any],
) -> None:
    schemas = document["components"]["schemas"]
    assert set(schemas) == {"Order", "Order.Line", "Return", "load.batch"}
    assert schemas["Order"]["properties"]["lines"]["items"] == {
        "$ref": "#/components/schemas/Order.Line"
    }
    assert schemas["Order"]["properties"]["id"]["x-private"] is True
    assert set(schemas["load.batch"]["properties"]) == {"id", "n"}


def test_values_in_an_address_are_parameters_and_settings_are_not(
    document: dict[str, Any],
) -> None:
    channel = document["channels"]["edge.settings.prefix.size"]
    assert channel["address"] == "live.{size}"
    assert channel["parameters"] == {
        "size": {
            "description": "The field size of each message.",
            "enum": ["big", "small"],
            "location": "$message.payload#/size",
        }
    }


def test_a_value_that_is_worked_out_is_a_parameter_of_its_own(document: dict[str, Any]) -> None:
    to = document["operations"]["send.named"]["channel"]["$ref"]
    channel = looked_up(document, to)
    assert channel["address"] == "by.{lower_id}.{id}"
    assert "location" not in channel["parameters"]["lower_id"]


def test_a_pattern_has_no_address(document: dict[str, Any]) -> None:
    to = document["operations"]["receive.raw"]["channel"]["$ref"]
    channel = looked_up(document, to)
    assert channel["address"] is None
    assert channel["description"] == "All that match raw.*"


def test_what_a_target_writes_has_its_own_message(document: dict[str, Any]) -> None:
    messages = document["components"]["messages"]
    assert messages["made"]["payload"] == {
        "type": "object",
        "required": ["at", "id", "sent", "tags"],
        "properties": {
            "at": {"type": ["string", "null"], "format": "date-time"},
            "id": {"type": ["string", "null"]},
            "sent": {"const": True},
            "tags": {"type": "array", "minItems": 2, "maxItems": 2},
        },
    }
    assert messages["made"]["bindings"]["kafka"]["key"] == {"type": "string"}
    assert messages["named.Order"]["headers"]["properties"] == {"kind": {"type": "string"}}
    assert messages["named.Order"]["payload"] == {"$ref": "#/components/schemas/Order"}


def test_a_source_without_an_event_type_receives_anything(document: dict[str, Any]) -> None:
    for name in ("receive.raw", "send.bytes"):
        (message,) = document["operations"][name]["messages"]
        assert looked_up(document, looked_up(document, message["$ref"])["$ref"])["payload"] == {}


def test_each_protocol_says_what_it_has_of_its_own(document: dict[str, Any]) -> None:
    operations, channels = document["operations"], document["channels"]
    kafka, rabbitmq, _, redis = (
        operations[f"receive.orders.{n}"].get("bindings", {}) for n in (1, 2, 3, 4)
    )
    assert kafka["kafka"]["groupId"]["enum"] == ["mine"]
    assert rabbitmq["amqp"]["ack"] is True
    assert channels["work.orders.key"]["bindings"]["amqp"]["queue"]["name"] == "orders.queue"
    assert redis["redis"] == {"x-group": "everything.orders", "x-transport": "stream"}
    assert channels["stream.made"]["bindings"]["kafka"]["topic"] == "made"
    assert operations["send.named"]["bindings"]["amqp"]["deliveryMode"] == 2


def test_no_server_has_an_address(document: dict[str, Any]) -> None:
    assert {each["host"] for each in document["servers"].values()} == {"{host}"}
    assert {name: each["protocol"] for name, each in document["servers"].items()} == {
        "stream": "kafka",
        "work": "amqp",
        "edge": "nats",
        "cache": "redis",
    }


def test_the_version_is_that_of_the_config(document: dict[str, Any]) -> None:
    assert document["info"] == {
        "title": "everything",
        "version": gl.parse_config(EVERYTHING).digest[:12],
        "tags": [{"name": "data-platform"}],
    }
    assert document["operations"]["receive.orders.1"]["description"] == "All orders"


def test_a_config_with_an_error_has_no_document() -> None:
    with pytest.raises(gl.GatewayLabError, match="has errors"):
        document_of(SHOP.replace("n >= 100", "m >= 100"))
