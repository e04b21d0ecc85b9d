"""What a benchmark gives: figures, each against a peer in the same run, and the traffic for it."""

from __future__ import annotations

import gc
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
from rich.console import Console
from rich.table import Table

from gateway_lab.captures.generate import write_traffic

ROUNDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One figure.

    Attributes:
        what: What was measured.
        value: The median, with its unit.
        against: What it is compared with.
        ratio: The figure that counts, as written in the table.
        demanded: What the ratio shall be.
        is_met: Whether it is.
    """

    what: str
    value: str
    against: str
    ratio: str
    demanded: str
    is_met: bool

    @property
    def mark(self) -> str:
        """Say whether what is demanded is met."""
        if self.demanded == "-":
            return ""
        return "met" if self.is_met else "missed"


def seconds(run: Callable[[], object], *, before: Callable[[], object] = lambda: None) -> float:
    """Return the wall-clock seconds that a function takes."""
    before()
    gc.collect()
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def interleaved(*runs: Callable[[], float], rounds: int = ROUNDS) -> list[float]:
    """Measure in turns, so that a busy moment of the machine hits all; return the medians."""
    times = [[run() for run in runs] for _ in range(rounds)]
    return [statistics.median(each) for each in zip(*times, strict=True)]


def business_capture(count: int) -> Path:
    """Return a generated business capture, made once in the temporary folder."""
    folder = Path(tempfile.gettempdir()) / "gateway_lab_benchmarks"
    folder.mkdir(exist_ok=True)
    path = folder / f"business-{count}.parquet"
    if not path.exists():
        write_traffic("business", path, n=count, seed=1)
    return path


def machine() -> str:
    """Say where and with what the figures were measured."""
    return (
        f"{os.cpu_count()} cores, {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, Polars {pl.__version__}, "
        f"load {os.getloadavg()[0]:.1f} at the end"
    )


def show(figures: list[Figure]) -> None:
    """Print the table."""
    table = Table(title=machine())
    for heading in ("what", "value", "against", "ratio", "demanded", ""):
        table.add_column(heading, overflow="fold")
    for each in figures:
        table.add_row(each.what, each.value, each.against, each.ratio, each.demanded, each.mark)
    Console(width=140).print(table)


def markdown(figures: list[Figure]) -> str:
    """Write the table for the docs."""
    head = (
        "| what | value | against | ratio | demanded | |\n| --- | --- | --- | --- | --- | --- |\n"
    )
    return head + "".join(
        f"| {f.what} | {f.value} | {f.against} | {f.ratio} | {f.demanded} | {f.mark} |\n"
        for f in figures
    )
