"""Batches over a capture: the windows that a gateway would close, and what each amounts to."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import polars as pl

from gateway_lab.batches.batch import BatchMaker, batch_inputs
from gateway_lab.batches.window import Timeline
from gateway_lab.captures.format import TIME
from gateway_lab.config.plan import BatchPlan
from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.masked_values import require_aggregated
from gateway_lab.offline.tasks import Run
from gateway_lab.rules.to_polars import dtype
from gateway_lab.rules.tree import Reference, column_name

PLACE = ["broker", "channel", "partition"]


def batch_frame(run: Run, name: str, guards: pl.DataFrame | None = None) -> pl.DataFrame:
    """Cut the messages of a batch's source into windows, and aggregate each group.

    Args:
        run: The config and the capture.
        name: Of the batch.
        guards: What a gateway stored in `gateway_batches`: `place, first, last`.

    Returns:
        A row a window and group, in the order of the windows: `batch` (numbered from 0),
        `partition`, `opened` and `closed` (when its first and last message was received),
        `windows` (`recorded` where a guard says what a batch was, else `simulated`), `messages`
        of the group, then the names of `group_by` and of the aggregates.

    Raises:
        ReplayError: The config has no such batch, or a column is missing in the guards; or the
            capture has masked what the batch reads.
    """
    if name not in run.plan.batches:
        problem = f"the config has no batch {name!r}"
        raise ReplayError(problem, hint=did_you_mean(name, run.plan.batches) or "it has none")
    plan = run.plan.batches[name]
    if run.capture.is_masked:
        require_aggregated(plan, run.plan.sources[plan.source])
    inputs = batch_inputs(plan)
    messages = batch_messages(run, plan, inputs)
    recorded = _by_place(guards)
    rows = [
        (place, *row)
        for place, part in enumerate(messages.partition_by(PLACE, maintain_order=True))
        for row in _groups(part, plan, inputs, recorded.get(_place(run.plan.name, plan, part), []))
    ]
    frame = pl.DataFrame(rows, schema=_schema(plan), orient="row")
    numbers = pl.struct("opened", "partition", "place", "window").rank("dense").cast(pl.Int64) - 1
    numbered = frame.select(batch=numbers, **{each: each for each in frame.columns})
    return numbered.drop("place", "window").sort("batch", maintain_order=True)


def batch_messages(run: Run, plan: BatchPlan, inputs: tuple[Reference, ...]) -> pl.DataFrame:
    """Take the valid messages of a batch's source, in the order of the capture.

    Returns:
        `PLACE`, `_received` and `_time` (µs), and a column for each of `inputs`.
    """
    pieces = list(run.ask_here(lambda seen: _messages(seen.streams, plan, inputs), "batches"))
    return pl.concat([_empty(inputs), *pieces])


def _schema(plan: BatchPlan) -> dict[str, pl.DataType]:
    values = {
        path[0]: dtype(field.value_type) for path, field in plan.output.paths() if len(path) == 1
    }
    fixed = {
        "place": pl.Int64(),
        "window": pl.Int64(),
        "partition": pl.String(),
        "opened": TIME,
        "closed": TIME,
        "windows": pl.String(),
        "messages": pl.Int64(),
    }
    return {**fixed, **values}


def _empty(inputs: tuple[Reference, ...]) -> pl.DataFrame:
    columns = {column_name(leaf): dtype(leaf.type) for leaf in inputs}
    places = dict.fromkeys(PLACE, pl.String())
    own = {"_position": pl.String(), "_received": pl.Int64(), "_time": pl.Int64()}
    return pl.DataFrame(schema={**places, **own, **columns})


def _messages(
    streams: tuple[Stream, ...], plan: BatchPlan, inputs: tuple[Reference, ...]
) -> pl.DataFrame:
    """Take the valid messages of the batch's source, with the values that it reads."""
    own = (
        pl.col("position").alias("_position"),
        pl.col("received").cast(pl.Int64).alias("_received"),
        pl.coalesce("timestamp", "received").cast(pl.Int64).alias("_time"),
    )
    found = [_empty(inputs).with_columns(_row=pl.lit(0, pl.UInt32))]
    for stream in streams:
        if stream.source.name != plan.source:
            continue
        stream.prepare(inputs)
        rows = stream.valid_rows
        columns = [stream.column(leaf).rows.alias(column_name(leaf)) for leaf in inputs]
        placed = stream.part.read(*PLACE, *own)[rows]
        found.append(placed.hstack(columns).with_columns(_row=rows))
    return pl.concat(found).sort("_row", maintain_order=True).drop("_row")


def _groups(
    part: pl.DataFrame,
    plan: BatchPlan,
    inputs: tuple[Reference, ...],
    recorded: Sequence[tuple[int, int]],
) -> Iterator[tuple[object, ...]]:
    """Cut one partition into windows and aggregate them."""
    maker = BatchMaker(plan, None)
    names = [column_name(leaf) for leaf in inputs]
    values = part.select(names).rows() if names else [()] * part.height
    received, partition = part["_received"], part["partition"][0]
    for number, (first, behind, windows) in enumerate(_windows(part, plan, recorded)):
        for group in maker.groups(values[first:behind]):
            span = (received[first], received[behind - 1], windows)
            yield (number, partition, *span, len(group.members), *group.values)


def _windows(
    part: pl.DataFrame, plan: BatchPlan, recorded: Sequence[tuple[int, int]]
) -> Iterator[tuple[int, int, str]]:
    """Cut one partition: by what was recorded, and what is between as a gateway would cut it."""
    positions = [int(each) for each in part["_position"]] if recorded else []
    start = 0
    for first, last in recorded:
        begin = bisect_left(positions, first, start)
        end = bisect_right(positions, last, begin)
        yield from _simulated(part, plan, start, begin)
        if begin < end:
            yield begin, end, "recorded"
        start = end
    yield from _simulated(part, plan, start, part.height)


def _simulated(
    part: pl.DataFrame, plan: BatchPlan, start: int, end: int
) -> Iterator[tuple[int, int, str]]:
    some = part.slice(start, end - start)
    cut = Timeline(some["_time"], some["_received"]).cut(size=plan.size, every_us=plan.every_us)
    for first, behind in cut:
        yield start + first, start + behind, "simulated"


def _by_place(guards: pl.DataFrame | None) -> dict[str, list[tuple[int, int]]]:
    """Return the ranges of positions that are stored of each place, in their order."""
    if guards is None:
        return {}
    if missing := {"place", "first", "last"} - set(guards.columns):
        problem = f"the guards have no column {min(missing)!r}"
        raise ReplayError(problem, hint="read them: SELECT place, first, last FROM gateway_batches")
    found: dict[str, list[tuple[int, int]]] = {}
    for place, first, last in guards.select("place", "first", "last").sort("first").rows():
        found.setdefault(place, []).append((first, last))
    return found


def _place(gateway: str, plan: BatchPlan, part: pl.DataFrame) -> str:
    """Name a partition as guards do."""
    broker, channel, partition = part.select(PLACE).row(0)
    return "/".join((gateway, plan.name, plan.source, broker or "", channel, partition or "-"))
