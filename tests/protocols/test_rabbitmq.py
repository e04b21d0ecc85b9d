from __future__ import annotations

import pytest
from pydantic import ValidationError

from gateway_lab.protocols.rabbitmq import SourceOptions, check_channel, is_control


@pytest.mark.parametrize("name", ["amq.direct", "a..b", ".a", "a.", "a#", "ü" * 128])
def test_a_routing_key_that_shifts_tokens_or_is_too_long_is_refused(name):
    assert check_channel(name)


def test_the_length_is_counted_in_bytes():
    assert check_channel("ü" * 127) is None
    assert check_channel("x" * 255) is None
    assert check_channel("x" * 256)


@pytest.mark.parametrize("name", ["cc", "bcc", "x-death", "x-first-death-queue", "x-gw-id"])
def test_headers_that_route_never_pass(name):
    assert is_control(name)


def test_an_exchange_without_a_queue_is_refused():
    with pytest.raises(ValidationError, match="go together"):
        SourceOptions(exchange="orders")
    assert SourceOptions(exchange="orders", queue="q").queue == "q"
