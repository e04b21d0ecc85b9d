"""Hot reload: what a running gateway can take over of another config, and a watch over its file."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from gateway_lab.config.document import Document
from gateway_lab.config.model import Source
from gateway_lab.config.report import Report
from gateway_lab.findings import Finding

LOOK_S: Final = 1.0
"""How often a watched file is looked at."""

_FIXED: Final = ("name", "brokers", "events", "batches")
"""What is opened, named or decoded by at the start."""

_HOT: Final = {"retry": None, "dead_letter": None, "description": None, "owner": None}
"""What of a source can change while it is read."""

_HINT: Final = "the old config stays; stop the gateway and start it with this file"


def restart_findings(running: Document, new: Document) -> tuple[Finding, ...]:
    """Find what a running gateway cannot take over: all but routing, targets and what follows.

    Routers, routes, targets on brokers that the config had, retries, dead letters and settings can
    change while messages flow. Empty: everything can be taken over.
    """
    report = Report(new.origin)
    for part in _FIXED:
        # A part is the same if the digest says so: texts for people are not in it.
        if running.with_parts(**{part: getattr(new, part)}).digest != running.digest:
            _add(report, (part,), f"`{part}` differs from what runs")
    for name in {**running.sources, **new.sources}:
        if problem := _changed(name, running, new):
            _add(report, ("sources", name), problem)
    return report.findings


def _add(report: Report, path: tuple[str, ...], text: str) -> None:
    report.add("restart-needed", path, text, _HINT)


def _changed(name: str, running: Document, new: Document) -> str | None:
    """Say what of a source needs a restart."""
    old_source, new_source = running.sources.get(name), new.sources.get(name)
    if old_source is None or new_source is None:
        return f"the source {name} is {'gone' if new_source is None else 'new'}"
    if _fixed(old_source) != _fixed(new_source):
        return f"the source {name} reads something else, or in another way"
    was_read, is_read = (name in _read(config) for config in (running, new))
    if was_read != is_read:
        return f"{'no' if was_read else 'a'} router reads the source {name} now"
    return None


def _fixed(source: Source) -> Source:
    return source.model_copy(update=_HOT)


def _read(config: Document) -> set[str]:
    routers = [each for each in config.routers.values() if each.enabled]
    return {source for router in routers for source in router.sources}


async def changes(path: str | os.PathLike[str], read: str) -> AsyncIterator[None]:
    """Tell each time that what a file holds has become something else; it never ends.

    It looks, and is not told by the system: a file behind a symbolic link that is swapped, as in a
    mounted volume, or on a network drive, changes without a word. A file that is not there for a
    moment, while an editor replaces it, is what it was.

    Args:
        path: The file.
        read: What was read from it; it may have changed since.
    """
    file = Path(path)
    stamp: tuple[int, ...] = ()
    digest = _digest(read.encode())
    while True:
        stamp, new = await asyncio.to_thread(_look, file, stamp, digest)
        if new != digest:
            digest = new
            yield
        await asyncio.sleep(LOOK_S)


def _look(file: Path, stamp: tuple[int, ...], digest: str) -> tuple[tuple[int, ...], str]:
    """Return when and what a file was written; it is read only if the first has changed."""
    try:
        there = file.stat()
        new = (there.st_mtime_ns, there.st_size, there.st_ino)
        return new, digest if new == stamp else _digest(file.read_bytes())
    except OSError:
        return stamp, digest


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()
