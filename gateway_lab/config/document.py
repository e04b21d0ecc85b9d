"""The root of the config document: a frozen value that knows where it came from."""

from __future__ import annotations

from html import escape
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, PrivateAttr

from gateway_lab.config import canonical
from gateway_lab.config.model import (
    Batch,
    ConfigName,
    ConfigTest,
    DeadLetter,
    EventName,
    Expectations,
    FrozenDict,
    Json,
    Name,
    Named,
    Protocol,
    Retry,
    Router,
    Row,
    Setting,
    Source,
    Table,
    Target,
)
from gateway_lab.config.places import Origin
from gateway_lab.errors import ConfigError
from gateway_lab.findings import Finding


class Document(Named):
    """What goes where: sources, targets and the routers between them, as data.

    Users hold a `GatewayConfig`, which can also be edited and written. Two documents are equal if
    what they say is, wherever they came from.
    """

    model_config = ConfigDict(title="GatewayConfig")

    gateway_lab: Literal[1] = Field(default=1, description="The version of the format.")
    name: ConfigName = Field(description="Names the gateway in metrics, groups and digests.")
    settings: Table[Name, Setting] = Field(
        default_factory=FrozenDict, description="Typed constants, `settings.NAME` in rules."
    )
    brokers: Table[Name, Protocol] = Field(
        default_factory=FrozenDict,
        description="Alias to protocol; the address is GATEWAY_BROKER_<ALIAS>_URL.",
    )
    events: Table[EventName, dict[str, Json]] = Field(
        default_factory=FrozenDict, description="Event types: a JSON Schema subset each."
    )
    sources: Table[Name, Source] = Field(
        default_factory=FrozenDict, description="Where messages come from."
    )
    targets: Table[Name, Target] = Field(
        default_factory=FrozenDict, description="Where they go, and how they are written there."
    )
    routers: Table[Name, Router] = Field(
        default_factory=FrozenDict, description="What decides which goes where."
    )
    batches: Table[Name, Batch] = Field(
        default_factory=FrozenDict, description="Messages collected, stored and aggregated."
    )
    retry: Retry = Field(default=Retry(), description="A source's own `retry` wins.")
    dead_letter: DeadLetter | None = Field(
        default=None, description="A source's own `dead_letter` wins."
    )
    tests: Row[ConfigTest] = Field(default=(), description="Messages and where they must go.")
    expectations: Expectations | None = Field(
        default=None, description="What an export promised; written by `gateway-lab export`."
    )

    _origin: Origin | None = PrivateAttr(default=None)
    _base_text: str | None = PrivateAttr(default=None)
    _traps: tuple[Finding, ...] = PrivateAttr(default=())
    _digest: str | None = PrivateAttr(default=None)

    @property
    def digest(self) -> str:
        """The SHA-256 of the canonical form in hex: it names this version."""
        if self._digest is None:
            self._digest = canonical.digest(self)
        return self._digest

    @property
    def origin(self) -> Origin | None:
        """The text and places it was read from; None for a config made or edited in Python."""
        return self._origin

    @property
    def base_text(self) -> str | None:
        """The text whose comments `write` keeps; None for a config made in Python."""
        return self._base_text

    @property
    def traps(self) -> tuple[Finding, ...]:
        """What reading the text found: YAML's own traps."""
        return self._traps

    def with_origin(self, origin: Origin, traps: tuple[Finding, ...]) -> Self:
        """Return the same config, knowing the text it was read from."""
        return self._copy({"_origin": origin, "_base_text": origin.text, "_traps": traps})

    def with_parts(self, **parts: Any) -> Self:
        """Return a config with some top-level parts replaced by valid ones.

        It keeps the text whose comments `write` keeps, but no longer the places in it.
        """
        return self._copy({"_origin": None, "_traps": (), "_digest": None}, parts)

    def _copy(self, private: dict[str, Any], parts: dict[str, Any] | None = None) -> Self:
        config = self.model_copy(update=parts)
        for name, value in private.items():
            setattr(config, name, value)
        return config

    # --- as a value ---

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Document) and self.__dict__ == other.__dict__

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        routes = sum(len(router.routes) for router in self.routers.values())
        counts = (
            (len(self.sources), "source"),
            (len(self.routers), "router"),
            (routes, "route"),
            (len(self.targets), "target"),
        )
        told = ", ".join(f"{count} {word}{'s' * (count != 1)}" for count, word in counts)
        return f"<GatewayConfig {self.name}: {told}, {self.digest[:12]}>"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        cells = [
            (router_name, route.name, route.when or "always", ", ".join(route.to))
            for router_name, router in self.routers.items()
            for route in router.routes
        ]
        rows = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in cells
        )
        head = "".join(f"<th>{word}</th>" for word in ("router", "route", "when", "to"))
        return (
            f"<p>{escape(repr(self))}</p>"
            f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
        )


def require_config(value: object) -> None:
    """Refuse what is no config, such as the path of one.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(value, Document):
        raise ConfigError(
            f"this is a {type(value).__name__}, and no config",
            hint="read it first: config = gl.read_config('routes.yaml')",
        )
