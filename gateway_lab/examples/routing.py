"""Routing by content: one config is replayed, explained, diffed, exported and run; all agree.

Events are published, routed and recorded. On the record a draft is compared with what runs, and
exported; then the file that was exported runs.
"""

from __future__ import annotations

from pathlib import Path

import polars as pl

import gateway_lab as gl
from gateway_lab.examples.live_run import LiveRun, message
from gateway_lab.examples.stage import Stage

gateway = gl.Gateway(gl.read_config(Path(__file__).with_suffix(".yaml")))

TENANTS = ("acme", "globex")
TYPES = ("order_created", "order_paid")
LOOKS = {
    "work": [*map("critical.{}".format, TENANTS)],
    "stream": [
        *map("high-priority.{}".format, TYPES),
        *map("tenant.{}".format, TENANTS),
        *map("event.{}".format, TYPES),
        "dead-letter.business",
    ],
    "edge": ["medium-priority"],
    "cache": ["low-priority"],
}


def event(number: int, priority: str, amount: float) -> dict[str, object]:
    """Make a business event."""
    return {
        "event_type": TYPES[number // 2 % 2],
        "priority": priority,
        "payload": {"id": f"o-{number}", "amount": amount},
        "tenant_id": TENANTS[number % 2],
    }


PRIORITIES = ("low", "medium", "high", "critical", "urgent")
EVENTS = [
    *(event(number, PRIORITIES[number % 5], 20.5 * number) for number in range(20)),
    event(20, "low", 1_500),  # big for the draft alone
    event(21, "low", 7_500),  # and for both
]


async def run(stage: Stage) -> dict[str, pl.DataFrame]:
    """Run the config and then the draft, and compare what arrives with what a replay says."""
    config, exported = gateway.config, stage.folder / "routes.yaml"
    capture, today = await run_live(config, stage)
    draft = config.edit_setting("big_order", value=1_000)
    gl.export(draft, exported, capture=capture)
    _, after = await run_live(gl.read_config(exported), stage)
    return {
        "what runs": today,
        "why the last event is critical": explained(config, capture.message(len(EVENTS) - 1)),
        "what the draft moves": moved(gl.diff(config, draft, capture)),
        "what was exported, running": after,
    }


async def run_live(config: gl.GatewayConfig, stage: Stage) -> tuple[gl.Capture, pl.DataFrame]:
    """Publish the events, record them, and compare where they went with a replay of the record."""
    path = stage.folder / config.digest
    with gl.Tap(config, path) as tap:
        async with LiveRun(gl.Gateway(config), stage, LOOKS, wrap=tap.wrap) as live:
            await live.publish("stream", "business-events", map(message, EVENTS))
            messages = await live.arrived()
    capture = gl.scan_capture(path)
    return capture, compared(gl.replay(config, capture), messages)


def compared(replay: gl.Replay, messages: list[gl.Message]) -> pl.DataFrame:
    """Count `replayed` and `arrived` by broker and channel; `same`: the bodies are, byte for byte."""
    said = replay.deliveries(rendered=True).select("broker", "channel", "body").collect()
    seen = pl.DataFrame(
        [(each.broker, each.channel, each.body) for each in messages],
        schema=said.schema,
        orient="row",
    )
    by = ["broker", "channel"]
    bodies = pl.col("body").sort()
    both = (
        said.group_by(by)
        .agg(bodies)
        .join(seen.group_by(by).agg(bodies), on=by, how="full", coalesce=True)
    )
    return both.select(
        *by,
        replayed=pl.col("body").list.len(),
        arrived=pl.col("body_right").list.len(),
        same=pl.col("body") == pl.col("body_right"),
    ).sort(by)


def explained(config: gl.GatewayConfig, message: gl.Message) -> pl.DataFrame:
    """Show the clauses that decided about one message."""
    return gl.explain(config, message).clauses.select(
        "router", "route", "clause", "values", "result"
    )


def moved(diff: gl.RouteDiff) -> pl.DataFrame:
    """Show the messages that would go elsewhere."""
    return diff.messages().select("seq", "router", "old", "new").collect()
