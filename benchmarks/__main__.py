"""All benchmarks, one table: `python -m benchmarks`; with `--write` also docs/performance.md."""

from __future__ import annotations

import sys
from pathlib import Path

from benchmarks import decode, edit, many_routes, memory, replay
from benchmarks.table import Figure, machine, markdown, show

PAGE = Path("docs/performance.md")

TEXT = """# Performance

Every figure is a ratio within one run (or a bound), measured by `make bench`; a ratio of another
machine says more than its seconds. Made with `python -m benchmarks --write`.

{machine}

{table}
The profile of a cold replay in one process: two thirds are spent in the compiled decoder (reading
and checking every declared field, where the peer reads three and checks nothing), a tenth in
handing its values to Polars, the rest in reading Parquet, judging keys and headers, and counting.
Deciding three routers over a million messages takes some 15 ms of it.
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
    """Measure everything."""
    figures = [
        *replay.measure(),
        *edit.measure(),
        *many_routes.measure(),
        decoder(),
        *memory.measure(),
    ]
    show(figures)
    if "--write" in sys.argv[1:]:
        PAGE.write_text(TEXT.format(machine=machine(), table=markdown(figures)))


if __name__ == "__main__":
    main()
