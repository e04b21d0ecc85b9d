"""The folder that a recording is written to: its parts, their numbers, and who may write.

A recording goes on where an earlier one in the same folder ended, also where that was killed.
"""

from __future__ import annotations

import fcntl
import os
import re
from contextlib import suppress
from pathlib import Path
from shutil import rmtree
from typing import Final, Self

import polars as pl

from gateway_lab.captures.journal import JOURNAL_ENDING, finish_journal
from gateway_lab.captures.ndjson import NDJSON_ENDINGS
from gateway_lab.captures.read import scan_capture
from gateway_lab.captures.write import PARQUET_ENDING
from gateway_lab.errors import CaptureError

UNFINISHED: Final = ".partial"
"""Ends the name of the folder that becomes one file once all is recorded."""

_PART: Final = re.compile(r"part-(\d+)-(\d+)\.(parquet|journal)")
_NUMBERS_EACH: Final = 1 << 48
"""How many messages one member numbers: members of one folder never number alike."""


class RecordingFolder:
    """Where one member writes.

    Attributes:
        path: The folder.
        next_seq: The number of the next message.
        is_masked: Whether what is there already is masked; None if nothing is there.
    """

    def __init__(self, path: Path, *, member: int = 0) -> None:
        """Name a place to record to.

        Args:
            path: A folder, made if it is not there; or a file to be, whose parts are collected in
                a folder beside it.
            member: The number of this process among those that record there at once.
        """
        self._file = path if path.name.endswith((PARQUET_ENDING, *NDJSON_ENDINGS)) else None
        self.path = path.with_name(path.name + UNFINISHED) if self._file else path
        self._member = member
        self._part = 0
        self._lock = -1
        self.next_seq = member * _NUMBERS_EACH
        self.is_masked: bool | None = None

    def open(self) -> Self:
        """Make the folder, or go on in it: journals of an earlier recording become Parquet.

        Raises:
            CaptureError: It holds something else, another process records there, the file is
                there already, or nothing can be written.
        """
        try:
            self._refuse_others()
            self.path.mkdir(exist_ok=True)
            self._take()
            self._go_on()
        except OSError as error:
            raise CaptureError(
                f"cannot record to this folder: {(error.strerror or str(error)).lower()}",
                where=str(self.path),
                hint=f"create {self.path.parent}, or choose a folder that you may write to",
            ) from None
        return self

    def next_journal(self) -> Path:
        """Name the journal of the next part."""
        self._part += 1
        return self.path / f"part-{self._member}-{self._part:06}{JOURNAL_ENDING}"

    def close(self) -> None:
        """Let others record there; a recording that is to be a file becomes one.

        Raises:
            CaptureError: The file cannot be written; the folder stays.
        """
        try:
            if self._file:
                scan_capture(self.path).write(self._file)
                rmtree(self.path)
        finally:
            self.release()

    def release(self) -> None:
        """Let others record there."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _refuse_others(self) -> None:
        if self._file and self._file.exists():
            raise CaptureError(
                "this file is there already",
                where=str(self._file),
                hint="choose another name; a folder can be recorded to again",
            )
        others = [each.name for each in self._entries() if not _PART.fullmatch(each.name)]
        if others or self.path.is_file():
            what = f"it holds {min(others)}" if others else "it is a file"
            raise CaptureError(
                f"this is no folder of a recording: {what}",
                where=str(self.path),
                hint="name a new or empty folder, or a .parquet file",
            )

    def _entries(self) -> list[Path]:
        """List what is there and not hidden."""
        if not self.path.is_dir():
            return []
        return [each for each in self.path.iterdir() if not each.name.startswith(".")]

    def _take(self) -> None:
        """Lock out other processes of the same number, for as long as this one lives."""
        lock = self.path / f".recording-{self._member}"
        self._lock = os.open(lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise CaptureError(
                "another process is recording there",
                where=str(self.path),
                hint="choose another folder, or stop the other one",
            ) from None

    def _go_on(self) -> None:
        mine = [each for each in self._entries() if self._number_of(each)]
        for each in mine:
            self._part = max(self._part, self._number_of(each))
            if each.suffix == JOURNAL_ENDING:
                _finish(each)
        capture = scan_capture(self.path) if any(self.path.glob(f"*{PARQUET_ENDING}")) else None
        if capture:
            self.is_masked = capture.is_masked
            seq = pl.col("seq")
            first = self._member * _NUMBERS_EACH
            own = capture.frame.filter(seq.is_between(first, first + _NUMBERS_EACH - 1))
            last = own.select(seq.max()).collect().item()
            self.next_seq = self.next_seq if last is None else last + 1

    def _number_of(self, path: Path) -> int:
        """Return the number of a part of this member, 0 of any other file."""
        found = _PART.fullmatch(path.name)
        return int(found[2]) if found and int(found[1]) == self._member else 0


def _finish(journal: Path) -> None:
    """Make Parquet of a journal that was cut short; one that has its file already goes."""
    if journal.with_suffix(PARQUET_ENDING).exists():
        with suppress(FileNotFoundError):
            journal.unlink()
    else:
        finish_journal(journal)
