"""Figures of results: where messages go, how many, when, and what a change would move.

Each takes a result or one of its frames, and returns a plotly figure that also carries its
numbers as a table. A target has one colour in every figure of a config.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import polars as pl

from gateway_lab.captures.capture import Capture, require_capture
from gateway_lab.lab.batch_figures import batch_sizes, batches
from gateway_lab.lab.figure import Figure, draw
from gateway_lab.lab.frames import Frame, frame_of, parted, with_columns, written_times
from gateway_lab.lab.palette import COLOURS, NODE, colours, faint
from gateway_lab.lab.sankey import Layer, sankey
from gateway_lab.lab.trade_offs import trade_offs
from gateway_lab.messages.books import Outcome
from gateway_lab.offline.diff import RouteDiff
from gateway_lab.offline.samples import checked_step
from gateway_lab.offline.summary import Replay
from gateway_lab.routing.routed import DEAD_LETTER, DROP

__all__ = [
    "batch_sizes",
    "batches",
    "diff_flow",
    "distribution",
    "flow",
    "over_time",
    "trade_offs",
    "volume",
]

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
    frame = _ended(with_columns(frame_of(result, Replay, Replay.flow), columns), ways)
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
    given = frame_of(result, Replay, partial(Replay.over_time, every=every))
    frame = _ended(with_columns(given, columns), ["time", "target"])
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
    shown = with_columns(frame, (y, *([colour] if colour else []), x))
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
            "marker": {"color": chosen[name] if colour else _bar_colours(part[y], chosen)},
            "hovertemplate": f"%{{y}}: %{{x:,}} {x}<extra>{name}</extra>",
        }
        for name, part in parted(shown, colour)
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


def _bar_colours(names: pl.Series, chosen: Mapping[str, str]) -> str | list[str]:
    """Return the colours of bars that are not parted: targets have theirs, other things one."""
    return [chosen[name] for name in names] if names.name == "target" else COLOURS[0]


def diff_flow(diff: RouteDiff | Frame, *, title: str | None = None) -> Figure:
    """Draw what would not stay the same: where deliveries go, and where they would go.

    Args:
        diff: A diff, or a frame with columns `router, old, new, messages`; null is nowhere.
        title: Left out: how many deliveries are not the same.

    Raises:
        ReplayError: It is another kind of result, or the frame lacks a column.
    """
    columns = (*(layer.column for layer in DIFF), "messages")
    frame = with_columns(frame_of(diff, RouteDiff, RouteDiff.flow), columns)
    names = [*frame["old"], *frame["new"]]
    trace = sankey(frame, DIFF, value="messages", unit="deliveries", colours=_colours(diff, names))
    total = f"{frame['messages'].sum():,} deliveries do not stay the same"
    return draw([trace], title=title or total, frame=frame)


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
            "x": written_times(part["time"]),
            "y": part[part.columns[-1]].to_list(),
            "hovertemplate": "%{y:,d}",
        }
        for name, part in parted(frame, by)
    ]
    layout = {
        "hovermode": "x unified",
        "xaxis_title": "received (UTC)",
        "yaxis_title": unit,
        "yaxis_tickformat": ",d",
    }
    return draw(traces, title=title, frame=frame, layout=layout)


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
            return colours(result.new.targets, before=result.old.targets)
        case _:
            return colours(name for name in names if name is not None)
