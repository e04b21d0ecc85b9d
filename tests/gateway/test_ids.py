from __future__ import annotations

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.gateway.ids import MessageIds, way_suffix
from gateway_lab.messages.message import Message
from tests.gateway.shop import RECEIVED


def at(
    channel: str = "orders",
    partition: str | None = "0",
    position: str | None = "7",
    broker: str = "stream",
    protocol: str = "kafka",
    id: str | None = None,  # noqa: A002
) -> Message:
    return Message(
        body=b"",
        received=RECEIVED,
        broker=broker,
        protocol=protocol,
        channel=channel,
        partition=partition,
        position=position,
        id=id,
    )


def test_an_id_is_the_same_in_every_version() -> None:
    assert MessageIds("orders")(at()) == "65c2d7d772fd30b867cf07b1-7"
    assert way_suffix("size", None, "small") == "-47f12109b6651da9"


@dataclass(frozen=True)
class Place:
    source: str
    broker: str
    protocol: str
    channel: str
    partition: str | None
    position: str


TEXT = st.text("ab0", max_size=3)
PLACES = st.builds(
    Place, TEXT, TEXT, st.sampled_from(["kafka", "nats"]), TEXT, st.none() | TEXT, TEXT
)


@given(PLACES, PLACES)
def test_two_places_have_two_ids_and_one_place_has_one(one: Place, other: Place) -> None:
    ids = [
        MessageIds(each.source)(
            at(each.channel, each.partition, each.position, each.broker, each.protocol)
        )
        for each in (one, other)
    ]
    assert (ids[0] == ids[1]) == (one == other)


@pytest.mark.parametrize(
    "message", [at(position=None), at(protocol="rabbitmq")], ids=["none", "rabbitmq"]
)
def test_a_position_that_does_not_last_names_nothing(message: Message) -> None:
    ids = MessageIds("orders")
    assert ids(message) != ids(message)


def test_ways_differ_also_where_their_names_run_together() -> None:
    ways = [("a", "bc", "d"), ("ab", "c", "d"), ("a", None, "d"), ("a", "", "d")]
    assert len({way_suffix(*way) for way in ways}) == 4


def test_the_publishers_id_counts_where_there_is_one_and_not_the_position() -> None:
    ids = MessageIds("orders")
    first, again = (
        ids(at(protocol="rabbitmq", position=position, id="o-1")) for position in ("1", "2")
    )
    assert first == again
    assert first != ids(at(protocol="rabbitmq", id="o-2"))
