from __future__ import annotations

from typing import Any

import pytest

from gateway_lab.config.load import parse_config
from gateway_lab.errors import ReplayError
from gateway_lab.gateway.gateway import Gateway
from gateway_lab.messages.mask import show_private
from gateway_lab.routing.explanation import Explanation, explain
from tests.offline.test_handled import CONFIG, Stamp, Wish, user

PRIVATE = parse_config(
    CONFIG.replace(
        "id: {type: integer}", "id: {type: integer}, name: {type: string, x-private: true}"
    )
)


def gateway_of(**options: Any) -> Gateway:
    gateway = Gateway(PRIVATE, **options)

    @gateway.handler("wishes")
    async def create(wish: Wish) -> dict[str, Any] | None:
        await gateway.send("audit", {"id": wish.n})
        if wish.kind == "fails":
            raise ValueError("ann has no luck")
        return None if wish.kind == "none" else {**user(wish), "name": "ann"}

    return gateway


def explained(event: dict[str, Any], source: str = "wishes") -> Explanation:
    return explain(PRIVATE, event, source=source, handlers=gateway_of())


def test_it_says_what_the_handler_returned_and_what_came_of_that() -> None:
    found = explained({"n": 20})
    assert found.handled
    assert found.handled.startswith('handler create returned {"id":20,"big":true,"name":"masked:')
    assert found.handled.endswith("as event type User")
    assert [(each.router, each.target, each.channel) for each in found.target_rows] == [
        ("by_size", "big", "big.20"),
        ("audit", "drop", None),
        (None, "audit", "audit"),
    ]
    text = str(found)
    assert found.handled in text
    assert text.endswith("→ audit delivered on audit (stream), sent by the handler")
    assert "handler create returned" in found._repr_html_()


def test_it_says_how_a_message_ended_in_its_handler() -> None:
    ended, failed = explained({"n": 1, "kind": "none"}), explained({"n": 1, "kind": "fails"})
    assert ended.handled == "handler create ended the message"
    assert [each.target for each in ended.target_rows] == ["audit"]
    assert failed.handled == "handler create failed (try 3): create: ValueError: …"
    (letter,) = failed.target_rows
    assert (letter.target, letter.channel) == ("dead_letter", "dead.wishes")
    assert "ann" not in str(failed)
    assert failed.clause_rows == ()


def test_private_values_are_shown_where_that_was_asked_for() -> None:
    show_private()
    try:
        assert '"name":"ann"' in str(explained({"n": 1}))
        assert "ann has no luck" in str(explained({"n": 1, "kind": "fails"}))
    finally:
        show_private(show=False)


def test_what_is_invalid_is_not_handled() -> None:
    found = explained({"n": "x"})
    assert found.invalid == "n: expected integer, got string"
    assert [each.target for each in found.target_rows] == ["dead_letter"]


def test_a_source_without_a_handler_is_explained_as_it_is_or_as_middlewares_left_it() -> None:
    assert explained({"n": 1}, "plain").handled is None
    stamped = explain(PRIVATE, {"n": 1}, source="plain", handlers=gateway_of(middlewares=[Stamp]))
    assert stamped.handled == "middlewares passed it on"
    assert [each.target for each in stamped.target_rows] == ["kept"]


def test_a_handler_without_its_function_is_told() -> None:
    with pytest.raises(ReplayError, match="no function is registered"):
        explain(PRIVATE, {"n": 1}, source="wishes", handlers=Gateway(PRIVATE))
