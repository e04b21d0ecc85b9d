"""Changes to a config: each takes one and returns another, with clear words for what cannot be.

Named things live in tables (routers, targets, sources, settings) or in the list of a router's
routes. What is wrong inside a rule is no error here: `check` says it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from gateway_lab.config.document import Document
from gateway_lab.config.model import FrozenDict, Name, Part, Route, Router, Setting, Source, Target
from gateway_lab.config.refusals import refusals
from gateway_lab.config.settings_used import settings_used
from gateway_lab.config.uses import target_lists
from gateway_lab.errors import ConfigError, did_you_mean

C = TypeVar("C", bound=Document)
T = TypeVar("T")
P = TypeVar("P", bound=Part)

TABLES: Mapping[str, type[Part]] = {
    "routers": Router,
    "targets": Target,
    "sources": Source,
    "settings": Setting,
}
"""The tables whose things can be edited, and what they hold."""

_NAME: TypeAdapter[str] = TypeAdapter(Name)


def add_part(config: C, table: str, name: str, values: Mapping[str, Any], before: str | None) -> C:
    """Add a thing to a table, at its end or before another."""
    parts = dict(getattr(config, table))
    _require_free(name, parts, table)
    part = _build(TABLES[table], values, f"{table}.{name}")
    items = _inserted(list(parts.items()), (name, part), _index(parts, before, table))
    return config.with_parts(**{table: FrozenDict(items)})


def edit_part(config: C, table: str, name: str, changes: Mapping[str, Any]) -> C:
    """Change what is given of a thing; None takes a key away."""
    parts = dict(getattr(config, table))
    _require_known(name, parts, table)
    parts[name] = _changed(parts[name], changes, f"{table}.{name}")
    return config.with_parts(**{table: FrozenDict(parts)})


def remove_part(config: C, table: str, name: str) -> C:
    """Remove a thing that nothing refers to."""
    parts = dict(getattr(config, table))
    _require_known(name, parts, table)
    if uses := _uses(config, table, name):
        raise ConfigError(
            f"{name!r} is still used by {', '.join(uses)}",
            where=f"{table}.{name}",
            hint="change these first, or rename it",
        )
    del parts[name]
    return config.with_parts(**{table: FrozenDict(parts)})


def move_part(config: C, table: str, name: str, before: str | None) -> C:
    """Move a thing before another, or to the end."""
    parts = dict(getattr(config, table))
    _require_known(name, parts, table)
    part = parts.pop(name)
    items = _inserted(list(parts.items()), (name, part), _index(parts, before, table))
    return config.with_parts(**{table: FrozenDict(items)})


def edit_retry(config: C, changes: Mapping[str, Any]) -> C:
    """Change what is given of the config's own retry; None takes a key away."""
    return config.with_parts(retry=_changed(config.retry, changes, "retry"))


def _uses(config: C, table: str, name: str) -> list[str]:
    """Say what would be broken without a thing."""
    match table:
        case "targets":
            return [_dotted(path) for path, targets in target_lists(config) if name in targets]
        case "sources":
            routers = [
                f"routers.{key}" for key, each in config.routers.items() if name in each.sources
            ]
            batches = [
                f"batches.{key}" for key, each in config.batches.items() if name == each.source
            ]
            return routers + batches
        case "settings":
            return [_dotted(path) for path, used in settings_used(config) if used == name]
        case _:
            return []


def _dotted(path: Iterable[str | int]) -> str:
    return ".".join(map(str, path))


# --- routes ---


def add_route(config: C, router: str, values: Mapping[str, Any], before: str | None) -> C:
    """Add a route to a router, at its end or before another."""
    routes = _routes(config, router)
    word = f"routes of {router}"
    _require_free(values["name"], [route.name for route in routes], word)
    route = _build(Route, values, f"routers.{router}.routes")
    index = _index([route.name for route in routes], before, word)
    return _with_routes(config, router, _inserted(routes, route, index))


def edit_route(config: C, router: str, name: str, changes: Mapping[str, Any]) -> C:
    """Change what is given of a route; None takes a key away."""
    routes, index = _find_route(config, router, name)
    routes[index] = _changed(routes[index], changes, f"routers.{router}.routes.{name}")
    return _with_routes(config, router, routes)


def remove_route(config: C, router: str, name: str) -> C:
    """Remove a route."""
    routes, index = _find_route(config, router, name)
    return _with_routes(config, router, routes[:index] + routes[index + 1 :])


def move_route(config: C, router: str, name: str, before: str | None) -> C:
    """Move a route before another, or to the end."""
    routes, index = _find_route(config, router, name)
    route = routes.pop(index)
    to = _index([each.name for each in routes], before, f"routes of {router}")
    return _with_routes(config, router, _inserted(routes, route, to))


def require_route_name(config: C, router: str, name: str, new: str) -> None:
    """Refuse a new name for a route that is not one, or is taken."""
    routes, _ = _find_route(config, router, name)
    _require_free(new, [route.name for route in routes], f"routes of {router}")


def require_name(config: C, table: str, name: str, new: str) -> None:
    """Refuse a new name for a thing that is not one, or is taken."""
    _require_known(name, getattr(config, table), table)
    _require_free(new, getattr(config, table), table)


def _routes(config: C, router: str) -> list[Route]:
    _require_known(router, config.routers, "routers")
    return list(config.routers[router].routes)


def _find_route(config: C, router: str, name: str) -> tuple[list[Route], int]:
    routes = _routes(config, router)
    names = [route.name for route in routes]
    _require_known(name, names, f"routes of {router}")
    return routes, names.index(name)


def _with_routes(config: C, router: str, routes: Sequence[Route]) -> C:
    changed = config.routers[router].model_copy(update={"routes": tuple(routes)})
    return config.with_parts(routers=FrozenDict({**config.routers, router: changed}))


# --- pieces ---


def _build(model: type[P], values: Mapping[str, Any], where: str) -> P:
    values = {key: value for key, value in values.items() if value is not None}
    return _validated(lambda: model.model_validate(values), values, model, where)


def _changed(part: P, changes: Mapping[str, Any], where: str) -> P:
    before = part.model_dump(exclude_unset=True, by_alias=False)
    values = {**before, **changes}
    kept = {key: value for key, value in values.items() if changes.get(key, value) is not None}
    return _validated(lambda: type(part).model_validate(kept), kept, type(part), where)


def _validated(
    validate: Callable[[], T], values: Mapping[str, Any], model: type[Part], where: str
) -> T:
    try:
        return validate()
    except ValidationError as error:
        problems = [
            ConfigError(each.text, where=_dotted([where, *each.path]), hint=each.hint)
            for each in refusals(error, dict(values), model)
        ]
        raise ConfigError.of(problems) from None


def _require_known(name: str, known: Iterable[str], word: str) -> None:
    known = list(known)
    if name not in known:
        raise ConfigError(f"{word}: there is no {name!r}", hint=did_you_mean(name, known))


def _require_free(name: str, taken: Iterable[str], word: str) -> None:
    if name in taken:
        raise ConfigError(f"{word}: there is already {name!r}", hint="choose another name")
    try:
        _NAME.validate_python(name)
    except ValidationError:
        hint = "use a lower-case letter, then up to 62 lower-case letters, digits or _"
        raise ConfigError(f"{word}: name {name!r} is not allowed", hint=hint) from None


def _index(names: Iterable[str], before: str | None, word: str) -> int:
    names = list(names)
    if before is None:
        return len(names)
    _require_known(before, names, word)
    return names.index(before)


def _inserted(items: Sequence[T], item: T, index: int) -> list[T]:
    return [*items[:index], item, *items[index:]]
