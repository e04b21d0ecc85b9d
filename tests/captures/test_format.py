from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from gateway_lab.captures.format import (
    COLUMNS,
    METADATA_KEY,
    CaptureMetadata,
    check_columns,
    decode_metadata,
    encode_metadata,
)
from gateway_lab.errors import CaptureError


def test_metadata_come_back_as_they_were() -> None:
    metadata = CaptureMetadata(
        recorded_at=datetime(2026, 3, 2, tzinfo=UTC),
        recorded_by="generate business",
        stage="handled",
        masked=("users: key",),
        messages=3,
        digest="ab",
        profile="business",
        seed=7,
    )
    assert decode_metadata(encode_metadata(metadata)[METADATA_KEY], where="x") == metadata


def test_a_newer_format_is_refused_before_anything_else_is_read() -> None:
    with pytest.raises(CaptureError, match="format 2; this gateway_lab reads up to 1") as caught:
        decode_metadata('{"format_version": 2, "stage": "a new one"}', where="x.parquet")
    assert caught.value.where == "x.parquet"
    assert "newer gateway_lab" in caught.value.hint


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format_version": 1, "stage": "boiled"}'])
def test_metadata_of_others_are_refused(text: str) -> None:
    with pytest.raises(CaptureError, match="cannot be read"):
        decode_metadata(text, where="x")


def test_all_missing_columns_are_named() -> None:
    schema = {name: dtype for name, dtype in COLUMNS.items() if name not in {"seq", "body"}}
    with pytest.raises(CaptureError, match="no column seq, body"):
        check_columns(schema, where="x")


def test_all_mistyped_columns_are_named_with_both_types() -> None:
    schema = {**COLUMNS, "seq": pl.Int64(), "received": pl.Datetime("ms")}
    with pytest.raises(CaptureError) as caught:
        check_columns(schema, where="x")
    assert "seq is Int64, not UInt64" in caught.value.problem
    assert "received is Datetime" in caught.value.problem


def test_columns_beside_those_of_a_capture_are_no_mistake() -> None:
    check_columns({**COLUMNS, "mine": pl.Float32()}, where="x")


def test_verdicts_must_be_text() -> None:
    with pytest.raises(CaptureError, match="invalid is Boolean, not String"):
        check_columns({**COLUMNS, "invalid": pl.Boolean()}, where="x")
