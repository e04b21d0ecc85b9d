"""Ten million messages within two gigabytes: the most memory that a replay held."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import polars as pl

from benchmarks.table import Figure, business_capture, show
from gateway_lab.captures.read import scan_capture
from gateway_lab.config.load import read_config
from gateway_lab.offline.run import replay
from gateway_lab.offline.worker import warm_worker

FILES = 10
LIMIT_GB = 2.0


def ten_million() -> Path:
    """Return a folder of ten captures of a million messages: one, numbered on."""
    one = business_capture(1_000_000)
    folder = one.parent / "business-10000000"
    folder.mkdir(exist_ok=True)
    for number in range(FILES):
        path = folder / f"part-{number}.parquet"
        if not path.exists():
            shifted = pl.scan_parquet(one).with_columns(pl.col("seq") + number * 1_000_000)
            shifted.sink_parquet(path, compression="zstd", row_group_size=50_000)
    return folder


def measure() -> list[Figure]:
    """Replay in a fresh process, and ask it how much memory it and its worker took at most."""
    command = [sys.executable, "-m", "benchmarks.memory", str(ten_million())]
    out = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout  # noqa: S603 - this module
    peak_gb, taken, messages = (float(word) for word in out.split())
    return [
        Figure(
            what=f"{messages:,.0f} messages, memory of both processes",
            value=f"{peak_gb:.2f} GB in {taken:.0f} s",
            against="-",
            ratio=f"{peak_gb:.2f} GB",
            demanded=f"<= {LIMIT_GB:.0f} GB",
            is_met=peak_gb <= LIMIT_GB,
        )
    ]


def replay_folder(folder: str) -> None:
    """Replay a folder, and print peak memory in GB, seconds and messages."""
    start = time.perf_counter()
    result = replay(read_config("data/business.yaml"), scan_capture(folder))
    taken = time.perf_counter() - start
    worker = _worker_peak_kb()
    peak_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss + worker
    print(peak_kb / 1e6, taken, result.books().messages)


def _worker_peak_kb() -> int:
    """Ask the worker for its own peak."""
    ask = partial(resource.getrusage, resource.RUSAGE_SELF)
    return int(warm_worker().submit(ask).result().ru_maxrss)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        replay_folder(sys.argv[1])
    else:
        show(measure())
