from __future__ import annotations

import pytest

from gateway_lab.protocols.redis import check_channel, check_header


@pytest.mark.parametrize("name", ["__keyspace@0__:a", "a?", "x" * 257])
def test_a_stream_of_the_server_or_with_wildcards_is_refused(name):
    assert check_channel(name)


def test_a_hash_tag_that_the_config_writes_is_good():
    assert check_channel("{orders}:eu") is None


def test_a_header_cannot_take_the_place_of_the_body():
    assert check_header("body")
    assert check_header("x-body") is None
