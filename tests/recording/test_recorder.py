"""Recorders: what they told to be written is there, in the order in which it came."""

from __future__ import annotations

import errno
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from gateway_lab.captures.capture import Capture
from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.journal import Journal
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.rows import message_of
from gateway_lab.errors import CaptureError
from gateway_lab.messages.message import Message
from gateway_lab.recording.folder import RecordingFolder
from gateway_lab.recording.recorder import Recorder

LIMIT_S = 60
NOW = datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=UTC)


def some(n: int, start: int = 0) -> list[Message]:
    return [Message(body=b"%d" % number, received=NOW) for number in range(start, start + n)]


@contextmanager
def recorder(path: Path, part_rows: int = 1_000) -> Iterator[Recorder]:
    folder = RecordingFolder(path).open()
    made = Recorder(folder, CaptureMetadata(), None, part_rows=part_rows)
    try:
        yield made
    finally:
        made.close()
        folder.close()


def bodies(capture: Capture) -> list[int]:
    return [int(body) for body in capture.frame.collect()["body"].to_list()]


def parts(path: Path) -> list[str]:
    return sorted(each.suffix for each in path.iterdir() if each.name[0] != ".")


def test_what_was_told_to_be_written_can_be_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with recorder(path) as writing:
        writing.put(some(7)).result(LIMIT_S)
        assert bodies(scan_capture(path)) == list(range(7))
        writing.put(some(3, 7)).result(LIMIT_S)
        assert bodies(scan_capture(path)) == list(range(10))
        assert writing.recorded == 10
    assert parts(path) == [".parquet"]
    assert scan_capture(path).frame.collect()["seq"].to_list() == list(range(10))


def test_a_message_comes_back_as_it_was(tmp_path: Path) -> None:
    messages = [
        Message(
            body=None,
            key=b"\xff",
            headers=(("h", b"1"), ("h", b"\x00\xff"), ("", b"")),
            timestamp=NOW.replace(microsecond=999_999),
            received=NOW,
            broker="stream",
            protocol="kafka",
            channel="orders",
            partition="3",
            position="17",
        ),
        Message(body=b"", received=NOW.replace(year=1)),
        Message(body=b"x", received=NOW.replace(year=9999), headers=(("only", b"one"),)),
    ]
    with recorder(tmp_path / "c") as writing:
        writing.put(messages)
    rows = scan_capture(tmp_path / "c").frame.collect().iter_rows(named=True)
    read = [message_of(row) for row in rows]
    assert read == [
        Message(**{name: getattr(each, name) for name in each.__struct_fields__} | {"seq": seq})
        for seq, each in enumerate(messages)
    ]


def test_a_full_journal_becomes_parquet_while_recording_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "c"
    with recorder(path, part_rows=10) as writing:
        for start in range(0, 95, 5):
            writing.put(some(5, start)).result(LIMIT_S)
        assert bodies(scan_capture(path)) == list(range(95))
    assert parts(path) == [".parquet"] * 10
    capture = scan_capture(path)
    assert bodies(capture) == list(range(95))
    assert len(capture.paths) == 10


def test_messages_of_several_threads_all_come_in_and_keep_their_order(tmp_path: Path) -> None:
    def put(start: int) -> None:
        for at in range(start, start + 200, 10):
            writing.put(some(10, at))

    with recorder(tmp_path / "c") as writing, ThreadPoolExecutor() as pool:
        list(pool.map(put, range(0, 1_000, 200)))
    found = bodies(scan_capture(tmp_path / "c"))
    assert sorted(found) == list(range(1_000))
    for start in range(0, 1_000, 200):
        theirs = [each for each in found if start <= each < start + 200]
        assert theirs == sorted(theirs)


def test_who_waits_while_the_disk_works_is_told_by_the_next_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_busy, go_on = threading.Event(), threading.Event()
    append = Journal.append
    heights: list[int] = []

    def slowly(self: Journal, rows: pl.DataFrame) -> None:
        heights.append(rows.height)
        is_busy.set()
        assert go_on.wait(LIMIT_S)
        append(self, rows)

    monkeypatch.setattr(Journal, "append", slowly)
    with recorder(tmp_path / "c") as writing:
        first = writing.put(some(1))
        assert is_busy.wait(LIMIT_S)
        others = [writing.put(some(1, n)) for n in range(1, 5)]
        assert len(set(others)) == 1
        assert not first.done()
        go_on.set()
        others[0].result(LIMIT_S)
    assert heights == [1, 4]


def test_a_recording_of_nothing_is_an_empty_capture(tmp_path: Path) -> None:
    with recorder(tmp_path / "c"):
        pass
    assert scan_capture(tmp_path / "c").count == 0


def test_a_full_disk_is_told_to_all_who_wait_and_who_come_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "c"
    write = Journal.append

    def full(self: Journal, rows: pl.DataFrame) -> None:
        if rows["seq"][0] >= 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, rows)

    monkeypatch.setattr(Journal, "append", full)
    with suppress(CaptureError), recorder(path) as writing:
        writing.put(some(5)).result(LIMIT_S)
        with pytest.raises(CaptureError, match="cannot be written: no space left on device"):
            writing.put(some(5, 5)).result(LIMIT_S)
        with pytest.raises(CaptureError, match="no space left"):
            writing.put(some(5, 10)).result(LIMIT_S)
    assert bodies(scan_capture(path)) == list(range(5))


def test_a_defect_is_told_to_all_who_wait_by_its_kind_alone(tmp_path: Path) -> None:
    def mask(rows: pl.DataFrame) -> pl.DataFrame:
        raise KeyError(rows["body"][0])

    folder = RecordingFolder(tmp_path / "c").open()
    writing = Recorder(folder, CaptureMetadata(), mask)
    with pytest.raises(CaptureError) as caught:
        writing.put(some(1)).result(LIMIT_S)
    assert caught.value.problem == "the recording cannot be written: KeyError"
    with pytest.raises(CaptureError):
        writing.close()


def test_a_real_full_disk_leaves_what_was_told(tmp_path: Path) -> None:
    """A file may not grow past a limit: the system takes a part of a chunk, then no more."""
    path = tmp_path / "c"
    script = f"""
import resource, signal
from pathlib import Path
from tests.recording.test_recorder import recorder, some
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
with recorder(Path({str(path)!r}), 10**9) as writing:
    for start in range(0, 1_000_000, 100):
        writing.put(some(100, start)).result(20)
        print(start + 100, flush=True)
"""
    told = run(script)
    found = bodies(scan_capture(path))
    assert told
    assert found == list(range(told[-1]))


def run(script: str) -> Sequence[int]:
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert "the recording cannot be written: file too large" in done.stderr
    return [int(line) for line in done.stdout.splitlines()]
