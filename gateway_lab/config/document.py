"""The config itself: the root of the document, a frozen value that knows where it came from."""

from __future__ import annotations

import os
from collections.abc import Sequence
from html import escape
from typing import Any, Literal, Self

from pydantic import Field, PrivateAttr

from gateway_lab.config import canonical, edit, rename
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


class GatewayConfig(Named):
    """What goes where: sources, targets and the routers between them, as data.

    A config never changes; `add_…`, `edit_…`, `remove_…`, `rename_…` and `move_…` return a new
    one. Two configs are equal if their documents are, wherever they came from.
    """

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

    # --- routes ---

    def add_route(  # noqa: PLR0913 the keys of a route
        self,
        router: str,
        name: str,
        *,
        to: str | Sequence[str],
        when: str | None = None,
        events: Sequence[str] | None = None,
        before: str | None = None,
        description: str | None = None,
    ) -> Self:
        """Add a route to a router.

        Args:
            router: Where.
            name: The route's name, new in this router.
            to: One target or several, or `drop` or `dead_letter`.
            when: The condition; left out: always.
            events: Only these event types; left out: all.
            before: The route in front of which it goes; left out: at the end.
            description: What it is for.

        Raises:
            ConfigError: The router or `before` does not exist, or the name is taken or no name.
        """
        values = {"name": name, "when": when, "to": _listed(to), "events": events}
        return edit.add_route(self, router, {**values, "description": description}, before)

    def edit_route(self, router: str, name: str, **changes: Any) -> Self:
        """Change what is given of a route (`when`, `to`, `events`, `enabled`, …).

        None takes a key away: `edit_route("by_priority", "high", when=None)` makes it match always.

        Raises:
            ConfigError: The route does not exist, or cannot be so.
        """
        if "to" in changes:
            changes["to"] = _listed(changes["to"])
        return edit.edit_route(self, router, name, changes)

    def remove_route(self, router: str, name: str) -> Self:
        """Remove a route."""
        return edit.remove_route(self, router, name)

    def rename_route(self, router: str, name: str, new: str) -> Self:
        """Rename a route, also in the config's tests."""
        return rename.rename_route(self, router, name, new)

    def move_route(self, router: str, name: str, *, before: str | None = None) -> Self:
        """Move a route in front of another, or to the end."""
        return edit.move_route(self, router, name, before)

    # --- routers ---

    def add_router(self, name: str, *, before: str | None = None, **values: Any) -> Self:
        """Add a router: `source`, `match` and `unmatched` are needed, `routes` may come later.

        Raises:
            ConfigError: The name is taken or no name, or a value cannot be so.
        """
        return edit.add_part(self, "routers", name, values, before)

    def edit_router(self, name: str, **changes: Any) -> Self:
        """Change what is given of a router; None takes a key away."""
        return edit.edit_part(self, "routers", name, changes)

    def remove_router(self, name: str) -> Self:
        """Remove a router with its routes."""
        return edit.remove_part(self, "routers", name)

    def rename_router(self, name: str, new: str) -> Self:
        """Rename a router, also in tests and expectations."""
        return rename.rename_part(self, "routers", name, new)

    def move_router(self, name: str, *, before: str | None = None) -> Self:
        """Move a router in front of another, or to the end; it decides the same."""
        return edit.move_part(self, "routers", name, before)

    # --- targets ---

    def add_target(self, name: str, *, broker: str, channel: str, **values: Any) -> Self:
        """Add a target; more keys are those of the config reference (`key`, `body`, …)."""
        values = {"broker": broker, "channel": channel, **values}
        return edit.add_part(self, "targets", name, values, None)

    def edit_target(self, name: str, **changes: Any) -> Self:
        """Change what is given of a target; None takes a key away."""
        return edit.edit_part(self, "targets", name, changes)

    def remove_target(self, name: str) -> Self:
        """Remove a target that no route, `unmatched` or batch names."""
        return edit.remove_part(self, "targets", name)

    def rename_target(self, name: str, new: str) -> Self:
        """Rename a target, also in routes, batches, tests and expectations."""
        return rename.rename_part(self, "targets", name, new)

    # --- sources ---

    def add_source(self, name: str, **values: Any) -> Self:
        """Add a source: `broker` with `channel` or `pattern`, or a list `from_`, and `event`."""
        return edit.add_part(self, "sources", name, values, None)

    def edit_source(self, name: str, **changes: Any) -> Self:
        """Change what is given of a source; None takes a key away."""
        return edit.edit_part(self, "sources", name, changes)

    def remove_source(self, name: str) -> Self:
        """Remove a source that no router or batch reads."""
        return edit.remove_part(self, "sources", name)

    def rename_source(self, name: str, new: str) -> Self:
        """Rename a source, also in routers, batches and tests."""
        return rename.rename_part(self, "sources", name, new)

    # --- settings ---

    def add_setting(self, name: str, *, value: str | bool | float, type: str) -> Self:  # noqa: A002 the key's name
        """Add a setting of type `string`, `number`, `integer` or `boolean`."""
        return edit.add_part(self, "settings", name, {"type": type, "value": value}, None)

    def edit_setting(self, name: str, *, value: str | bool | float) -> Self:
        """Change the value of a setting."""
        return edit.edit_part(self, "settings", name, {"value": value})

    def remove_setting(self, name: str) -> Self:
        """Remove a setting that no rule uses."""
        return edit.remove_part(self, "settings", name)

    def rename_setting(self, name: str, new: str) -> Self:
        """Rename a setting, also in all rules and templates."""
        return rename.rename_part(self, "settings", name, new)

    # --- as a file ---

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file that a gateway can run, keeping the comments of the one it came from.

        Args:
            path: YAML, or JSON where the name ends so; an old file is replaced at once.

        Raises:
            ConfigError: A finding is an error, or the file cannot be written; then an old file is
                as it was.
        """
        from gateway_lab.config.write import write  # noqa: PLC0415 it reads what it wrote

        write(self, path)

    # --- as a value ---

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GatewayConfig) and self.__dict__ == other.__dict__

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


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names


def require_config(value: object) -> None:
    """Refuse what is no config, such as the path of one.

    Raises:
        ConfigError: It is something else.
    """
    if not isinstance(value, GatewayConfig):
        raise ConfigError(
            f"this is a {type(value).__name__}, and no config",
            hint="read it first: config = gl.read_config('routes.yaml')",
        )
