"""Who decodes: this process alone, or half of it the warm worker.

The next bodies are read from disk while the last ones are decoded (Polars reads without the
interpreter's lock).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import accumulate

import polars as pl

from gateway_lab.offline.decoding import Decoded, DecodeTask, joined
from gateway_lab.offline.progress import advance
from gateway_lab.offline.worker import Worker, warm_worker

SHARED_FROM = 300_000
"""With fewer messages a second process costs more than it saves."""


def decode_shared(task: DecodeTask, *, worker: bool | None = None) -> Decoded:
    """Decode all bodies of a task.

    Args:
        task: What to decode.
        worker: Whether the warm worker helps; None: if there is enough to do for two.
    """
    pieces = list(_pieces(task))
    if worker is None:
        worker = task.part.rows >= SHARED_FROM and task.part.is_on_disk
    done = _with_worker(pieces, warm_worker()) if worker and len(pieces) > 1 else _alone(pieces)
    counts = [0, *accumulate(len(piece.sizes) for piece in done)]
    return joined(list(zip(counts, done, strict=False)))


def _pieces(task: DecodeTask) -> Iterator[DecodeTask]:
    for chunk in task.part.chunks():
        rows = task.rows
        if rows is not None:
            start = chunk.offset - task.part.offset
            rows = rows.filter(rows.is_between(start, start + chunk.rows, closed="left")) - start
        yield replace(task, part=chunk, rows=rows)


def _alone(pieces: list[DecodeTask]) -> list[Decoded]:
    with ThreadPoolExecutor(1) as reader:
        frames = _read_ahead(pieces, reader)
        return [_told(piece.decode(frame)) for piece, frame in zip(pieces, frames, strict=True)]


def _read_ahead(pieces: list[DecodeTask], reader: ThreadPoolExecutor) -> Iterator[pl.DataFrame]:
    waiting = deque(reader.submit(piece.read) for piece in pieces[:2])
    for piece in [*pieces[2:], None, None]:
        if not waiting:
            return
        frame = waiting.popleft().result()
        if piece is not None:
            waiting.append(reader.submit(piece.read))
        yield frame


def _with_worker(pieces: list[DecodeTask], worker: Worker) -> list[Decoded]:
    """Take pieces from the front while the worker takes them from the back."""
    done: dict[int, Decoded] = {}
    theirs: deque[tuple[int, Future[Decoded]]] = deque()
    first, last = 0, len(pieces) - 1
    while first <= last:
        while len(theirs) < 2 and first < last:
            theirs.append((last, worker.submit(pieces[last].run)))
            last -= 1
        done[first] = _told(pieces[first].run())
        first += 1
        while theirs and theirs[0][1].done():
            number, future = theirs.popleft()
            done[number] = _result(pieces[number], future)
    done.update((number, _result(pieces[number], future)) for number, future in theirs)
    return [done[number] for number in range(len(pieces))]


def _result(piece: DecodeTask, future: Future[Decoded]) -> Decoded:
    """Take a piece from the worker; if it died, do the piece here."""
    try:
        return _told(future.result())
    except (OSError, EOFError, ValueError):
        return _told(piece.run())


def _told(decoded: Decoded) -> Decoded:
    advance(len(decoded.sizes))
    return decoded
