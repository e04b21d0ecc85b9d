from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gateway_lab.config import model
from gateway_lab.protocols.registry import PROTOCOLS

each_protocol = pytest.mark.parametrize("protocol", PROTOCOLS.values(), ids=list(PROTOCOLS))


def test_a_config_knows_the_same_protocols():
    assert set(PROTOCOLS) == set(get_args(model.Protocol))


@each_protocol
@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a\0b", "a\nb", "a\tb", "a*", "x" * 300, "\ud800"]
)
def test_a_hostile_name_is_refused(protocol, name):
    assert protocol.check_channel(name)


@each_protocol
@pytest.mark.parametrize("name", ["orders", "dead-letter.users", "high-priority.order_created"])
def test_a_plain_name_is_good(protocol, name):
    assert protocol.check_channel(name) is None


@each_protocol
@given(name=st.text(max_size=300))
def test_a_name_that_passes_fits_and_prints(protocol, name):
    if protocol.check_channel(name) is None:
        assert 0 < len(name.encode()) <= protocol.carries.channel_bytes
        assert not any(character.isspace() or character in "\0*" for character in name)


@each_protocol
@given(name=st.text(max_size=300))
def test_no_header_name_raises(protocol, name):
    protocol.check_header(name)
    protocol.is_control(name.lower())


@each_protocol
def test_the_gateways_own_headers_never_pass(protocol):
    assert protocol.is_control("x-gw-id")
    assert protocol.is_control("x-gw-key")


@each_protocol
def test_all_options_have_safe_defaults(protocol):
    for options in (protocol.source_options, protocol.target_options):
        assert getattr(options(), "delivery", "at_least_once") == "at_least_once"
        with pytest.raises(ValidationError, match="Extra inputs"):
            options.model_validate({"maxlen": 1})


@each_protocol
@given(pattern=st.text(max_size=40), channel=st.text(max_size=40))
def test_no_pattern_raises(protocol, pattern, channel):
    if protocol.check_pattern is None or protocol.check_pattern(pattern):
        return
    protocol.matches(pattern, channel)
