"""How far work is that takes long enough to wonder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from time import monotonic
from typing import Final, TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
)

T = TypeVar("T")

SHOWN_FROM = 2_000_000
"""Messages; fewer are done before anybody wonders."""


SLOW_FROM_S = 2.0
"""Seconds after which slow work is shown, however few its messages are."""

_TELL: Final[ContextVar[Callable[[int], None] | None]] = ContextVar("_TELL", default=None)


def watched(
    answers: Iterable[T], sizes: Sequence[int], label: str, *, is_slow: bool = False
) -> Iterator[T]:
    """Pass answers on, and show how far they are if there are many messages.

    Args:
        answers: One for each size, made as they are asked for.
        sizes: Messages behind each answer.
        label: What is being done.
        is_slow: Whether each message may take long: it is shown once it has taken a while.
    """
    if _TELL.get() is not None:
        yield from answers
        return
    begun, done, total = monotonic(), 0, sum(sizes)
    steps = zip(answers, sizes, strict=True)
    if total < SHOWN_FROM:
        for answer, size in steps:
            done += size
            yield answer
            if is_slow and monotonic() - begun >= SLOW_FROM_S:
                break
        else:
            return
    yield from _shown(steps, label, done, total)


def _shown(steps: Iterator[tuple[T, int]], label: str, done: int, total: int) -> Iterator[T]:
    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_interactive
    ) as bar:
        task = bar.add_task(label, total=total, completed=done)
        for answer, size in steps:
            bar.advance(task, size)
            yield answer


@contextmanager
def told(tell: Callable[[int], None] = lambda _: None) -> Iterator[None]:
    """Show progress elsewhere than in a bar, while the block runs in this thread.

    Args:
        tell: Is told how many more messages are decoded.
    """
    token = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(token)


def advance(messages: int) -> None:
    """Tell that some more messages are decoded, if anybody wants to know."""
    tell = _TELL.get()
    if tell is not None:
        tell(messages)
