"""Batches over a capture: the windows that a gateway would close, and what each amounts to."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from gateway_lab.batches.batch import BatchMaker, batch_inputs
from gateway_lab.batches.window import Timeline
from gateway_lab.captures.format import TIME
from gateway_lab.config.plan import BatchPlan
from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.offline.columns import Stream
from gateway_lab.offline.tasks import Run
from gateway_lab.rules.to_polars import dtype
from gateway_lab.rules.tree import Reference, column_name

PLACE = ["broker", "channel", "partition"]


def batch_frame(run: Run, name: str) -> pl.DataFrame:
    """Cut the messages of a batch's source into windows, and aggregate each group.

    Returns:
        A row a window and group, in the order of the windows: `batch` (numbered from 0),
        `partition`, `opened` and `closed` (when its first and last message was received),
        `messages` of the group, then the names of `group_by` and of the aggregates.

    Raises:
        ReplayError: The config has no such batch.
    """
    if name not in run.plan.batches:
        problem = f"the config has no batch {name!r}"
        raise ReplayError(problem, hint=did_you_mean(name, run.plan.batches) or "it has none")
    plan = run.plan.batches[name]
    inputs = batch_inputs(plan)
    messages = batch_messages(run, plan, inputs)
    rows = [
        row
        for part in messages.partition_by(PLACE, maintain_order=True)
        for row in _groups(part, plan, inputs)
    ]
    frame = pl.DataFrame(rows, schema=_schema(plan), orient="row")
    numbers = pl.struct("opened", "partition", "window").rank("dense").cast(pl.Int64) - 1
    numbered = frame.select(batch=numbers, **{each: each for each in frame.columns})
    return numbered.drop("window").sort("batch", maintain_order=True)


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
        "window": pl.Int64(),
        "partition": pl.String(),
        "opened": TIME,
        "closed": TIME,
        "messages": pl.Int64(),
    }
    return {**fixed, **values}


def _empty(inputs: tuple[Reference, ...]) -> pl.DataFrame:
    columns = {column_name(leaf): dtype(leaf.type) for leaf in inputs}
    places = dict.fromkeys(PLACE, pl.String())
    return pl.DataFrame(schema={**places, "_received": pl.Int64(), "_time": pl.Int64(), **columns})


def _messages(
    streams: tuple[Stream, ...], plan: BatchPlan, inputs: tuple[Reference, ...]
) -> pl.DataFrame:
    """Take the valid messages of the batch's source, with the values that it reads."""
    times = (
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
        placed = stream.part.read(*PLACE, *times)[rows]
        found.append(placed.hstack(columns).with_columns(_row=rows))
    return pl.concat(found).sort("_row", maintain_order=True).drop("_row")


def _groups(
    part: pl.DataFrame, plan: BatchPlan, inputs: tuple[Reference, ...]
) -> Iterator[tuple[object, ...]]:
    """Cut one partition into windows and aggregate them."""
    maker = BatchMaker(plan, None)
    names = [column_name(leaf) for leaf in inputs]
    values = part.select(names).rows() if names else [()] * part.height
    received, times = part["_received"].to_list(), part["_time"].to_list()
    windows = Timeline(times, received).cut(size=plan.size, every_us=plan.every_us)
    for number, (first, behind) in enumerate(windows):
        for group in maker.groups(values[first:behind]):
            span = (received[first], received[behind - 1])
            yield (number, part["partition"][0], *span, len(group.members), *group.values)
