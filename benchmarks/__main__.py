"""All benchmarks, one table: `python -m benchmarks`; with `--write` also docs/performance.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import (
    batches,
    decode,
    edit,
    handlers,
    latency,
    many_routes,
    memory,
    memory_live,
    pairs,
    replay,
    telemetry,
)
from benchmarks.table import Figure, machine, markdown, show

PAGE = Path("docs/performance.md")

TEXT = """# Performance

Every figure is a ratio within one run (or a bound), measured by `make bench`; a ratio of another
machine says more than its seconds. Made with `python -m benchmarks --write`.

{machine}

{table}
Wall-clock figures suffer from other load on the machine (its average stands above the table); the
ratios of a busy machine are lower than those of a quiet one, since a replay uses both cores.

## Where the time of a cold replay goes

CPU seconds for a million messages of the `business` profile, where the bare loop into three lists takes 0.39:

| | main thread | beside it |
| --- | --- | --- |
| the compiled decoder: every declared field read and checked, sizes, UTF-8, depth, columns | 0.65 | |
| bodies to Python, values to Polars | 0.13 | |
| Parquet | | 0.2 |
| distinct values and combinations | 0.08 | 0.1 |
| keys and headers that a target may refuse (a NATS target takes text only) | | 0.6 |
| deciding three routers, rendering the channels of each combination, counting | 0.05 | |

The bare loop reads three fields and checks nothing, and it is Python-bound like the decoder: what
a replay adds in Polars hides behind the decoder as long as a second core is free. A ratio of 0.4
in one process leaves 1.0 s in all; that takes a decoder that gives columns without a Python object
for each value, outside the interpreter's lock. With the warm worker both cores are full, so the
0.6 s for headers count there: not looking at headers that no picky target will see would be next.

## The live way

Three forward the same messages, each in a process of its own, from the first message read to the
last one settled: the gateway, with the first router of `data/business.yaml` and all its targets on
one broker; a bare loop of the same clients with the same settings, headers and sizes of batches,
which neither decodes nor decides (it is given the channels); and a FastStream handler that awaits
its publish. `python -m benchmarks.pairs kafka redis` measures one pair, `python -m
benchmarks.memory_live 600` watches memory for ten minutes.

Kafka to Kafka is bound by one interpreter: its client is C, and part of its work is on other cores.
Where the microseconds of CPU of a message go, each part measured by itself (the bare loop takes 5.5 to
6, of them 1 for fetching and 4.5 for sending, its client's threads included):

| | µs |
| --- | --- |
| the client: fetch and read fields, queue with headers, call back for the confirmation; as the bare loop | 5 to 5.5 |
| a message of ours from the client's: headers, time, position; which offsets are open | 1.1 |
| choose the event type, decode and check the body | 0.7 |
| match, judge the headers that pass, render channel, key and headers | 1.3 |
| ids, way, headers of ours, what is sent and what is under way | 1.0 |
| sending: which topics and names of headers a batch has, what to call back | 0.6 |
| confirm, count, settle, let go | 0.8 |
| two threads that share one interpreter, and caches that are cold when a broker is slow | 1 to 3 |

What keeps it there: work that is the same for a batch is done once a batch; a delivery under way is one
object, which the sink is given as it is; Kafka's client is called with arguments by their places (named
ones cost 0.35 µs, more than matching does); and reading waits a moment where 2,000 messages are not
settled, since what is still in the processor's cache costs 2 µs less than what is not.

With the other brokers the clients are Python, and the gateway's connectors write and read frames
by hand, a batch at a time: it is faster than a loop of the libraries. Several processes
(`run --workers`) share the partitions of a Kafka topic where one is not enough.

What was tried: uvloop (nothing for Kafka), other sizes of reads (no difference between 250 and 500
messages, 2,000 is slower), many more sends under way (smaller requests, and more of them), the
client's own batches (`produce_batch` carries no headers), the garbage collector (it walked all
imported modules again and again, a sixth of the time: the command line lets it leave them alone).
"""


def decoder() -> Figure:
    """Compare the compiled decoder with pydantic."""
    bodies = decode.make_bodies(decode.BODIES)
    figures = decode.measure(bodies)
    ours, peer = figures["compiled decoder, decode_many"], figures["pydantic, model_validate_json"]
    return Figure(
        what="the compiled decoder",
        value=f"{ours:.0f} ns a body",
        against=f"pydantic's model_validate_json, {peer:.0f} ns",
        ratio=f"{peer / ours:.1f}",
        demanded=">= 5",
        is_met=peer / ours >= 5,
    )


def main() -> None:
    """Measure everything; some minutes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--write", action="store_true", help=f"also write {PAGE}")
    is_written = parser.parse_args().write
    figures = [
        *replay.measure(),
        *edit.measure(),
        *many_routes.measure(),
        decoder(),
        *memory.measure(),
        *pairs.measure(),
        *latency.measure(),
        *batches.measure(),
        *handlers.measure(),
        *telemetry.measure(),
        *memory_live.measure(),
    ]
    show(figures)
    if is_written:
        PAGE.write_text(TEXT.format(machine=machine(), table=markdown(figures)))


if __name__ == "__main__":
    main()
