"""The config document: one frozen model, data only; never hosts, credentials or code.

This file says what may stand where. Whether names exist, rules can be read and routes make
sense is `check.py`; places and hints for what this model refuses are `load.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, NoReturn, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints, WithJsonSchema

FORMAT = 1
"""The version of the document's format, the value of its key `gateway_lab`."""

NAME_PATTERN = r"^[a-z][a-z0-9_]{0,62}$"
RESERVED_NAMES = frozenset({"drop", "dead_letter", "message", "event", "settings"})

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
ConfigName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
EventName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_]{0,62}$")]
Duration = Annotated[str, StringConstraints(pattern=r"^(0|[1-9][0-9]*)(ms|s|m|h)$")]
Rule = Annotated[str, WithJsonSchema({"type": "string", "x-language": "rule"})]
TemplateText = Annotated[str, WithJsonSchema({"type": "string", "x-language": "template"})]
Json: TypeAlias = Any
Protocol: TypeAlias = Literal["kafka", "rabbitmq", "nats", "redis", "memory"]

K = TypeVar("K")
V = TypeVar("V")


class FrozenDict(dict[K, V]):
    """A mapping of the document: assigning to it says which call to use instead."""

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        msg = "a config never changes: use add_…, edit_… and remove_…, they return a new one"
        raise TypeError(msg)

    __setitem__ = __delitem__ = __ior__ = _refuse
    pop = popitem = clear = update = setdefault = _refuse

    def __reduce__(self) -> tuple[type[FrozenDict[K, V]], tuple[dict[K, V]]]:
        """Pickle as one call: the default fills an empty mapping item by item."""
        return FrozenDict, (dict(self),)


Table = Annotated[Mapping[K, V], AfterValidator(FrozenDict)]
"""Things by name, in the order of the document."""

Row = Annotated[tuple[V, ...], Field(strict=False)]
"""Several things in order; Python code may give a list."""


class Part(BaseModel):
    """Base of every part of the document: frozen, and a key that is not known is refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
    )


class Named(Part):
    """A thing that people talk about: it may say what it is for and who answers for it."""

    description: str | None = Field(default=None, description="What it is for; not in the digest.")
    owner: str | None = Field(default=None, description="Who answers for it; not in the digest.")


class Setting(Named):
    """A typed constant, `settings.NAME` in rules; an overlay may change its value."""

    type: Literal["string", "number", "integer", "boolean"] = Field(description="Its type.")
    value: str | bool | int | float = Field(description="A constant of this type.")


class Address(Part):
    """A place to read from: a channel, or a pattern of channels in the protocol's own syntax."""

    broker: Name = Field(description="An alias of `brokers`.")
    channel: str | None = Field(default=None, description="Topic, queue, subject or stream.")
    pattern: str | None = Field(default=None, description="Kafka: regex; NATS: `*` and `>`.")
    options: Table[str, Json] = Field(
        default_factory=FrozenDict, description="Typed for each protocol, see the table of options."
    )


class EventChoice(Part):
    """Several event types on one channel, chosen by a value of the message."""

    by: Rule = Field(description="A text expression over `message.*`.")
    types: Table[str, EventName] = Field(description="Value to event type.")
    otherwise: EventName = Field(default="invalid", description="`invalid`, or an event type.")


class Private(Part):
    """Parts of a source's messages that are masked wherever people look."""

    key: bool = Field(default=False, description="Whether the key is private.")
    headers: Row[str] = Field(default=(), description="Names of private headers.")


class Handler(Part):
    """User code that runs between decoding and routing; the function itself is not in here."""

    returns: EventName = Field(description="The event type of what the handler returns.")


class Retry(Part):
    """How often and how fast a failed handler or delivery is tried again."""

    attempts: int = Field(default=3, ge=1, description="Tries in all, the first included.")
    initial: Duration = Field(default="200ms", description="Before the second try.")
    factor: int | float = Field(default=2, ge=1, description="Each wait is so much longer …")
    max: Duration = Field(default="30s", description="… up to this.")


class DeadLetter(Part):
    """Where messages go that cannot be handled or delivered."""

    broker: Name = Field(description="An alias of `brokers`.")
    channel: TemplateText = Field(description="May use `message.*` and `settings.*` only.")


class Source(Named):
    """One or more channels read from, all with the same event type."""

    broker: Name | None = Field(default=None, description="An alias of `brokers`.")
    channel: str | None = Field(default=None, description="Topic, queue, subject or stream.")
    pattern: str | None = Field(default=None, description="Kafka: regex; NATS: `*` and `>`.")
    options: Table[str, Json] = Field(
        default_factory=FrozenDict, description="Typed for each protocol, see the table of options."
    )
    from_: Row[Address] = Field(
        default=(), alias="from", description="Several addresses, instead of broker and channel."
    )
    event: EventName | EventChoice | None = Field(
        default=None, description="Left out: the body is not decoded, rules see `message.*` only."
    )
    on_invalid: Literal["dead_letter", "drop"] = Field(
        default="dead_letter", description="What becomes of a body that is not a valid event."
    )
    handler: Handler | None = Field(
        default=None, description="Left out: messages go to the routers as they are."
    )
    private: Private = Field(default=Private(), description="What is masked.")
    retry: Retry | None = Field(default=None, description="Left out: the config's.")
    dead_letter: DeadLetter | None = Field(default=None, description="Left out: the config's.")

    @property
    def addresses(self) -> tuple[Address, ...]:
        """All places this source reads from."""
        if self.from_ or self.broker is None:
            return self.from_
        return (
            Address(
                broker=self.broker,
                channel=self.channel,
                pattern=self.pattern,
                options=self.options,
            ),
        )


class Target(Named):
    """A channel written to, and how a message is written there."""

    broker: Name = Field(description="An alias of `brokers`.")
    channel: TemplateText = Field(description="Starts with fixed text; values are untrusted.")
    key: TemplateText | None = Field(default=None, description="Left out: the source's key.")
    pass_headers: Literal["all", "none"] | Row[str] = Field(
        default="all", description="Which headers of the source's message go along."
    )
    headers: Table[str, TemplateText] = Field(
        default_factory=FrozenDict, description="Added to, or instead of, those that pass."
    )
    body: Json = Field(
        default=None, description="JSON whose texts are templates; left out: bytes untouched."
    )
    max_channels: int = Field(default=1000, ge=1, description="Bound of distinct live channels.")
    options: Table[str, Json] = Field(
        default_factory=FrozenDict, description="Typed for each protocol, see the table of options."
    )


class Route(Named):
    """A name, a condition and the targets of the messages that meet it."""

    name: Name = Field(description="New in its router.")
    when: Rule | None = Field(default=None, description="Left out: always.")
    events: Row[EventName] | None = Field(
        default=None, description="Only messages of these event types."
    )
    to: Row[Name] = Field(description="Targets, or `drop` or `dead_letter` alone.")
    enabled: bool = Field(default=True, description="False keeps it in the file only.")


class Router(Named):
    """Routes on one source, or on several sources of one event type."""

    source: Name | Row[Name] = Field(description="One of `sources`, or several of one event type.")
    match: Literal["first", "all"] = Field(
        description="`first`: the first route that matches; `all`: every one. No default."
    )
    routes: Row[Route] = Field(default=(), description="In the order in which they are asked.")
    unmatched: Literal["dead_letter", "drop"] | Row[Name] = Field(
        description="Targets, `drop` or `dead_letter` for what matches no route. No default."
    )
    undecided: Literal["continue", "dead_letter"] = Field(
        default="continue", description="What becomes of a message when a condition is NULL."
    )
    enabled: bool = Field(default=True, description="False keeps it in the file only.")

    @property
    def sources(self) -> tuple[str, ...]:
        """The names of the sources, also when there is one."""
        return (self.source,) if isinstance(self.source, str) else self.source


class Store(Part):
    """Where the rows of a batch go; the address is GATEWAY_DATABASE_<NAME>_URL."""

    database: Name = Field(description="The NAME of the environment's address.")
    table: str = Field(
        pattern=r"^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$",
        description="A table, or `schema.table`.",
    )


class Batch(Named):
    """Messages of a source, collected by count and time, stored and aggregated."""

    source: Name = Field(description="One of `sources`.")
    size: int = Field(ge=1, description="Closes at this many messages …")
    every: Duration = Field(description="… or after this time, whichever comes first.")
    group_by: Table[Name, TemplateText] = Field(
        default_factory=FrozenDict, description="Field to template; left out: one group."
    )
    rows: Table[str, TemplateText] = Field(
        default_factory=FrozenDict, description="One row a message."
    )
    store: Store | None = Field(default=None, description="Left out: rows are stored nowhere.")
    aggregates: Table[Name, Rule] = Field(
        default_factory=FrozenDict, description="SQL aggregates, such as `avg(value)`."
    )
    to: Row[Name] = Field(default=(), description="One message a group goes here.")


class TestMessage(Part):
    """The message of a test: an event (written as JSON), or a raw body."""

    __test__ = False

    key: str | None = Field(default=None, description="Left out: none.")
    headers: Table[str, str] = Field(default_factory=FrozenDict, description="Name to text.")
    timestamp: str | None = Field(default=None, description="RFC 3339.")
    channel: str | None = Field(default=None, description="Left out: the source's first.")
    event: Json = Field(default=None, description="Written as JSON.")
    body: str | None = Field(default=None, description="Raw text, instead of an event.")


class Expected(Part):
    """One delivery that a test expects; what is left out may be anything."""

    target: Name | None = Field(default=None, description="A target, `drop` or `dead_letter`.")
    router: Name | None = Field(default=None, description="The router that decided it.")
    route: Name | None = Field(default=None, description="The route that it is credited to.")
    outcome: Literal["delivered", "dropped", "dead_lettered"] = Field(
        default="delivered", description="What became of it."
    )
    reason: str | None = Field(default=None, description="A part of the reason.")
    channel: str | None = Field(default=None, description="As it was rendered.")
    key: str | None = Field(default=None, description="As it was rendered.")
    headers: Table[str, str] | None = Field(default=None, description="These; others may be there.")
    body: Json = Field(default=None, description="As JSON; only compared if it is here.")


class ConfigTest(Part):
    """A message and where it must go; `gateway-lab test` and the pytest plugin run it."""

    name: str = Field(description="A sentence that says what is expected.")
    source: Name = Field(description="The source that the message comes from.")
    message: TestMessage = Field(description="The message.")
    expect: Row[str | Expected] = Field(
        default=(), description="A bare name is short for a target; `dead_letter` for a letter."
    )
    only: bool = Field(default=False, description="True: these and nothing else.")


class ExpectedTarget(Part):
    """How many deliveries a target had over the capture."""

    delivered: int = Field(default=0, description="Deliveries.")
    dropped: int = Field(default=0, description="Deliveries.")
    dead_lettered: int = Field(default=0, description="Deliveries.")


class ExpectedRouter(Part):
    """What became of the messages in a router over the capture."""

    matched: int = Field(default=0, description="Messages.")
    unmatched: int = Field(default=0, description="Messages.")
    invalid: int = Field(default=0, description="Messages.")


class Expectations(Part):
    """What an export promised: the books of a replay, run again by `gateway-lab test`."""

    capture: str = Field(description="Path, relative to the config file.")
    capture_digest: str = Field(description="SHA-256 of what the capture holds.")
    config_digest: str = Field(description="The version that was replayed.")
    messages: int = Field(description="Messages in the capture.")
    no_source: int = Field(default=0, description="Messages that no source claims.")
    not_replayed: int = Field(default=0, description="Messages whose handler did not run.")
    routers: Table[Name, ExpectedRouter] = Field(
        default_factory=FrozenDict, description="Counts of every router."
    )
    targets: Table[Name, ExpectedTarget] = Field(
        default_factory=FrozenDict, description="Counts of every target."
    )
