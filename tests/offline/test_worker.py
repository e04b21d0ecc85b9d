from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import add, truediv
from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.read import scan_capture
from gateway_lab.events.schema import read_event_type
from gateway_lab.offline.decode_shared import decode_shared
from gateway_lab.offline.decoding import DecodeTask
from gateway_lab.offline.parts import parts_of
from gateway_lab.offline.worker import Worker

BUSINESS = Path(__file__).parents[2] / "data" / "business.parquet"


@pytest.fixture(scope="module")
def worker() -> Iterator[Worker]:
    running = Worker()
    yield running
    running.close()


def test_a_worker_gives_results_and_errors_back(worker: Worker) -> None:
    assert worker.submit(partial(add, 1, 2)).result(30) == 3
    with pytest.raises(ZeroDivisionError):
        worker.submit(partial(truediv, 1, 0)).result(30)
    assert worker.submit(partial(add, "still ", "there")).result(30) == "still there"


def test_a_worker_that_died_says_so() -> None:
    gone = Worker()
    gone.close()
    assert not gone.is_alive
    with pytest.raises((OSError, EOFError, ValueError)):
        gone.submit(partial(add, 1, 2)).result(30)


def test_a_shared_decoding_gives_what_one_process_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway_lab.offline.parts.CHUNK_ROWS", 4_000)
    schema = {"type": "object", "properties": {"priority": {"type": "string"}}}
    (part,) = parts_of(scan_capture(BUSINESS))
    task = DecodeTask(
        part=part,
        rows=pl.Series(range(0, 25_000, 2), dtype=pl.UInt32),
        event_type=read_event_type("Any", schema),
        paths=(("priority",),),
    )
    alone, shared = decode_shared(task, worker=False), decode_shared(task, worker=True)
    assert alone.columns[0].equals(shared.columns[0], null_equal=True)
    assert alone.invalid.equals(shared.invalid)
    assert alone.sizes.equals(shared.sizes)
