"""Values as databases read them from text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final

import msgspec

from gateway_lab.events.event_type import Kind
from gateway_lab.rules.fill import Values

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _spell_time(value: Any) -> str:
    return (_EPOCH + timedelta(microseconds=value)).isoformat()


def _spell_object(value: Any) -> str:
    return bytes(value).decode()


def _spell_list(value: Any) -> str:
    """Write a list as JSON; elements that are objects are JSON already."""
    return msgspec.json.encode(
        [msgspec.Raw(each) if isinstance(each, bytes) else each for each in value]
    ).decode()


_SPELL: Final = MappingProxyType[Kind, Callable[[Any], str]](
    {
        Kind.TEXT: str,
        Kind.BOOLEAN: lambda value: "true" if value else "false",
        Kind.INTEGER: str,
        Kind.NUMBER: repr,
        Kind.TIMESTAMP: _spell_time,
        Kind.LIST: _spell_list,
        Kind.OBJECT: _spell_object,
    }
)
_ESCAPES: Final = str.maketrans({"\\": r"\\", "\n": r"\n", "\r": r"\r", "\t": r"\t"})
_ESCAPED: Final = frozenset({Kind.TEXT, Kind.LIST, Kind.OBJECT})


def spell(value: Any, kind: Kind) -> str:
    """Write a value: times as RFC 3339, lists and objects as JSON."""
    return _SPELL[kind](value)


def copy_lines(rows: Sequence[Values], kinds: Sequence[Kind]) -> bytes:
    r"""Write rows as `COPY … FROM STDIN` reads them: tabs between, NULL is `\N`.

    Column by column: most of what is paid for a row is paid for a batch.
    """
    columns = [_column([row[at] for row in rows], kind) for at, kind in enumerate(kinds)]
    return ("\n".join(map("\t".join, zip(*columns, strict=True))) + "\n").encode()


def _column(values: Sequence[Any], kind: Kind) -> list[str]:
    write = _SPELL[kind]
    if kind in _ESCAPED:
        return [r"\N" if each is None else write(each).translate(_ESCAPES) for each in values]
    return [r"\N" if each is None else write(each) for each in values]
