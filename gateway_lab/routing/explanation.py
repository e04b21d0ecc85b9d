"""Why one message goes where it goes: router by router, route by route, clause by clause.

The decision is `route.py`'s own; the clauses are computed by the same Python engine. Private
values are masked before they get into an explanation, so that nothing made of it can show them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from gateway_lab.config.compile import compile_plan
from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.plan import Plan, RoutePlan, RouterPlan, SourcePlan
from gateway_lab.config.readers import readers
from gateway_lab.errors import ConfigError, ReplayError, did_you_mean
from gateway_lab.findings import Severity
from gateway_lab.messages.books import Outcome
from gateway_lab.messages.mask import is_private_shown, mask_text
from gateway_lab.messages.message import Message
from gateway_lab.routing.explain_handled import HandledOnce, handle_once
from gateway_lab.routing.explained import ChangeRow, ClauseRow, Explained, TargetRow
from gateway_lab.routing.rehearsal import GivenHandlers
from gateway_lab.routing.route import compile_source
from gateway_lab.routing.routed import Delivery, Routed
from gateway_lab.routing.sample import encode_event, make_message
from gateway_lab.routing.show_explanation import as_html, as_text, show_value
from gateway_lab.rules.explain import Clause, changes_needed, evaluate, explain_condition
from gateway_lab.rules.fill import compile_pieces, join
from gateway_lab.rules.message_values import compile_look_up
from gateway_lab.rules.template import Template
from gateway_lab.rules.tree import Field, Header, Meta, Reference, Value, references

if TYPE_CHECKING:
    import polars as pl

ALWAYS = "always"
"""What stands as the clause of a route without a condition."""

NOT_REACHED = "not reached"
OTHER_TYPE = "other event type"
_RESULTS = {True: "TRUE", False: "FALSE", None: "NULL"}


class Explanation(Explained):
    """Why one message goes where it goes; printed, or shown as a table in a notebook."""

    __slots__ = ()

    @property
    def clauses(self) -> pl.DataFrame:
        """A row a clause: router, route, clause, values, result (text) and decided (boolean)."""
        return _frame(self.clause_rows, ClauseRow)

    @property
    def targets(self) -> pl.DataFrame:
        """A row a delivery: router, route, target, broker, channel, outcome, reason."""
        return _frame(self.target_rows, TargetRow)

    @property
    def changes(self) -> pl.DataFrame:
        """A row a clause that would have to change: router, route, clause, values, wanted."""
        return _frame(self.change_rows, ChangeRow)

    def __str__(self) -> str:
        return as_text(self)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return as_html(self)


def _frame(rows: tuple[Any, ...], kind: type[Any]) -> pl.DataFrame:
    import polars as pl  # noqa: PLC0415 - the live way loads no polars

    names = [each.name for each in fields(kind)]
    schema = {name: pl.Boolean if name == "decided" else pl.String for name in names}
    return pl.DataFrame(
        [[getattr(row, name) for name in schema] for row in rows], schema, orient="row"
    )


# --- explain ---


def explain(
    config: GatewayConfig,
    message: Message | Mapping[str, Any] | bytes,
    *,
    source: str | None = None,
    handlers: GivenHandlers | None = None,
) -> Explanation:
    """Explain where a message goes, and why; nothing is sent.

    Args:
        config: The config that decides.
        message: A message (of a capture), an event as a dict, or the bytes of a body. On a source
            with a handler it is what the handler returned, unless `handlers` runs it.
        source: Left out: the source that reads the message's channel, or the only one there is.
        handlers: A gateway, whose handler runs on the message now, and tries again at once.

    Raises:
        ConfigError: The config has an error, so that it cannot decide any message, or a function
            is registered for a source that declares no handler.
        ReplayError: No source, or more than one, can be meant; or the event is not JSON; or there
            is no function for the handler.
    """
    compiled = compile_plan(config)
    if compiled.plan is None:
        errors = [each for each in compiled.findings if each.severity is Severity.ERROR]
        raise ConfigError("nothing can be explained, the config has errors", hint=str(errors[0]))
    plan = compiled.plan
    name = source or _find_source(plan, message)
    router = compile_source(plan, name)
    if not isinstance(message, Message):
        body = message if isinstance(message, bytes) else encode_event(message)
        message = make_message(plan.sources[name], body)
    explainer = _Explainer(config, plan, plan.sources[name])
    if handlers is None or not (done := handle_once(plan, explainer.source, message, handlers)):
        return explainer.explanation(message, router.route(message), router.values(message))
    if done.message is None:
        return explainer.explanation(message, done.routed, {}, done)
    routed, values = router.route(done.message), router.values(done.message)
    return explainer.explanation(done.message, routed, values, done)


def _find_source(plan: Plan, message: object) -> str:
    """Find the source of a message: by broker and channel, else by protocol and channel."""
    names = tuple(plan.sources)
    if isinstance(message, Message):
        names = readers(plan.sources, message.broker, message.protocol, message.channel)
    if len(names) != 1:
        found = "several sources" if names else "no source"
        problem = f"{found} of the config could have read this message"
        known = did_you_mean("", plan.sources) or "the config has no sources"
        raise ReplayError(problem, hint=f"`source=` or `--source` says which; {known}")
    return names[0]


class _Explainer:
    """Explains one message."""

    def __init__(self, config: GatewayConfig, plan: Plan, source: SourcePlan) -> None:
        self.config, self.plan, self.source = config, plan, source

    def explanation(
        self,
        message: Message,
        routed: Routed,
        values: Mapping[Reference, Value],
        done: HandledOnce | None = None,
    ) -> Explanation:
        self.message, self.routed, self.values = message, routed, values
        deliveries = (*routed.deliveries, *(done.sent if done else ()))
        decided = (
            [] if routed.invalid else [self.plan.routers[each.router] for each in routed.decisions]
        )
        return Explanation(
            source=self.source.name,
            event_type=routed.event_type,
            invalid=routed.invalid,
            decisions=routed.decisions,
            clause_rows=tuple(row for router in decided for row in self.clauses(router)),
            target_rows=tuple(self.target(each) for each in deliveries),
            change_rows=tuple(row for router in decided for row in self.changes(router)),
            handled=done.told if done else None,
        )

    # --- routes ---

    def routes(self, router: RouterPlan) -> Iterator[tuple[RoutePlan, str, str | None]]:
        """Yield each route, its condition as written, and why it was not decided (or None)."""
        written = {each.name: each.when for each in self.config.routers[router.name].routes}
        reached = True
        for route in router.routes:
            about = route.events is None or self.routed.event_type in route.events
            why = OTHER_TYPE if not about else None if reached else NOT_REACHED
            yield route, written[route.name] or "", why
            if router.match == "first" and why is None:
                reached = not self.matches(route)

    def matches(self, route: RoutePlan) -> bool:
        return route.condition is None or evaluate(route.condition, self.values) is True

    def clauses(self, router: RouterPlan) -> Iterator[ClauseRow]:
        for route, text, why in self.routes(router):
            if why == OTHER_TYPE:
                yield ClauseRow(router.name, route.name, text or ALWAYS, "", why, decided=False)
                continue
            for clause in self.explain(route, text):
                yield ClauseRow(
                    router.name,
                    route.name,
                    clause.text,
                    self.show(clause.values),
                    why or _RESULTS[clause.result],
                    decided=clause.decided and why is None,
                )

    def explain(self, route: RoutePlan, text: str) -> tuple[Clause, ...]:
        if route.condition is None:
            return (Clause(ALWAYS, {}, result=True, decided=True),)
        return explain_condition(route.condition, text, self.values)

    def changes(self, router: RouterPlan) -> Iterator[ChangeRow]:
        for route, text, why in self.routes(router):
            if why is not None or route.condition is None:
                continue
            for change in changes_needed(route.condition, text, self.values):
                yield ChangeRow(
                    router.name,
                    route.name,
                    change.text,
                    self.show(change.values),
                    _RESULTS[change.wanted],
                )

    # --- what is shown: private values are masked ---

    def show(self, values: Mapping[Reference, Value]) -> str:
        return ", ".join(f"{_name(each)} = {self.show_one(each, values[each])}" for each in values)

    def show_one(self, reference: Reference, value: Value) -> str:
        if value is not None and self.is_private(reference):
            return mask_text(value)
        return show_value(value, reference.type)

    def is_private(self, reference: Reference) -> bool:
        if is_private_shown():
            return False
        match reference:
            case Header(name=name):
                return name in self.source.private_headers
            case Meta(name=name):
                return name == "key" and self.source.private_key
            case Field(path=path):
                return self.is_private_field(path)

    def is_private_field(self, path: tuple[str, ...]) -> bool:
        """Say whether a field, or an object that holds it, is private."""
        event_type = self.source.handled or self.source.event_types.get(
            self.routed.event_type or ""
        )
        if event_type is None:
            return False
        schemas = [event_type.find(path[: depth + 1]) for depth in range(len(path))]
        return any(schema is not None and schema.private for schema in schemas)

    def target(self, delivery: Delivery) -> TargetRow:
        return TargetRow(
            delivery.router,
            delivery.route,
            delivery.target,
            delivery.broker,
            self.channel(delivery),
            str(delivery.outcome),
            delivery.reason,
        )

    def channel(self, delivery: Delivery) -> str | None:
        """Show a channel; private values in it are masked."""
        template: Template | None = None
        if delivery.outcome is Outcome.DELIVERED:
            template = self.plan.targets[self.source.name, delivery.target].channel
        elif delivery.outcome is Outcome.DEAD_LETTERED and self.source.dead_letter:
            template = self.source.dead_letter.channel
        if template is None or not any(map(self.is_private, references(*template.nodes))):
            return delivery.channel
        return self.masked(template)

    def masked(self, template: Template) -> str | None:
        inputs = references(*template.nodes)
        looked_up = compile_look_up(inputs, self.source.name)(self.message)
        values = tuple(self.values.get(*each) for each in zip(inputs, looked_up, strict=True))
        filled = [piece(values) for piece in compile_pieces(template, inputs, name="explain")]
        shown = [
            mask_text(text) if any(map(self.is_private, references(node))) else text
            for node, text in zip(template.nodes, filled, strict=True)
        ]
        return join(template, shown)


def _name(reference: Reference) -> str:
    """Name a reference as a rule does."""
    match reference:
        case Field(path=path):
            return ".".join(path)
        case Meta(name=name):
            return f"message.{name}"
        case Header(name=name):
            return f"message.headers['{name}']"
