"""A grid: which values of a config are tried, each by its path in the document.

What can be tried are settings, the size and time of batches, and retries: what changes when
things happen and what it costs, and through settings also where messages go.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias

from gateway_lab.config.gateway_config import GatewayConfig
from gateway_lab.config.model import Retry
from gateway_lab.config.scopes import fits
from gateway_lab.errors import ConfigError, ReplayError, did_you_mean

MAX_POINTS: Final = 10_000

LARGEST_BATCH: Final = 10_000
"""What a source holds at once, live: no batch can be larger."""

Grid: TypeAlias = Mapping[str, Sequence[Any]]
"""Path to the values that are tried: `settings.hot`, `batches.load.size`, `retry.attempts`."""

_OF_BATCHES: Final = ("size", "every")


def read_grid(config: GatewayConfig, grid: Mapping[str, Any]) -> Grid:
    """Check a grid against a config.

    Returns:
        The same, its values as tuples, none twice.

    Raises:
        ReplayError: It is empty or too large, names what cannot be tuned, or has a value that
            cannot stand there.
    """
    if not grid:
        hint = 'name what to try: {"batches.load.size": [100, 500], "settings.limit": [10, 20]}'
        raise ReplayError("the grid is empty", hint=hint)
    read = {path: _values(config, path, values) for path, values in grid.items()}
    points = math.prod(map(len, read.values()))
    if points > MAX_POINTS:
        sizes = " x ".join(str(len(each)) for each in read.values())
        problem = f"the grid has {points:,} points ({sizes}), and {MAX_POINTS:,} are the most"
        raise ReplayError(problem, hint="try fewer values, then more of them near the best ones")
    for path, values in read.items():
        for value in values:
            _check(config, path, value)
    return read


def tunable(config: GatewayConfig) -> dict[str, Any]:
    """Return every path that a grid may name, with the config's own value."""
    found = {f"settings.{name}": each.value for name, each in config.settings.items()}
    for name, batch in config.batches.items():
        found |= {f"batches.{name}.{key}": getattr(batch, key) for key in _OF_BATCHES}
    found |= {f"retry.{key}": getattr(config.retry, key) for key in Retry.model_fields}
    for name, source in config.sources.items():
        retry = source.retry or config.retry
        found |= {f"sources.{name}.retry.{key}": getattr(retry, key) for key in Retry.model_fields}
    return found


def points(grid: Grid) -> Iterator[dict[str, Any]]:
    """Yield path to value for every point, the last path changing fastest."""
    for values in itertools.product(*grid.values()):
        yield dict(zip(grid, values, strict=True))


def applied(config: GatewayConfig, point: Mapping[str, Any]) -> GatewayConfig:
    """Return a config with the values of a point.

    Raises:
        ConfigError: A value cannot stand there.
    """
    for path, value in point.items():
        config = _applied(config, path.split("."), value)
    return config


def _applied(config: GatewayConfig, path: Sequence[str], value: Any) -> GatewayConfig:
    match path:
        case ["settings", name]:
            return config.edit_setting(name, value=value)
        case ["batches", name, key]:
            return config.edit_batch(name, **{key: value})
        case ["retry", key]:
            return config.edit_retry(**{key: value})
        case [_, name, _, key]:
            own = config.sources[name].retry or config.retry
            return config.edit_source(name, retry={**own.model_dump(), key: value})
        case _:
            raise AssertionError(path)  # `read_grid` knows no other


def _values(config: GatewayConfig, path: str, given: object) -> tuple[Any, ...]:
    known = tunable(config)
    if path not in known:
        ends = [each for each in known if each.endswith(f".{path}")]
        hint = did_you_mean(path, ends or known) if not ends else f"did you mean {ends[0]!r}?"
        raise ReplayError(f"the grid names {path!r}, which is nothing to tune", hint=hint)
    if isinstance(given, str | bytes | Mapping) or not isinstance(given, Iterable):
        raise ReplayError(
            "the grid takes several values of a thing",
            where=f"grid {path}",
            hint=f"give a list: [{given!r}]",
        )
    values = tuple(dict.fromkeys((type(each), each) for each in given))
    if not values:
        raise ReplayError("the grid has no value to try", where=f"grid {path}", hint="give a list")
    return tuple(value for _, value in values)


def _check(config: GatewayConfig, path: str, value: Any) -> None:
    """Refuse a value that the document would refuse, or that would not run."""
    where, (table, name, *_) = f"grid {path}", path.split(".")
    if table == "settings" and not fits(config.settings[name].type, value):
        problem = f"{value!r} is not of type {config.settings[name].type}"
        raise ReplayError(problem, where=where)
    try:
        applied(config, {path: value})
    except ConfigError as error:
        raise ReplayError(f"{value!r}: {error.problem}", where=where, hint=error.hint) from None
    if path.endswith(".size") and value > LARGEST_BATCH:
        problem = f"a batch of {value:,} does not run: a source holds {LARGEST_BATCH:,} messages"
        raise ReplayError(problem, where=where, hint="try smaller ones")
