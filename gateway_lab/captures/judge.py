"""Judging captured messages: whose they are, of which event type, and whether they are valid."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import polars as pl

from gateway_lab.captures.binding import Sources, bind
from gateway_lab.captures.format import INVALID as VERDICT
from gateway_lab.captures.rows import message_of
from gateway_lab.config.plan import INVALID, Plan, SourcePlan
from gateway_lab.events.decode import Decoder, compile_decoder
from gateway_lab.events.event_type import EventType
from gateway_lab.messages.message import Message
from gateway_lab.rules.fill import compile_node
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.tree import references

_PLACE = ("broker", "kind", "channel")


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Messages of a batch that are of one source and event type.

    Attributes:
        source: Whose they are.
        event_type: None for a source without event types, and where none could be chosen.
        rows: Their places in the batch.
        invalid: Place in the batch to the reason why the body is not valid.
    """

    source: SourcePlan
    event_type: EventType | None
    rows: list[int]
    invalid: dict[int, str]


class Judge:
    """Judges the messages of one capture, batch by batch.

    Attributes:
        plan: The compiled config that says what is valid.
    """

    def __init__(self, plan: Plan, sources: Sources, *, is_handled: bool) -> None:
        self.plan, self._sources, self._is_handled = plan, sources, is_handled
        self._choosers = {name: self._chooser(each) for name, each in plan.sources.items()}
        self._decoders: dict[tuple[str, str], Decoder] = {}

    def judge(self, batch: pl.DataFrame) -> Iterator[Judged]:
        """Judge the messages of a batch; one that several sources read comes several times.

        A masked batch is not judged again: its verdicts stand in it.
        """
        places = batch.select(pl.col(*_PLACE).fill_null(""))
        names = places.unique(maintain_order=True).rows()
        numbers = {place: number for number, place in enumerate(names)}
        rows_at: list[list[int]] = [[] for _ in names]
        for row, place in enumerate(places.iter_rows()):
            rows_at[numbers[place]].append(row)
        for name, at in bind(self.plan.sources, tuple(names), self._sources).items():
            rows = sorted(row for number in at for row in rows_at[number])
            if rows:
                yield from self._of_source(self.plan.sources[name], batch, rows)

    def _of_source(
        self, source: SourcePlan, batch: pl.DataFrame, rows: list[int]
    ) -> Iterator[Judged]:
        for name, theirs in self._typed(source, batch, rows):
            if name == INVALID:
                reasons = dict.fromkeys(theirs, source.no_type_reason)
                yield Judged(source=source, event_type=None, rows=theirs, invalid=reasons)
                continue
            event_type = None if name is None else self._types(source)[name]
            invalid = self._invalid(source, event_type, batch, theirs)
            yield Judged(source=source, event_type=event_type, rows=theirs, invalid=invalid)

    def _types(self, source: SourcePlan) -> dict[str, EventType]:
        return dict(source.routed_types if self._is_handled else source.event_types)

    def _typed(
        self, source: SourcePlan, batch: pl.DataFrame, rows: list[int]
    ) -> Iterator[tuple[str | None, list[int]]]:
        """Split rows by the name of their event type."""
        choose = self._choosers[source.name]
        if choose is None:
            yield next(iter(self._types(source)), None), rows
            return
        chosen: dict[str, list[int]] = {}
        bodiless = batch.with_columns(body=pl.lit(None, pl.Binary))
        for row, values in zip(rows, bodiless[rows].iter_rows(named=True), strict=True):
            chosen.setdefault(choose(message_of(values)), []).append(row)
        yield from chosen.items()

    def _chooser(self, source: SourcePlan) -> Callable[[Message], str] | None:
        if source.by is None or (source.handled is not None and self._is_handled):
            return None
        inputs = references(source.by)
        look_up = compile_look_up(inputs, source.name)
        by = compile_node(source.by, inputs, name=f"source {source.name} by")

        def choose(message: Message) -> str:
            value = by(look_up(message))
            known = isinstance(value, str)
            return source.choices.get(str(value), source.otherwise) if known else source.otherwise

        return choose

    def _invalid(
        self, source: SourcePlan, event_type: EventType | None, batch: pl.DataFrame, rows: list[int]
    ) -> dict[int, str]:
        if VERDICT in batch.columns:
            reasons = batch[VERDICT][rows].to_list()
            return {row: reason for row, reason in zip(rows, reasons, strict=True) if reason}
        if event_type is None:
            return {}
        name = (source.name, event_type.name)
        decoder = self._decoders.get(name) or compile_decoder(event_type, ())
        self._decoders[name] = decoder
        _, invalid = decoder.decode_many(batch["body"][rows].to_list())
        return {rows[index]: reason for index, reason in invalid.items()}
