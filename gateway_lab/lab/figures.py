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
from gateway_lab.lab.figure import Figure, counts_axis, draw
from gateway_lab.lab.frames import Frame, frame_of, parted, with_columns
from gateway_lab.lab.labels import counted, safe, short
from gateway_lab.lab.palette import COLOURS, colours
from gateway_lab.lab.sankey import Layer, height, sankey
from gateway_lab.lab.stacked import LEGEND, stacked
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

BARS, TICK = 40, 40
"""Bars that are drawn, and characters of the name of one: the frame has all."""

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
    number = counted(int(frame["deliveries"].sum()), "delivery", "deliveries")
    total = f"{number}, from their source to their target"
    return draw([trace], title=title or total, frame=frame, layout=height(frame, FLOW))


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
    step = None if isinstance(result, Frame) else every
    unit = f"deliveries in {step}" if step else "deliveries"
    title = title or "Deliveries over time, by target"
    chosen = _colours(result, frame["target"])
    return stacked(frame, "target", chosen, every=step, unit=unit, title=title)


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
    unit = f"messages in {every}"
    return stacked(shown, "channel", chosen, every=every, unit=unit, title=title)


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
    lengths = shown.group_by(y, maintain_order=True).agg(pl.col(x).sum()).sort(x, descending=True)
    bars = lengths[y].head(BARS)
    traces = [
        {
            "type": "bar",
            "orientation": "h",
            "name": short(name, most=LEGEND),
            "x": part[x].to_list(),
            "y": _written(part[y]),
            "marker": {"color": chosen[name] if colour else _bar_colours(part[y], chosen)},
            "hovertemplate": f"%{{y}}: %{{x:,}} {x}<extra>%{{fullData.name}}</extra>",
        }
        for name, part in parted(shown.filter(pl.col(y).is_in(bars, nulls_equal=True)), colour)
    ]
    layout = {
        "barmode": "stack",
        "xaxis": {**counts_axis(x, lengths[x].max()), "tickformat": ",~r"},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": _written(bars),
            "tickvals": _written(bars),
            "ticktext": [short(str(name), most=TICK) for name in bars],
            "autorange": "reversed",
        },
        "height": 170 + max(24 * len(bars), 20 * len(traces)),
        "showlegend": colour is not None,
    }
    cut = f"<br><sub>the {BARS} longest of {lengths.height:,}</sub>"
    told = (title or f"{x} by {y}") + (cut if lengths.height > BARS else "")
    return draw(traces, title=told, frame=shown, layout=layout)


def _written(names: pl.Series) -> list[str]:
    return [safe(str(name)) for name in names]


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
    number = counted(int(frame["messages"].sum()), "delivery does", "deliveries do")
    total = f"{number} not stay the same"
    return draw([trace], title=title or total, frame=frame, layout=height(frame, DIFF))


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
