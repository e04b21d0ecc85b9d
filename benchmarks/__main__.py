"""All benchmarks, one table: `python -m benchmarks`; with `--write` also docs/performance.md."""

from __future__ import annotations

import argparse
from pathlib import Path

from benchmarks import decode, edit, many_routes, memory, replay
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
    ]
    show(figures)
    if is_written:
        PAGE.write_text(TEXT.format(machine=machine(), table=markdown(figures)))


if __name__ == "__main__":
    main()
