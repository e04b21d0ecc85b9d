"""The canonical form: what counts for a digest, and what does not."""

from __future__ import annotations

import hashlib
import json

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from gateway_lab.config.canonical import canonical_json, canonical_value
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.load import parse_config

SAFE = st.integers(-(2**53) + 1, 2**53 - 1)
JSON = st.recursive(
    st.none() | st.booleans() | SAFE | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


def edited(text: str, old: str, new: str) -> GatewayConfig:
    assert old in text
    return parse_config(text.replace(old, new))


@given(JSON)
def test_a_value_is_written_as_rfc_8785_says(value: object) -> None:
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError:  # half a surrogate pair
        return
    assert canonical_value(value) == expected


def test_large_integers_keep_their_digits() -> None:
    assert canonical_value({"b": 2**63 - 1, "a": [2**63 - 2]}) == (
        b'{"a":[9223372036854775806],"b":9223372036854775807}'
    )


def test_the_digest_is_the_sha_256_of_the_canonical_form(business: GatewayConfig) -> None:
    assert business.digest == hashlib.sha256(canonical_json(business)).hexdigest()


def test_the_canonical_form_is_a_config_with_the_same_digest(business: GatewayConfig) -> None:
    assert parse_config(canonical_json(business).decode()).digest == business.digest


def test_defaults_are_filled_in_and_people_s_words_left_out(business: GatewayConfig) -> None:
    document = json.loads(canonical_json(business))
    assert document["sources"]["business"]["on_invalid"] == "dead_letter"
    assert not {"description", "owner", "tests", "expectations"} & set(document)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("description: Orders and users of the shop\n", ""),
        ("owner: data-platform\n", ""),
        ("on_invalid: dead_letter", "description: x"),
        ('{type: string, value: ""}', "{value: '', type: string, owner: me}"),
        ("value: 1000}", "value: 1000.0}"),
        ("# pages somebody\n", "\n"),
        ("      event_type: {enum", "      event_type: {title: T, description: D, enum"),
        ("retry: {attempts: 3, initial: 200ms, factor: 2, max: 30s}", "retry: {}"),
        ("  - name: a critical order pages its tenant", "  - name: another name"),
        ('{total: "{payload.amount * 1.19}", id: "{payload.id}"}', '{id: "{payload.id}", total: "{payload.amount * 1.19}"}'),
    ],
)  # fmt: skip
def test_what_decides_nothing_is_not_in_the_digest(business, old: str, new: str) -> None:
    assert edited(business.base_text, old, new).digest == business.digest


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("value: 1000}", "value: 1000.5}"),
        ("value: 1000}", "value: '1000'}"),
        ("match: first", "match: all"),
        ("priority = 'high'", "priority  = 'high'"),
        ("name: business-events", "name: other-events"),
        ("[low, medium, high, critical]", "[low, medium, critical, high]"),
        ("      action: {enum", "      description: {type: string}\n      action: {enum"),
        ("max_channels: 1000", "max_channels: 1001"),
    ],
)
def test_what_may_decide_something_is(business, old: str, new: str) -> None:
    assert edited(business.base_text, old, new).digest != business.digest
