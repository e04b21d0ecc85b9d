"""What arrived, as tables: messages, and dead letters apart from them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

import polars as pl

import gateway_lab as gl
from gateway_lab.gateway.dead_letter import PREFIX
from gateway_lab.messages.headers import CONTROL_PREFIX, header_text

_TOLD: Final = ("class", "reason", "attempts", "last")
_WIDTH: Final = 120
"""Characters of a body that are shown."""


def delivered(messages: Iterable[gl.Message]) -> pl.DataFrame:
    """Show messages that are no dead letters: `broker, channel, key, headers, body`.

    Headers of the gateway's own are left out.
    """
    rows = [
        (each.broker, each.channel, _text(each.key), _headers(each), _text(each.body))
        for each in messages
        if not _is_letter(each)
    ]
    return _frame(rows, "broker", "channel", "key", "headers", "body")


def letters(messages: Iterable[gl.Message]) -> pl.DataFrame:
    """Show dead letters: `channel, class, reason, attempts, last, body`."""
    rows = [
        (
            each.channel,
            *(header_text(each.headers, PREFIX + name) for name in _TOLD),
            _text(each.body),
        )
        for each in messages
        if _is_letter(each)
    ]
    return _frame(rows, "channel", *_TOLD, "body")


def _frame(rows: Sequence[Sequence[str | None]], *columns: str) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def _is_letter(message: gl.Message) -> bool:
    return header_text(message.headers, f"{PREFIX}class") is not None


def _headers(message: gl.Message) -> str:
    pairs = [each for each in message.headers if not each[0].startswith(CONTROL_PREFIX)]
    return ", ".join(f"{name}: {_text(value)}" for name, value in pairs)


def _text(value: bytes | None) -> str | None:
    """Return bytes as text, whatever they are."""
    text = None if value is None else value.decode(errors="backslashreplace")
    return text if text is None or len(text) <= _WIDTH else f"{text[:_WIDTH]}…"
