"""Samples: some deliveries with their messages, what is private masked."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial

import polars as pl

from gateway_lab.captures.mask import mask_frame
from gateway_lab.config.plan import Plan
from gateway_lab.errors import ReplayError, did_you_mean
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.mask import is_private_shown, mask_text
from gateway_lab.offline.deliveries import DELIVERIES
from gateway_lab.offline.handled import HandledCapture
from gateway_lab.offline.masked import is_private, mask_reasons
from gateway_lab.offline.questions import sample_deliveries
from gateway_lab.offline.tasks import Run
from gateway_lab.routing.routed import DEAD_LETTER, DROP
from gateway_lab.routing.sending import SEND_ROUTE
from gateway_lab.rules.template import Template

Filters = dict[str, str | None]


def sample(run: Run, *, n: int, seed: int, where: Filters) -> pl.DataFrame:
    """Choose deliveries in every part, keep the first n by rank, and fetch their messages."""
    ask = partial(sample_deliveries, where=where, n=n, seed=seed)
    found = pl.concat(run.ask(ask, "sample")) if run.parts else _nothing()
    chosen = found.sort("rank", maintain_order=True).head(n).drop("rank")
    chosen = mask_reasons(mask_channels(chosen, run.plan), run.plan, pl.col("router").is_null())
    came = _texts(run, run.plan, run.capture.frame, chosen, is_handled=run.is_handled)
    found = chosen.join(came, on="seq", how="left", maintain_order="left")
    return found if run.handled is None else _as_routed(run, run.handled, found)


def _texts(
    run: Run, plan: Plan, frame: pl.LazyFrame, chosen: pl.DataFrame, *, is_handled: bool
) -> pl.DataFrame:
    """Fetch `seq`, `key` and `body` of the messages of some deliveries, as text."""
    messages = frame.filter(pl.col("seq").is_in(chosen["seq"].unique().implode()))
    if not is_private_shown():
        sources = {name: told for name, told in run.sources.items() if name in plan.sources}
        messages = mask_frame(messages, plan, sources=sources, is_handled=is_handled)
    return messages.select("seq", "key", "body").collect().with_columns(_text("key"), _text("body"))


def _as_routed(run: Run, handled: HandledCapture, found: pl.DataFrame) -> pl.DataFrame:
    """Show what handlers returned, where that is what routers decided on."""
    returned = [pl.DataFrame(schema={"seq": pl.UInt64, "body": pl.String, "source": pl.String})]
    for (source,), theirs in found.partition_by("source", as_dict=True).items():
        if source not in handled.sources:
            continue
        plan = replace(run.plan, sources={source: run.plan.sources[source]})
        for part in run.parts:
            frame = handled.of(part, source).part.scan
            texts = _texts(run, plan, frame, theirs, is_handled=True)
            returned.append(texts.select("seq", "body", source=pl.lit(source)))
    both = found.join(
        pl.concat(returned).rename({"body": "returned"}),
        on=["seq", "source"],
        how="left",
        maintain_order="left",
    )
    body = pl.when(pl.col("router").is_not_null()).then(pl.coalesce("returned", "body"))
    return both.with_columns(body.otherwise("body").alias("body")).drop("returned")


def _nothing() -> pl.DataFrame:
    return pl.DataFrame(schema={**DELIVERIES, "rank": pl.UInt64()})


def _text(name: str) -> pl.Expr:
    return pl.col(name).map_elements(lambda value: value.decode(errors="replace"), pl.String)


def mask_channels(frame: pl.DataFrame, plan: Plan) -> pl.DataFrame:
    """Mask channels that are built from private values, unless these may be shown.

    Args:
        frame: With columns `target` and `channel`, of what is delivered; or of all deliveries,
            with `source` and `outcome`: dead letters go elsewhere.
        plan: Says which channels hold private values, for any source.
    """
    if is_private_shown():
        return frame
    targets = _private(plan, ((*pair, each.channel) for pair, each in plan.targets.items()))
    letters = _private(
        plan,
        ((name, name, s.dead_letter.channel) for name, s in plan.sources.items() if s.dead_letter),
    )
    is_letter = pl.lit(value=False)
    if "outcome" in frame.columns:
        is_letter = pl.col("outcome") == Outcome.DEAD_LETTERED.value
    source = pl.col("source") if "source" in frame.columns else pl.lit(None, pl.String)
    rows = frame.select("channel", "target", source=source, is_letter=is_letter).rows()
    starts = [
        letters.get(source) if is_letter else targets.get(target)
        for _, target, source, is_letter in rows
    ]
    shown = [
        channel if start is None or not channel else f"{start}{mask_text(channel)}"
        for (channel, *_), start in zip(rows, starts, strict=True)
    ]
    return frame.with_columns(channel=pl.Series(shown, dtype=pl.String))


def _private(plan: Plan, channels: Iterable[tuple[str, str, Template]]) -> dict[str, str]:
    """Say which channels hold private values: the name they are known by, and how they begin.

    Args:
        plan: Says what is private.
        channels: Source, name and template of each.
    """
    return {
        name: next((part for part in template.parts[:1] if isinstance(part, str)), "")
        for source, name, template in channels
        if any(is_private(plan, source, node) for node in template.nodes)
    }


# --- what may be asked ---


def checked_filters(plan: Plan, where: Mapping[str, str | None]) -> Filters:
    """Check the names that a sample is narrowed down to.

    Raises:
        ReplayError: There is no such filter, or no such thing in the config.
    """
    routes = [route.name for router in plan.routers.values() for route in router.routes]
    routes.append(SEND_ROUTE)
    known: dict[str, list[str]] = {
        "source": list(plan.sources),
        "router": list(plan.routers),
        "route": routes,
        "target": [*{target for _, target in plan.targets}, DROP, DEAD_LETTER],
        "outcome": [outcome.value for outcome in Outcome],
    }
    for name, value in where.items():
        if name not in known:
            raise ReplayError(f"sample cannot filter by {name!r}", hint=did_you_mean(name, known))
        if value is not None and value not in known[name]:
            raise ReplayError(
                f"there is no {name} {value!r}", hint=did_you_mean(value, known[name])
            )
    return dict(where)


_STEP = re.compile(r"[1-9][0-9]*(?:ms|s|m|h|d)")


def checked_step(every: str) -> str:
    """Check the width of a time step.

    Raises:
        ReplayError: It is not a number and one of ms, s, m, h, d.
    """
    if not _STEP.fullmatch(every):
        raise ReplayError(f"{every!r} is not a time step", hint="write it like 10s, 1m, 1h or 1d")
    return every
