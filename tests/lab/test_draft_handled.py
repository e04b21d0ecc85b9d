"""A draft behind handlers: they run once, and each edit is counted on what they returned."""

from __future__ import annotations

from typing import Any

import gateway_lab as gl
from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.rows import frame_of
from gateway_lab.config.load import parse_config
from gateway_lab.lab.draft import Draft
from gateway_lab.messages.message import Message
from gateway_lab.rules.fill import EPOCH
from tests.offline.test_handled import CONFIG


def test_each_edit_is_counted_on_what_handlers_returned() -> None:
    config, ran = parse_config(CONFIG), []
    gateway = gl.Gateway(config)

    @gateway.handler("wishes")
    async def create(event: dict[str, Any]) -> dict[str, Any]:
        ran.append(event["n"])
        return {"id": event["n"] * 10}

    frame = frame_of(
        [
            Message(
                body=b'{"n":%d}' % n,
                received=EPOCH,
                broker="stream",
                protocol="kafka",
                channel="wishes",
            )
            for n in range(5)
        ],
        0,
    )
    capture = Capture(frame.lazy(), CaptureMetadata(messages=5))
    draft = Draft(config, capture, handlers=gateway)
    draft.config = config.edit_route("by_size", "big", when="id >= 30")
    assert draft.replay.routes().filter(route="big")["messages"].item() == 2
    assert draft.diff().flow()["messages"].sum() == 2
    assert ran == list(range(5))
    assert "handler create returned" in str(draft.explain(4))
