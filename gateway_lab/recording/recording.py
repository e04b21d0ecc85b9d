"""A recording from its beginning to its end: the folder, who writes to it, and what is masked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from gateway_lab.captures.format import CaptureMetadata
from gateway_lab.captures.judge import Judge
from gateway_lab.captures.mask import mask_batch, masked_names
from gateway_lab.config.plan import Plan
from gateway_lab.errors import CaptureError
from gateway_lab.messages.mask import is_private_shown
from gateway_lab.recording.folder import RecordingFolder
from gateway_lab.recording.recorder import Recorder


@contextmanager
def recording(
    plan: Plan, path: Path, *, by: str, member: int = 0, is_handled: bool = False
) -> Iterator[Recorder]:
    """Record until the end of the block; then the last part, or the one file, is finished.

    What the plan marks as private is masked before it is written, unless `show_private` was
    called in this process.

    Args:
        plan: Of the config whose sources are recorded.
        path: A folder, or a file to be that ends in `.parquet` or `.ndjson`.
        by: What records, for whoever reads the capture.
        member: The number of this process among those that record to one folder.
        is_handled: Whether it records what handlers returned, where sources have them.

    Raises:
        CaptureError: Nothing can be recorded there, or not everything could be written.
    """
    masked = () if is_private_shown() else masked_names(plan)
    folder = RecordingFolder(path, member=member).open()
    try:
        _agree(folder, is_masked=bool(masked))
        metadata = CaptureMetadata(
            recorded_at=datetime.now(UTC),
            recorded_by=by,
            masked=masked,
            stage="handled" if is_handled else "raw",
        )
        judge = Judge(plan, {}, is_handled=is_handled)
        recorder = Recorder(folder, metadata, partial(mask_batch, judge=judge) if masked else None)
        try:
            yield recorder
        finally:
            recorder.close()
        folder.close()
    finally:
        folder.release()


def _agree(folder: RecordingFolder, *, is_masked: bool) -> None:
    if folder.is_masked not in {None, is_masked}:
        there = "masked" if folder.is_masked else "not masked"
        raise CaptureError(
            f"what is recorded there already is {there}, and this would be otherwise",
            where=str(folder.path),
            hint="record to another folder",
        )
