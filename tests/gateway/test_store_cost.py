"""Measuring a database leaves numbers, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

import gateway_lab as gl
from gateway_lab.brokers.contract import BrokerError
from gateway_lab.testing.postgres import PostgresServer
from tests.gateway.meters import query, sqlite_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.broker)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return sqlite_url(tmp_path)
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url


def test_a_database_is_measured_and_left_as_it_was(url: str) -> None:
    cost = gl.measure_store(url, rounds=2)
    assert cost.per_batch > 0
    assert 0 <= cost.per_row < cost.seconds(1_000)
    assert "measured: " in repr(cost)
    assert query(url, "SELECT count(*) FROM gateway_batches WHERE place LIKE '%measured%'") == [
        (0,)
    ]
    tables = (
        "SELECT name FROM sqlite_master"
        if url.startswith("sqlite")
        else "SELECT relname FROM pg_class"
    )
    assert not [name for (name,) in query(url, tables) if "gateway_lab_measured" in name]


def test_numbers_that_are_given_say_so() -> None:
    cost = gl.StoreCost(per_batch=0.004, per_row=8e-6)
    assert repr(cost) == "StoreCost: 4 ms a transaction + 8 µs a row (given)"
    assert cost.seconds(1_000) == pytest.approx(0.012)


def test_an_address_that_cannot_be_used_is_told_without_its_password() -> None:
    with pytest.raises(BrokerError, match="not verified") as told:
        gl.measure_store("postgresql://u:secret@far.example/db")
    assert "secret" not in str(told.value)
