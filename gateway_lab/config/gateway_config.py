"""The config as users hold it: a document that can be edited and written."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Self

from gateway_lab.config import edit, rename
from gateway_lab.config.document import Document
from gateway_lab.config.write import write


class GatewayConfig(Document):
    """What goes where: sources, targets and the routers between them, as data.

    A config never changes; `add_…`, `edit_…`, `remove_…`, `rename_…` and `move_…` return a new
    one. Two configs are equal if their documents are, wherever they came from.
    """

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

    # --- batches and retries ---

    def edit_batch(self, name: str, **changes: Any) -> Self:
        """Change what is given of a batch (`size`, `every`, `aggregates`, …)."""
        return edit.edit_part(self, "batches", name, changes)

    def edit_retry(self, **changes: Any) -> Self:
        """Change what is given of the config's retry: `attempts`, `initial`, `factor`, `max`."""
        return edit.edit_retry(self, changes)

    # --- as a file ---

    def write(self, path: str | os.PathLike[str]) -> None:
        """Write a file that a gateway can run, keeping the comments of the one it came from.

        Args:
            path: YAML, or JSON where the name ends so; an old file is replaced at once.

        Raises:
            ConfigError: A finding is an error, or the file cannot be written; then an old file is
                as it was.
        """
        write(self, path)


def _listed(names: str | Sequence[str]) -> Sequence[str]:
    return [names] if isinstance(names, str) else names
