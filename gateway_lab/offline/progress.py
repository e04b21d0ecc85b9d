"""A progress bar for work that takes long enough to wonder."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

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


def watched(answers: Iterable[T], sizes: Sequence[int], label: str) -> Iterator[T]:
    """Pass answers on, and show how far they are if there are many messages.

    Args:
        answers: One for each size, made as they are asked for.
        sizes: Messages behind each answer.
        label: What is being done.
    """
    if sum(sizes) < SHOWN_FROM:
        yield from answers
        return
    console = Console(stderr=True)
    columns = (TextColumn(label), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(
        *columns, console=console, transient=True, disable=not console.is_interactive
    ) as bar:
        task = bar.add_task(label, total=sum(sizes))
        for answer, size in zip(answers, sizes, strict=True):
            bar.advance(task, size)
            yield answer
