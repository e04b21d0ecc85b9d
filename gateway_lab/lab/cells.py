"""How a value is written for people, in the tables of figures and of commands alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

_WRITERS: Mapping[type, Callable[[Any], str]] = {
    type(None): lambda _: "",
    bool: lambda value: str(value).lower(),
    int: "{:,}".format,
    float: "{:,.4g}".format,
    list: lambda values: ", ".join(map(text, values)),
    dict: lambda value: json.dumps(value, ensure_ascii=False),
}


def text(value: Any) -> str:
    """Return a value as a cell: thousands apart, nothing for null, lists with commas."""
    simple = plain(value)
    return _WRITERS.get(type(simple), str)(simple)


def plain(value: Any) -> Any:
    """Return a value as JSON has it: bytes as text, times in ISO 8601."""
    match value:
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [plain(item) for item in value]
        case bytes():
            return value.decode(errors="backslashreplace")
        case datetime():
            return value.isoformat()
        case None | bool() | int() | float():
            return value
        case _:
            return str(value)
