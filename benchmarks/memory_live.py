"""The memory of a gateway at full rate, Kafka to Kafka.

    python -m benchmarks.memory_live [seconds]

Messages are published as fast as they are settled, so that the window is full all the time.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path

from benchmarks.stage import Stage, addresses, begun_anew, business_messages, running
from benchmarks.table import Figure, show

SECONDS, WARM_S, EVERY_S = 60.0, 30.0, 1.0
LIMIT_MB, GROWTH = 300, 0.05
"""What it may have, and by what part the last third may have more than the first."""

_KB = 1024


def measure(seconds: float = SECONDS) -> list[Figure]:
    """Start a server and watch."""
    with addresses("kafka") as urls:
        stage = Stage("kafka", "kafka", urls, business_messages(20_000), is_filled=False)
        job = begun_anew(stage.job)
        with running(job, "gateway") as gateway, running(job, "feeder"):
            time.sleep(WARM_S)
            sizes = watch(gateway.pid, seconds)
    third = max(1, len(sizes) // 3)
    first, last = statistics.median(sizes[:third]), statistics.median(sizes[-third:])
    print("MB over time:", " ".join(f"{each:.0f}" for each in sizes[:: max(1, len(sizes) // 60)]))
    return [
        Figure(
            what=f"memory of a gateway at full rate for {seconds:.0f} s",
            value=f"{max(sizes):.0f} MB at most; {first:.0f} MB at first, {last:.0f} MB in the end",
            against="-",
            ratio=f"{max(sizes):.0f} MB, {(last - first) / first:+.1%}",
            demanded=f"<= {LIMIT_MB} MB, flat within {GROWTH:.0%}",
            is_met=max(sizes) <= LIMIT_MB and last <= first * (1 + GROWTH),
        )
    ]


def watch(pid: int, seconds: float) -> list[float]:
    """Return the resident megabytes of a process, one a second."""
    sizes: list[float] = []
    for _ in range(max(3, int(seconds / EVERY_S))):
        time.sleep(EVERY_S)
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        [line] = [each for each in status.splitlines() if each.startswith("VmRSS")]
        sizes.append(int(line.split()[1]) / _KB)
    return sizes


if __name__ == "__main__":
    show(measure(float(sys.argv[1]) if len(sys.argv) > 1 else SECONDS))
