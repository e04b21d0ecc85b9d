"""The plan: a config made ready to decide messages; typed trees, no engine.

`compile_plan` lives in `compile.py`. Both ways, live and offline, read only this.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway_lab.config.model import Batch, Protocol, Retry
from gateway_lab.events.event_type import EventType
from gateway_lab.rules.template import BodyTemplate, Template
from gateway_lab.rules.tree import Node, column_name, references

INVALID = "invalid"
"""The `otherwise` of a choice of event types that makes all other messages invalid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddressPlan:
    """One place a source reads from: exactly one of channel and pattern is set."""

    broker: str
    protocol: Protocol
    channel: str | None
    pattern: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterPlan:
    """Where a source's dead letters go; the channel may use `message.*` and settings only."""

    broker: str
    protocol: Protocol
    channel: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class SourcePlan:
    """A source. `by` is None with at most one event type; then `event_types` has one or none.

    Attributes:
        event_types: Event type name to type, in the order of the document; of what arrives.
        by: Text expression over the message that chooses; None: the only one.
        choices: Value of `by` to event type name.
        otherwise: Event type name for other values, or `invalid`.
        handled: The event type of what the handler returns, which is then the only one that
            rules see; None without a handler.
        routers: Names of the enabled routers on it, in the order of the document.
        batches: Names of the batches on it.
        dead_letter: The nearest; None if the config has none.
    """

    name: str
    addresses: tuple[AddressPlan, ...]
    event_types: Mapping[str, EventType]
    by: Node | None
    choices: Mapping[str, str]
    otherwise: str
    on_invalid: Literal["dead_letter", "drop"]
    handled: EventType | None
    private_key: bool
    private_headers: frozenset[str]
    retry: Retry
    dead_letter: DeadLetterPlan | None
    routers: tuple[str, ...]
    batches: tuple[str, ...]

    @property
    def routed_types(self) -> Mapping[str, EventType]:
        """Event type name to type of what rules and templates see."""
        return {self.handled.name: self.handled} if self.handled else self.event_types

    @property
    def no_type_reason(self) -> str:
        """Why a message has no event type; the value is not shown, there may be millions."""
        names = ", ".join(column_name(each) for each in references(self.by))
        return f"no event type: the value of {names} chooses none"


@dataclass(frozen=True, slots=True, kw_only=True)
class RoutePlan:
    """An enabled route. `targets` may be ("drop",) or ("dead_letter",)."""

    name: str
    condition: Node | None
    events: frozenset[str] | None
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterPlan:
    """An enabled router; `unmatched` may be ("drop",) or ("dead_letter",) like a route's targets."""

    name: str
    sources: tuple[str, ...]
    match: Literal["first", "all"]
    routes: tuple[RoutePlan, ...]
    unmatched: tuple[str, ...]
    undecided: Literal["continue", "dead_letter"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetPlan:
    """A target, its templates typed for one source (names mean what that source's events say).

    Headers, and the fields of objects in a body, are in sorted order: the digest does not know
    another, and the same digest writes the same bytes.

    Attributes:
        key: None keeps the source's key.
        pass_headers: "all", or the lower-case names that pass.
        body: None passes the bytes through untouched.
    """

    name: str
    broker: str
    protocol: Protocol
    channel: Template
    key: Template | None
    pass_headers: Literal["all"] | frozenset[str]
    headers: Mapping[str, Template]
    body: BodyTemplate | None
    max_channels: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchPlan:
    """A batch; rows, groups and aggregates typed for its source, targets for its own messages.

    Attributes:
        output: The event type of its own messages: the fields of the group and the aggregates.
        group_by: In sorted order, as are rows and aggregates: the digest does not know another.
    """

    name: str
    source: str
    size: int
    every_us: int
    group_by: Mapping[str, Template]
    rows: Mapping[str, Template]
    aggregates: Mapping[str, Node]
    output: EventType
    targets: Mapping[str, TargetPlan]
    model: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A whole config, ready to run.

    Attributes:
        targets: (source name, target name) to plan, for every pair that can occur.
    """

    name: str
    digest: str
    sources: Mapping[str, SourcePlan]
    routers: Mapping[str, RouterPlan]
    targets: Mapping[tuple[str, str], TargetPlan]
    batches: Mapping[str, BatchPlan]
