"""Writes messages to a capture while they come, and says when they are on the disk.

    put          queues messages, from the event loop or any thread
    one thread   takes all that is queued: rows, masked where they must be, into the journal, and
                 tells everyone who waits at once; while the disk works, the next turn's collects
    another      makes a Parquet file of each full journal, and holds up nobody

A recorder bounds no queue: who puts messages in keeps them until they are written anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Final

import polars as pl

from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.journal import Journal, finish_journal
from gateway_lab.captures.rows import frame_of
from gateway_lab.captures.write import PARQUET_ENDING, write_batches
from gateway_lab.errors import CaptureError
from gateway_lab.messages.message import Message
from gateway_lab.recording.folder import RecordingFolder

PART_ROWS: Final = 200_000
PART_BYTES: Final = 64 * 1024 * 1024
"""A journal becomes Parquet past one of these."""

CHUNK_ROWS: Final = 5_000
"""Rows made and written at once at most."""

Mask = Callable[[pl.DataFrame], pl.DataFrame]


class Recorder:
    """Records into one folder.

    Attributes:
        recorded: How many messages are on the disk.
        failure: Why nothing more is written; None while all is well.
    """

    def __init__(
        self,
        folder: RecordingFolder,
        metadata: CaptureMetadata,
        mask: Mask | None,
        *,
        part_rows: int = PART_ROWS,
    ) -> None:
        """Begin.

        Args:
            folder: Where to.
            metadata: What every part says about itself.
            mask: Masks rows; None leaves them as they are.
            part_rows: After how many rows a journal becomes Parquet.
        """
        self.recorded = 0
        self.failure: CaptureError | None = None
        self._folder, self._metadata, self._mask = folder, metadata, mask
        self._part_rows = part_rows
        self._journal: Journal | None = None
        self._changed = threading.Condition()
        self._queue: list[Sequence[Message]] = []
        self._written = _promise()
        self._is_closing = False
        self._finisher = ThreadPoolExecutor(1, "recording")
        self._finishing: Future[Path | None] | None = None
        self._thread = threading.Thread(target=self._run, name="recording", daemon=True)
        self._thread.start()

    def put(self, messages: Sequence[Message]) -> Future[None]:
        """Take messages; the future is done once they are on the disk, with all put in before.

        Its exception is a `CaptureError`: these, or some before them, cannot be written.
        """
        with self._changed:
            if self.failure is None:
                self._queue.append(messages)
                self._changed.notify()
            return self._written

    def close(self) -> None:
        """Write what was put in, and finish the last part.

        Raises:
            CaptureError: Something could not be written; what was, is there.
        """
        with self._changed:
            self._is_closing = True
            self._changed.notify()
        self._thread.join()
        self._finisher.shutdown()
        if self.failure:
            raise self.failure

    # --- the thread ---

    def _run(self) -> None:
        written = self._written
        try:
            for written, queued in self._turns():
                self._write([message for messages in queued for message in messages])
                written.set_result(None)
            self._end()
        except Exception as error:  # noqa: BLE001 - whoever waits is told, whatever it is
            self._fail(error, written)
        finally:
            if self._journal:
                self._journal.close()

    def _turns(self) -> Iterator[tuple[Future[None], list[Sequence[Message]]]]:
        """Yield what is queued, again and again, until closed and empty."""
        while True:
            with self._changed:
                while not (self._queue or self._is_closing):
                    self._changed.wait()
                if not self._queue:
                    return
                queued, self._queue = self._queue, []
                written, self._written = self._written, _promise()
            yield written, queued

    def _write(self, messages: Sequence[Message]) -> None:
        for start in range(0, len(messages), CHUNK_ROWS):
            some = messages[start : start + CHUNK_ROWS]
            rows = frame_of(some, self._folder.next_seq)
            journal = self._journal = self._journal or self._begin()
            journal.append(self._mask(rows) if self._mask else rows)
            self._folder.next_seq += len(some)
            self.recorded += len(some)
            if journal.rows >= self._part_rows or journal.bytes >= PART_BYTES:
                self._finish_part()

    def _begin(self) -> Journal:
        return Journal(self._folder.next_journal(), self._metadata)

    def _finish_part(self) -> None:
        """Have the journal made Parquet; two at once would be too much for the memory."""
        if self._journal:
            self._journal.close()
            self._settle_finishing()
            self._finishing = self._finisher.submit(finish_journal, self._journal.path)
            self._journal = None

    def _end(self) -> None:
        """Finish the last part; a recording of nothing is a capture, too."""
        self._finish_part()
        self._settle_finishing()
        if not self.recorded and self._folder.is_masked is None:
            empty = self._folder.next_journal().with_suffix(PARQUET_ENDING)
            write_batches([], empty, metadata=self._metadata, with_verdicts=bool(self._mask))

    def _settle_finishing(self) -> None:
        if self._finishing:
            self._finishing.result()
            self._finishing = None

    def _fail(self, error: Exception, written: Future[None]) -> None:
        """Tell everyone who waits, now or later, that nothing more is written."""
        with self._changed:
            self.failure = _cannot_record(error, self._folder.path)
            self._queue = []
            for each in (written, self._written):
                if not each.done():
                    each.set_exception(self.failure)


def _promise() -> Future[None]:
    """Make a future that nobody can cancel: others wait for it, too."""
    promise: Future[None] = Future()
    promise.set_running_or_notify_cancel()
    return promise


def _cannot_record(error: Exception, folder: Path) -> CaptureError:
    reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else ""
    if isinstance(error, CaptureError):
        reason = error.problem.partition(": ")[2] or error.problem
    return CaptureError(
        f"the recording cannot be written: {reason or type(error).__name__}",
        where=str(folder),
        hint="free some space and start again; what is there stays readable",
    )
