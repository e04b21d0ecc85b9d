"""What of FastStream knows one broker alone: handlers and middlewares are for all of them."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable, Iterator
from typing import Any, Final

from gateway_lab.errors import ConfigError

_PARTS: Final = [
    "kafka",
    "confluent",
    "rabbit",
    "nats",
    "redis",
    "mqtt",
    "opentelemetry",
    "prometheus",
]
_PLACES: Final = tuple(f"faststream.{part}." for part in _PARTS)


def refuse_middleware(make: object) -> None:
    """Refuse a middleware of one broker, given as a class or as what makes them.

    Raises:
        ConfigError: It is one.
    """
    kind = make if isinstance(make, type) else type(make)
    if _knows_one_broker(kind):
        raise ConfigError(
            f"{kind.__name__} knows the messages of one broker alone",
            hint="leave it out: the gateway has traces and metrics of its own",
        )


def refuse_annotations(function: Callable[..., Any]) -> None:
    """Refuse parameters that only one broker could give.

    Args:
        function: A handler, or what it depends on.

    Raises:
        ConfigError: There is one.
    """
    for parameter, hint in _hints(function).items():
        for kind in _types(hint):
            if _knows_one_broker(kind):
                raise ConfigError(
                    f"{parameter} is a {kind.__name__}, which one broker alone could give",
                    where=getattr(function, "__name__", "a dependency"),
                    hint='for all of them: Annotated[StreamMessage, Context("message")]',
                )


def _hints(function: Callable[..., Any]) -> dict[str, Any]:
    """Return the annotations of a function; those that cannot be read are not judged here."""
    call = function if inspect.isroutine(function) else getattr(function, "__call__", function)  # noqa: B004
    try:
        return typing.get_type_hints(inspect.unwrap(call), include_extras=True)
    except Exception:  # noqa: BLE001 - whatever users wrote
        return {}


def _types(hint: Any) -> Iterator[type]:
    if isinstance(hint, type):
        yield hint
    for each in typing.get_args(hint):
        yield from _types(each)


def _knows_one_broker(kind: type) -> bool:
    return any(f"{base.__module__}.".startswith(_PLACES) for base in kind.__mro__)
