"""Which texts of a document are rules and which are templates, by their place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, TypeAlias

from gateway_lab.config.places import DocumentPath

Language: TypeAlias = Literal["rule", "template"]

_PLACES: dict[tuple[str, ...], Language] = {
    ("dead_letter", "channel"): "template",
    ("sources", "*", "dead_letter", "channel"): "template",
    ("sources", "*", "event", "by"): "rule",
    ("targets", "*", "channel"): "template",
    ("targets", "*", "key"): "template",
    ("targets", "*", "headers", "*"): "template",
    ("targets", "*", "body", "**"): "template",
    ("routers", "*", "routes", "*", "when"): "rule",
    ("batches", "*", "group_by", "*"): "template",
    ("batches", "*", "rows", "*"): "template",
    ("batches", "*", "aggregates", "*"): "rule",
}


def language_at(path: DocumentPath) -> Language | None:
    """Say what a text at this place is; None for plain text."""
    for pattern, language in _PLACES.items():
        if _matches(pattern, path):
            return language
    return None


def _matches(pattern: tuple[str, ...], path: DocumentPath) -> bool:
    if pattern[-1] == "**":
        pattern, path = pattern[:-1], path[: len(pattern) - 1]
    return len(pattern) == len(path) and all(
        want in ("*", have) for want, have in zip(pattern, path, strict=True)
    )


def texts(document: Any, path: DocumentPath = ()) -> Iterator[tuple[DocumentPath, str]]:
    """Yield every text of a document (not the keys) with its place, in the order written."""
    if isinstance(document, str):
        yield path, document
    elif isinstance(document, dict):
        for key, value in document.items():
            yield from texts(value, (*path, key))
    elif isinstance(document, list):
        for index, value in enumerate(document):
            yield from texts(value, (*path, index))
