"""Figures of results: where messages go, how many, when, and what a change would move.

Each takes a result or one of its frames, and returns a plotly figure that also carries its
numbers as a table. A target has one colour in every figure of a config.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TypeAlias, TypeVar

import polars as pl

from gateway_lab.captures.capture import Capture, require_capture
from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.lab.figure import Figure, draw
from gateway_lab.lab.palette import COLOURS, NODE, colours, faint
from gateway_lab.lab.sankey import Layer, sankey
from gateway_lab.messages.books import Outcome
from gateway_lab.offline.diff import RouteDiff
from gateway_lab.offline.samples import checked_step
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.routed import DEAD_LETTER, DROP

Frame: TypeAlias = pl.DataFrame | pl.LazyFrame
T = TypeVar("T")

MADE: Mapping[type, tuple[str, str]] = {
    Replay: ("replay", "make it first: replay = gl.replay(config, capture)"),
    RouteDiff: ("diff", "make it first: diff = gl.diff(config, draft, capture)"),
}

FLOW = (
    Layer(column="source"),
    Layer(column="router", within=("source",), absent="invalid"),
    Layer(column="route", within=("router",), skipped_without="router", absent="no route"),
    Layer(column="target", coloured=True),
)
DIFF = (
    Layer(column="router", absent="invalid messages"),
    Layer(column="old", within=("router",), absent="nowhere", coloured=True),
    Layer(column="new", within=("router",), absent="nowhere", coloured=True),
)


def flow(result: Replay | Frame, *, title: str | None = None) -> Figure:
    """Draw where deliveries go: source, router, route, target.

    What a target refuses ends in `dead_letter`, as it does in production.

    Args:
        result: A replay, or a frame with columns `source, router, route, target, outcome,
            deliveries`.
        title: Left out: how many deliveries there are.

    Raises:
        ReplayError: It is another kind of result, or the frame lacks a column.
    """
    ways = [layer.column for layer in FLOW]
    columns = (*ways, "outcome", "deliveries")
    frame = _ended(_frame(_given(result, Replay, Replay.flow), columns), ways)
    trace = sankey(
        frame,
        FLOW,
        value="deliveries",
        unit="deliveries",
        colours=_colours(result, frame["target"]),
    )
    total = f"{frame['deliveries'].sum():,} deliveries, from their source to their target"
    return draw([trace], title=title or total, frame=frame)


def over_time(result: Replay | Frame, *, every: str = "1m", title: str | None = None) -> Figure:
    """Draw the deliveries per target over time, one on top of the other.

    Args:
        result: A replay, or a frame with columns `time, target, outcome, deliveries`.
        every: The width of a step, as `Replay.over_time` takes it; a frame has its own.
        title: Left out: what is drawn.

    Raises:
        ReplayError: It is another kind of result, or the frame lacks a column.
    """
    columns = ("time", "target", "outcome", "deliveries")
    given = _given(result, Replay, partial(Replay.over_time, every=every))
    frame = _ended(_frame(given, columns), ["time", "target"])
    unit = "deliveries" if isinstance(result, Frame) else f"deliveries in {every}"
    title = title or "Deliveries over time, by target"
    return _stacked(frame, "target", _colours(result, frame["target"]), unit=unit, title=title)


def volume(capture: Capture, *, every: str = "1m", title: str | None = None) -> Figure:
    """Draw the messages of a capture over time, by the channel they came from.

    A channel that several brokers have is named with its broker.

    Args:
        capture: The traffic.
        every: The width of a step, such as `10s`, `1m`, `1h` or `1d`.
        title: Left out: what is drawn.

    Raises:
        CaptureError: It is no capture.
        ReplayError: `every` is not a time step.
    """
    require_capture(capture)
    time = pl.col("received").dt.truncate(checked_step(every))
    counts = capture.frame.group_by("broker", "channel", time=time).len("messages")
    is_shared = pl.col("broker").n_unique().over("channel") > 1
    with_broker = pl.concat_str("channel", pl.lit(" of "), pl.col("broker").fill_null("no broker"))
    channel = pl.when(is_shared).then(with_broker).otherwise("channel")
    frame = counts.select("time", channel=channel, messages="messages").sort("time", "channel")
    title = title or "Messages over time, by channel"
    shown = frame.collect()
    chosen = colours(shown["channel"].drop_nulls())
    return _stacked(shown, "channel", chosen, unit=f"messages in {every}", title=title)


def distribution(
    frame: Frame, *, x: str, y: str, colour: str | None = None, title: str | None = None
) -> Figure:
    """Draw bars, the longest on top: deliveries per channel, messages per tenant, sizes.

    Args:
        frame: One row a bar, or a part of a bar where `colour` is given.
        x: The column with the lengths.
        y: The column with the names of the bars.
        colour: The column that parts the bars, such as `outcome`.
        title: Left out: the names of the columns.

    Raises:
        ReplayError: It is no frame, or lacks a column.
    """
    shown = _frame(frame, (y, *([colour] if colour else []), x))
    names = shown[colour or y].cast(pl.String)
    chosen = colours(names.drop_nulls())
    order = shown.group_by(y, maintain_order=True).agg(pl.col(x).sum()).sort(x, descending=True)[y]
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": name,
            "x": part[x].to_list(),
            "y": part[y].cast(pl.String).to_list(),
            "marker": {"color": chosen[name] if colour else COLOURS[0]},
            "hovertemplate": f"%{{y}}: %{{x:,}} {x}<extra>{name}</extra>",
        }
        for name, part in _parts(shown, colour)
    ]
    layout = {
        "barmode": "stack",
        "xaxis_title": x,
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [str(name) for name in order],
            "autorange": "reversed",
        },
        "height": min(160 + 26 * len(order), 900),
        "showlegend": colour is not None,
    }
    return draw(traces, title=title or f"{x} by {y}", frame=shown, layout=layout)


def diff_flow(diff: RouteDiff | Frame, *, title: str | None = None) -> Figure:
    """Draw what would not stay the same: where deliveries go, and where they would go.

    Args:
        diff: A diff, or a frame with columns `router, old, new, messages`; null is nowhere.
        title: Left out: how many deliveries are not the same.

    Raises:
        ReplayError: It is another kind of result, or the frame lacks a column.
    """
    columns = (*(layer.column for layer in DIFF), "messages")
    frame = _frame(_given(diff, RouteDiff, RouteDiff.flow), columns)
    names = [*frame["old"], *frame["new"]]
    trace = sankey(frame, DIFF, value="messages", unit="deliveries", colours=_colours(diff, names))
    total = f"{frame['messages'].sum():,} deliveries do not stay the same"
    return draw([trace], title=title or total, frame=frame)


def batches(
    frame: Frame, *, y: str, by: str | None = None, time: str = "closed", title: str | None = None
) -> Figure:
    """Draw an aggregate of batches over time.

    Args:
        frame: `Replay.batches(name)`: a row a batch and group.
        y: The column of the aggregate.
        by: The column that names the groups, a line each; left out: one line.
        time: The column of the times.
        title: Left out: the name of the aggregate.

    Raises:
        ReplayError: It is no frame, or lacks a column.
    """
    keys = (time, *([by] if by else []))
    shown = _frame(frame, (*keys, y)).sort(keys)
    chosen = colours([] if by is None else shown[by].cast(pl.String).drop_nulls())
    traces = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": name,
            "line": {"width": 1.5, "color": chosen.get(name, COLOURS[0])},
            "marker": {"size": 4},
            "x": _times(part[time]),
            "y": part[y].to_list(),
            "hovertemplate": "%{y:,.6~g}",
        }
        for name, part in _parts(shown, by)
    ]
    layout = {
        "hovermode": "x unified",
        "xaxis_title": f"{time} (UTC)",
        "yaxis_title": y,
        "showlegend": by is not None,
    }
    of = f" by {by}" if by else ""
    return draw(traces, title=title or f"{y}{of}, batch by batch", frame=shown, layout=layout)


def _stacked(
    frame: pl.DataFrame, by: str, chosen: Mapping[str, str], *, unit: str, title: str
) -> Figure:
    """Draw counts over time as areas on top of each other; the counts are the last column."""
    traces = [
        {
            "type": "scatter",
            "mode": "lines",
            "name": name,
            "stackgroup": "all",
            "line": {"width": 1, "shape": "hv", "color": chosen.get(name, NODE)},
            "fillcolor": faint(chosen.get(name, NODE), alpha=0.6),
            "x": _times(part["time"]),
            "y": part[part.columns[-1]].to_list(),
            "hovertemplate": "%{y:,d}",
        }
        for name, part in _parts(frame, by)
    ]
    layout = {
        "hovermode": "x unified",
        "xaxis_title": "received (UTC)",
        "yaxis_title": unit,
        "yaxis_tickformat": ",d",
    }
    return draw(traces, title=title, frame=frame, layout=layout)


def _given(result: T | Frame, kind: type[T], method: Callable[[T], Frame]) -> Frame:
    """Return a frame as it is, and of a result what its method gives."""
    if isinstance(result, Frame):
        return result
    if isinstance(result, kind):
        return method(result)
    noun, made = MADE[kind]
    raise ReplayError(f"this is a {type(result).__name__}, and no {noun}", hint=made)


def _frame(given: Frame, columns: Sequence[str]) -> pl.DataFrame:
    """Return the columns that a figure shows."""
    if not isinstance(given, Frame):
        raise ReplayError(
            f"this is a {type(given).__name__}, and no frame",
            hint="give one of a result's frames, such as replay.channels()",
        )
    frame = given.lazy().collect()
    for column in columns:
        if column not in frame.columns:
            raise ReplayError(
                f"the frame has no column {column!r}", hint=did_you_mean(column, frame.columns)
            )
    return frame.select(*dict.fromkeys(columns))


def _ended(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """Count deliveries where they end: at their target, dropped or as a dead letter."""
    outcome = pl.col("outcome")
    end = (
        pl.when(outcome == Outcome.DROPPED)
        .then(pl.lit(DROP))
        .when(outcome == Outcome.DEAD_LETTERED)
        .then(pl.lit(DEAD_LETTER))
        .otherwise("target")
    )
    groups = frame.with_columns(target=end).group_by(keys, maintain_order=True)
    return groups.agg(pl.col("deliveries").sum())


def _colours(result: Replay | RouteDiff | Frame, names: Iterable[str | None]) -> Mapping[str, str]:
    """Return the colours of a config's targets; those of the names shown, for a bare frame."""
    match result:
        case Replay():
            return colours(result.config.targets)
        case RouteDiff():
            return colours([*result.old.targets, *result.new.targets])
        case _:
            return colours(name for name in names if name is not None)


def _parts(frame: pl.DataFrame, column: str | None) -> list[tuple[str, pl.DataFrame]]:
    """Part a frame by the values of a column, in the order of their names."""
    if column is None:
        return [("", frame)]
    parts = frame.partition_by(column, as_dict=True)
    return sorted((str(name), part) for (name,), part in parts.items())


def _times(times: pl.Series) -> list[str]:
    return times.dt.strftime("%Y-%m-%dT%H:%M:%S%.f").to_list()
